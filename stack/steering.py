"""Steering between the cores of a node: what arrives at one core and is another's business is handed on in software.

Every core has a stack of its own with the node's one address, and the device spreads the flows over the cores (by a
hash, but a flow that was answered comes where it was answered; ``drivers.virtio.tap``). So a connection that a peer
opens is right by itself: the core that the SYN came to answers. Three things still arrive elsewhere:

- an answer to what a core sent first (a connection it opens), until its own next frame has told the device;
- a flow that was silent for so long that the device has forgotten it;
- what is for all: ARP, errors of ICMP, and what ICMPv6 says of the link. Who gets such a message from the device
  answers it; the others only learn. Each core makes its IPv6 addresses itself; the key is the same, and so are they.

A core first looks in its own tables, and asks here only for what nobody knows in them: the fast path never does. Each
core keeps a row of bits in node memory, a bit for each port that it uses, written by it alone. A packet for a port
that others use goes to the next of them, and on from there, until one knows it, and the last one treats it as
a single core would: with a reset, or with "port unreachable". That is right whatever the device did: wherever
a connection lives its segments find it, and a reset is only sent for one that lives nowhere. A SYN stays with the
first core that listens. A core that knows the end of the segment's connection says so when it hands it on, and then
there is no reset either (``stack.tcp.ended``): it was not wrong, only overtaken in another core's queue.

Ports for connections that cores open are divided among them beforehand, so no two ever use one towards the same peer.
What is handed over is counted as received by both cores' IPv4. At most MOST_UNDER_WAY packets are on their way from
one core to another; more are dropped, as a full queue of the device would.
"""

import struct
from typing import TYPE_CHECKING

from ebbrt.cores import CoreLinks, CoreMessageHandler
from ebbrt.iobuf import IOBuf
from ebbrt.memory import NodeMemory
from stack.constants import ICMP_HEADER, PROTOCOL_TCP, PROTOCOL_UDP
from stack.transport import Received

if TYPE_CHECKING:
    from stack.stack import Stack

KIND = 1  # of our messages on the core links
MOST_UNDER_WAY = 512  # packets: about what a queue of a TAP holds
ROW = 65536 // 8  # bytes: a bit for each port
COUNTER = 8

_MESSAGE = struct.Struct("=BHB")  # what it is, the core that received it from the device, and on which interface
_PACKET = 0
_ARP = 1
_LINK = 3  # a message of Neighbor Discovery or MLD
_LATE = 2  # a packet of a connection that a core knows to have ended


class Steering(CoreMessageHandler):
    """One core's part. ``start``: of the area of ``size(count)`` bytes, a multiple of 8, that all cores share.

    The area is zero when the first core is made. ``claim`` may be called before ``attach``.
    """

    def __init__(self, links: CoreLinks, memory: NodeMemory, start: int) -> None:
        self.links = links
        self.number = links.number
        self.count = links.count
        self._stack: Stack | None = None
        self._handed: IOBuf | None = None  # the packet from another core that was given to IP last,
        self._handed_origin = 0  # and the core that the device gave it to,
        self._handed_late = False  # and whether a core knew the end of its connection
        self.is_shared = False  # whether IP is delivering a message about the link that another core has answered
        rows = [memory.view(start + index * ROW, ROW) for index in range(2 * self.count)]
        self._rows = {PROTOCOL_TCP: rows[: self.count], PROTOCOL_UDP: rows[self.count :]}
        # How many packets each core has taken from each other, written by the taker.
        counters = memory.view(start + 2 * self.count * ROW, self.count * self.count * COUNTER)
        self._taken = counters.cast("Q")
        self._sent = [0] * self.count
        self.handed_over = 0
        self.received = 0
        self.dropped_full = 0
        links.register(KIND, self)

    @staticmethod
    def size(count: int) -> int:
        """Bytes of node memory that ``count`` cores share."""
        return count * (2 * ROW + count * COUNTER)

    def attach(self, stack: "Stack") -> None:
        """Give what other cores hand over to ``stack``."""
        self._stack = stack

    # Ports

    def claim(self, protocol: int, port: int) -> None:
        """This core uses ``port`` from now on."""
        self._rows[protocol][self.number][port >> 3] |= 1 << (port & 7)

    def release(self, protocol: int, port: int) -> None:
        """This core uses ``port`` no more."""
        self._rows[protocol][self.number][port >> 3] &= ~(1 << (port & 7)) & 0xFF

    def is_claimed_elsewhere(self, protocol: int, port: int) -> bool:
        """Whether another core uses ``port``."""
        return any(self._is_claimed(protocol, port, core) for core in range(self.count) if core != self.number)

    def own_ports(self, first: int, last: int) -> tuple[int, int]:
        """This core's share of the ports from ``first`` to ``last``: its first and last."""
        share = (last - first + 1) // self.count
        return first + self.number * share, first + (self.number + 1) * share - 1

    def _is_claimed(self, protocol: int, port: int, core: int) -> bool:
        return self._rows[protocol][core][port >> 3] >> (port & 7) & 1 != 0

    # Out

    def was_late(self, packet: IOBuf) -> bool:
        """Whether a core that handed on the packet IP is delivering knew it to be of a connection that has ended."""
        return packet is self._handed and self._handed_late

    def pass_on(self, protocol: int, port: int, packet: IOBuf, late: bool = False) -> bool:
        """Hand the packet that IP is delivering to the next core that uses ``port``; False when there is none left.

        packet: the chain IP delivered; its transport checksum is good. Not to be used again when it was handed over.
        late: what ``was_late`` is to say of it over there.
        """
        received = self._received()
        origin = self._handed_origin if packet is self._handed else self.number
        for step in range(1, self.count):
            core = (self.number + step) % self.count
            if core == origin:
                return False
            if self._is_claimed(protocol, port, core):
                packet.retreat(packet.start - received.start)  # headers lie in one piece (ebbrt.netdevice)
                self._send(core, _LATE if late else _PACKET, origin, received.interface.index, packet)
                return True
        return False

    def share_error(self, packet: IOBuf) -> None:
        """Tell of an ICMP error those other cores that use the port it quotes. ``packet``: from ICMP's header on."""
        if packet is self._handed:
            return
        quoted = packet.memory.view(packet.start + ICMP_HEADER, packet.length - ICMP_HEADER)
        ports = 4 * (quoted[0] & 15)
        self._share_error(packet, quoted[9], quoted[ports] << 8 | quoted[ports + 1])

    def share_ipv6_error(self, packet: IOBuf, protocol: int, port: int) -> None:
        """The same of an error of ICMPv6, which quotes a packet of ``protocol`` from our ``port``."""
        if packet is not self._handed:
            self._share_error(packet, protocol, port)

    def _share_error(self, packet: IOBuf, protocol: int, port: int) -> None:
        if protocol not in self._rows:
            return
        for core in range(self.count):
            if core != self.number and self._is_claimed(protocol, port, core):
                self._send(core, _PACKET, self.number, self._received().interface.index, self._whole(packet))

    def share_arp(self, packet: IOBuf, interface: int) -> None:
        """Let all other cores see an ARP packet that is in order; ``interface``: the index of where it came in."""
        for core in range(self.count):
            if core != self.number:
                self._send(core, _ARP, self.number, interface, packet.clone_chain())

    def share_link_message(self, packet: IOBuf) -> None:
        """Let all other cores see a message about the link, of ICMPv6, that is in order, unless one has shared it.

        packet: from ICMPv6's header on.
        """
        if not self.is_shared:
            for core in range(self.count):
                if core != self.number:
                    self._send(core, _LINK, self.number, self._received().interface.index, self._whole(packet))

    def _whole(self, packet: IOBuf) -> IOBuf:
        """Views of the packet that IP is delivering, from its IP header on."""
        copy = packet.clone_chain()
        copy.retreat(copy.start - self._received().start)
        return copy

    def _received(self) -> Received:
        assert self._stack is not None
        return self._stack.internet.received

    def _send(self, core: int, what: int, origin: int, interface: int, chain: IOBuf) -> None:
        if self._sent[core] - self._taken[core * self.count + self.number] >= MOST_UNDER_WAY:
            self.dropped_full += 1
            return
        self._sent[core] += 1
        self.handed_over += 1
        self.links.send(core, KIND, _MESSAGE.pack(what, origin, interface), chain)

    # In

    def receive(self, core: int, data: bytes, chain: IOBuf | None) -> None:
        """See CoreMessageHandler."""
        assert self._stack is not None
        assert chain is not None
        self._taken[self.number * self.count + core] += 1
        self.received += 1
        what, origin, index = _MESSAGE.unpack(data)
        interface = self._stack.interfaces[index]
        now = self._stack.clock.now()
        if what == _ARP:
            interface.arp.receive(chain, now, False)
            return
        self._handed, self._handed_origin, self._handed_late = chain, origin, what == _LATE
        self.is_shared = what == _LINK
        protocol = interface.ipv6 if chain.peek(0, 1)[0] >> 4 == 6 else interface.ipv4
        try:
            protocol.receive(chain, interface, False, True, now)
        finally:
            self._handed = None
            self.is_shared = False

    def statistics(self) -> dict[str, int]:
        """Packets handed over to other cores, received from them, and dropped because too many were under way."""
        return {"handed_over": self.handed_over, "received": self.received, "dropped_full": self.dropped_full}
