"""Statistics of several cores as one, and their file."""

import json
from pathlib import Path

import pytest

from netlab.node_statistics import summed, write_statistics


def test_numbers_are_added_at_any_depth_and_the_rest_is_the_first_core_s() -> None:
    cores = [
        {"build": "compiled", "cpu_ns": 5, "stack": {"tcp": {"drops": {"too_short": 1}}}, "control": {"pairs": 2}},
        {"build": "plain", "cpu_ns": 7, "stack": {"tcp": {"drops": {"too_short": 2, "other": 4}}}, "share": 0.5},
    ]
    assert summed(cores) == {
        "build": "compiled",
        "cpu_ns": 12,
        "stack": {"tcp": {"drops": {"too_short": 3, "other": 4}}},
        "control": {"pairs": 2},
        "share": 0.5,
    }
    assert cores[0]["cpu_ns"] == 5, "what was summed must stay as it was"
    assert cores[0]["stack"] == {"tcp": {"drops": {"too_short": 1}}}


def test_one_core_is_its_own_sum() -> None:
    assert summed([{"a": {"b": 1}}]) == {"a": {"b": 1}}


def test_a_file_is_written_whole_over_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "node.json"
    for count in (1, 2):
        write_statistics(path, {"count": count})
        assert json.loads(path.read_text()) == {"count": count}
    with pytest.raises(TypeError):
        write_statistics(path, {"count": object()})
    assert json.loads(path.read_text()) == {"count": 2}
    assert list(tmp_path.iterdir()) == [path]
