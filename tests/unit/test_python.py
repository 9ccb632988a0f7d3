"""How Python programs are started, and where they look for modules."""

import ast
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from netlab import python

ROOT = Path(python.__file__).parents[1]
SUSPECT = re.compile(r"\"-m\"|\"python3?\"|sys\.(executable|orig_argv)")
PACKAGES = ("apps", "captures", "drivers", "ebbrt", "netlab", "stack")


def starts_python(node: ast.AST) -> bool:
    """Whether this is a command line with ``-m`` in it, or names the interpreter."""
    if isinstance(node, ast.List | ast.Tuple):
        return any(isinstance(item, ast.Constant) and item.value in ("-m", "python", "python3") for item in node.elts)
    return isinstance(node, ast.Attribute) and node.attr in ("executable", "orig_argv")


def test_one_function_writes_the_command_lines_of_our_children():
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    suspected = [path for path in sources if SUSPECT.search(path.read_text())]  # parsing all of them takes its time
    found = {
        str(path.relative_to(ROOT))
        for path in suspected
        if any(starts_python(node) for node in ast.walk(ast.parse(path.read_text())))
    }
    # The first asks whether it was started so; the second, which may not import netlab, starts one file with -I.
    assert found == {"netlab/__init__.py", "captures/capture.py", "netlab/python.py"}


def test_a_module_is_not_looked_for_in_the_current_folder(tmp_path: Path):
    (tmp_path / "random.py").write_text("raise SystemExit('executed')")
    command = python.module_command("netlab.cli", "--help")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0


def test_the_environment_forgets_the_current_folder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", ":/bin:.:relative/bin:/usr/bin")
    monkeypatch.setenv("PYTHONPATH", "")
    python.forget_current_folder()
    assert os.environ["PATH"] == "/bin:/usr/bin"
    assert os.environ["PYTHONPATH"] == ""


def test_a_programs_folder_is_between_the_standard_library_and_what_is_installed(monkeypatch: pytest.MonkeyPatch):
    standard = sysconfig.get_path("stdlib")
    monkeypatch.setattr(sys, "path", ["/first", standard, f"{standard}/lib-dynload", f"{standard}/site-packages"])
    python.let_in("/mine")
    assert sys.path == ["/first", standard, f"{standard}/lib-dynload", "/mine", f"{standard}/site-packages"]


def test_a_program_gets_its_own_package_of_a_name_of_ours(tmp_path: Path):
    """In a process of its own, since that forgets what this one needs."""
    (tmp_path / "stack.py").write_text("NAME = 'mine'")
    (tmp_path / "netlab.py").write_text("raise SystemExit('not this one')")
    program = """
import sys
import stack.stack, drivers.virtio.tap
from netlab import python
python.let_in(sys.argv[1])
assert "stack.stack" not in sys.modules and "drivers.virtio.tap" in sys.modules
import stack, netlab.topology
print(stack.NAME)
"""
    argv = [sys.executable, "-P", "-c", program, str(tmp_path)]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "mine\n"
