"""IPv6 on a node of several cores: what one core hears of the link all learn, and only one answers."""

from collections.abc import Iterator
from ipaddress import IPv6Interface

import pytest
from scapy.layers.inet import TCP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.packet import Packet

from ebbrt.network import TcpHandler
from stack.address import parse_address
from stack.ipv6.settings import Ipv6Settings
from tests.ipv6_harness import NODE, PEER, PEER_LINK, prefix
from tests.unit.test_steering import CORES, FourCores

FIXED = Ipv6Settings((IPv6Interface(f"{NODE}/64"),), probes=0)


@pytest.fixture
def node() -> Iterator[FourCores]:
    four = FourCores(FIXED)
    four.take()
    yield four
    four.cores.close()


def near(message: Packet, **fields: object) -> Packet:
    return IPv6(**{"src": PEER, "dst": NODE, "hlim": 255, **fields}) / message


class Client(TcpHandler):
    def __init__(self) -> None:
        self.reason = ""

    def closed(self, reason: str) -> None:
        self.reason = reason


def test_one_core_answers_a_solicitation_and_all_learn(node: FourCores) -> None:
    node.give(1, near(ICMPv6ND_NS(tgt=NODE) / ICMPv6NDOptSrcLLAddr(lladdr=PEER_LINK)))
    assert [len(frames) for frames in node.take()] == [0, 1, 0, 0]
    assert [stack.statistics()["ndp"]["neighbours"] for stack in node.stacks] == [1] * CORES


def test_an_advertisement_reaches_the_core_that_asked(node: FourCores) -> None:
    node.stacks[2].tcp.connect(parse_address(PEER), 80, Client())
    assert node.take()[2][0][ICMPv6ND_NS].tgt == PEER
    node.give(0, near(ICMPv6ND_NA(tgt=PEER, S=1, R=0) / ICMPv6NDOptDstLLAddr(lladdr=PEER_LINK)))
    sent = node.take()
    assert [len(frames) for frames in sent] == [0, 0, 1, 0]
    assert sent[2][0][TCP].flags == "S"


def test_an_error_reaches_the_core_it_is_about(node: FourCores) -> None:
    node.give(2, near(ICMPv6ND_NS(tgt=NODE) / ICMPv6NDOptSrcLLAddr(lladdr=PEER_LINK)))
    client = Client()
    node.stacks[2].tcp.connect(parse_address(PEER), 80, client)
    (syn,) = [frame[IPv6] for frame in node.take()[2] if TCP in frame]
    node.give(0, IPv6(src=PEER, dst=NODE) / ICMPv6DestUnreach(code=1) / syn)
    assert client.reason == "unreachable"


def test_a_router_gives_all_cores_the_same_addresses() -> None:
    four = FourCores(Ipv6Settings(automatic=True, temporary=True, probes=0))
    advertised = ICMPv6ND_RA(routerlifetime=1800) / ICMPv6NDOptSrcLLAddr(lladdr=PEER_LINK) / prefix()
    four.give(3, near(advertised, src="fe80::99", dst="ff02::1"))
    found = {tuple(one.pair() for one in stack.interfaces[0].link6.addresses) for stack in four.stacks}
    assert len(found) == 1
    assert len(found.pop()) == 3
    four.cores.close()
