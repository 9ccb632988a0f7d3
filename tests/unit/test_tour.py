"""docs/tour.md: the files that it names in backticks are in the tree, and so is each method of a class."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOUR = (ROOT / "docs" / "tour.md").read_text()
FOLDERS = ("apps", "captures", "docs", "drivers", "ebbrt", "netlab", "scripts", "stack", "tests")
FILES = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.*")]
FILE = re.compile(r"`([\w./-]+\.(?:py|md|txt)|[\w./-]+/)`")
METHOD = re.compile(r"`([A-Z]\w+)\.(\w+)`")


def is_there(name: str) -> bool:
    """Whether a file or folder is called so, in some folder: rows of a table name the folder once."""
    return (ROOT / name).exists() or any(f"/{name}" in f"{path}" for path in FILES)


def test_the_files_it_names_exist() -> None:
    assert [name for name in FILE.findall(TOUR) if not is_there(name)] == []


def test_the_methods_it_names_exist() -> None:
    sources = [path.read_text() for path in FILES if path.suffix == ".py"]
    classes = {name: [text for text in sources if f"class {name}" in text] for name, _ in METHOD.findall(TOUR)}
    missing = [
        f"{name}.{member}"
        for name, member in METHOD.findall(TOUR)
        if not any(re.search(rf"\b{member}\b", text) for text in classes[name])
    ]
    assert missing == []
