"""A capture of Linux memcached replays to the node with equal replies; and Linux TCP's view of the node is clean."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from captures.capture import Capture
from captures.diff import compare
from tests.live.node_lab import running_node
from tests.live.test_capture_live import PORT_FILTER, SERVER, end, python_in, record, start_memcached

pytestmark = pytest.mark.live

REQUESTS = 10_000
# On the bridge itself a frame is recorded after it has been passed on, so that a quick answer may come to stand before
# its question; on the port it came in by, cause precedes effect.
CLIENT_PORT = "client"
TROUBLE = ("retransmissions", "out of order", "resets", "zero windows", "duplicate acks")


def test_ten_thousand_linux_requests_replay_to_the_node_with_equal_replies(tmp_path: Path) -> None:
    linux, node_path = tmp_path / "linux.pcapng", tmp_path / "node.pcapng"
    with running_node(tmp_path) as node:
        lab, client, switch = node.lab, node.client, node.lab.switch
        process = start_memcached(lab)
        with Capture(linux, CLIENT_PORT, popen=switch.popen, filter=PORT_FILTER) as capture:
            record(lab, REQUESTS, seed=7)
        end(process)
        assert capture.result is not None
        assert capture.result.dropped == 0

        def replay_to(address: str) -> None:
            arguments = ("-m", "netlab.cli", "replay", str(linux), "--to", address, "--json")
            result = json.loads(python_in(client, *arguments).stdout)
            assert (result["connections"], result["requests"], result["equal"]) == (16, REQUESTS, REQUESTS)
            assert result["differences"] == []

        with Capture(node_path, CLIENT_PORT, popen=switch.popen, filter=PORT_FILTER):
            replay_to(node.address)
        process = start_memcached(lab)
        replay_to(SERVER)
        end(process)
        assert node.statistics()["memory"]["payload_bytes_copied"] == 0

    rows = compare(linux, node_path, port=11211).rows
    trouble = {(row.section, row.name): row.b for row in rows if row.name in TROUBLE}
    assert len(trouble) == 2 * len(TROUBLE)
    assert not any(trouble.values()), trouble
    if shutil.which("tshark"):
        flagged = subprocess.run(
            ["tshark", "-r", str(node_path), "-Y", "tcp.analysis.flags"], capture_output=True, text=True, check=True
        )
        assert flagged.stdout == ""
