"""TCP segments out of captured packets, over IPv4 and IPv6, whatever carried those (``link_layers``).

Checksums are not judged: a capture on a host sees frames before the device fills them in. Lengths are: a header that
contradicts itself makes the packet malformed (RFC 791 section 3.1, RFC 8200 section 3, RFC 9293 section 3.1). What is
no TCP is told by name, so that a reader can say what it left out. Next to read: ``flows``.
"""

import struct
from typing import NamedTuple

from captures.files import Packet
from captures.link_layers import ETHERTYPE_IPV4, ETHERTYPE_IPV6, network_packet

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
FLAG_LETTERS = "FSRPAUEW"

ETHERTYPE_NAMES = {0x0806: "ARP", 0x88CC: "LLDP", 0x8863: "PPPoE discovery", 0x8847: "MPLS"}
PROTOCOL_TCP = 6
PROTOCOL_NAMES = {
    1: "ICMP",
    2: "IGMP",
    17: "UDP",
    47: "GRE",
    50: "ESP",
    58: "ICMPv6",
    59: "no next header",
    132: "SCTP",
}

HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS = 0, 43, 44, 51, 60
EXTENSIONS = frozenset((HOP_BY_HOP, ROUTING, AUTHENTICATION, DESTINATION_OPTIONS))  # RFC 8200 section 4, RFC 4302
MAX_EXTENSIONS = 64  # followed in one packet; a longer chain is nobody's TCP

Endpoint = tuple[bytes, int]  # address of 4 or 16 bytes, port
Ends = frozenset[bytes]  # the two addresses of a packet

_IPV4 = struct.Struct(">BxHxxHxBxx4s4s")
_IPV6 = struct.Struct(">IHBx16s16s")
_TCP = struct.Struct(">HHIIBBH")


class NotTcp(Exception):  # noqa: N818 -- what a packet is, which its reader counts
    """A packet that carries no TCP; the text names what it carries instead."""


class Malformed(Exception):  # noqa: N818 -- a verdict on a packet, which its reader records
    """A packet whose headers contradict themselves or were cut, or a fragment; the text says how.

    ``ends``: its two addresses and, where they could be read, ``ports``: by these a reader tells whose it may be.
    """

    def __init__(self, reason: str, ends: Ends = frozenset(), ports: frozenset[int] = frozenset()) -> None:
        super().__init__(reason)
        self.ends = ends
        self.ports = ports


class Segment(NamedTuple):
    """One TCP segment. With segmentation offload it may be far larger than the MTU."""

    packet: int  # its number in the capture
    time_ns: int
    source: Endpoint
    destination: Endpoint
    seq: int
    ack: int
    flags: int
    window: int  # as in the header, not scaled
    options: bytes
    payload: bytes  # what was captured of it
    length: int  # of the payload on the wire; more than len(payload) when the packet was cut
    wire_bytes: int  # of the whole frame on the wire
    vlans: tuple[int, ...] = ()  # VLAN identifiers, outermost first: the same addresses in another VLAN are others


class Options(NamedTuple):
    """The handshake's options; None or False where one was not sent."""

    mss: int | None = None
    window_scale: int | None = None
    sack_permitted: bool = False
    timestamps: bool = False


def flag_names(flags: int) -> str:
    """``SA`` for SYN and ACK, as tcpdump writes them but for ACK's dot."""
    return "".join(letter for bit, letter in enumerate(FLAG_LETTERS) if flags >> bit & 1) or "none"


def parse_segment(packet: Packet) -> Segment:
    """The segment in ``packet``. NotTcp when there is none, Malformed when there may be one that cannot be read."""
    layer = network_packet(packet.link_type, packet.frame)
    if isinstance(layer, str):
        raise NotTcp(layer)
    at = len(packet.frame) - len(layer.packet)
    if layer.ethertype == ETHERTYPE_IPV4:
        return _over_ipv4(packet, at, layer.vlans)
    if layer.ethertype == ETHERTYPE_IPV6:
        return _over_ipv6(packet, at, layer.vlans)
    raise NotTcp(ETHERTYPE_NAMES.get(layer.ethertype, f"ethertype 0x{layer.ethertype:04x}"))


def _over_ipv4(packet: Packet, at: int, vlans: tuple[int, ...]) -> Segment:
    """RFC 791 section 3.1; ``at``: where its header begins."""
    frame = packet.frame
    if len(frame) < at + 20:
        raise Malformed(_too_short(packet, "IP"))
    version_ihl, total, fragment, protocol, source, destination = _IPV4.unpack_from(frame, at)
    if protocol != PROTOCOL_TCP:
        raise NotTcp(PROTOCOL_NAMES.get(protocol, f"IP protocol {protocol}"))
    ends = frozenset((source, destination))
    header = (version_ihl & 0x0F) * 4
    if version_ihl >> 4 != 4 or header < 20:
        raise Malformed(f"bad IP version or header length, 0x{version_ihl:02x}", ends)
    if fragment & 0x3FFF:
        raise Malformed("an IP fragment: TCP inside fragments is not reassembled", ends)
    # A total length of zero is how Linux captures a segment too large for the field.
    end = at + total if total else packet.length
    if end > packet.length:
        raise Malformed(f"IP total length {total} is more than the frame holds", ends)
    return _segment(packet, (at + header, end), (source, destination), vlans)


def _over_ipv6(packet: Packet, at: int, vlans: tuple[int, ...]) -> Segment:
    """RFC 8200 section 3, and section 4 for the extension headers between it and TCP."""
    frame = packet.frame
    if len(frame) < at + 40:
        raise Malformed(_too_short(packet, "IPv6"))
    first, length, following, source, destination = _IPV6.unpack_from(frame, at)
    ends = frozenset((source, destination))
    if first >> 28 != 6:
        raise Malformed(f"bad IP version {first >> 28} in an IPv6 packet", ends)
    # A length of zero is a jumbogram's (RFC 2675), and how Linux captures a segment too large for the field.
    end = at + 40 + length if length else packet.length
    if end > packet.length:
        raise Malformed(f"IPv6 payload length {length} is more than the frame holds", ends)
    tcp = _behind_extensions(packet, following, at + 40, ends)
    return _segment(packet, (tcp, end), (source, destination), vlans)


def _behind_extensions(packet: Packet, following: int, at: int, ends: Ends) -> int:
    """Where TCP's header begins; ``following``: the type of the header at ``at``."""
    frame = packet.frame
    for _ in range(MAX_EXTENSIONS):
        if following == PROTOCOL_TCP:
            return at
        if following == FRAGMENT:
            if at + 8 > len(frame):
                raise Malformed(_too_short(packet, "IPv6 Fragment"), ends)
            if int.from_bytes(frame[at + 2 : at + 4], "big") & 0xFFF9:  # an atomic fragment is whole (RFC 6946)
                raise Malformed("an IP fragment: TCP inside fragments is not reassembled", ends)
            following, length = frame[at], 8
        elif following in EXTENSIONS:
            if at + 2 > len(frame):
                raise Malformed(_too_short(packet, "IPv6 extension"), ends)
            units = frame[at + 1]
            length = (units + 2) * 4 if following == AUTHENTICATION else (units + 1) * 8
            following = frame[at]
        else:
            raise NotTcp(PROTOCOL_NAMES.get(following, f"IP protocol {following}"))
        at += length
    raise Malformed(f"more than {MAX_EXTENSIONS} IPv6 extension headers", ends)


def _segment(
    packet: Packet, bounds: tuple[int, int], addresses: tuple[bytes, bytes], vlans: tuple[int, ...]
) -> Segment:
    """The segment between ``bounds``; RFC 9293 section 3.1."""
    frame = packet.frame
    tcp, end = bounds
    source, destination = addresses
    ends = frozenset(addresses)
    if tcp + 20 > end:
        raise Malformed("no room for a TCP header", ends)
    if tcp + 20 > len(frame):
        raise Malformed("cut inside the TCP header", ends)
    source_port, destination_port, seq, ack, offset, flags, window = _TCP.unpack_from(frame, tcp)
    data = tcp + (offset >> 4) * 4
    if data < tcp + 20 or data > end:
        raise Malformed(f"bad TCP data offset {offset >> 4}", ends, frozenset((source_port, destination_port)))
    if data > len(frame):
        raise Malformed("cut inside the TCP options", ends, frozenset((source_port, destination_port)))
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
        vlans,
    )


def _too_short(packet: Packet, header: str) -> str:
    """In words, why a header is not whole: the capture cut it, or the frame ends."""
    return (
        f"cut inside the {header} header" if packet.length > len(packet.frame) else f"too short for an {header} header"
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
