"""A device that keeps what it is told to send, and frames as a driver would deliver them: for tests of the stack."""

from dataclasses import dataclass, field
from itertools import pairwise

from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator, NodeMemory
from ebbrt.netdevice import EthernetDevice

NODE_MAC = bytes.fromhex("020000000001")
PEER_MAC = bytes.fromhex("020000000002")
VIRTIO_HEADER = 12  # what lies before a frame in a receive buffer (virtio 1.2 section 5.1.6)


def ones_complement_sum(data: bytes) -> int:
    """RFC 1071, the slow and obvious way."""
    if len(data) % 2:
        data += b"\0"
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def make_allocator(size: int = 4 << 20) -> MemoryAllocator:
    return MemoryAllocator(NodeMemory(size))


def read_chain(chain: IOBuf | None) -> bytes:
    """A chain's bytes, without counting them as copied payload."""
    pieces = []
    while chain is not None:
        pieces.append(bytes(chain.memory.view(chain.start, chain.length)))
        chain = chain.next
    return b"".join(pieces)


def make_frame(allocator: MemoryAllocator, data: bytes, *cuts: int) -> IOBuf:
    """``data`` in one receive buffer, or in several, cut at the given offsets (mergeable receive buffers)."""
    edges = [0, *cuts, len(data)]
    head = None
    for start, end in pairwise(edges):
        piece = allocate(allocator, end - start, VIRTIO_HEADER if head is None else 0)
        assert piece is not None
        piece.owns_headroom = False
        piece.write(0, data[start:end])
        if head is None:
            head = piece
        else:
            head.append(piece)
    assert head is not None
    return head


@dataclass
class Sent:
    """One frame as it was given to ``transmit``."""

    frame: bytes
    checksum_start: int
    checksum_offset: int
    segment_size: int
    pieces: list[tuple[int, int]] = field(default_factory=list)  # (offset in node memory, length)

    def wire(self) -> bytes:
        """The frame with its checksum completed, as the device would put it on the wire (not segmented)."""
        if not self.checksum_start:
            return self.frame
        checksum = 0xFFFF ^ ones_complement_sum(self.frame[self.checksum_start :])
        at = self.checksum_start + self.checksum_offset
        return self.frame[:at] + (checksum or 0xFFFF).to_bytes(2, "big") + self.frame[at + 2 :]


class FakeDevice(EthernetDevice):
    """Records the frames it is given; ``full`` makes it refuse them."""

    def __init__(
        self, mtu: int = 1500, checksum_offload: bool = False, largest_segment: int = 0, mac: bytes = NODE_MAC
    ) -> None:
        self.mac = mac
        self.mtu = mtu
        self.headroom = VIRTIO_HEADER
        self.checksum_offload = checksum_offload
        self.largest_segment = largest_segment
        self.segments_ipv6 = True
        self.full = False
        self.sent: list[Sent] = []

    def transmit(self, frame: IOBuf, checksum_start: int, checksum_offset: int, segment_size: int) -> bool:
        assert frame.headroom() >= self.headroom
        if self.full:
            return False
        pieces = []
        piece: IOBuf | None = frame
        while piece is not None:
            pieces.append((piece.start, piece.length))
            piece = piece.next
        self.sent.append(Sent(read_chain(frame), checksum_start, checksum_offset, segment_size, pieces))
        return True

    def frames(self) -> list[bytes]:
        """What has been sent since the last call, as it would look on the wire."""
        sent, self.sent = self.sent, []
        return [one.wire() for one in sent]
