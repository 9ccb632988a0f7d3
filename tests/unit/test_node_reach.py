"""What stands in the way of a node, as the kernel describes it; the questions, and the stack's answers."""

from ipaddress import IPv4Address, IPv4Interface, IPv6Address
from typing import Any

import pytest
from scapy.layers.inet6 import ICMPv6ND_NS
from scapy.layers.l2 import ARP, Ether

from netlab.node_reach import answer_in, obstacles, question
from tests.fakes import make_frame
from tests.ipv6_harness import NODE as NODE6
from tests.ipv6_harness import Harness as Harness6
from tests.ipv6_harness import verified
from tests.stack_harness import NODE, Harness

OWN = IPv4Interface("198.18.0.3/16")
TAP_MAC = bytes.fromhex("0600c6120003")


def link(
    *flags: str, master: str | None = None, kind: str = "tun", port: str = "", address: str = ""
) -> dict[str, Any]:
    found: dict[str, Any] = {"flags": list(flags), "linkinfo": {"info_kind": kind}, "addr_info": []}
    if master:
        found["master"] = master
    if port:
        found["linkinfo"]["info_slave_data"] = {"state": port}
    if address:
        local, _, length = address.partition("/")
        found["addr_info"] = [{"local": local, "prefixlen": int(length)}]
    return found


BRIDGE = link("UP", "LOWER_UP", kind="bridge")
PORT = link("UP", "LOWER_UP", master="br", port="forwarding")
OTHER = link("UP", "LOWER_UP", master="br", kind="veth")


@pytest.mark.parametrize(
    ("links", "said"),
    [
        ({"t": PORT, "br": BRIDGE, "other": OTHER}, ""),
        ({"t": link("UP", address="198.18.0.1/16")}, ""),
        ({"t": PORT, "br": link("UP", kind="bridge", address="198.18.0.1/16")}, ""),
        ({"t": link(master="br")}, "TAP t is down"),
        ({"t": link("UP")}, "leads nowhere"),
        ({"t": link("UP", address="10.0.0.1/8")}, "not in one network with 198.18.0.3/16"),
        ({"t": link("UP", address="fe80::1/64")}, "leads nowhere"),
        ({"t": PORT, "br": link(kind="bridge"), "other": OTHER}, "the bridge br of TAP t is down"),
        ({"t": PORT, "br": BRIDGE}, "nobody else is on the bridge br"),
        ({"t": PORT, "br": BRIDGE, "other": link("UP", master="br", kind="veth")}, "nobody else"),  # without carrier
        ({"t": link("UP", master="br", port="listening"), "br": BRIDGE, "other": OTHER}, "the port is listening"),
    ],
)
def test_what_stands_in_the_way(links: dict[str, dict[str, Any]], said: str) -> None:
    found = obstacles("t", OWN, links)
    assert len(found) == bool(said)
    assert said in "".join(found)


def test_a_network_of_one_address_has_no_neighbours() -> None:
    (said,) = obstacles("t", IPv4Interface("198.18.0.3/32"), {"t": PORT, "br": BRIDGE, "other": OTHER})
    assert "the node answers no neighbour" in said


def test_the_stack_answers_the_question_by_arp_and_remembers_nobody() -> None:
    harness = Harness()
    asked = question(TAP_MAC, IPv4Address(NODE))
    assert (Ether(asked)[ARP].psrc, Ether(asked)[ARP].pdst, Ether(asked).src) == ("0.0.0.0", NODE, TAP_MAC.hex(":"))
    harness.device.frames()
    before = harness.stack.statistics()["arp"]
    harness.interface.receive_frame(make_frame(harness.allocator, asked), False)
    (frame,) = harness.device.frames()
    assert answer_in(frame, TAP_MAC) == IPv4Address(NODE)
    assert answer_in(frame, bytes(6)) is None
    after = harness.stack.statistics()["arp"]
    assert {name for name in after if after[name] != before[name]} == {"received", "requests_answered"}


def test_the_stack_answers_the_question_by_neighbor_discovery() -> None:
    harness = Harness6()
    asked = question(TAP_MAC, IPv6Address(NODE6))
    assert verified(Ether(asked))[ICMPv6ND_NS].tgt == NODE6
    harness.give(asked)
    (frame,) = harness.device.frames()
    assert answer_in(frame, TAP_MAC) == IPv6Address(NODE6)


@pytest.mark.parametrize("frame", [b"", TAP_MAC, TAP_MAC * 2 + b"\x08\x06", TAP_MAC * 2 + b"\x86\xdd" + bytes(64)])
def test_any_other_frame_is_no_answer(frame: bytes) -> None:
    assert answer_in(frame, TAP_MAC) is None
