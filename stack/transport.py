"""The seam between IP and what it carries: ICMP, UDP and TCP are ``Transport``s in a table by protocol number.

It is a base class in a module of its own, so that IP and the transports, which call each other, import one way only
and in the compiled build meet in C calls.
"""

from ebbrt.iobuf import IOBuf


class Transport:
    """What IP delivers packets of one protocol to."""

    def receive_segment(
        self, packet: IOBuf, length: int, source: int, destination: int, checksum_valid: bool, now: int
    ) -> None:
        """Take one packet's payload: a chain of exactly ``length`` bytes that starts at the transport header.

        source, destination: addresses as 32-bit integers, checked by IP.
        checksum_valid: the device vouches for the transport checksum; else the transport verifies it.
        """
        raise NotImplementedError

    def icmp_error(
        self,
        error_type: int,
        code: int,
        source_port: int,
        destination: int,
        destination_port: int,
        sequence: int,
        now: int,
    ) -> None:
        """Something on the way, or this node's own IP, could not deliver a packet we sent (RFC 1122 section 3.2.2).

        ``error_type`` and ``code`` are ICMP's; the rest is quoted from the packet: our port, the peer's address and
        port, and the 4 bytes behind the ports (TCP's sequence number). Anyone may forge it: verify before acting.
        """
        raise NotImplementedError
