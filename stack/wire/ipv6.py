"""A view of an IPv6 header (RFC 8200 section 3) in node memory. Addresses are pairs of 64-bit integers."""

from ebbrt.memory import NodeMemory

VERSION = 0
PAYLOAD_LENGTH = 4
NEXT_HEADER = 6
HOP_LIMIT = 7
SOURCE = 8
DESTINATION = 24


class Ipv6Header:
    """The 40 bytes at the offset given to ``at``."""

    def __init__(self, memory: NodeMemory) -> None:
        self.memory = memory
        self.mem = self.memory.mem
        self.offset = 0

    def at(self, offset: int) -> "Ipv6Header":
        """Aim at the header that starts at ``offset`` in node memory."""
        self.offset = offset
        return self

    def version(self) -> int:
        """6, in a header that is one."""
        return self.mem[self.offset + VERSION] >> 4

    def traffic_class(self) -> int:
        """The byte with the DS field and ECN (RFC 2474, RFC 3168)."""
        return (self.mem[self.offset] & 0xF) << 4 | self.mem[self.offset + 1] >> 4

    def payload_length(self) -> int:
        """Bytes behind the header."""
        return self.mem[self.offset + PAYLOAD_LENGTH] << 8 | self.mem[self.offset + PAYLOAD_LENGTH + 1]

    def next_header(self) -> int:
        """What follows: an extension header, or a transport's."""
        return self.mem[self.offset + NEXT_HEADER]

    def hop_limit(self) -> int:
        """Hops left."""
        return self.mem[self.offset + HOP_LIMIT]

    def source_high(self) -> int:
        """The first half of the address the packet is from."""
        return self._half(SOURCE)

    def source_low(self) -> int:
        """The second half of the address the packet is from."""
        return self._half(SOURCE + 8)

    def destination_high(self) -> int:
        """The first half of the address the packet is for."""
        return self._half(DESTINATION)

    def destination_low(self) -> int:
        """The second half of the address the packet is for."""
        return self._half(DESTINATION + 8)

    def set_payload_length(self, length: int) -> None:
        """Write that field alone."""
        self.mem[self.offset + PAYLOAD_LENGTH] = length >> 8
        self.mem[self.offset + PAYLOAD_LENGTH + 1] = length & 0xFF

    def write(
        self,
        payload_length: int,
        next_header: int,
        hop_limit: int,
        traffic_class: int,
        source_high: int,
        source_low: int,
        destination_high: int,
        destination_low: int,
    ) -> None:
        """Write the whole header; its flow label is 0, none (RFC 6437 section 2)."""
        at = self.offset
        self.mem[at] = 0x60 | traffic_class >> 4
        self.mem[at + 1] = (traffic_class & 0xF) << 4
        self.mem[at + 2] = 0
        self.mem[at + 3] = 0
        self.set_payload_length(payload_length)
        self.mem[at + NEXT_HEADER] = next_header
        self.mem[at + HOP_LIMIT] = hop_limit
        self._set_half(SOURCE, source_high)
        self._set_half(SOURCE + 8, source_low)
        self._set_half(DESTINATION, destination_high)
        self._set_half(DESTINATION + 8, destination_low)

    def _half(self, field: int) -> int:
        high = self._double_word(field)
        return high << 32 | self._double_word(field + 4)

    def _double_word(self, field: int) -> int:
        at = self.offset + field
        return (self.mem[at] << 24) | (self.mem[at + 1] << 16) | (self.mem[at + 2] << 8) | self.mem[at + 3]

    def _set_half(self, field: int, value: int) -> None:
        at = self.offset + field
        self.mem[at] = value >> 56
        self.mem[at + 1] = value >> 48 & 0xFF
        self.mem[at + 2] = value >> 40 & 0xFF
        self.mem[at + 3] = value >> 32 & 0xFF
        self.mem[at + 4] = value >> 24 & 0xFF
        self.mem[at + 5] = value >> 16 & 0xFF
        self.mem[at + 6] = value >> 8 & 0xFF
        self.mem[at + 7] = value & 0xFF
