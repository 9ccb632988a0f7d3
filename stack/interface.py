"""One network interface of a stack: a device, the addresses we have on it, and the neighbours we know there.

The driver gives it frames; it takes Ethernet off and chooses by type. Every received frame is counted once here, and
once more in the layer that took it.
"""

from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

from ebbrt.clock import Clock
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator
from ebbrt.netdevice import EthernetDevice, FrameHandler
from stack.constants import ALL_SYSTEMS, ETHERNET_HEADER, ETHERTYPE_ARP, ETHERTYPE_IPV4, LIMITED_BROADCAST
from stack.ipv4.arp import Arp
from stack.ipv6.constants import ETHERTYPE_IPV6
from stack.ipv6.link import Ipv6Link
from stack.wire.ethernet import EthernetHeader

if TYPE_CHECKING:
    from stack.steering import Steering


class InternetProtocol:
    """A version of IP, as an interface sees it."""

    def receive(self, packet: IOBuf, interface: "Interface", link_group: bool, checksum_valid: bool, now: int) -> None:
        """Take a received packet: a chain whose first piece starts at the IP header, and holds all of it.

        link_group: the frame was sent to a group of link addresses.
        """
        raise NotImplementedError


class Interface(FrameHandler):
    """A device and what we are on it.

    index: its place in ``Stack.interfaces``. mac: the link address, as a 48-bit integer.
    ipv4_address, ipv4_mask, ipv4_broadcast: of its IPv4 address; the first is 0 while it has none.
    ipv4_groups: the multicast groups that it listens to (``stack.ipv4.igmp``).
    link6: what it has of IPv6; None: that is not used here.
    steering: the way to the other cores of the node; None on a node of one.
    """

    def __init__(
        self,
        index: int,
        device: EthernetDevice,
        allocator: MemoryAllocator,
        clock: Clock,
        ipv4: InternetProtocol,
        ipv6: InternetProtocol,
    ) -> None:
        self.index = index
        self.device = device
        self.clock = clock
        self.mac = int.from_bytes(device.mac, "big")
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.link6: Ipv6Link | None = None
        self.ipv4_address = 0
        self.ipv4_mask = LIMITED_BROADCAST
        self.ipv4_broadcast = 0
        self.ipv4_groups = {ALL_SYSTEMS}
        self.arp = Arp(allocator, device)
        self.steering: Steering | None = None
        self._ethernet = EthernetHeader(allocator.memory)
        # Each received frame is counted in ``received`` and in one of the next six.
        self._received = 0
        self._too_short = 0
        self._not_for_us = 0
        self._unknown_ethertype = 0
        self._arp = 0
        self._ipv4 = 0
        self._ipv6 = 0

    def set_ipv4(self, interface: IPv4Interface | None) -> None:
        """Give the interface its IPv4 address and network, or none. What is in use is told by ``IPv4.set_address``."""
        if interface is None:
            self.ipv4_address = self.ipv4_broadcast = self.arp.address = 0
            self.ipv4_mask = self.arp.mask = LIMITED_BROADCAST  # nobody is on a link of ours
            return
        network = interface.network
        self.ipv4_address = int(interface.ip)
        self.ipv4_mask = int(interface.netmask)
        # Networks of one or two addresses have no broadcast address of their own (RFC 3021).
        self.ipv4_broadcast = int(network.broadcast_address) if network.prefixlen < 31 else LIMITED_BROADCAST
        self.arp.address = self.ipv4_address
        self.arp.mask = self.ipv4_mask

    def up(self) -> None:
        """The device works from now on: begin what sends by itself."""
        if self.link6 is not None:
            self.link6.up(self.clock.now())

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
        if destination != self.mac and not to_group:
            self._not_for_us += 1
            return
        ethertype = ethernet.ethertype()
        frame.advance(ETHERNET_HEADER)
        while frame.length == 0 and frame.next is not None:
            frame = frame.next
        if ethertype == ETHERTYPE_IPV4:
            self._ipv4 += 1
            self.ipv4.receive(frame, self, to_group, checksum_valid, now)
        elif ethertype == ETHERTYPE_ARP:
            self._arp += 1
            if self.arp.receive(frame, now, True) and self.steering is not None:
                self.steering.share_arp(frame, self.index)
        elif ethertype == ETHERTYPE_IPV6 and self.link6 is not None:
            self._ipv6 += 1
            self.ipv6.receive(frame, self, to_group, checksum_valid, now)
        else:
            self._unknown_ethertype += 1

    def statistics(self) -> dict[str, int]:
        """Received frames by outcome."""
        return {
            "received": self._received,
            "too_short": self._too_short,
            "not_for_us": self._not_for_us,
            "unknown_ethertype": self._unknown_ethertype,
            "arp": self._arp,
            "ipv4": self._ipv4,
            "ipv6": self._ipv6,
        }
