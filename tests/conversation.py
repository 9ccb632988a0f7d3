"""Builds captures of TCP conversations with scapy, packet by packet, for the tests of ``captures``."""

import struct
from pathlib import Path

from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap

CLIENT, SERVER = "198.18.0.1", "198.18.0.2"
OPTIONS = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)]
GET, SET, QUIT, NOOP, GETQ, STAT, SETQ = 0x00, 0x01, 0x07, 0x0A, 0x09, 0x10, 0x11
EVERY_NS = 100_000


def request(opcode: int, key: bytes = b"", value: bytes = b"", *, opaque: int = 0, cas: int = 0) -> bytes:
    """A request of memcached's binary protocol."""
    extras = bytes(8) if opcode in (SET, SETQ) else b""
    body = extras + key + value
    return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, len(body), opaque, cas) + body


def reply(
    opcode: int, value: bytes = b"", *, opaque: int = 0, cas: int = 0, status: int = 0, key: bytes = b""
) -> bytes:
    """A reply of memcached's binary protocol."""
    extras = bytes(4) if opcode in (GET, GETQ) and not status else b""
    body = extras + key + value
    return struct.pack(">BBHBBHIIQ", 0x81, opcode, len(key), len(extras), 0, status, len(body), opaque, cas) + body


class Conversation:
    """One TCP connection written down by hand. Every method adds packets to ``packets``; edit the list at will."""

    def __init__(self, client_port: int = 40000, client_isn: int = 1000, server_isn: int = 9000) -> None:
        self.port = client_port
        self.isn = {True: client_isn, False: server_isn}
        self.sent = {True: 0, False: 0}  # bytes of each stream, without SYN
        self.packets: list[Packet] = []

    def segment(self, from_client: bool, at: int, data: bytes = b"", flags: str = "A", **fields: object) -> Packet:
        """A segment whose first byte is stream byte ``at``, acknowledging all that was sent; it is not yet added."""
        source, destination = (CLIENT, SERVER) if from_client else (SERVER, CLIENT)
        ports = (self.port, 11211) if from_client else (11211, self.port)
        made: dict[str, object] = {
            "seq": (self.isn[from_client] + 1 + at) & 0xFFFFFFFF,
            "ack": (self.isn[not from_client] + 1 + self.sent[not from_client]) & 0xFFFFFFFF,
            "window": 500,
            **fields,
        }
        tcp = TCP(sport=ports[0], dport=ports[1], flags=flags, **made)
        ends = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        packet = ends / IP(src=source, dst=destination) / tcp
        return packet / Raw(data) if data else packet

    def add(self, from_client: bool, at: int, data: bytes = b"", flags: str = "A", **fields: object) -> "Conversation":
        """Add such a segment."""
        self.packets.append(self.segment(from_client, at, data, flags, **fields))
        return self

    def handshake(self) -> "Conversation":
        """SYN, SYN-ACK, ACK."""
        self.add(True, -1, flags="S", ack=0, window=64240, options=OPTIONS)
        self.add(False, -1, flags="SA", window=65160, options=OPTIONS)
        return self.add(True, 0)

    def client(self, data: bytes) -> "Conversation":
        """The client's next bytes, in one segment."""
        return self._say(True, data)

    def server(self, data: bytes) -> "Conversation":
        """The server's next bytes, in one segment."""
        return self._say(False, data)

    def _say(self, from_client: bool, data: bytes) -> "Conversation":
        self.add(from_client, self.sent[from_client], data, "PA")
        self.sent[from_client] += len(data)
        return self

    def close(self) -> "Conversation":
        """FIN of the client, FIN of the server, ACK."""
        self.add(True, self.sent[True], flags="FA")
        self.sent[True] += 1
        self.add(False, self.sent[False], flags="FA")
        self.sent[False] += 1
        return self.add(True, self.sent[True])


def over_ipv6(packet: Packet) -> Packet:
    """The same segment over IPv6, from and to addresses that end as the IPv4 ones do."""
    ends = Ether(src=packet.src, dst=packet.dst)
    return ends / IPv6(src=f"fd00::{packet[IP].src}", dst=f"fd00::{packet[IP].dst}") / packet[TCP].copy()


def in_vlans(packet: Packet, *vlans: int) -> Packet:
    """The same packet with VLAN tags, outermost first."""
    tagged = Ether(src=packet.src, dst=packet.dst)
    for vlan in vlans:
        tagged /= Dot1Q(vlan=vlan)
    return tagged / packet.payload.copy()


def save(path: Path, packets: list[Packet], times_ns: list[int] | None = None) -> Path:
    """Write ``packets`` as pcap, ``EVERY_NS`` apart unless their times are given."""
    for index, packet in enumerate(packets):
        nanoseconds = times_ns[index] if times_ns else index * EVERY_NS
        packet.time = 1000 + nanoseconds / 1e9
    wrpcap(str(path), packets)
    return path
