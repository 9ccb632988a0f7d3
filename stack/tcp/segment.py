"""A received segment, taken apart: the fields of its header in host order, and its payload.

Each engine has one ``Segment``, which every arriving segment is read into. It is meaningless once an application has
been called, since that may do anything.
"""

from ebbrt.iobuf import IOBuf
from stack.tcp.constants import (
    DROP_BAD_CHECKSUM,
    DROP_BAD_DATA_OFFSET,
    DROP_BAD_OPTIONS,
    DROP_SPLIT_HEADER,
    DROP_TOO_SHORT,
    FIN,
    HEADER_LENGTH,
    MASK32,
    PROTOCOL_TCP,
    SYN,
)
from stack.tcp.engine import Engine
from stack.transport import Received
from stack.wire.checksum import transport_sum


class Segment:
    """SEG.* of RFC 9293 section 3.3.1. ``length`` is that of the payload alone; ``payload`` is None without one."""

    def __init__(self) -> None:
        self.source_port = 0
        self.destination_port = 0
        self.sequence = 0
        self.acknowledgment = 0
        self.flags = 0
        self.window = 0
        self.length = 0
        self.payload: IOBuf | None = None
        self.mss = 0
        self.window_scale = -1
        self.has_timestamps = False
        self.timestamp_value = 0
        self.timestamp_echo = 0
        self.sack_permitted = False
        self.sack_blocks = 0  # they are in the engine's TcpOptions
        self.traffic_class = 0  # of the packet it came in

    def read(self, engine: Engine, packet: IOBuf, length: int, received: Received) -> int:
        """Take a packet apart and check it; -1 when it is good, else why it is to be dropped."""
        if length < HEADER_LENGTH:
            return DROP_TOO_SHORT
        if packet.length < HEADER_LENGTH:
            return DROP_SPLIT_HEADER
        header = engine.header
        header.at(packet.memory, packet.start)
        data_offset = header.data_offset()
        if data_offset < HEADER_LENGTH or data_offset > length:
            return DROP_BAD_DATA_OFFSET
        if data_offset > packet.length:
            return DROP_SPLIT_HEADER
        if not received.checksum_valid and transport_sum(packet, length, PROTOCOL_TCP, received.address_sum) != 0xFFFF:
            return DROP_BAD_CHECKSUM
        options = engine.options
        if not options.parse(packet.memory, packet.start + HEADER_LENGTH, data_offset - HEADER_LENGTH):
            return DROP_BAD_OPTIONS
        self.source_port = header.source_port()
        self.destination_port = header.destination_port()
        self.sequence = header.sequence()
        self.acknowledgment = header.acknowledgment()
        self.flags = header.flags()
        self.window = header.window()
        self.has_timestamps = options.has_timestamps
        self.timestamp_value = options.timestamp_value
        self.timestamp_echo = options.timestamp_echo
        self.mss = options.mss
        self.window_scale = options.window_scale
        self.sack_permitted = options.sack_permitted
        self.sack_blocks = options.sack_blocks
        self.traffic_class = received.traffic_class
        self.length = length - data_offset
        self.payload = packet.advance_chain(data_offset) if self.length else None
        return -1

    def recall_syn(self, mss: int, window_scale: int, sack_permitted: bool) -> None:
        """Let the segment, which came one after a SYN, say what that SYN said."""
        self.sequence = (self.sequence - 1) & MASK32
        self.mss = mss
        self.window_scale = window_scale
        self.sack_permitted = sack_permitted

    def space(self) -> int:
        """SEG.LEN: what the segment takes of sequence space, SYN and FIN counted."""
        return self.length + (1 if self.flags & SYN else 0) + (1 if self.flags & FIN else 0)
