"""A node's statistics: counters of several cores added up, whatever their nesting, and written to a file."""

import json
from pathlib import Path
from typing import Any


def write_statistics(path: Path, statistics: dict[str, Any]) -> None:
    """Write them as JSON, whole or not at all: who reads the file never sees half of it."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(statistics, indent=1) + "\n")
    partial.replace(path)


def summed(cores: list[dict[str, Any]]) -> dict[str, Any]:
    """One dictionary with the numbers of all added up by name; of anything else, the first that has it."""
    total: dict[str, Any] = {}
    for core in cores:
        _add(total, core)
    return total


def _add(total: dict[str, Any], counters: dict[str, Any]) -> None:
    for name, value in counters.items():
        if isinstance(value, dict):
            _add(total.setdefault(name, {}), value)
        elif isinstance(value, int | float) and name in total:
            total[name] += value
        else:
            total.setdefault(name, value)
