"""A view of an IPv4 header (RFC 791 section 3.1) in node memory. Addresses are 32-bit integers."""

from ebbrt.memory import NodeMemory
from stack.constants import (
    DEFAULT_TTL,
    IPV4_BAD_CHECKSUM,
    IPV4_BAD_HEADER_LENGTH,
    IPV4_BAD_OPTION,
    IPV4_BAD_TOTAL_LENGTH,
    IPV4_BAD_VERSION,
    IPV4_DELIVERED,
    IPV4_HEADER,
    IPV4_SHORT,
    IPV4_SOURCE_ROUTE,
)
from stack.wire.checksum import fold, memory_sum, update

VERSION_AND_LENGTH = 0
TYPE_OF_SERVICE = 1
TOTAL_LENGTH = 2
IDENTIFICATION = 4
FLAGS_AND_OFFSET = 6
TIME_TO_LIVE = 8
PROTOCOL = 9
CHECKSUM = 10
SOURCE = 12
DESTINATION = 16

DONT_FRAGMENT = 0x4000
MORE_FRAGMENTS = 0x2000
OFFSET = 0x1FFF
MORE_AND_OFFSET = 0x3FFF
ECN = 3  # the bits of the type of service (RFC 3168)
VERSION_4_NO_OPTIONS = 0x45

OPTION_END = 0
OPTION_NOTHING = 1
OPTION_RECORD_ROUTE = 7
OPTION_TIMESTAMP = 68
OPTION_LOOSE_ROUTE = 131
OPTION_STRICT_ROUTE = 137


class Ipv4Header:
    """The header at the offset given to ``at``: 20 bytes, and options."""

    def __init__(self, memory: NodeMemory) -> None:
        self.memory = memory
        self.mem = self.memory.mem
        self.offset = 0
        self.bad_option = 0

    def at(self, offset: int) -> "Ipv4Header":
        """Aim at the header that starts at ``offset`` in node memory."""
        self.offset = offset
        return self

    def check(self, contiguous: int, available: int) -> int:
        """What is wrong with a received header: one of the IPV4_ outcomes; IPV4_DELIVERED: nothing.

        contiguous: bytes in the frame's first piece from the header on, which must hold all of it.
        available: bytes in the frame from the header on; more than the total length is padding (RFC 1122 3.3.1).
        """
        if contiguous < IPV4_HEADER:
            return IPV4_SHORT
        if self.version() != 4:
            return IPV4_BAD_VERSION
        header_length = self.header_length()
        if header_length < IPV4_HEADER or header_length > contiguous:
            return IPV4_BAD_HEADER_LENGTH
        total_length = self.total_length()
        if total_length < header_length or total_length > available:
            return IPV4_BAD_TOTAL_LENGTH
        if memory_sum(self.memory, self.offset, header_length) != 0xFFFF:
            return IPV4_BAD_CHECKSUM
        if header_length > IPV4_HEADER:
            return self._check_options(header_length)
        return IPV4_DELIVERED

    def _check_options(self, header_length: int) -> int:
        """The outcome of a header for its options; ``bad_option`` is the offset of what is wrong with one.

        RFC 1122 section 3.2.1.8. One that says a route is refused (RFC 7126 sections 4.3 and 4.4), and what none of
        our kind has is skipped; Record Route and Timestamp are returned in answers (``stack.ipv4.options``).
        """
        has_route = has_times = False
        at = IPV4_HEADER
        while at < header_length:
            kind = self.mem[self.offset + at]
            if kind == OPTION_END:
                break
            if kind == OPTION_NOTHING:
                at += 1
                continue
            length = self.mem[self.offset + at + 1] if at + 1 < header_length else 0
            self.bad_option = at
            if length < 2 or at + length > header_length:
                return IPV4_BAD_OPTION
            if kind in (OPTION_RECORD_ROUTE, OPTION_LOOSE_ROUTE, OPTION_STRICT_ROUTE):
                if has_route or not self._is_route(at, length):
                    return IPV4_BAD_OPTION
                if kind != OPTION_RECORD_ROUTE:
                    return IPV4_SOURCE_ROUTE
                has_route = True
            elif kind == OPTION_TIMESTAMP:
                if has_times or not self._is_timestamp(at, length):
                    return IPV4_BAD_OPTION
                has_times = True
            at += length
        return IPV4_DELIVERED

    def _is_route(self, at: int, length: int) -> bool:
        """Whether the option at ``at`` has a pointer to a place for an address, or behind all of them."""
        if length < 3:
            self.bad_option = at + 1
            return False
        pointer = self.mem[self.offset + at + 2]
        self.bad_option = at + 2
        return pointer >= 4 and (pointer > length or pointer + 3 <= length)

    def _is_timestamp(self, at: int, length: int) -> bool:
        """Whether the option at ``at`` has a pointer to a place for a time, or behind all and can count one more."""
        if length < 4:
            self.bad_option = at + 1
            return False
        pointer = self.mem[self.offset + at + 2]
        overflow = self.mem[self.offset + at + 3] >> 4
        flag = self.mem[self.offset + at + 3] & 0xF
        if pointer > length and flag != 3:  # prescribed addresses do not overflow
            self.bad_option = at + 3
            return overflow != 15
        self.bad_option = at + 2
        needed = 7 if flag in (1, 3) else 3
        return pointer >= 5 and (pointer > length or pointer + needed <= length)

    def version(self) -> int:
        """4, in a header that is one."""
        return self.mem[self.offset + VERSION_AND_LENGTH] >> 4

    def header_length(self) -> int:
        """Bytes in the header, with options."""
        return (self.mem[self.offset + VERSION_AND_LENGTH] & 0xF) << 2

    def type_of_service(self) -> int:
        """The byte that is DS field and ECN today (RFC 2474, RFC 3168)."""
        return self.mem[self.offset + TYPE_OF_SERVICE]

    def total_length(self) -> int:
        """Bytes in the packet, with its header."""
        return self._word(TOTAL_LENGTH)

    def identification(self) -> int:
        """What tells the fragments of one packet from another's."""
        return self._word(IDENTIFICATION)

    def is_fragment(self) -> bool:
        """Whether this is a part of a packet only."""
        return self._word(FLAGS_AND_OFFSET) & MORE_AND_OFFSET != 0

    def fragment_offset(self) -> int:
        """Where in the packet this part lies, in units of 8 bytes."""
        return self._word(FLAGS_AND_OFFSET) & OFFSET

    def has_more_fragments(self) -> bool:
        """Whether this is not the last part of its packet."""
        return self._word(FLAGS_AND_OFFSET) & MORE_FRAGMENTS != 0

    def time_to_live(self) -> int:
        """Hops left."""
        return self.mem[self.offset + TIME_TO_LIVE]

    def protocol(self) -> int:
        """What the packet carries."""
        return self.mem[self.offset + PROTOCOL]

    def source(self) -> int:
        """Whom the packet is from."""
        return self._double_word(SOURCE)

    def destination(self) -> int:
        """Whom the packet is for."""
        return self._double_word(DESTINATION)

    def payload_double_word(self, at: int) -> int:
        """The 4 bytes from ``at`` behind the header on: a transport's ports, or what follows them."""
        return self._double_word(self.header_length() + at)

    def write(
        self,
        total_length: int,
        identification: int,
        protocol: int,
        source: int,
        destination: int,
        type_of_service: int,
        addresses: int,
    ) -> None:
        """Write a whole header without options: DF set, the default time to live, the checksum computed.

        addresses: the sum of the words of both addresses (``address_sum``).
        """
        at = self.offset
        self.mem[at] = VERSION_4_NO_OPTIONS
        self.mem[at + TYPE_OF_SERVICE] = type_of_service
        self._set_word(TOTAL_LENGTH, total_length)
        self._set_word(IDENTIFICATION, identification)
        self._set_word(FLAGS_AND_OFFSET, DONT_FRAGMENT)
        self.mem[at + TIME_TO_LIVE] = DEFAULT_TTL
        self.mem[at + PROTOCOL] = protocol
        self._set_word(SOURCE, source >> 16)
        self._set_word(SOURCE + 2, source & 0xFFFF)
        self._set_word(DESTINATION, destination >> 16)
        self._set_word(DESTINATION + 2, destination & 0xFFFF)
        # The words are all at hand: summing them beats reading the header back.
        total = (VERSION_4_NO_OPTIONS << 8 | type_of_service) + total_length + identification + DONT_FRAGMENT
        self._set_word(CHECKSUM, 0xFFFF ^ fold(total + (DEFAULT_TTL << 8 | protocol) + addresses))

    def set_time_to_live(self, hops: int) -> None:
        """Change the time to live of what ``write`` has written."""
        protocol = self.protocol()
        self.mem[self.offset + TIME_TO_LIVE] = hops
        self._set_word(CHECKSUM, update(self._word(CHECKSUM), DEFAULT_TTL << 8 | protocol, hops << 8 | protocol))

    def add_options(self, length: int) -> None:
        """``length`` bytes of options, a multiple of 4, lie behind what ``write`` has written."""
        self.mem[self.offset + VERSION_AND_LENGTH] = VERSION_4_NO_OPTIONS + (length >> 2)
        self._set_word(CHECKSUM, 0)
        self._set_word(CHECKSUM, 0xFFFF ^ memory_sum(self.memory, self.offset, IPV4_HEADER + length))

    def become_fragment(self, offset: int, more: bool) -> None:
        """Make what ``write`` has written the header of a fragment: DF off, ``offset`` in units of 8 bytes."""
        word = offset | MORE_FRAGMENTS if more else offset
        self._set_word(FLAGS_AND_OFFSET, word)
        self._set_word(CHECKSUM, update(self._word(CHECKSUM), DONT_FRAGMENT, word))

    def become_whole(self, total_length: int, ecn: int) -> None:
        """Make a received first fragment's header that of the whole packet."""
        self._set_word(TOTAL_LENGTH, total_length)
        self._set_word(FLAGS_AND_OFFSET, 0)
        self.mem[self.offset + TYPE_OF_SERVICE] = (self.type_of_service() & (0xFF ^ ECN)) | ecn
        self._set_word(CHECKSUM, 0)
        self._set_word(CHECKSUM, 0xFFFF ^ memory_sum(self.memory, self.offset, self.header_length()))

    def _word(self, field: int) -> int:
        at = self.offset + field
        return (self.mem[at] << 8) | self.mem[at + 1]

    def _double_word(self, field: int) -> int:
        at = self.offset + field
        return (self.mem[at] << 24) | (self.mem[at + 1] << 16) | (self.mem[at + 2] << 8) | self.mem[at + 3]

    def _set_word(self, field: int, value: int) -> None:
        at = self.offset + field
        self.mem[at] = value >> 8
        self.mem[at + 1] = value & 0xFF
