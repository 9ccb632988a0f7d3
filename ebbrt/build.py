"""Which build runs: compiled, or plain Python; and whether the compiled one is stale.

The hot modules are ordinary ``.py`` files with a ``.pxd`` of C types beside them (docs/adr/0001-compiler.md). This
module knows three things about that: how to run the sources uncompiled although extensions lie beside them
(``NETLAB_PURE=1``), how to notice an extension older than its source, and which of the two is running.
It is imported before every other module of ours, and imports none of them.
"""

import hashlib
import importlib.abc
import importlib.machinery
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

PACKAGES = ("ebbrt", "drivers", "stack", "apps")
MANIFEST = Path("ebbrt", "_built.json")
EXTENSION = importlib.machinery.EXTENSION_SUFFIXES[0]  # of this interpreter


class StaleExtensionError(ImportError):
    """A compiled module is older than the source beside it."""


def hot_sources(root: Path) -> list[Path]:
    """Every ``.py`` below ``root`` that has a ``.pxd`` beside it: what the ordinary build compiles."""
    return sorted(
        pxd.with_suffix(".py")
        for package in PACKAGES
        for pxd in (root / package).rglob("*.pxd")
        if pxd.with_suffix(".py").exists()
    )


def _digest(source: Path) -> str:
    return hashlib.sha256(source.read_bytes() + source.with_suffix(".pxd").read_bytes()).hexdigest()


def write_manifest(root: Path) -> None:
    """Record the digests of what has just been compiled below ``root``."""
    digests = {str(path.relative_to(root)): _digest(path) for path in hot_sources(root)}
    (root / MANIFEST).write_text(json.dumps(digests, indent=1) + "\n")


def stale_sources(root: Path) -> list[str]:
    """The sources below ``root`` that were edited after they were compiled, or never were for this interpreter."""
    try:
        built = json.loads((root / MANIFEST).read_text())
    except FileNotFoundError:
        built = {}
    return [
        str(path.relative_to(root))
        for path in hot_sources(root)
        if built.get(str(path.relative_to(root))) != _digest(path) or not path.with_suffix(EXTENSION).exists()
    ]


class _SourceOnlyFinder(importlib.abc.MetaPathFinder):
    """Finds our modules as ``.py`` even where an extension of the same name lies beside them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if path is None or fullname.partition(".")[0] not in PACKAGES:
            return None
        for entry in path:
            finder = importlib.machinery.FileFinder(
                entry, (importlib.machinery.SourceFileLoader, importlib.machinery.SOURCE_SUFFIXES)
            )
            spec = finder.find_spec(fullname, target)
            if spec is not None:
                return spec
        return None


def is_pure_requested() -> bool:
    """Whether ``NETLAB_PURE`` asks for the uncompiled sources."""
    return os.environ.get("NETLAB_PURE", "") not in ("", "0")


def mode() -> str:
    """``"compiled"`` or ``"pure"``: what this process runs."""
    return "pure" if is_pure_requested() else "compiled"


def install() -> None:
    """Choose the build for this process. Called once, by ``ebbrt/__init__.py``.

    Raises StaleExtensionError when the compiled build is asked for and does not match the sources.
    """
    if is_pure_requested():
        sys.meta_path.insert(0, _SourceOnlyFinder())
        return
    root = Path(__file__).parent.parent
    stale = stale_sources(root)
    if stale:
        raise StaleExtensionError(
            f"not compiled, or edited since: {', '.join(stale)}. "
            "Run `make build`, or set NETLAB_PURE=1 to run the plain Python sources."
        )
