"""A view of an ARP packet for IPv4 over Ethernet (RFC 826) in node memory."""

from ebbrt.memory import NodeMemory
from stack.constants import ARP_LENGTH, ETHERTYPE_IPV4

HARDWARE_TYPE = 0
PROTOCOL_TYPE = 2
HARDWARE_LENGTH = 4
PROTOCOL_LENGTH = 5
OPERATION = 6
SENDER_MAC = 8
SENDER_ADDRESS = 14
TARGET_MAC = 18
TARGET_ADDRESS = 24

ETHERNET = 1  # hardware type


class ArpPacket:
    """The 28 bytes at the offset given to ``at``."""

    def __init__(self, memory: NodeMemory) -> None:
        self.memory = memory
        self.mem = self.memory.mem
        self.offset = 0

    def at(self, offset: int) -> "ArpPacket":
        """Aim at the packet that starts at ``offset`` in node memory."""
        self.offset = offset
        return self

    def is_valid(self, available: int) -> bool:
        """Whether ``available`` bytes hold an ARP packet of IPv4 over Ethernet."""
        return (
            available >= ARP_LENGTH
            and self._word(HARDWARE_TYPE) == ETHERNET
            and self._word(PROTOCOL_TYPE) == ETHERTYPE_IPV4
            and self.mem[self.offset + HARDWARE_LENGTH] == 6
            and self.mem[self.offset + PROTOCOL_LENGTH] == 4
        )

    def operation(self) -> int:
        """ARP_REQUEST, ARP_REPLY or something unknown."""
        return self._word(OPERATION)

    def sender_mac(self) -> int:
        """The sender's link address."""
        return (self._word(SENDER_MAC) << 32) | (self._word(SENDER_MAC + 2) << 16) | self._word(SENDER_MAC + 4)

    def sender_address(self) -> int:
        """The sender's IPv4 address."""
        return (self._word(SENDER_ADDRESS) << 16) | self._word(SENDER_ADDRESS + 2)

    def target_mac(self) -> int:
        """The target's link address; means nothing in a request."""
        return (self._word(TARGET_MAC) << 32) | (self._word(TARGET_MAC + 2) << 16) | self._word(TARGET_MAC + 4)

    def target_address(self) -> int:
        """The target's IPv4 address: whom a request asks for."""
        return (self._word(TARGET_ADDRESS) << 16) | self._word(TARGET_ADDRESS + 2)

    def write(
        self, operation: int, sender_mac: int, sender_address: int, target_mac: int, target_address: int
    ) -> None:
        """Write the whole packet."""
        self._set_word(HARDWARE_TYPE, ETHERNET)
        self._set_word(PROTOCOL_TYPE, ETHERTYPE_IPV4)
        self.mem[self.offset + HARDWARE_LENGTH] = 6
        self.mem[self.offset + PROTOCOL_LENGTH] = 4
        self._set_word(OPERATION, operation)
        self._set_mac(SENDER_MAC, sender_mac)
        self._set_word(SENDER_ADDRESS, sender_address >> 16)
        self._set_word(SENDER_ADDRESS + 2, sender_address & 0xFFFF)
        self._set_mac(TARGET_MAC, target_mac)
        self._set_word(TARGET_ADDRESS, target_address >> 16)
        self._set_word(TARGET_ADDRESS + 2, target_address & 0xFFFF)

    def _word(self, field: int) -> int:
        at = self.offset + field
        return (self.mem[at] << 8) | self.mem[at + 1]

    def _set_word(self, field: int, value: int) -> None:
        at = self.offset + field
        self.mem[at] = value >> 8
        self.mem[at + 1] = value & 0xFF

    def _set_mac(self, field: int, mac: int) -> None:
        self._set_word(field, mac >> 32)
        self._set_word(field + 2, (mac >> 16) & 0xFFFF)
        self._set_word(field + 4, mac & 0xFFFF)
