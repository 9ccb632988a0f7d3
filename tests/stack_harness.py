"""A Stack on a FakeDevice under virtual time, and the peer's side of it in scapy: for tests of the stack."""

import random
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

from scapy.layers.inet import IP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from ebbrt.clock import ManualClock
from stack.stack import Stack
from tests.fakes import NODE_MAC, PEER_MAC, FakeDevice, make_allocator, make_frame

NODE = "198.18.0.2"
PEER = "198.18.0.3"
GATEWAY = "198.18.0.1"
NODE_LINK = NODE_MAC.hex(":")
PEER_LINK = PEER_MAC.hex(":")
BROADCAST_LINK = "ff:ff:ff:ff:ff:ff"
SECOND = 1_000_000_000


class Harness:
    """``stack`` with ``device``; ``give`` frames, ``take`` what was sent."""

    def __init__(self, gateway: str | None = GATEWAY, knows_peer: bool = True, **device: Any) -> None:
        self.allocator = make_allocator()
        self.device = FakeDevice(**device)
        self.clock = ManualClock(SECOND)
        self.stack = Stack(
            self.allocator,
            self.clock,
            random.Random(1),
            b"sixteen byte key",
        )
        self.interface = self.stack.add_interface(self.device, IPv4Interface(f"{NODE}/15"))
        if gateway is not None:
            self.stack.add_gateway(IPv4Address(gateway))
        if knows_peer:
            self.introduce()

    def introduce(self, address: str = PEER, link: str = PEER_LINK) -> None:
        """The peer asks for our address, and so becomes known."""
        self.give(Ether(src=link, dst=BROADCAST_LINK) / ARP(op=1, hwsrc=link, psrc=address, pdst=NODE))
        assert self.take()[0][ARP].op == 2

    def give(self, frame: Packet | bytes, *cuts: int, checksum_valid: bool = False) -> None:
        """Receive one frame."""
        self.interface.receive_frame(make_frame(self.allocator, bytes(frame), *cuts), checksum_valid)

    def give_ip(self, packet: Packet | bytes, *cuts: int, checksum_valid: bool = False) -> None:
        """Receive one IPv4 packet from the peer."""
        frame = Ether(src=PEER_LINK, dst=NODE_LINK, type=0x800) / packet
        self.give(frame, *cuts, checksum_valid=checksum_valid)

    def take(self) -> list[Ether]:
        """What was sent since the last call, dissected."""
        return [Ether(frame) for frame in self.device.frames()]

    def advance(self, nanoseconds: int) -> None:
        """Let time pass, and do what falls due at the end of it."""
        self.clock.advance(nanoseconds)
        if self.stack.next_deadline() <= self.clock.now():
            self.stack.poll(self.clock.now())

    def counter(self, layer: str, name: str) -> int:
        return self.stack.statistics()[layer][name]


def verified(frame: Ether) -> IP:
    """The IPv4 packet in ``frame``, after scapy has computed the same checksums for it."""
    packet = frame[IP]
    again = packet.copy()
    del again.chksum
    if "chksum" in again.payload.fields:
        del again.payload.chksum
    assert bytes(again) == bytes(packet)
    return packet
