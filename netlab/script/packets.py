"""Packets of a script as bytes, and bytes of the stack as packets: scapy builds and dissects them.

Here sequence numbers are those on the wire; `netlab.script.flow` translates. A payload is zeros, as in packetdrill.
"""

from dataclasses import dataclass

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet as Layer
from scapy.packet import Raw
from scapy.utils import checksum

from netlab.script import tcp_options
from netlab.script.icmp_names import FRAGMENTATION_NEEDED, icmp_names, icmp_numbers
from netlab.script.tree import Icmp, IpInfo, Packet, Quoted, Tcp, Udp

FLAG_BITS = {"F": 0x01, "S": 0x02, "R": 0x04, "P": 0x08, "U": 0x20, "E": 0x40, "W": 0x80, "A": 0x100, ".": 0x10}
ACE_SHIFT = 6
QUOTED_BYTES = 8  # of what an ICMP error quotes behind the IP header
PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMP, PROTOCOL_ICMPV6 = 6, 17, 1, 58


@dataclass(frozen=True, slots=True)
class Ends:
    """Who talks to whom: addresses as text, ports."""

    source: str
    source_port: int
    destination: str
    destination_port: int

    def reversed(self) -> "Ends":
        """The other direction."""
        return Ends(self.destination, self.destination_port, self.source, self.source_port)


@dataclass(frozen=True, slots=True)
class Seen:
    """A packet the stack has sent, at ``time`` (microseconds since the script began), with what a script cannot say.

    packet: its ports are 0, as in a script that names none; they are in ``ends``. checksums: what is wrong with them.
    is_last: nothing was queued behind its data when it was sent.
    """

    time: int
    packet: Packet
    ends: Ends
    payload: bytes
    checksums: str = ""
    is_last: bool = False


def build(packet: Packet, ends: Ends) -> bytes:
    """An inbound packet, from its IP header on."""
    ipv6 = ":" in ends.source
    body = packet.body
    if isinstance(body, Tcp):
        return bytes(_ip(packet.ip, ends, PROTOCOL_TCP) / _tcp(body, ends) / Raw(bytes(body.length)))
    if isinstance(body, Udp):
        udp = UDP(sport=ends.source_port, dport=ends.destination_port)
        return bytes(_ip(packet.ip, ends, PROTOCOL_UDP) / udp / Raw(bytes(body.length)))
    return bytes(_ip(packet.ip, ends, PROTOCOL_ICMPV6 if ipv6 else PROTOCOL_ICMP) / _icmp(body, ends, ipv6))


def _ip(info: IpInfo, ends: Ends, protocol: int) -> Layer:
    tos = info.tos if info.tos is not None else (info.ecn if isinstance(info.ecn, int) else 0)
    ttl = info.ttl or 255
    if ":" in ends.source:
        return IPv6(src=ends.source, dst=ends.destination, tc=tos, fl=info.flow_label or 0, hlim=ttl, nh=protocol)
    return IP(src=ends.source, dst=ends.destination, tos=tos, ttl=ttl, proto=protocol)


def _tcp(body: Tcp, ends: Ends) -> Layer:
    flags = sum(FLAG_BITS[letter] for letter in body.flags)
    if body.ace is not None:
        flags |= body.ace << ACE_SHIFT
    header = TCP(
        sport=ends.source_port,
        dport=ends.destination_port,
        seq=body.sequence,
        ack=body.acknowledgment,
        window=body.window or 0,
        urgptr=body.urgent,
        flags=flags,
    )
    options = tcp_options.encode(body.options or ())
    header.dataofs = (20 + len(options)) // 4
    return header / Raw(options) if options else header


def _icmp(body: Icmp, ends: Ends, ipv6: bool) -> Layer:
    """An ICMP message; it quotes a packet of ours, the other way round."""
    kind, code = icmp_numbers(body, ipv6)
    quoted = _quoted(body.quoted, ends.reversed())
    if not ipv6:
        rest = body.echo_id << 16
        if (kind, code) == FRAGMENTATION_NEEDED:
            rest = body.mtu or 0
        header = ICMP(bytes([kind, code, 0, 0]) + rest.to_bytes(4, "big"))
        header.chksum = None
        return header / Raw(quoted)
    from scapy.layers.inet6 import ICMPv6Unknown

    rest = body.mtu if body.mtu is not None else body.echo_id << 16
    return ICMPv6Unknown(type=kind, code=code, msgbody=rest.to_bytes(4, "big") + quoted)


def _quoted(quoted: Quoted | None, ours: Ends) -> bytes:
    """The packet an error quotes: its IP header, and 8 bytes."""
    if quoted is None:
        quoted = Quoted("tcp", 0, 0)
    if quoted.protocol == "raw":
        return bytes(quoted.length)
    if quoted.protocol == "udp":
        layer = UDP(sport=ours.source_port, dport=ours.destination_port) / Raw(bytes(quoted.length))
        number = PROTOCOL_UDP
    else:
        layer = TCP(sport=ours.source_port, dport=ours.destination_port, seq=quoted.sequence) / Raw(
            bytes(quoted.length)
        )
        number = PROTOCOL_TCP
    whole = bytes(_ip(IpInfo(), ours, number) / layer)
    return whole[: (40 if ":" in ours.source else 20) + QUOTED_BYTES]


def dissect(data: bytes, time: int) -> Seen | None:
    """A packet of the stack, from its IP header on; None for a protocol that scripts do not speak of."""
    layer = IPv6(data) if data[0] >> 4 == 6 else IP(data)
    ipv6 = isinstance(layer, IPv6)
    tos = layer.tc if ipv6 else layer.tos
    info = IpInfo(tos & 3, tos, layer.hlim if ipv6 else layer.ttl, layer.fl if ipv6 else None)
    wrong = _wrong_checksums(layer)
    if TCP in layer:
        tcp = layer[TCP]
        ends = Ends(layer.src, tcp.sport, layer.dst, tcp.dport)
        payload = _payload(layer, tcp)
        return Seen(time, Packet(False, info, (0, 0), _seen_tcp(tcp, len(payload))), ends, payload, wrong)
    if UDP in layer and ICMP not in layer:
        udp = layer[UDP]
        ends = Ends(layer.src, udp.sport, layer.dst, udp.dport)
        payload = bytes(udp.payload)
        return Seen(time, Packet(False, info, (0, 0), Udp(len(payload))), ends, payload, wrong)
    protocol = layer.nh if ipv6 else layer.proto
    if protocol in (PROTOCOL_ICMP, PROTOCOL_ICMPV6):
        return _seen_icmp(data[40 if ipv6 else 4 * layer.ihl :], layer, info, time, ipv6)
    return None


def _payload(layer: Layer, tcp: Layer) -> bytes:
    """The payload of a segment, without padding."""
    return bytes(tcp.payload.original) if tcp.payload else b""


def _seen_tcp(tcp: Layer, length: int) -> Tcp:
    bits = int(tcp.flags)
    letters = "".join(letter for letter, bit in FLAG_BITS.items() if bits & bit)
    header = tcp.original[20 : 4 * tcp.dataofs]
    return Tcp(
        letters, bits >> ACE_SHIFT & 7, tcp.seq, length, tcp.ack, tcp.window, tcp.urgptr, tcp_options.decode(header)
    )


def _seen_icmp(message: bytes, layer: Layer, info: IpInfo, time: int, ipv6: bool) -> Seen:
    names = icmp_names(message[0], message[1], ipv6).split()
    body = Icmp(names[0], names[1] if len(names) > 1 else None, None, 0, None)
    ends = Ends(layer.src, 0, layer.dst, 0)
    return Seen(time, Packet(False, info, (0, 0), body), ends, message[8:])


def _wrong_checksums(layer: Layer) -> str:
    """Which checksums do not come out (RFC 1071), or ''."""
    data = bytes(layer.original)
    wrong = []
    if isinstance(layer, IPv6):
        at, end, protocol = 40, 40 + layer.plen, layer.nh
        pseudo = data[8:40] + layer.plen.to_bytes(4, "big") + protocol.to_bytes(4, "big")
    else:
        at, end, protocol = 4 * layer.ihl, layer.len, layer.proto
        pseudo = data[12:20] + protocol.to_bytes(2, "big") + (end - at).to_bytes(2, "big")
        if checksum(data[:at]):
            wrong.append("IP")
    name = {PROTOCOL_TCP: "TCP", PROTOCOL_UDP: "UDP", PROTOCOL_ICMPV6: "ICMPv6"}.get(protocol)
    if protocol == PROTOCOL_ICMP and checksum(data[at:end]):
        wrong.append("ICMP")
    elif name and not (name == "UDP" and layer[UDP].chksum == 0) and checksum(pseudo + data[at:end]):
        wrong.append(name)
    return " and ".join(wrong)
