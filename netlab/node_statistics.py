"""A node's statistics: counters of several cores added up, whatever their nesting, and written to a file."""

import json
from pathlib import Path
from typing import Any

from netlab.whole_file import write_whole


def write_statistics(path: Path, statistics: dict[str, Any]) -> None:
    """Write them as JSON, whole or not at all: who reads the file never sees half of it."""
    write_whole(path, json.dumps(statistics, indent=1) + "\n")


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
