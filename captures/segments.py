"""TCP segments out of captured Ethernet frames.

Checksums are not judged: a capture on a host sees frames before the device fills them in. Lengths are: a header that
contradicts itself makes the packet malformed (RFC 791 section 3.1, RFC 9293 section 3.1). Next to read: ``flows``.
"""

import struct
from typing import NamedTuple

from captures.files import Packet

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
FLAG_LETTERS = "FSRPAUEW"

ETHERNET_LENGTH = 14
ETHERTYPE_IPV4 = b"\x08\x00"
PROTOCOL_TCP = 6

_IP = struct.Struct(">BxHxxHxBxx4s4s")
_TCP = struct.Struct(">HHIIBBH")


class Malformed(Exception):  # noqa: N818 -- a verdict on a packet, which its reader records
    """A packet whose headers contradict themselves or were cut; the text says how."""


class Segment(NamedTuple):
    """One TCP segment. With segmentation offload it may be far larger than the MTU."""

    packet: int  # its number in the capture
    time_ns: int
    source: tuple[bytes, int]  # address, port
    destination: tuple[bytes, int]
    seq: int
    ack: int
    flags: int
    window: int  # as in the header, not scaled
    options: bytes
    payload: bytes  # what was captured of it
    length: int  # of the payload on the wire; more than len(payload) when the packet was cut
    wire_bytes: int  # of the whole frame on the wire


class Options(NamedTuple):
    """The handshake's options; None or False where one was not sent."""

    mss: int | None = None
    window_scale: int | None = None
    sack_permitted: bool = False
    timestamps: bool = False


def flag_names(flags: int) -> str:
    """``SA`` for SYN and ACK, as tcpdump writes them but for ACK's dot."""
    return "".join(letter for bit, letter in enumerate(FLAG_LETTERS) if flags >> bit & 1) or "none"


def parse_segment(packet: Packet) -> Segment | None:
    """The segment in ``packet``, None when it is not TCP over IPv4, Malformed when it claims to be but is not."""
    frame = packet.frame
    if frame[12:14] != ETHERTYPE_IPV4:
        return None
    cut = packet.length > len(frame)
    if len(frame) < ETHERNET_LENGTH + 20:
        raise Malformed("cut inside the IP header" if cut else "too short for an IP header")
    version_ihl, total, fragment, protocol, source, destination = _IP.unpack_from(frame, ETHERNET_LENGTH)
    if protocol != PROTOCOL_TCP:
        return None
    header = (version_ihl & 0x0F) * 4
    # A total length of zero is how Linux captures a segment too large for the field.
    end = ETHERNET_LENGTH + total if total else packet.length
    tcp = ETHERNET_LENGTH + header
    if version_ihl >> 4 != 4 or header < 20:
        raise Malformed(f"bad IP version or header length, 0x{version_ihl:02x}")
    if fragment & 0x3FFF:
        raise Malformed("an IP fragment: TCP inside fragments is not reassembled")
    if end > packet.length:
        raise Malformed(f"IP total length {total} is more than the frame holds")
    if tcp + 20 > end:
        raise Malformed("no room for a TCP header")
    if tcp + 20 > len(frame):
        raise Malformed("cut inside the TCP header")
    source_port, destination_port, seq, ack, offset, flags, window = _TCP.unpack_from(frame, tcp)
    data = tcp + (offset >> 4) * 4
    if data < tcp + 20 or data > end:
        raise Malformed(f"bad TCP data offset {offset >> 4}")
    if data > len(frame):
        raise Malformed("cut inside the TCP options")
    return Segment(
        packet.number,
        packet.time_ns,
        (source, source_port),
        (destination, destination_port),
        seq,
        ack,
        flags,
        window,
        frame[tcp + 20 : data],
        frame[data:end],
        end - data,
        packet.length,
    )


def parse_options(options: bytes) -> Options:
    """What a handshake segment's options say; options that contradict their length end the list (RFC 9293 3.1)."""
    mss: int | None = None
    window_scale: int | None = None
    sack_permitted = timestamps = False
    at = 0
    while at < len(options):
        kind = options[at]
        if kind == 0:
            break
        if kind == 1:
            at += 1
            continue
        length = options[at + 1] if at + 1 < len(options) else 0
        if length < 2 or at + length > len(options):
            break
        if kind == 2 and length == 4:
            mss = int.from_bytes(options[at + 2 : at + 4], "big")
        elif kind == 3 and length == 3:
            window_scale = options[at + 2]
        elif kind == 4 and length == 2:
            sack_permitted = True
        elif kind == 8 and length == 10:
            timestamps = True
        at += length
    return Options(mss, window_scale, sack_permitted, timestamps)
