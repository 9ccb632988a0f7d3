"""A Stack with IPv6 on a FakeDevice under virtual time, and the peer's side of it in scapy: for tests of IPv6."""

import random
from ipaddress import IPv4Interface, IPv6Address, IPv6Interface
from typing import Any

from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    in6_chksum,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from ebbrt.clock import ManualClock
from stack.address import format_address
from stack.ipv6.settings import Ipv6Settings
from stack.stack import Stack
from tests.fakes import NODE_MAC, PEER_MAC, FakeDevice, make_allocator, make_frame

NODE = "fd00::1"
PEER = "fd00::2"
ROUTER = "fe80::99"
NODE_LINK = NODE_MAC.hex(":")
PEER_LINK = PEER_MAC.hex(":")
ROUTER_LINK = "02:00:00:00:00:99"
SECOND = 1_000_000_000


def group_link(group: str) -> str:
    """The link address of a multicast group."""
    return "33:33:" + IPv6Address(group).packed[-4:].hex(":")


def solicited(address: str) -> str:
    """The solicited-node group of an address."""
    return str(IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | int(IPv6Address(address)) & 0xFFFFFF))


class Harness:
    """``stack`` with ``device``, which has the address NODE; ``give`` frames, ``take`` what was sent.

    settings: of IPv6, instead of those. The peer is known to the stack unless ``knows_peer`` is False.
    """

    def __init__(self, settings: Ipv6Settings | None = None, knows_peer: bool = True, **device: Any) -> None:
        self.allocator = make_allocator()
        self.device = FakeDevice(**device)
        self.clock = ManualClock(SECOND)
        self.stack = Stack(self.allocator, self.clock, random.Random(1), b"sixteen byte key")
        default = Ipv6Settings((IPv6Interface(f"{NODE}/64"),), probes=0)
        self.interface = self.stack.add_interface(
            self.device, IPv4Interface("198.18.0.2/15"), default if settings is None else settings
        )
        link = self.interface.link6
        assert link is not None
        self.link = link
        self.reports: list[Ether] = []
        self.interface.up()
        if settings is None and knows_peer:
            self.introduce()

    def introduce(self, address: str = PEER, link: str = PEER_LINK) -> None:
        """The peer asks for our address, and answers when it is asked, and so becomes known."""
        self.give_nd(ICMPv6ND_NS(tgt=NODE) / ICMPv6NDOptSrcLLAddr(lladdr=link), source=address)
        assert self.take()[0][ICMPv6ND_NA].tgt == NODE
        self.give_nd(ICMPv6ND_NA(tgt=address, S=1, O=1, R=0) / ICMPv6NDOptDstLLAddr(lladdr=link), source=address)

    def give(self, frame: Packet | bytes, *cuts: int, checksum_valid: bool = False) -> None:
        """Receive one frame."""
        self.interface.receive_frame(make_frame(self.allocator, bytes(frame), *cuts), checksum_valid)

    def give_ip(self, packet: Packet | bytes, *cuts: int, checksum_valid: bool = False) -> None:
        """Receive one IPv6 packet from the peer."""
        self.give(Ether(src=PEER_LINK, dst=NODE_LINK, type=0x86DD) / packet, *cuts, checksum_valid=checksum_valid)

    def give_nd(self, message: Packet, source: str = PEER, to: str = NODE, **fields: object) -> None:
        """Receive one message of Neighbor Discovery, to us or to a group."""
        link = group_link(to) if to.startswith("ff") else NODE_LINK
        packet = IPv6(**{"src": source, "dst": to, "hlim": 255, **fields}) / message
        self.give(Ether(src=PEER_LINK, dst=link) / packet)

    def advertise(self, *options: Packet, source: str = ROUTER, **fields: object) -> None:
        """A router says that it is there."""
        message: Packet = ICMPv6ND_RA(**{"routerlifetime": 1800, **fields}) / ICMPv6NDOptSrcLLAddr(lladdr=ROUTER_LINK)
        for option in options:
            message = message / option
        self.give_nd(message, source=source, to="ff02::1")

    def take(self) -> list[Ether]:
        """What was sent since the last call, dissected; reports of groups go to ``reports``."""
        frames = [Ether(frame) for frame in self.device.frames()]
        self.reports += [frame for frame in frames if frame[IPv6].nh == 0]
        return [frame for frame in frames if frame[IPv6].nh != 0]

    def advance(self, nanoseconds: int) -> None:
        """Let time pass, and do in its order what falls due."""
        end = self.clock.now() + nanoseconds
        while (due := self.stack.next_deadline()) <= end:
            self.clock.time = max(self.clock.now(), due)
            self.stack.poll(self.clock.now())
        self.clock.time = end

    def counter(self, layer: str, name: str) -> int:
        return self.stack.statistics()[layer][name]

    def addresses(self) -> list[str]:
        """Our addresses that may be used."""
        return [format_address(*one.pair()) for one in self.link.addresses if self.link.has(*one.pair())]


def prefix(text: str = "2001:db8:1::", length: int = 64, **fields: object) -> ICMPv6NDOptPrefixInfo:
    """What a router says of a prefix."""
    values = {"L": 1, "A": 1, "validlifetime": 86400, "preferredlifetime": 14400, **fields}
    return ICMPv6NDOptPrefixInfo(prefix=text, prefixlen=length, **values)


def verified(frame: Ether) -> IPv6:
    """The IPv6 packet in ``frame``, whose length and checksum scapy has found right."""
    packet = frame[IPv6]
    payload = bytes(packet.payload)
    assert packet.plen == len(payload)
    if packet.nh in (6, 17, 58):
        assert in6_chksum(packet.nh, packet, payload) == 0
    return packet
