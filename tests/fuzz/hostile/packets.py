"""Frames of an attacker, built fast: Ethernet, IPv4 and TCP with whatever a caller wants in each field.

Ten million of them are sent in one run, which scapy would take hours for; that they say what they are meant to is held
against scapy in ``test_hostile``.
"""

import struct

ETHERNET = 14
IPV4 = 20
TCP = 20
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP = 1, 6, 17
_IPV4 = struct.Struct(">BBHHHBBH4s4s")
_TCP = struct.Struct(">HHIIBBHHH")
_TIMESTAMPS = struct.Struct(">BBBBII")


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071); of a whole packet with its checksum it is 0."""
    if len(data) % 2:
        data += b"\0"
    total = int.from_bytes(data, "big") % 0xFFFF  # 2**16 is 1 modulo 0xFFFF: the sum of all words, folded
    return 0xFFFF ^ total if total or not any(data) else 0


def ethernet(destination: bytes, source: bytes, payload: bytes, ethertype: int = 0x0800) -> bytes:
    """An Ethernet frame."""
    return destination + source + ethertype.to_bytes(2, "big") + payload


def ipv4(
    source: bytes, destination: bytes, protocol: int, payload: bytes, fragment: int = 0, number: int = 0
) -> bytes:
    """An IPv4 packet; fragment: the word of flags and offset."""
    header = _IPV4.pack(0x45, 0, IPV4 + len(payload), number, fragment, 64, protocol, 0, source, destination)
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + payload


def tcp(
    source: bytes,
    destination: bytes,
    ports: tuple[int, int],
    sequence: int,
    acknowledgment: int,
    flags: int,
    window: int = 0xFFFF,
    options: bytes = b"",
    payload: bytes = b"",
    urgent: int = 0,
) -> bytes:
    """A TCP segment with its checksum; options are padded to whole words."""
    options += bytes(-len(options) % 4)
    header = _TCP.pack(
        *ports,
        sequence & 0xFFFFFFFF,
        acknowledgment & 0xFFFFFFFF,
        (TCP + len(options)) << 2 & 0xF0,
        flags,
        window,
        0,
        urgent,
    )
    segment = header + options + payload
    pseudo = source + destination + struct.pack(">HH", PROTOCOL_TCP, len(segment))
    return segment[:16] + checksum(pseudo + segment).to_bytes(2, "big") + segment[18:]


def timestamps(value: int, echo: int) -> bytes:
    """The option, behind two NOPs (RFC 7323 appendix A)."""
    return _TIMESTAMPS.pack(1, 1, 8, 10, value & 0xFFFFFFFF, echo & 0xFFFFFFFF)


def icmp(kind: int, code: int, rest: int, quoted: bytes) -> bytes:
    """An ICMP message about the packet ``quoted``, or one of any other kind."""
    message = struct.pack(">BBHI", kind, code, 0, rest) + quoted
    return message[:2] + checksum(message).to_bytes(2, "big") + message[4:]


def arp_reply(mac: bytes, ip: bytes, to_mac: bytes, to_ip: bytes) -> bytes:
    """An ARP reply that says where ``ip`` is (RFC 826)."""
    return ethernet(to_mac, mac, bytes.fromhex("0001080006040002") + mac + ip + to_mac + to_ip, 0x0806)
