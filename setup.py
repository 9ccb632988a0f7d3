"""Compile every module that has a same-named ``.pxd`` beside it; see docs/adr/0001-compiler.md.

A build that cannot compile fails: there is no silent fall-back to plain Python. After a build the manifest
``ebbrt/_built.json`` holds the digest of each compiled source, by which ``ebbrt.build`` tells a stale extension.
"""

import importlib.util
import os
from pathlib import Path

import greenlet
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
PACKAGES = ("ebbrt", "drivers", "stack", "apps")
SHARED = "ebbrt._cyutility"  # Cython's own helpers, compiled once instead of into each module
DIRECTIVES = {
    "language_level": 3,
    "annotation_typing": False,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
}

spec = importlib.util.spec_from_file_location("build", ROOT / "ebbrt" / "build.py")
assert spec is not None
assert spec.loader is not None
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)


class BuildAndRecord(build_ext):
    """``build_ext`` that records what it compiled, so that a later edit is noticed."""

    def initialize_options(self) -> None:
        super().initialize_options()
        self.parallel = os.cpu_count()

    def run(self) -> None:
        super().run()
        if self.inplace:
            build.write_manifest(ROOT)
        else:
            build.write_manifest(Path(self.build_lib))


def extensions() -> list[Extension]:
    """One extension for each ``.py`` with a ``.pxd``."""
    sources = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.pxd"))
    return [
        Extension(
            ".".join(path.relative_to(ROOT).with_suffix("").parts),
            [str(path.relative_to(ROOT).with_suffix(".py"))],
            include_dirs=[str(Path(greenlet.__file__).parent)],  # greenlet.h, for ebbrt/events/context.pxd
            extra_compile_args=["-O2", "-g0", "-fno-semantic-interposition", "-Wno-unused-function"],
        )
        for path in sources
        if path.with_suffix(".py").exists()
    ] + [Extension(SHARED, [SHARED.replace(".", "/") + ".c"])]


setup(
    cmdclass={"build_ext": BuildAndRecord},
    ext_modules=cythonize(
        extensions(),
        compiler_directives=DIRECTIVES,
        build_dir="build/cython",
        nthreads=0 if os.environ.get("NETLAB_SERIAL_BUILD") else (os.cpu_count() or 1),
        shared_utility_qualified_name=SHARED,
        annotate=bool(os.environ.get("NETLAB_ANNOTATE")),
    ),
)
