"""The seam between a network driver and a network stack: what each may ask of the other.

``drivers`` and ``stack`` never import each other. A driver subclasses ``EthernetDevice``, a stack subclasses
``FrameHandler``, and the node joins them. They are base classes, not protocols, so that in the compiled build a call
across the seam is a C call.
"""

from ebbrt.iobuf import IOBuf


class FrameHandler:
    """What a driver delivers frames to."""

    def receive_frame(self, frame: IOBuf, checksum_valid: bool) -> None:
        """Take one Ethernet frame: a chain whose first piece starts at the destination address.

        The first piece holds the whole frame or at least its first 256 bytes, so headers never span two pieces.

        ``checksum_valid``: the TCP or UDP checksum is known to be good, or is partial because the peer never put the
        frame on a wire (virtio 1.2 section 5.1.6.4.1, DATA_VALID and NEEDS_CSUM); else the stack verifies it.
        A frame may be longer than the MTU when the peer sent it in large segments (GUEST_TSO).
        """
        raise NotImplementedError


class EthernetDevice:
    """A network interface as its driver offers it to a stack."""

    mac: bytes
    mtu: int
    headroom: int  # bytes the driver needs in front of every frame it is given
    checksum_offload: bool
    largest_segment: int  # most TCP payload bytes in one frame: 0 without segmentation offload
    segments_ipv6: bool  # whether that holds for IPv6 as well

    def transmit(self, frame: IOBuf, checksum_start: int, checksum_offset: int, segment_size: int) -> bool:
        """Send one Ethernet frame; False, counted, when the device has no room: the frame is lost, as on a wire.

        frame: chain from the destination address on; its first piece owns at least ``headroom`` bytes before it, and
            holds the whole of the headers. The device may hold the chain until it has read it.
        checksum_start: offset in the frame from which the checksum is to be completed; 0: the frame is complete.
            The checksum field already holds the folded sum of the pseudo header (virtio 1.2 section 5.1.6.2).
        checksum_offset: where to put the checksum, relative to checksum_start (16 for TCP, 6 for UDP).
        segment_size: cut the TCP payload into segments of this many bytes (virtio's gso_size); 0: do not.
        """
        raise NotImplementedError
