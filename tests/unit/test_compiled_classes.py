"""No Python code asks of a compiled class what only the plain build lets it have.

A ``.pxd`` says what Python sees of a class: ``public`` attributes may be written, ``readonly`` ones only read, the
others and ``cdef`` methods are not there; and a ``cdef`` function or variable of a module cannot be imported. The
plain build knows nothing of that, so code that oversteps works there, and raises AttributeError when compiled (or
worse: a Python subclass overrides what is called as C, and is never asked).

mypy knows of every expression in this repository, tests included, what class it is of; that is held against the
``.pxd`` files. Within a compiled module it is Cython that decides whether an access is C's or Python's: only what it
has compiled to a look-up by name counts there.
"""

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from mypy import build as mypy_build
from mypy.config_parser import parse_config_file
from mypy.find_sources import create_source_list
from mypy.nodes import MypyFile, TypeInfo
from mypy.options import Options
from mypy.plugin import AttributeContext, MethodContext, Plugin
from mypy.types import Type

from ebbrt import build

ROOT = Path(build.__file__).parent.parent
SOURCES = ("ebbrt", "drivers", "stack", "apps", "captures", "netlab", "tests")
PUBLIC, READONLY, HIDDEN = "public", "readonly", "hidden"


@dataclass
class Declarations:
    """What the ``.pxd`` files say: of each class by its full name, and of each module."""

    members: dict[str, dict[str, str]] = field(default_factory=dict)  # PUBLIC, READONLY or HIDDEN
    hidden: dict[str, set[str]] = field(default_factory=dict)  # functions and variables that cannot be imported

    def read(self, module: str, text: str) -> None:
        """Take one file."""
        hidden = self.hidden.setdefault(module, set())
        members: dict[str, str] = {}
        for line in logical_lines(text):
            if found := re.match(r"cdef class (\w+)", line):
                members = self.members.setdefault(f"{module}.{found[1]}", {})
            elif found := re.match(r"(\s*)cdef (public |readonly )?(.*)", line):
                for name in declared_names(found[3]):
                    if found[1]:
                        members[name] = (found[2] or HIDDEN).strip()
                    else:
                        hidden.add(name)

    def visibility(self, info: object, member: str) -> str:
        """Of a member, declared in the class or inherited."""
        for base in info.mro if isinstance(info, TypeInfo) else ():
            if member in self.members.get(base.fullname, ()):
                return self.members[base.fullname][member]
        return PUBLIC


def logical_lines(text: str) -> Iterator[str]:
    """The lines without comments, those within brackets joined to the one that opens them."""
    joined = ""
    for line in text.splitlines():
        joined += line.partition("#")[0].rstrip()
        if joined.count("(") <= joined.count(")"):
            yield joined
            joined = ""


def declared_names(declaration: str) -> list[str]:
    """The names in what follows ``cdef``: one method, or one attribute or several of one type."""
    if method := re.match(r"[^(]*?(\w+)\s*\(", declaration):
        return [method[1]]
    return re.findall(r"(\w+)\s*(?:,|$)", re.sub(r"\[.*?\]", "", declaration))


def declarations() -> Declarations:
    found = Declarations()
    for source in build.hot_sources(ROOT):
        module = ".".join(source.relative_to(ROOT).with_suffix("").parts)
        found.read(module, source.with_suffix(".pxd").read_text())
    return found


class Accesses(Plugin):
    """Hears from mypy of every access to a member; ``found``: where one is made that Python is refused."""

    def __init__(self, options: Options, declared: Declarations) -> None:
        super().__init__(options)
        self.declared = declared
        self.found: set[tuple[str, int, int, str]] = set()  # path, line, column, full name

    def get_attribute_hook(self, fullname: str) -> Callable[[AttributeContext], Type] | None:
        visibility = self._visibility(fullname)
        if visibility == PUBLIC:
            return None

        def access(context: AttributeContext) -> Type:
            if visibility == HIDDEN or context.is_lvalue:
                self._refused(context, fullname)
            return context.default_attr_type

        return access

    def get_method_hook(self, fullname: str) -> Callable[[MethodContext], Type] | None:
        if self._visibility(fullname) == PUBLIC:
            return None

        def call(context: MethodContext) -> Type:
            self._refused(context, fullname)
            return context.default_return_type

        return call

    def _visibility(self, name: str) -> str:
        owner, _, member = name.rpartition(".")
        symbol = self.lookup_fully_qualified(owner)
        return PUBLIC if symbol is None else self.declared.visibility(symbol.node, member)

    def _refused(self, context: AttributeContext | MethodContext, name: str) -> None:
        self.found.add((context.api.path, context.context.line, context.context.column, name))


def overstepping(sources: Sequence[str], declared: Declarations) -> list[str]:
    """What the sources below these folders do, each with its place, that they cannot do when compiled."""
    options = Options()
    parse_config_file(options, lambda: None, str(ROOT / "pyproject.toml"))
    options.preserve_asts = options.check_untyped_defs = True
    options.incremental = False
    options.follow_imports = "skip"  # what is not ours is Any, which is much quicker
    accesses = Accesses(options, declared)
    result = mypy_build.build(create_source_list(list(sources), options), options, extra_plugins=[accesses])
    found = [f"{path}:{line}: {name}" for path, line, column, name in accesses.found if asks(path, line, column, name)]
    for tree in result.files.values():
        if tree.path.startswith(tuple(sources)):
            found += [f"{tree.path}:{line}: {name}" for line, name in overrides(tree, declared)]
            found += [f"{tree.path}:{line}: {name}" for line, name in imports(tree, declared)]
    return sorted(found)


def asks(path: str, line: int, column: int, name: str) -> bool:
    """Whether that access is made by asking Python; in a compiled module its C source says so."""
    if not (ROOT / path).with_suffix(".pxd").exists():
        return True
    member = name.rpartition(".")[2]
    return (line, member, (line, column, member) in stores(path)) in looked_up(path)


@cache
def stores(path: str) -> set[tuple[int, int, str]]:
    """Where a source sets an attribute: line, column and name."""
    return {
        (node.lineno, node.col_offset, node.attr)
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load)
    }


@cache
def looked_up(path: str) -> set[tuple[int, str, bool]]:
    """What a compiled module looks up by name: the line, the name, and whether it is set."""
    found = set()
    call = re.compile(r"PyObject_(SetAttrStr|GetAttrStr|CallMethod|FastCallMethod)\w*\(.*?__pyx_n_u_(\w+)")
    for line in (ROOT / "build" / "cython" / path).with_suffix(".c").read_text().splitlines():
        _, _, place = line.partition("__PYX_ERR(0, ")
        if place and (lookup := call.search(line)):
            found.add((int(place.partition(",")[0]), lookup[2], lookup[1] == "SetAttrStr"))
    return found


def overrides(tree: MypyFile, declared: Declarations) -> Iterator[tuple[int, str]]:
    """Classes that have a method of their own for one that a compiled base class calls as C."""
    for _, symbol, _ in tree.local_definitions():
        info = symbol.node
        for base in info.mro[1:] if isinstance(info, TypeInfo) and tree.fullname not in declared.hidden else ():
            for name in set(declared.members.get(base.fullname, ())) & set(info.names):
                if declared.members[base.fullname][name] == HIDDEN:
                    yield info.line, f"{base.fullname}.{name}"


def imports(tree: MypyFile, declared: Declarations) -> Iterator[tuple[int, str]]:
    """What is imported from a compiled module that has it in C only."""
    if tree.fullname in declared.hidden:
        return
    for node in ast.walk(ast.parse(Path(tree.path).read_text())):
        if isinstance(node, ast.ImportFrom):
            for name in node.names:
                if name.name in declared.hidden.get(node.module or "", ()):
                    yield node.lineno, f"{node.module}.{name.name}"


THING = """
class Thing:
    def __init__(self) -> None:
        self.a = self.b = 0
        self.kept = b""
        self._view = memoryview(bytearray(8))

    def _step(self, one: int, two: int) -> int:
        return one + two

    def is_there(self) -> bool:
        return self.a == LIMIT

LIMIT = 1
"""
THING_DECLARED = """
from ebbrt.memory cimport Buffer
cdef unsigned int LIMIT
cdef unsigned long long[::1] table
cdef class Thing:
    cdef public int a, b
    cdef readonly bytes kept  # a comment
    cdef long long[::1] _view
    cdef int _step(self, int one,
                   int two) except -1
    cpdef bint is_there(self) noexcept
cdef inline int helper(int value) noexcept
"""
USER = """
from thing import LIMIT, Thing

class Careless(Thing):
    def _step(self, one: int, two: int) -> int:
        self.kept += b"3"
        return 0

def careless(things: dict[int, Thing]) -> None:
    things[80].kept = b""
    things[80].a, things[81].kept = 1, b"2"
    print([thing._view for thing in things.values()])
    careful(things[1])
    things[1]._step(1, 2)

def careful(thing: Thing) -> None:
    if thing.is_there() and thing.kept:
        thing.a += thing.b
"""


def test_what_a_pxd_declares() -> None:
    declared = Declarations()
    declared.read("thing", THING_DECLARED)
    members = {"a": PUBLIC, "b": PUBLIC, "kept": READONLY, "_view": HIDDEN, "_step": HIDDEN}
    assert declared.members == {"thing.Thing": members}
    assert declared.hidden == {"thing": {"LIMIT", "table", "helper"}}


def test_what_oversteps_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thing.py").write_text(THING)
    (tmp_path / "user.py").write_text(USER)
    declared = Declarations()
    declared.read("thing", THING_DECLARED)
    found = [line for line in overstepping(["thing.py", "user.py"], declared) if line.startswith("user.py:")]
    assert found == [
        "user.py:10: thing.Thing.kept",
        "user.py:11: thing.Thing.kept",
        "user.py:12: thing.Thing._view",
        "user.py:14: thing.Thing._step",
        "user.py:2: thing.LIMIT",
        "user.py:4: thing.Thing._step",
        "user.py:6: thing.Thing.kept",
    ]


@pytest.mark.skipif(build.mode() == "pure", reason="the same sources, and the C ones belong to the compiled build")
def test_nothing_oversteps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert overstepping(SOURCES, declarations()) == []
