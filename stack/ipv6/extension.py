"""The extension headers of a received packet (RFC 8200 section 4): walked over, up to a transport or a fragment.

Of the options only the padding does anything here; what the others ask of a node that does not know them is in their
own first two bits (section 4.2). How much of it a packet may have is bounded:

- 64 headers. Section 4.1 wants any number of them accepted, and a header costs as little to walk over as its 8 bytes
  did to receive, so the bound is not tight: it keeps one packet from costing as much as several do, if buffers are
  large. Packets of a node's users have at most seven (section 4.1's order). All must lie in the first buffer, which
  is a bound too: 55 headers of 8 bytes in a node's buffers of 512.
- 8 options in a header, padding not counted: what RFC 8504 section 5.3 has for a default, and Linux.

Beyond these a packet is dropped and its sender told (RFC 8883 sections 2.5 and 2.6).
"""

from ebbrt.memory import NodeMemory
from stack.ipv6.constants import (
    DESTINATION_OPTIONS,
    ERRONEOUS_FIELD,
    FRAGMENT,
    FRAGMENT_HEADER,
    HOP_BY_HOP,
    IPV6_BAD_EXTENSION,
    IPV6_BAD_OPTION,
    IPV6_DELIVERED,
    IPV6_FRAGMENT,
    IPV6_HEADER,
    IPV6_NO_NEXT_HEADER,
    LONGEST_PAYLOAD,
    NO_NEXT_HEADER,
    ROUTING,
    SILENT,
    TOO_MANY_HEADERS,
    TOO_MANY_OPTIONS,
    UNRECOGNIZED_NEXT_HEADER,
    UNRECOGNIZED_OPTION,
)

MAX_HEADERS = 64
MAX_OPTIONS = 8  # in one header, padding not counted
PAD1 = 0
PADN = 1
ROUTER_ALERT = 5  # RFC 2711; MLD's messages have it
SKIP = 0  # what the first two bits of an unknown option say; DISCARD and REPORT: 2, and unless to a group: 3
DISCARD = 1
REPORT_UNLESS_TO_GROUP = 3

PAYLOAD_LENGTH_FIELD = 4  # its offset in the IPv6 header


class ExtensionHeaders:
    """One walk: ``walk`` leaves in the attributes where it ended, and why.

    offset: of the header it ended at, from the IPv6 header on; next_header: which that is. code, pointer: of the
    "parameter problem" to be sent about a packet that is to be dropped; ``code`` SILENT: none is. even_to_group: that
    is to be sent even if the packet was for a group (RFC 4443 section 2.4 (e.3)). router_alert: whether that option
    was there.
    """

    def __init__(self, memory: NodeMemory) -> None:
        self.memory = memory
        self.offset = 0
        self.next_header = 0
        self.code = SILENT
        self.pointer = 0
        self.even_to_group = False
        self.router_alert = False

    def walk(
        self, start: int, contiguous: int, offset: int, next_header: int, named_at: int, in_fragments: bool
    ) -> int:
        """Walk from ``offset`` on, where a ``next_header`` lies; one of the IPV6_ outcomes.

        start: of the packet in node memory, of which ``contiguous`` bytes lie in one piece. named_at: offset of the
        field that says what ``next_header`` is. in_fragments: the packet had a fragment header, and ``next_header``
        came behind that.
        """
        self.offset = offset
        self.next_header = next_header
        self.code = SILENT
        self.pointer = named_at
        self.even_to_group = False
        self.router_alert = False
        for number in range(MAX_HEADERS + 1):
            kind = self.next_header
            if kind == NO_NEXT_HEADER:
                return IPV6_NO_NEXT_HEADER
            if kind == FRAGMENT:
                return IPV6_FRAGMENT
            if kind not in (HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS):
                return IPV6_DELIVERED
            if kind == HOP_BY_HOP and (in_fragments or self.offset != IPV6_HEADER):
                self.code = UNRECOGNIZED_NEXT_HEADER  # RFC 8200 section 4: only right behind the IPv6 header
                return IPV6_BAD_EXTENSION
            if number == MAX_HEADERS:
                break
            outcome = self._take_header(start, contiguous, kind)
            if outcome != IPV6_DELIVERED:
                return outcome
        self.code = TOO_MANY_HEADERS
        self.pointer = self.offset
        return IPV6_BAD_EXTENSION

    def _take_header(self, start: int, contiguous: int, kind: int) -> int:
        """One header of the common shape: next header, length in units of 8 bytes without the first, what it says."""
        at = start + self.offset
        if self.offset + 8 > contiguous:
            return IPV6_BAD_EXTENSION
        length = 8 + 8 * self.memory.mem[at + 1]
        if self.offset + length > contiguous:
            return IPV6_BAD_EXTENSION
        if kind == ROUTING:
            if self.memory.mem[at + 3] != 0:  # segments left, in a type that we do not know: all of them (RFC 5095)
                self.code = ERRONEOUS_FIELD
                self.pointer = self.offset + 2
                return IPV6_BAD_EXTENSION
        elif not self._take_options(start, self.offset + 2, self.offset + length):
            return IPV6_BAD_OPTION
        self.next_header = self.memory.mem[at]
        self.pointer = self.offset
        self.offset += length
        return IPV6_DELIVERED

    def _take_options(self, start: int, at: int, end: int) -> bool:
        """The options from ``at`` to ``end``; False when one of them says that the packet is to be dropped."""
        options = 0
        while at < end:
            kind = self.memory.mem[start + at]
            if kind == PAD1:
                at += 1
                continue
            if at + 2 > end or at + 2 + self.memory.mem[start + at + 1] > end:
                return False
            if kind != PADN:
                options += 1
                self.router_alert = self.router_alert or kind == ROUTER_ALERT
                action = kind >> 6
                if action == DISCARD:
                    return False
                if options > MAX_OPTIONS:
                    self.code = TOO_MANY_OPTIONS
                    self.pointer = at
                    return False
                if action != SKIP:
                    self.code = UNRECOGNIZED_OPTION
                    self.pointer = at
                    self.even_to_group = action != REPORT_UNLESS_TO_GROUP
                    return False
            at += 2 + self.memory.mem[start + at + 1]
        return True


class FragmentHeader:
    """One fragment header (RFC 8200 section 4.5): ``read`` leaves in the attributes what it says.

    start, length: which bytes of the packet's fragmentable part it brings. code, pointer: as in ExtensionHeaders.
    """

    def __init__(self, memory: NodeMemory) -> None:
        self.memory = memory
        self.next_header = 0
        self.start = 0
        self.length = 0
        self.more = False
        self.identification = 0
        self.code = SILENT
        self.pointer = 0

    def read(self, start: int, contiguous: int, offset: int, length: int) -> int:
        """Read the header at ``offset`` of a packet of ``length`` bytes at ``start``; one of the IPV6_ outcomes."""
        self.code = SILENT
        if offset + FRAGMENT_HEADER > contiguous:
            return IPV6_BAD_EXTENSION
        at = start + offset
        field = self._word(at + 2)
        self.next_header = self.memory.mem[at]
        self.start = field & 0xFFF8
        self.more = field & 1 != 0
        self.length = length - offset - FRAGMENT_HEADER
        self.identification = self._word(at + 4) << 16 | self._word(at + 6)
        if self.more and self.length % 8:
            self.code = ERRONEOUS_FIELD
            self.pointer = PAYLOAD_LENGTH_FIELD
            return IPV6_BAD_EXTENSION
        if offset - IPV6_HEADER + self.start + self.length > LONGEST_PAYLOAD:
            self.code = ERRONEOUS_FIELD
            self.pointer = offset + 2
            return IPV6_BAD_EXTENSION
        return IPV6_DELIVERED

    def is_atomic(self) -> bool:
        """Whether this is a whole packet (RFC 6946)."""
        return self.start == 0 and not self.more

    def _word(self, at: int) -> int:
        return self.memory.mem[at] << 8 | self.memory.mem[at + 1]
