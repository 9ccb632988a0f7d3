"""``netlab bench transfer`` through its real code: a node and Linux, small and short."""

import os

import pytest

from netlab.bench import transfer
from netlab.lab import running

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="a server and a client need a CPU each"),
]


def test_one_round_of_a_node_and_linux(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(transfer, "FIRST_BYTES", 1 << 20)
    monkeypatch.setattr(transfer, "REQUESTS", 10)
    told: list[str] = []
    outcome = transfer.run(
        transfer.Plan(("node", "linux"), 0.1, 1, "own-core"), lambda done, of, what: told.append(what)
    )
    assert [(row.measure, row.target) for row in outcome.rows] == [
        (measure, target) for measure in ("latency", "get", "put") for target in ("node", "linux")
    ]
    for row in outcome.rows:
        assert row.value > (1 if row.measure == "latency" else 0.001)
    assert told[0] == "round 1: node, latency"
    assert not [record for record in running() if record.owner is not None and record.owner.pid == os.getpid()]
