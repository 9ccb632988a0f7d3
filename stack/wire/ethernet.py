"""A view of an Ethernet header (IEEE 802.3) in node memory. Addresses are 48-bit integers.

Every module of ``stack/wire`` has one view per header: an object made once and aimed at a header with ``at``, so that
reading a field makes no object. The views read and write fields and check what came in; they decide nothing.
"""

from ebbrt.memory import NodeMemory

DESTINATION = 0
SOURCE = 6
TYPE = 12


class EthernetHeader:
    """The 14 bytes at the offset given to ``at``."""

    def __init__(self, memory: NodeMemory) -> None:
        self.memory = memory
        self.mem = self.memory.mem
        self.offset = 0

    def at(self, offset: int) -> "EthernetHeader":
        """Aim at the header that starts at ``offset`` in node memory."""
        self.offset = offset
        return self

    def destination(self) -> int:
        """Whom the frame is for."""
        return self._address(self.offset + DESTINATION)

    def source(self) -> int:
        """Whom the frame is from."""
        return self._address(self.offset + SOURCE)

    def ethertype(self) -> int:
        """What the frame carries."""
        at = self.offset + TYPE
        return (self.mem[at] << 8) | self.mem[at + 1]

    def set_destination(self, address: int) -> None:
        """Write the destination address."""
        self._set_address(self.offset + DESTINATION, address)

    def write(self, destination: int, source: int, ethertype: int) -> None:
        """Write the whole header."""
        self._set_address(self.offset + DESTINATION, destination)
        self._set_address(self.offset + SOURCE, source)
        at = self.offset + TYPE
        self.mem[at] = ethertype >> 8
        self.mem[at + 1] = ethertype & 0xFF

    def _address(self, at: int) -> int:
        high = (self.mem[at] << 8) | self.mem[at + 1]
        low = (self.mem[at + 2] << 24) | (self.mem[at + 3] << 16) | (self.mem[at + 4] << 8) | self.mem[at + 5]
        return (high << 32) | low

    def _set_address(self, at: int, address: int) -> None:
        self.mem[at] = (address >> 40) & 0xFF
        self.mem[at + 1] = (address >> 32) & 0xFF
        self.mem[at + 2] = (address >> 24) & 0xFF
        self.mem[at + 3] = (address >> 16) & 0xFF
        self.mem[at + 4] = (address >> 8) & 0xFF
        self.mem[at + 5] = address & 0xFF
