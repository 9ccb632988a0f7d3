"""A view of an ICMP header (RFC 792) in node memory."""

from ebbrt.memory import NodeMemory

TYPE = 0
CODE = 1
CHECKSUM = 2
REST = 4  # identifier and sequence of an echo; unused or a parameter in an error


class IcmpHeader:
    """The 8 bytes at the offset given to ``at``."""

    def __init__(self, memory: NodeMemory) -> None:
        self.memory = memory
        self.mem = self.memory.mem
        self.offset = 0

    def at(self, offset: int) -> "IcmpHeader":
        """Aim at the header that starts at ``offset`` in node memory."""
        self.offset = offset
        return self

    def message_type(self) -> int:
        """What message this is."""
        return self.mem[self.offset + TYPE]

    def code(self) -> int:
        """What kind of this type."""
        return self.mem[self.offset + CODE]

    def checksum(self) -> int:
        """The checksum over header and data."""
        return (self.mem[self.offset + CHECKSUM] << 8) | self.mem[self.offset + CHECKSUM + 1]

    def rest(self) -> int:
        """The second half of the header: in an echo, identifier and sequence number."""
        at = self.offset + REST
        return (self.mem[at] << 24) | (self.mem[at + 1] << 16) | (self.mem[at + 2] << 8) | self.mem[at + 3]

    def write(self, message_type: int, code: int, checksum: int, rest: int) -> None:
        """Write the whole header."""
        at = self.offset
        self.mem[at + TYPE] = message_type
        self.mem[at + CODE] = code
        self.mem[at + CHECKSUM] = checksum >> 8
        self.mem[at + CHECKSUM + 1] = checksum & 0xFF
        self.mem[at + REST] = rest >> 24
        self.mem[at + REST + 1] = (rest >> 16) & 0xFF
        self.mem[at + REST + 2] = (rest >> 8) & 0xFF
        self.mem[at + REST + 3] = rest & 0xFF
