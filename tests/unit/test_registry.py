"""Records of labs: what is written is what is read, and an owner is told from a later process of the same pid."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from netlab import registry
from netlab.registry import Owner, RecordError, RegistryError
from netlab.topology import default_topology


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(registry, "DIRECTORY", tmp_path / "netlab")
    return tmp_path / "netlab"


def test_a_record_is_read_as_it_was_written():
    with registry.locked():
        record = registry.claim("one", default_topology(), Owner.current())
    record.namespaces.append("netlab.one.client")
    record.cpus["client"] = 1
    record.shaped["client"] = 10**9
    record.save()
    assert registry.load("one") == record
    assert registry.names() == ["one"]
    record.forget()
    assert registry.names() == []


def test_a_name_is_given_once():
    with registry.locked():
        registry.claim("one", default_topology(), None)
        with pytest.raises(RegistryError, match="runs already"):
            registry.claim("one", default_topology(), None)
        assert registry.claim(None, default_topology(), None).name == "lab1"
        assert registry.claim(None, default_topology(), None).name == "lab2"


@pytest.mark.parametrize("name", ["", "../etc", "a.b", "A", "1", "-a", "a" * 32])
def test_a_name_that_could_mean_another_file_is_refused(name: str):
    with registry.locked(), pytest.raises(RegistryError, match="cannot name a lab"):
        registry.claim(name, default_topology(), None)
    with pytest.raises(RegistryError, match="cannot name a lab"):
        registry.load(name)


def test_an_owner_is_alive_only_under_its_own_start_time():
    me = Owner.current()
    assert me.is_alive()
    assert not Owner(me.pid, me.start_ticks + 1).is_alive()
    assert not Owner(2**22 + 1, me.start_ticks).is_alive()  # above the kernel's largest pid


def test_a_lab_is_abandoned_when_its_owner_is_gone_and_never_when_it_has_none():
    topology = default_topology()
    assert not registry.Record("a", topology, Owner.current()).is_abandoned
    assert registry.Record("a", topology, Owner(os.getpid(), 0)).is_abandoned
    assert not registry.Record("a", topology, None).is_abandoned


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "\0" * 512,
        "[" * 100_000,
        '{"owner": 3}',
        '{"name": "x", "owner": null, "topology": {}}',
        '{"name": "other", "owner": null, "topology": {}, "namespaces": [], "cpus": {}, "shaped": {}}',
        '{"name": "broken", "owner": null, "topology": {}, "namespaces": ["netlab.a.b"], "cpus": {}, "shaped": {}}',
    ],
)
def test_a_damaged_record_is_refused_by_its_path_and_stands_in_nobodys_way(directory: Path, text: str):
    with registry.locked():
        good = registry.claim("good", default_topology(), None)
    (directory / "broken.json").write_text(text)
    with pytest.raises(RecordError, match=r"broken\.json is damaged\nnetlab clean") as raised:
        registry.load("broken")
    assert not raised.value.in_use
    records, errors = registry.load_all()
    assert records == [good]
    assert [error.name for error in errors] == ["broken"]


def test_a_record_that_is_no_file_or_not_text_is_a_damaged_one(directory: Path):
    (directory / "folder.json").mkdir(parents=True)
    (directory / "bytes.json").write_bytes(b"\xff\xfe")
    assert [error.name for error in registry.load_all()[1]] == ["bytes", "folder"]


def test_a_file_that_can_be_no_labs_is_none_of_ours(directory: Path):
    directory.mkdir()
    (directory / "My Lab.json").write_text("")
    assert registry.load_all() == ([], [])


@pytest.mark.parametrize(
    ("owner", "in_use"), [(None, True), (Owner.current(), True), (Owner(os.getpid(), 0), False)], ids=repr
)
def test_a_record_of_another_version_is_in_use_unless_its_owner_is_gone(owner: Owner | None, in_use: bool):
    with registry.locked():
        record = registry.claim("later", default_topology(), owner)
    record.path.write_text(record.path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(RecordError, match="is of version 2, written by another netlab") as raised:
        registry.load("later")
    assert raised.value.in_use is in_use


def test_a_process_that_has_ended_owns_nothing_though_nobody_has_waited_for_it():
    process = subprocess.Popen(["sleep", "600"])
    owner = Owner(process.pid, registry.start_ticks(process.pid))
    assert owner.is_alive()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not owner.is_alive()
    process.wait()


def test_what_was_written_of_a_record_that_never_came_to_be_is_removed(directory: Path):
    with registry.locked():
        registry.claim("one", default_topology(), None)
        (directory / "one.new").write_text("{")  # somebody may be writing it
        (directory / "two.new").write_text("{")
        registry.forget_unfinished()
    assert (directory / "one.new").exists()
    assert not (directory / "two.new").exists()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "Make room there: df"), (errno.EACCES, "use sudo"), (errno.EROFS, "on record in")],
)
def test_a_record_that_cannot_be_written_leaves_the_old_one_and_says_what_to_do(
    directory: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
):
    with registry.locked():
        record = registry.claim("one", default_topology(), None)

    def refuse(path: Path, text: str) -> int:
        path.touch()
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_text", refuse)
    record.cpus["client"] = 1
    with pytest.raises(RegistryError, match=remedy):
        record.save()
    assert sorted(path.name for path in directory.iterdir()) == ["lock", "one.json"]
    assert registry.load("one").cpus == {}


def test_a_lab_that_is_not_there_is_named_with_those_that_are():
    with registry.locked():
        registry.claim("one", default_topology(), None)
    with pytest.raises(RegistryError, match=r"no lab 'two' \(running: one\)"):
        registry.load("two")
