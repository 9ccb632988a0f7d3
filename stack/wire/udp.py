"""A view of a UDP header (RFC 768) in node memory."""

from ebbrt.memory import NodeMemory

SOURCE_PORT = 0
DESTINATION_PORT = 2
LENGTH = 4
CHECKSUM = 6


class UdpHeader:
    """The 8 bytes at the offset given to ``at``."""

    def __init__(self, memory: NodeMemory) -> None:
        self.memory = memory
        self.mem = self.memory.mem
        self.offset = 0

    def at(self, offset: int) -> "UdpHeader":
        """Aim at the header that starts at ``offset`` in node memory."""
        self.offset = offset
        return self

    def source_port(self) -> int:
        """The sender's port; 0: no answer is wanted."""
        return self._word(SOURCE_PORT)

    def destination_port(self) -> int:
        """The receiver's port."""
        return self._word(DESTINATION_PORT)

    def length(self) -> int:
        """Bytes in the datagram, with its header."""
        return self._word(LENGTH)

    def checksum(self) -> int:
        """The checksum over pseudo header, header and data; 0: the sender made none."""
        return self._word(CHECKSUM)

    def write(self, source_port: int, destination_port: int, length: int) -> None:
        """Write the whole header, with a checksum of zero."""
        self._set_word(SOURCE_PORT, source_port)
        self._set_word(DESTINATION_PORT, destination_port)
        self._set_word(LENGTH, length)
        self._set_word(CHECKSUM, 0)

    def _word(self, field: int) -> int:
        at = self.offset + field
        return (self.mem[at] << 8) | self.mem[at + 1]

    def _set_word(self, field: int, value: int) -> None:
        at = self.offset + field
        self.mem[at] = value >> 8
        self.mem[at + 1] = value & 0xFF
