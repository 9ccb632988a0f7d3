"""Which build runs, and telling a stale one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ebbrt import build

ROOT = Path(build.__file__).parent.parent


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for package in build.PACKAGES:
        (tmp_path / package).mkdir()
    for name in ("hot.py", "hot.pxd", "cold.py"):
        (tmp_path / "ebbrt" / name).write_text("# source\n")
    return tmp_path


def test_what_has_a_pxd_is_compiled(tree: Path) -> None:
    assert build.hot_sources(tree) == [tree / "ebbrt" / "hot.py"]


def test_without_a_manifest_everything_is_stale(tree: Path) -> None:
    assert build.stale_sources(tree) == ["ebbrt/hot.py"]


@pytest.mark.parametrize("edited", ["hot.py", "hot.pxd"])
def test_an_edit_after_the_build_is_noticed(tree: Path, edited: str) -> None:
    extension = (tree / "ebbrt" / "hot.py").with_suffix(build.EXTENSION)
    extension.touch()
    build.write_manifest(tree)
    assert build.stale_sources(tree) == []
    extension.unlink()  # compiled by another interpreter, or not at all
    assert build.stale_sources(tree) == ["ebbrt/hot.py"]
    extension.touch()
    (tree / "ebbrt" / "cold.py").write_text("# edited\n")
    assert build.stale_sources(tree) == []
    (tree / "ebbrt" / edited).write_text("# edited\n")
    assert build.stale_sources(tree) == ["ebbrt/hot.py"]


def test_a_stale_build_is_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "__file__", str(tree / "ebbrt" / "build.py"))
    monkeypatch.delenv("NETLAB_PURE", raising=False)
    with pytest.raises(build.StaleExtensionError, match=r"ebbrt/hot\.py.*make build"):
        build.install()


@pytest.mark.parametrize(("value", "pure"), [("", False), ("0", False), ("1", True)])
def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch, value: str, pure: bool) -> None:
    monkeypatch.setenv("NETLAB_PURE", value)
    assert build.is_pure_requested() == pure
    assert build.mode() == ("pure" if pure else "compiled")


def test_pure_python_is_loaded_although_extensions_lie_beside_it() -> None:
    script = "import ebbrt.memory, drivers.virtio.driver as d; print(ebbrt.memory.__file__, d.__file__)"
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "NETLAB_PURE": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(name.endswith(".py") for name in result.stdout.split())
