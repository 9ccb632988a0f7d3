"""The Python of README and guides is either a quotation of an example that the tests run, or runs by itself."""

import ast
import copy
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = [
    (path.name, text)
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    for text in re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
]
RUN_ELSEWHERE = ("foreign-stacks.md",)  # on a TAP: tests/live/test_foreign_stacks.py
EXAMPLES = sorted((ROOT / "apps" / "examples").glob("*.py"))


def is_quoted(block: Sequence[ast.stmt], file: Sequence[ast.stmt]) -> bool:
    """Whether the block's statements are the file's, in its order; it may leave out whole statements at any depth."""
    remaining = iter(file)
    return all(any(is_same(each, there) for there in remaining) for each in block)


def is_same(quoted: ast.stmt, there: ast.stmt) -> bool:
    if ast.dump(quoted) == ast.dump(there):
        return True
    definitions = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    if not isinstance(quoted, definitions) or not isinstance(there, definitions):
        return False
    return head(quoted) == head(there) and is_quoted(quoted.body, there.body)


def head(definition: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """A definition without its body."""
    bare = copy.copy(definition)
    bare.body = [ast.Pass()]
    return ast.unparse(bare)


def statements(text: str) -> Iterator[ast.stmt]:
    """A file's statements; those below `if __name__` count as its own."""
    for each in ast.parse(text).body:
        yield from each.body if isinstance(each, ast.If) else [each]


def is_of_an_example(block: str) -> bool:
    quoted = ast.parse(block).body
    return any(is_quoted(quoted, list(statements(path.read_text()))) for path in EXAMPLES)


@pytest.mark.parametrize(("document", "block"), [each for each in BLOCKS if each[0] not in RUN_ELSEWHERE])
def test_a_block_is_quoted_or_runs(document: str, block: str, tmp_path: Path) -> None:
    if is_of_an_example(block):
        return
    program = tmp_path / "program.py"
    program.write_text(block)
    done = subprocess.run(
        [sys.executable, "-P", str(program)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), f"of {document}:\n{block}"
