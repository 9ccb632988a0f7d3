"""One core's network stack: interfaces, IP on them, ICMP, UDP and TCP.

It is an engine: it has no file descriptor and starts nothing by itself. A driver gives frames to an ``Interface`` of
it; whoever runs it calls ``poll(now)`` when ``next_deadline()`` has come; frames leave through the devices it was
given. Clock and randomness are given too, so that a seed fixes every byte it sends. Read ``interface`` and
``transport`` next, then ``ipv4.ipv4`` and ``tcp``; ``network_manager`` joins a Stack to the event loop.
"""

import random
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from ebbrt.clock import Clock
from ebbrt.memory import MemoryAllocator
from ebbrt.netdevice import EthernetDevice
from stack.constants import LINK_AND_IPV4_HEADERS
from stack.interface import Interface
from stack.internet import Internet
from stack.ipv4.address_claim import AddressClaim
from stack.ipv4.icmp import Icmp
from stack.ipv4.identification import Identifications
from stack.ipv4.igmp import Igmp
from stack.ipv4.ipv4 import IPv4
from stack.ipv6.constants import LINK_AND_IPV6_HEADERS
from stack.ipv6.icmpv6 import Icmpv6
from stack.ipv6.ipv6 import IPv6
from stack.ipv6.settings import Ipv6Settings
from stack.routes import RouteTable
from stack.steering import Steering
from stack.tcp.lookups import DEFAULT_LOOKUP
from stack.tcp.tcp import Tcp
from stack.timed import Due, Timed
from stack.udp import Udp


class Stack:
    """The stack of one node, or of one of its cores.

    random: seeded by the caller; draws ports and identifiers. secret: keys what nobody is to
    foresee: TCP's initial sequence numbers (RFC 6528), IPv4's identifications and more.
    steering: on a node of several cores, which have a stack each; their ``secret`` is the same.
    lookup: how TCP finds a segment's connection, by a name of ``stack.tcp.lookups``.
    """

    def __init__(
        self,
        allocator: MemoryAllocator,
        clock: Clock,
        random: random.Random,
        secret: bytes,
        steering: Steering | None = None,
        lookup: str = DEFAULT_LOOKUP,
    ) -> None:
        self.allocator = allocator
        self.clock = clock
        self.random = random
        self.interfaces: list[Interface] = []
        self.routes = RouteTable()
        self.internet = Internet(allocator)
        self.internet.steering = steering
        if steering is not None:
            steering.attach(self)
        share = (0, 0xFFFF) if steering is None else steering.own_ports(0, 0xFFFF)
        identifications = Identifications(random, secret, *share)
        self.ipv4 = IPv4(self.internet, self.interfaces, self.routes, identifications)
        self.internet.ipv4 = self.ipv4
        self.icmp = Icmp(self.ipv4, allocator, random)
        self.internet.icmp = self.icmp
        self.ipv6 = IPv6(self.internet, self.interfaces, random, secret)
        self.internet.ipv6 = self.ipv6
        self.icmpv6 = Icmpv6(self.ipv6, allocator, random)
        self.udp = Udp(self.internet, allocator, clock, random)
        self.due = Due()
        self._timed: list[Timed] = []
        self.watch(self.ipv4.reassembly)
        self.watch(self.ipv6.reassembly)
        Igmp(self.ipv4, random, self.watch)
        self.tcp = Tcp(self.internet, allocator, clock, random, secret, lookup)

    def add_interface(
        self, device: EthernetDevice, address: IPv4Interface | None, ipv6: Ipv6Settings | None = None
    ) -> Interface:
        """An interface on ``device``: give its driver's frames to it, and call its ``up`` once the device works.

        address: ours, and its network, if any. ipv6: what it is to have of IPv6; None: nothing.
        """
        interface = Interface(len(self.interfaces), device, self.allocator, self.clock, self.ipv4, self.ipv6)
        interface.steering = self.internet.steering
        interface.set_ipv4(address)
        self.interfaces.append(interface)
        self.internet.headroom = max(self.internet.headroom, device.headroom + LINK_AND_IPV4_HEADERS)
        interface.arp.due = self.due
        if ipv6 is not None:
            interface.link6 = link = self.ipv6.add_link(interface.index, device, ipv6)
            link.due = link.neighbours.due = self.due
            self.due.at(self.ipv6.next_deadline())
            self.internet.headroom = max(self.internet.headroom, device.headroom + LINK_AND_IPV6_HEADERS)
        return interface

    def claim(self, interface: Interface) -> AddressClaim:
        """What gets and keeps the IPv4 address of an interface; made when first asked for."""
        if interface.arp.claim is None:
            interface.arp.claim = AddressClaim(self.ipv4, interface, self.random)
            self.watch(interface.arp.claim)
        return interface.arp.claim

    def add_gateway(self, gateway: IPv4Address) -> None:
        """Send what has no better route to ``gateway``. Raises ValueError when that is on no network of ours."""
        self.add_route(IPv4Network("0.0.0.0/0"), gateway)

    def add_route(self, network: IPv4Network, gateway: IPv4Address) -> None:
        """Send what is for ``network`` to ``gateway``. Raises ValueError when that is on no network of ours."""
        for interface in self.interfaces:
            if (int(gateway) ^ interface.ipv4_address) & interface.ipv4_mask == 0:
                self.routes.add(network, gateway, interface)
                return
        raise ValueError(f"the gateway {gateway} is in no network of an interface")

    def watch(self, timed: Timed) -> None:
        """Poll ``timed`` from now on, when it is due."""
        self._timed.append(timed)
        timed.due = self.due
        self.due.at(timed.deadline)

    def poll(self, now: int) -> None:
        """Do what is due at ``now``: retransmissions, requests, expiry."""
        if self.due.time <= now:
            self._poll_rarer_parts(now)
        self.tcp.poll(now)

    def _poll_rarer_parts(self, now: int) -> None:
        """All but TCP."""
        self.due.stale = True
        self.ipv4.poll(now)
        self.ipv6.poll(now)
        for timed in self._timed:
            if timed.deadline <= now:
                timed.poll(now)

    def _ask_rarer_parts(self) -> None:
        """When they are due, exactly."""
        self.due.stale = False
        self.due.time = min(self.ipv4.next_deadline(), self.ipv6.next_deadline())
        for timed in self._timed:
            self.due.at(timed.deadline)

    def next_deadline(self) -> int:
        """When ``poll`` is due, in the clock's nanoseconds, or FOREVER; it may be early, never late."""
        if self.due.stale:
            self._ask_rarer_parts()
        deadline = self.tcp.next_deadline()
        return self.due.time if self.due.time < deadline else deadline

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Counters by layer: nested dicts of integers."""
        steering = self.internet.steering
        return {
            "ethernet": _sum([interface.statistics() for interface in self.interfaces]),
            "addresses": {str(claim.interface.index): claim.statistics() for claim in self._claims()},
            "arp": _sum([interface.arp.statistics() for interface in self.interfaces]),
            "ipv4": self.ipv4.statistics(),
            "ipv4_reassembly": self.ipv4.reassembly.statistics(),
            "icmp": self.icmp.statistics(),
            "igmp": self.ipv4.igmp.statistics(),
            "ipv6": self.ipv6.statistics(),
            "ipv6_reassembly": self.ipv6.reassembly.statistics(),
            "icmpv6": self.icmpv6.statistics(),
            "ndp": _sum([link.statistics() for link in self.ipv6.links]),
            "udp": self.udp.statistics(),
            "tcp": self.tcp.statistics(),
            **({"steering": steering.statistics()} if steering is not None else {}),
        }

    def _claims(self) -> list[AddressClaim]:
        return [interface.arp.claim for interface in self.interfaces if interface.arp.claim is not None]


def _sum(counters: list[dict[str, int]]) -> dict[str, int]:
    """The counters of several interfaces, added up."""
    return {name: sum([part[name] for part in counters]) for name in counters[0]} if counters else {}
