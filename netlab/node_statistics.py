"""The statistics of a node of several cores: counters that are added up, whatever their nesting."""

from typing import Any


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
