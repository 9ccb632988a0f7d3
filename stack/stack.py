"""One node's network stack: Ethernet, ARP, IPv4, ICMP, UDP and TCP over one device.

It is an engine: it has no file descriptor and starts nothing by itself. The driver gives it frames
(``receive_frame``); whoever runs it calls ``poll(now)`` when ``next_deadline()`` has come; frames leave through the
device it was given. Clock and randomness are given too, so that a seed fixes every byte it sends. Every received frame
is counted once in each layer that took it, with what became of it. Read ``ipv4`` next, then ``neighbour`` and
``stack.tcp``; ``network_manager`` joins a Stack to the event loop.
"""

import random
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

from ebbrt.clock import Clock
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator
from ebbrt.netdevice import EthernetDevice, FrameHandler
from stack.constants import ETHERNET_HEADER, ETHERTYPE_ARP, ETHERTYPE_IPV4, PROTOCOL_TCP
from stack.icmp import Icmp
from stack.ipv4 import IPv4
from stack.steering import Steering
from stack.tcp.tcp import Tcp
from stack.udp import Udp
from stack.wire.ethernet import EthernetHeader


class Stack(FrameHandler):
    """The stack of one node on one device.

    interface: the node's address and its network; gateway: the way to every other network.
    random: seeded by the caller; draws ports and identifiers. secret: keys TCP's initial sequence numbers (RFC 6528).
    steering: on a node of several cores, which have a stack each; their ``secret`` is the same.
    """

    def __init__(
        self,
        allocator: MemoryAllocator,
        device: EthernetDevice,
        interface: IPv4Interface,
        clock: Clock,
        random: random.Random,
        secret: bytes,
        gateway: IPv4Address | None = None,
        steering: Steering | None = None,
    ) -> None:
        self.clock = clock
        self.interface = interface
        self.ip = IPv4(allocator, device, interface, gateway, random.getrandbits(16))
        if steering is not None:
            self.ip.steering = steering
            steering.attach(self.ip, clock)
        self.icmp = Icmp(self.ip, allocator)
        self.udp = Udp(self.ip, self.icmp, allocator, clock, random)
        self.tcp = Tcp(self.ip, allocator, clock, random, secret)
        self.ip.register(PROTOCOL_TCP, self.tcp)
        self._mac = int.from_bytes(device.mac, "big")
        self._ethernet = EthernetHeader(allocator.memory)
        # Each received frame is counted in ``received`` and in one of the next five.
        self._received = 0
        self._too_short = 0
        self._not_for_us = 0
        self._unknown_ethertype = 0
        self._arp = 0
        self._ipv4 = 0

    def receive_frame(self, frame: IOBuf, checksum_valid: bool) -> None:
        """Take one Ethernet frame and do all that follows from it.

        Whatever is in it, the stack raises nothing; what an application raises in an upcall goes to the caller.
        """
        now = self.clock.now()
        self._received += 1
        if frame.length < ETHERNET_HEADER:
            self._too_short += 1
            return
        ethernet = self._ethernet.at(frame.start)
        destination = ethernet.destination()
        to_group = destination >> 40 & 1 != 0
        if destination != self._mac and not to_group:
            self._not_for_us += 1
            return
        ethertype = ethernet.ethertype()
        frame.advance(ETHERNET_HEADER)
        while frame.length == 0 and frame.next is not None:
            frame = frame.next
        if ethertype == ETHERTYPE_IPV4:
            self._ipv4 += 1
            self.ip.receive(frame, to_group, checksum_valid, now)
        elif ethertype == ETHERTYPE_ARP:
            self._arp += 1
            if self.ip.neighbours.receive(frame, now, True) and self.ip.steering is not None:
                self.ip.steering.share_arp(frame)
        else:
            self._unknown_ethertype += 1

    def poll(self, now: int) -> None:
        """Do what is due at ``now``: retransmissions, requests, expiry."""
        self.ip.poll(now)
        self.tcp.poll(now)

    def next_deadline(self) -> int:
        """When ``poll`` is due, in the clock's nanoseconds, or FOREVER; it may be early, never late."""
        deadline = self.tcp.next_deadline()
        resolution = self.ip.next_deadline()
        return resolution if resolution < deadline else deadline

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Counters by layer: nested dicts of integers."""
        steering = self.ip.steering
        return {
            "ethernet": {
                "received": self._received,
                "too_short": self._too_short,
                "not_for_us": self._not_for_us,
                "unknown_ethertype": self._unknown_ethertype,
                "arp": self._arp,
                "ipv4": self._ipv4,
            },
            "arp": self.ip.neighbours.statistics(),
            "ipv4": self.ip.statistics(),
            "icmp": self.icmp.statistics(),
            "udp": self.udp.statistics(),
            "tcp": self.tcp.statistics(),
            **({"steering": steering.statistics()} if steering is not None else {}),
        }
