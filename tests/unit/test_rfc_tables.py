"""docs/rfc/: every row has its five columns, and the tests and modules that it names exist."""

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLES = sorted((ROOT / "docs" / "rfc").glob("*.md"))
TEST = re.compile(r"`(tests/[\w./-]+\.py)::(\w+)")
FILE = re.compile(r"`(tests/[\w./-]+\.(?:pkt|py))[`:]")


@lru_cache(1000)
def names(path: Path) -> frozenset[str]:
    """The functions and classes of a test file."""
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


@pytest.mark.parametrize("table", TABLES, ids=lambda path: path.stem)
def test_every_row_is_whole_and_names_what_exists(table: Path) -> None:
    wrong = []
    for number, line in enumerate(table.read_text().splitlines(), 1):
        if line.startswith("| ") and len(line.replace(r"\|", "").strip("|").split("|")) != 5:
            wrong.append(f"line {number}: not five columns")
        wrong += [f"line {number}: no {path}" for path in FILE.findall(line) if not (ROOT / path).is_file()]
        wrong += [
            f"line {number}: no {name} in {path}"
            for path, name in TEST.findall(line)
            if (ROOT / path).is_file() and name not in names(ROOT / path)
        ]
    assert wrong == []


def test_every_table_is_in_the_index() -> None:
    index = (ROOT / "docs" / "rfc.md").read_text()
    assert [table.name for table in TABLES if f"rfc/{table.name}" not in index] == []
