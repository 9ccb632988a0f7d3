"""Records of labs: what is written is what is read, and an owner is told from a later process of the same pid."""

import os
from pathlib import Path

import pytest

from netlab import registry
from netlab.registry import Owner, RegistryError
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


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"owner": 3}', '{"name": "x", "owner": null, "topology": {}}'])
def test_a_record_that_is_none_is_refused_by_its_path(directory: Path, text: str):
    directory.mkdir()
    (directory / "broken.json").write_text(text)
    with pytest.raises(RegistryError, match=r"broken\.json"):
        registry.load("broken")


def test_a_lab_that_is_not_there_is_named_with_those_that_are():
    with registry.locked():
        registry.claim("one", default_topology(), None)
    with pytest.raises(RegistryError, match=r"no lab 'two' \(running: one\)"):
        registry.load("two")
