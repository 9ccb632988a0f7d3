"""``netlab sim``: scenarios in files; the examples run, and do what they say."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from captures.files import read_packets
from netlab.cli import app
from netlab.errors import NetlabError
from netlab.sim.scenario import Scenario

EXAMPLES = Path(__file__).parent.parent.parent / "netlab" / "sim" / "examples"


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["sim", *map(str, arguments)], catch_exceptions=False)
    return result.exit_code, result.stdout


def test_a_transfer_over_a_lossy_link_ends_and_is_captured(tmp_path: Path) -> None:
    status, text = run(EXAMPLES / "lossy_transfer.py", "--json", "--capture", tmp_path / "out.pcap", "--seed", 7)
    outcome = json.loads(text)
    assert (status, outcome["ended"], outcome["seed"]) == (0, True, 7)
    assert outcome["report"]["lost"] > 0
    assert outcome["report"]["retransmitted"] >= outcome["report"]["lost"]
    sent = sum(way["frames"] for link in outcome["statistics"]["links"].values() for way in link.values())
    assert len(list(read_packets(tmp_path / "out.pcap"))) == sent


def test_what_does_not_come_about_in_time_is_told() -> None:
    status, text = run(EXAMPLES / "lossy_transfer.py", "--seconds", 1)
    assert status == 1
    assert "did not come about" in text


def test_two_hundred_nodes_send_ten_thousand_packets_a_second_in_little_memory() -> None:
    outcome = Scenario(EXAMPLES / "cluster.py").run(seed=1, seconds=0.5)
    nodes = outcome["statistics"]["nodes"]
    assert len(nodes) == 200
    assert outcome["report"]["packets_per_second"] > 9000
    assert max(node["memory"]["most_used_bytes"] for node in nodes.values()) < 400 << 10
    # What it costs is calls of the agenda: two to four links for a packet, timers, and ARP asks everybody at first.
    packets = outcome["report"]["packets_per_second"] * outcome["virtual_seconds"]
    assert outcome["statistics"]["events"] < 10 * packets
    assert outcome["real_seconds"] > 0
    print(f"{outcome['virtual_seconds'] / outcome['real_seconds']:.2f} virtual seconds per second")


@pytest.mark.parametrize("text", ["", "build = 3"])
def test_a_file_that_is_no_scenario_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "scenario.py"
    path.write_text(text)
    with pytest.raises(NetlabError, match="no function build"):
        run(path)
    with pytest.raises(NetlabError, match="there is no file"):
        run(tmp_path / "missing.py")
