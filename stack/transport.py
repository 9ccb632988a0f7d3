"""The seam between IP and what it carries: ICMP, UDP and TCP are ``Transport``s, and send through ``Path``s.

Nothing above it knows a version of IP. An address is a pair of 64-bit integers, ``high`` and ``low``; those of IPv4
are the mapped ones of RFC 4291 section 2.5.5.2 (``stack.address``). They are base classes in a module of their own, so
that IP and the transports, which call each other, import one way only and in the compiled build meet in C calls.
"""

from ebbrt.iobuf import IOBuf
from stack.interface import Interface
from stack.path_mtu import PathMtu


class Received:
    """What IP says of the packet that it is delivering; one object, valid until the transport returns.

    start, header_length: offset in node memory of the packet's IP header, and how long it is with options.
    address_sum: the sum of the 16-bit words of both addresses, for checksums.
    traffic_class: the whole byte, with the two bits of ECN (RFC 3168). to_group: the packet is for a broadcast or
    multicast address. checksum_valid: the device vouches for the transport checksum; else the transport verifies it.
    """

    def __init__(self) -> None:
        self.version = 4
        self.interface: Interface = None  # type: ignore[assignment]  # there is one whenever a packet is delivered
        self.source_high = 0
        self.source_low = 0
        self.destination_high = 0
        self.destination_low = 0
        self.address_sum = 0
        self.start = 0
        self.header_length = 0
        self.hop_limit = 0
        self.traffic_class = 0
        self.to_group = False
        self.checksum_valid = False

    def quote(self, packet: IOBuf, at: int, length: int) -> None:
        """Copy the packet's first ``length`` bytes to offset ``at`` of node memory, where an error quotes them.

        packet: the chain of what is behind its ``header_length`` bytes; it and they have so many together.
        """
        memory = packet.memory
        part = min(self.header_length, length)
        memory.view(at, part)[:] = memory.view(self.start, part)
        piece: IOBuf | None = packet
        while piece is not None and part < length:
            count = min(piece.length, length - part)
            memory.view(at + part, count)[:] = memory.view(piece.start, count)
            part += count
            piece = piece.next


class IcmpError:
    """An error about a packet of ours, from somebody on the way or from this node's own IP (RFC 1122 section 3.2.2).

    kind: one of the ERROR_ constants, for both versions. mtu: with ERROR_TOO_BIG, what fits, or 0: not said. The rest
    is quoted from the packet: its length with IP's header, our address and port, the peer's, and the 4 bytes behind
    the ports (TCP's sequence number). Anyone may forge it: verify before acting.
    """

    def __init__(self) -> None:
        self.kind = 0
        self.mtu = 0
        self.length = 0
        self.local_high = 0
        self.local_low = 0
        self.local_port = 0
        self.remote_high = 0
        self.remote_low = 0
        self.remote_port = 0
        self.sequence = 0


class Transport:
    """What IP delivers packets of one protocol to."""

    def receive_segment(self, packet: IOBuf, length: int, received: Received, now: int) -> None:
        """Take one packet's payload: a chain of exactly ``length`` bytes that starts at the transport header."""
        raise NotImplementedError

    def icmp_error(self, error: IcmpError, now: int) -> None:
        """A packet that this transport sent could not be delivered."""
        raise NotImplementedError


class Path(PathMtu):
    """The way from one of our addresses to one other address, for as long as its holder likes.

    headroom: bytes that the first piece of a packet given to ``send`` must own before the transport header.
    header_length: IP's. What fits is PathMtu's: all who send there share it.
    largest_segment: most payload bytes ``send`` takes with a ``segment_size``; 0: none. address_sum: as in Received.
    """

    def __init__(self, version: int, source: tuple[int, int], destination: tuple[int, int]) -> None:
        PathMtu.__init__(self, version)
        self.source_high, self.source_low = source
        self.destination_high, self.destination_low = destination
        self.address_sum = 0
        self.headroom = 0
        self.header_length = 0
        self.largest_segment = 0

    def leads_to_host(self) -> bool:
        """Whether packets can be sent, and to one other host: no group, and there is a route."""
        raise NotImplementedError

    def send(
        self,
        packet: IOBuf,
        length: int,
        protocol: int,
        checksum_offset: int,
        segment_size: int,
        traffic_class: int,
        now: int,
    ) -> bool:
        """Send a transport's packet; False, counted, when it could not leave (no route, too long, device full).

        packet: chain from the transport header on, ``length`` bytes in all; its first piece owns ``headroom`` bytes
            before them, where the headers are written. The chain is used up: to send again, make another.
        checksum_offset: of the checksum field, now zero, in the transport header; 0: the packet needs none.
        segment_size: the device cuts the payload into TCP segments of this size; 0: it does not.
        Raises ValueError when the headroom is missing: the caller's mistake.
        """
        raise NotImplementedError
