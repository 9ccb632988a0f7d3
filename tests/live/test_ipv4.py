"""IPv4 on a real TAP, against the kernel: fragments both ways, and more."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.node_lab import RunningNode, running_node

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with running_node(tmp_path_factory.mktemp("node")) as running:
        yield running


def ping(node: RunningNode, size: int, *options: str) -> "subprocess.CompletedProcess[str]":
    arguments = ["ping", "-c", "3", "-i", "0.01", "-W", "2", "-s", str(size), *options, node.address]
    return node.client.run(arguments, capture_output=True, text=True)  # type: ignore[no-any-return]


@pytest.mark.parametrize("size", [1473, 8000, 65507])
def test_long_pings_travel_in_fragments_both_ways(node: RunningNode, size: int) -> None:
    before = node.statistics()["stack"]
    result = ping(node, size)
    assert result.returncode == 0, result.stdout
    assert " 0% packet loss" in result.stdout
    after = node.statistics()["stack"]
    assert after["ipv4_reassembly"]["reassembled"] == before["ipv4_reassembly"]["reassembled"] + 3
    assert after["ipv4"]["sent_in_fragments"] == before["ipv4"]["sent_in_fragments"] + 3


def test_fragments_reach_a_node_of_two_cores(tmp_path: Path) -> None:
    with running_node(tmp_path, "--cores", "2") as node:
        result = ping(node, 8000)
        assert " 0% packet loss" in result.stdout, result.stdout
