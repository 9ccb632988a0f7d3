"""The header views against scapy, both ways."""

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import ARP, Ether

from stack import constants
from stack.wire.arp import ArpPacket
from stack.wire.checksum import address_sum
from stack.wire.ethernet import EthernetHeader
from stack.wire.icmp import IcmpHeader
from stack.wire.ipv4 import Ipv4Header
from stack.wire.udp import UdpHeader
from tests.fakes import make_allocator, make_frame

ALLOCATOR = make_allocator()
U8 = st.integers(0, 0xFF)
U16 = st.integers(0, 0xFFFF)
U32 = st.integers(0, 0xFFFFFFFF)
U48 = st.integers(0, 0xFFFFFFFFFFFF)


def mac_text(mac: int) -> str:
    return mac.to_bytes(6, "big").hex(":")


def ip_text(address: int) -> str:
    return ".".join(str(byte) for byte in address.to_bytes(4, "big"))


@given(U48, U48, U16)
def test_ethernet(destination: int, source: int, ethertype: int) -> None:
    expected = bytes(Ether(dst=mac_text(destination), src=mac_text(source), type=ethertype))
    frame = make_frame(ALLOCATOR, expected)
    view = EthernetHeader(ALLOCATOR.memory).at(frame.start)
    assert (view.destination(), view.source(), view.ethertype()) == (destination, source, ethertype)
    frame.write(0, bytes(14))
    view.write(destination, source, ethertype)
    assert frame.peek(0, 14) == expected
    view.set_destination(source)
    assert view.destination() == source


@given(st.integers(1, 2), U48, U32, U48, U32)
def test_arp(operation: int, sender_mac: int, sender: int, target_mac: int, target: int) -> None:
    expected = bytes(
        ARP(
            op=operation,
            hwsrc=mac_text(sender_mac),
            psrc=ip_text(sender),
            hwdst=mac_text(target_mac),
            pdst=ip_text(target),
        )
    )
    frame = make_frame(ALLOCATOR, expected)
    view = ArpPacket(ALLOCATOR.memory).at(frame.start)
    assert view.is_valid(28)
    assert not view.is_valid(27)
    assert (view.operation(), view.sender_mac(), view.sender_address()) == (operation, sender_mac, sender)
    assert (view.target_mac(), view.target_address()) == (target_mac, target)
    frame.write(0, bytes(28))
    view.write(operation, sender_mac, sender, target_mac, target)
    assert frame.peek(0, 28) == expected


@given(st.integers(20, 65535), U16, U8, U32, U32, U8)
def test_ipv4(
    total_length: int, identification: int, protocol: int, source: int, destination: int, service: int
) -> None:
    expected = bytes(
        IP(
            tos=service,
            len=total_length,
            id=identification,
            flags="DF",
            ttl=64,
            proto=protocol,
            src=ip_text(source),
            dst=ip_text(destination),
        )
    )[:20]
    frame = make_frame(ALLOCATOR, expected)
    view = Ipv4Header(ALLOCATOR.memory).at(frame.start)
    assert view.check(20, total_length) == constants.IPV4_DELIVERED
    assert view.check(19, total_length) == constants.IPV4_SHORT
    assert view.check(20, total_length - 1) == constants.IPV4_BAD_TOTAL_LENGTH
    assert (view.header_length(), view.total_length(), view.identification()) == (20, total_length, identification)
    assert (view.protocol(), view.source(), view.destination()) == (protocol, source, destination)
    assert (view.time_to_live(), view.type_of_service(), view.is_fragment()) == (64, service, False)
    assert view.fragment_offset() == 0
    frame.write(0, bytes(20))
    addresses = address_sum(source) + address_sum(destination)
    view.write(total_length, identification, protocol, source, destination, service, addresses)
    assert frame.peek(0, 20) == expected


def test_ipv4_fragments() -> None:
    for flags, offset in (("MF", 0), (0, 5), ("MF", 5)):
        view = Ipv4Header(ALLOCATOR.memory)
        frame = make_frame(ALLOCATOR, bytes(IP(flags=flags, frag=offset)))
        assert view.at(frame.start).is_fragment()
        assert view.fragment_offset() == offset


@given(U8, U8, U16, U32)
def test_icmp(message_type: int, code: int, checksum: int, rest: int) -> None:
    frame = make_frame(ALLOCATOR, bytes(8))
    view = IcmpHeader(ALLOCATOR.memory).at(frame.start)
    view.write(message_type, code, checksum, rest)
    assert (view.message_type(), view.code(), view.checksum(), view.rest()) == (message_type, code, checksum, rest)
    if message_type == 8:
        packet = ICMP(frame.peek(0, 8))
        assert (packet.code, packet.chksum, packet.id << 16 | packet.seq) == (code, checksum, rest)


@given(U16, U16, U16)
def test_udp(source_port: int, destination_port: int, length: int) -> None:
    expected = bytes(UDP(sport=source_port, dport=destination_port, len=length, chksum=0))
    frame = make_frame(ALLOCATOR, expected)
    view = UdpHeader(ALLOCATOR.memory).at(frame.start)
    assert (view.source_port(), view.destination_port()) == (source_port, destination_port)
    assert (view.length(), view.checksum()) == (length, 0)
    frame.write(0, b"\xff" * 8)
    view.write(source_port, destination_port, length)
    assert frame.peek(0, 8) == expected
