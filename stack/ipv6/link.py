"""What IPv6 keeps of one interface: its addresses, the groups it listens to, which prefixes are on the link.

An address is TENTATIVE until duplicate address detection has found nobody who has it (RFC 4862 section 5.4): until
then nothing is received for it or sent from it. Then it is PREFERRED, and DEPRECATED when it should begin nothing new
(section 5.5.4). Everything here is short and bounded, so it is looked through, not looked up. Read ``ndp`` and
``autoconfiguration`` for who fills it.
"""

from typing import TYPE_CHECKING

from ebbrt.constants import FOREVER
from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator
from ebbrt.netdevice import EthernetDevice
from stack.address import IPV4_MAPPED, MASK64
from stack.constants import ETHERNET_HEADER, MASK32
from stack.ipv6.constants import (
    ALL_NODES,
    ALL_NODES_HIGH,
    DEFAULT_HOP_LIMIT,
    DISCOVERY_HOP_LIMIT,
    ETHERTYPE_IPV6,
    GROUP_LINK_ADDRESS,
    HOP_BY_HOP,
    LINK_AND_IPV6_HEADERS,
    LINK_LOCAL,
    PROTOCOL_ICMPV6,
    SOLICITED_NODE,
    TENTATIVE,
)
from stack.timed import Due
from stack.wire.checksum import address_sum, fold, memory_sum, pseudo_header_sum
from stack.wire.ethernet import EthernetHeader
from stack.wire.ipv6 import Ipv6Header

if TYPE_CHECKING:
    from stack.ipv6.autoconfiguration import Autoconfiguration
    from stack.ipv6.mld import Mld
    from stack.ipv6.ndp import Ndp
    from stack.ipv6.routers import Routers

MOST_ADDRESSES = 16  # Linux's max_addresses
MOST_GROUPS = 64
MOST_PREFIXES = 16

CHECKSUM = 2  # its offset in an ICMPv6 message
ROUTER_ALERT = bytes((PROTOCOL_ICMPV6, 0, 5, 2, 0, 0, 1, 0))  # hop-by-hop: MLD (RFC 2711), and padding


class Ipv6Address:
    """One of our addresses. preferred_until, valid_until: nanoseconds (RFC 4862 section 5.5.4).

    temporary: made to be forgotten (RFC 8981), ``created_at``. automatic: its second half is of our own making, in the
    ``attempt``th way (RFC 7217).
    """

    def __init__(self, high: int, low: int, prefix_length: int) -> None:
        self.high = high
        self.low = low
        self.prefix_length = prefix_length
        self.state = TENTATIVE
        self.preferred_until = FOREVER
        self.valid_until = FOREVER
        self.probes_left = 0  # of duplicate address detection
        self.probe_at = FOREVER
        self.temporary = False
        self.automatic = False
        self.attempt = 0
        self.created_at = 0
        self.renewed = False  # another one has been made in its place

    def pair(self) -> tuple[int, int]:
        """(high, low)."""
        return self.high, self.low


class Group:
    """A multicast group that the interface listens to, for ``members`` reasons."""

    def __init__(self, high: int, low: int) -> None:
        self.high = high
        self.low = low
        self.members = 1


class Prefix:
    """Addresses that are on the link (RFC 4861 section 5.1, the Prefix List). fixed: no router may change that."""

    def __init__(self, high: int, low: int, length: int, valid_until: int, fixed: bool = False) -> None:
        self.high_mask, self.low_mask = prefix_mask(length)
        self.high = high & self.high_mask
        self.low = low & self.low_mask
        self.length = length
        self.valid_until = valid_until
        self.fixed = fixed


class Ipv6Link:
    """IPv6's side of one interface.

    index: the interface's. hop_limit, mtu: as routers advertise them (RFC 4861 section 6.3.4).
    """

    def __init__(self, index: int, allocator: MemoryAllocator, device: EthernetDevice) -> None:
        self.index = index
        self.allocator = allocator
        self.device = device
        self.mac = int.from_bytes(device.mac, "big")
        self.hop_limit = DEFAULT_HOP_LIMIT
        self.mtu = device.mtu
        self.addresses: list[Ipv6Address] = []
        self.groups: list[Group] = []  # besides that of all nodes
        self.prefixes: list[Prefix] = [Prefix(LINK_LOCAL, 0, 64, FOREVER, True)]
        self.generation = 0  # changes with addresses, prefixes and routers, and tells paths to look again
        self.deadline = FOREVER  # when something of these is due, at the latest
        self.due = Due()  # the stack's, once it has taken the link in
        self.autoconfiguration: Autoconfiguration = None  # type: ignore[assignment]  # IPv6 puts all of these here
        self.routers: Routers = None  # type: ignore[assignment]
        self.mld: Mld = None  # type: ignore[assignment]
        self.neighbours: Ndp = None  # type: ignore[assignment]
        self.control_sent = 0
        self.control_dropped = 0
        self._ethernet = EthernetHeader(allocator.memory)
        self._header = Ipv6Header(allocator.memory)

    def address(self, high: int, low: int) -> Ipv6Address | None:
        """Our address, tentative or not, or None."""
        for address in self.addresses:
            if address.low == low and address.high == high:
                return address
        return None

    def has(self, high: int, low: int) -> bool:
        """Whether this is an address of ours that may be used."""
        for address in self.addresses:
            if address.low == low and address.high == high:
                return address.state != TENTATIVE
        return False

    def listens_to(self, high: int, low: int) -> bool:
        """Whether we are a member of that group."""
        for group in self.groups:
            if group.low == low and group.high == high:
                return True
        return low == ALL_NODES and high == ALL_NODES_HIGH

    def is_on_link(self, high: int, low: int) -> bool:
        """Whether a host of that address can be reached without a router."""
        for prefix in self.prefixes:
            if (high ^ prefix.high) & prefix.high_mask == 0 and (low ^ prefix.low) & prefix.low_mask == 0:
                return True
        return False

    def link_local(self) -> Ipv6Address | None:
        """Our link-local address, if there is one to use."""
        for address in self.addresses:
            if address.high == LINK_LOCAL and address.state != TENTATIVE:
                return address
        return None

    def up(self, now: int) -> None:
        """The device works from now on: begin with our addresses, and ask for routers."""
        self.autoconfiguration.start(now)
        self.routers.start(now)

    def statistics(self) -> dict[str, int]:
        """What was said and heard about the link."""
        return {
            **self.neighbours.statistics(),
            **self.routers.statistics(),
            **self.autoconfiguration.statistics(),
            **self.mld.statistics(),
            "groups": len(self.groups),
            "control_sent": self.control_sent,
            "control_dropped": self.control_dropped,
        }

    def join(self, high: int, low: int, now: int) -> bool:
        """Listen to a group, for one more reason; False when there are too many."""
        for group in self.groups:
            if group.low == low and group.high == high:
                group.members += 1
                return True
        if len(self.groups) >= MOST_GROUPS:
            return False
        self.groups.append(Group(high, low))
        self.mld.changed((high, low), True, now)
        return True

    def leave(self, high: int, low: int, now: int) -> None:
        """Take one reason back to listen to a group."""
        for group in self.groups:
            if group.low == low and group.high == high:
                group.members -= 1
                if group.members == 0:
                    self.groups.remove(group)
                    self.mld.changed((high, low), False, now)
                return

    def wait_until(self, time: int) -> None:
        """Something here is due at ``time``."""
        self.deadline = min(self.deadline, time)
        self.due.at(time)

    def control_frame(
        self,
        source: tuple[int, int],
        destination: tuple[int, int],
        mac: int,
        message: bytes,
        extension: bytes = b"",
        hop_limit: int = DISCOVERY_HOP_LIMIT,
    ) -> IOBuf | None:
        """A frame with one ICMPv6 message that is about the link itself; None, counted, without memory.

        message: from the type on, with a checksum of 0. extension: a hop-by-hop header that says ICMPv6 follows.
        """
        packet = allocate(self.allocator, len(extension) + len(message), self.device.headroom + LINK_AND_IPV6_HEADERS)
        if packet is None:
            self.control_dropped += 1
            return None
        packet.write(0, extension + message)
        total = pseudo_header_sum(sum(map(address_sum, source + destination)), PROTOCOL_ICMPV6, len(message))
        total += memory_sum(packet.memory, packet.start + len(extension), len(message))
        packet.write(len(extension) + CHECKSUM, (0xFFFF ^ fold(total)).to_bytes(2, "big"))
        packet.retreat(LINK_AND_IPV6_HEADERS)
        self._ethernet.at(packet.start).write(mac, self.mac, ETHERTYPE_IPV6)
        next_header = HOP_BY_HOP if extension else PROTOCOL_ICMPV6
        length = len(extension) + len(message)
        self._header.at(packet.start + ETHERNET_HEADER).write(
            length, next_header, hop_limit, 0, source[0], source[1], destination[0], destination[1]
        )
        return packet

    def send_control(
        self,
        source: tuple[int, int],
        destination: tuple[int, int],
        mac: int,
        message: bytes,
        extension: bytes = b"",
        hop_limit: int = DISCOVERY_HOP_LIMIT,
    ) -> None:
        """Send such a frame to the link address ``mac`` at once; ``group_mac`` is a group's."""
        frame = self.control_frame(source, destination, mac, message, extension, hop_limit)
        if frame is not None:
            if self.device.transmit(frame, 0, 0, 0):
                self.control_sent += 1
            else:
                self.control_dropped += 1


def prefix_mask(length: int) -> tuple[int, int]:
    """The halves of the mask of a prefix."""
    mask = ((1 << length) - 1) << (128 - length)
    return mask >> 64, mask & MASK64


def group_mac(low: int) -> int:
    """The link address of a group whose address ends in ``low`` (RFC 2464 section 7)."""
    return GROUP_LINK_ADDRESS | (low & MASK32)


def solicited_node(low: int) -> tuple[int, int]:
    """The group that those listen to whose address ends in the same three bytes (RFC 4291 section 2.7.1)."""
    return ALL_NODES_HIGH, SOLICITED_NODE << 24 | (low & 0xFFFFFF)


def is_group(high: int) -> bool:
    """Whether an address with that first half is a group's."""
    return high >> 56 == 0xFF


def is_host(high: int, low: int) -> bool:
    """Whether a packet may come from, or a connection lead to, such an address: one of one host, not loopback's."""
    if high == 0:
        return low > 1 and low >> 32 != IPV4_MAPPED
    return not is_group(high)
