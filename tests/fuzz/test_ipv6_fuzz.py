"""Random and mutated IPv6 into the whole stack: nothing is raised, all is bounded, and it still answers afterwards."""

import random

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6MLQuery2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptMTU,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    RouterAlert,
    in6_chksum,
)
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from ebbrt.network import UdpHandler
from stack.ipv6.settings import Ipv6Settings
from tests.ipv6_harness import NODE, NODE_LINK, PEER, PEER_LINK, ROUTER, SECOND, Harness, group_link, prefix

LINK = Ether(src=PEER_LINK, dst=NODE_LINK)
GROUP = Ether(src=PEER_LINK, dst=group_link("ff02::1"))
FROM_PEER = IPv6(src=PEER, dst=NODE)
NEAR = IPv6(src=PEER, dst=NODE, hlim=255)
NEAR_ROUTER = IPv6(src=ROUTER, dst="ff02::1", hlim=255)
ADVERTISED = ICMPv6ND_RA(routerlifetime=1800) / ICMPv6NDOptSrcLLAddr(lladdr=PEER_LINK) / ICMPv6NDOptMTU(mtu=1400)
ALERT = IPv6ExtHdrHopByHop(options=[RouterAlert()])
DATAGRAM = UDP(sport=9, dport=7) / Raw(b"hello")
QUOTED = IPv6(src=NODE, dst=PEER) / IPv6ExtHdrDestOpt() / UDP(sport=7, dport=9) / Raw(b"hello")
SEEDS = [
    bytes(frame)
    for frame in (
        LINK / FROM_PEER / ICMPv6EchoRequest(data=b"ping" * 20),
        LINK / FROM_PEER / ICMPv6DestUnreach(code=4) / QUOTED,
        LINK / FROM_PEER / DATAGRAM,
        LINK / FROM_PEER / TCP(sport=1025, dport=80, flags="S"),
        LINK
        / FROM_PEER
        / IPv6ExtHdrHopByHop()
        / IPv6ExtHdrRouting(addresses=["fd00::9"])
        / IPv6ExtHdrDestOpt()
        / DATAGRAM,
        LINK / FROM_PEER / IPv6ExtHdrFragment(id=5, m=1) / Raw(bytes(48)),
        LINK / FROM_PEER / IPv6ExtHdrFragment(id=5, offset=6, nh=17) / Raw(bytes(48)),
        LINK / FROM_PEER / IPv6ExtHdrFragment(id=6) / DATAGRAM,
        LINK / NEAR / ICMPv6ND_NS(tgt=NODE) / ICMPv6NDOptSrcLLAddr(lladdr=PEER_LINK),
        LINK / NEAR / ICMPv6ND_NA(tgt=PEER) / ICMPv6NDOptDstLLAddr(lladdr=PEER_LINK),
        GROUP / NEAR_ROUTER / ADVERTISED / prefix(),
        GROUP / IPv6(src=ROUTER, dst="ff02::1", hlim=1) / ALERT / ICMPv6MLQuery2(mrd=100),
    )
]


def mutated(chance: random.Random) -> bytes:
    """A valid frame of any kind, with some bytes changed or the end cut off, and often with a right checksum again."""
    data = bytearray(chance.choice(SEEDS))
    for _ in range(chance.choice((0, 1, 1, 2, 8))):
        data[chance.randrange(12, len(data))] = chance.choice((0, 1, 255, chance.randrange(256)))
    if chance.random() < 0.2:
        data = data[: chance.randrange(len(data))]
    if chance.random() < 0.7 and len(data) > 62:
        data[18:20] = (len(data) - 54).to_bytes(2, "big")
        if data[20] == 58:
            data[56:58] = b"\0\0"
            data[56:58] = in6_chksum(58, IPv6(bytes(data[14:54])), bytes(data[54:])).to_bytes(2, "big")
    return bytes(data)


@pytest.mark.parametrize("seed", range(3))
def test_nothing_hostile_raises_or_grows(seed: int) -> None:
    chance = random.Random(seed)
    harness = Harness(Ipv6Settings(automatic=True, temporary=True))
    fixed = Harness()
    fixed.stack.udp.bind(7, UdpHandler())
    for number in range(1500):
        for node in (harness, fixed):
            frame = mutated(chance)
            cut = chance.randrange(54, len(frame)) if len(frame) > 300 else len(frame)
            node.give(frame, *([cut] if cut < len(frame) else []))
            node.device.sent.clear()
            if number % 50 == 0:
                node.advance(chance.randrange(3 * SECOND))
                node.device.sent.clear()
    for node in (harness, fixed):
        counted = node.stack.statistics()
        assert counted["ndp"]["addresses"] <= 16
        assert counted["ndp"]["routers"] <= 8
        assert counted["ndp"]["neighbours"] <= 1024
        assert counted["ipv6_reassembly"]["pinned_bytes"] <= 4 << 20
    fixed.advance(100 * SECOND)
    fixed.device.sent.clear()
    fixed.introduce()
    fixed.give_ip(FROM_PEER / ICMPv6EchoRequest(data=b"still here"))
    assert fixed.take()[-1][ICMPv6EchoReply].data == b"still here"
