"""What a frame of every link type carries: frames made by scapy where it knows the type, by hand where it does not."""

import struct

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import CookedLinux, CookedLinuxV2, Dot1AD, Dot1Q, Ether, Loopback
from scapy.layers.ppp import HDLC, PPP, PPPoE
from scapy.packet import Packet as Scapy

from captures.link_layers import NetworkPacket, is_readable, network_packet

V4 = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1, dport=2))
V6 = bytes(IPv6(src="fd00::1", dst="fd00::2") / TCP(sport=1, dport=2))
MACS = bytes(12)


SCAPY = [
    ("ethernet", 1, Ether() / IP(V4), V4, ()),
    ("ethernet, version 6", 1, Ether() / IPv6(V6), V6, ()),
    ("a VLAN", 1, Ether() / Dot1Q(vlan=7, prio=5) / IP(V4), V4, (7,)),
    ("QinQ", 1, Ether() / Dot1AD(vlan=4094) / Dot1Q(vlan=7) / IPv6(V6), V6, (4094, 7)),
    ("PPPoE in a VLAN", 1, Ether() / Dot1Q(vlan=3) / PPPoE() / PPP(proto=0x21) / IP(V4), V4, (3,)),
    ("cooked", 113, CookedLinux() / IP(V4), V4, ()),
    ("cooked, a VLAN", 113, CookedLinux(proto=0x8100) / Dot1Q(vlan=9) / IPv6(V6), V6, (9,)),
    ("cooked, version 2", 276, CookedLinuxV2() / IPv6(V6), V6, ()),
    ("null", 0, Loopback(type=2) / IP(V4), V4, ()),
    ("PPP", 9, PPP(proto=0x57) / IPv6(V6), V6, ()),
    ("PPP with HDLC", 50, HDLC() / PPP(proto=0x21) / IP(V4), V4, ()),
    ("PPPoE", 51, PPPoE() / PPP(proto=0x21) / IP(V4), V4, ()),
]


@pytest.mark.parametrize(
    ("link_type", "frame", "packet", "vlans"), [case[1:] for case in SCAPY], ids=[c[0] for c in SCAPY]
)
def test_frames_of_scapy(link_type: int, frame: Scapy, packet: bytes, vlans: tuple[int, ...]) -> None:
    ethertype = 0x0800 if packet is V4 else 0x86DD
    assert network_packet(link_type, bytes(frame)) == NetworkPacket(ethertype, packet, vlans)


@pytest.mark.parametrize("link_type", [12, 14, 101])
@pytest.mark.parametrize("packet", [V4, V6])
def test_raw_ip_tells_its_version(link_type: int, packet: bytes) -> None:
    assert network_packet(link_type, packet) == NetworkPacket(0x0800 if packet is V4 else 0x86DD, packet, ())


@pytest.mark.parametrize(("link_type", "packet", "ethertype"), [(228, V4, 0x0800), (229, V6, 0x86DD)])
def test_link_types_of_one_version(link_type: int, packet: bytes, ethertype: int) -> None:
    assert network_packet(link_type, packet) == NetworkPacket(ethertype, packet, ())


@pytest.mark.parametrize("link_type", [0, 108])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("family", [10, 23, 24, 28, 30])
def test_loopback_in_both_orders_with_every_systems_number(link_type: int, order: str, family: int) -> None:
    assert network_packet(link_type, struct.pack(order + "I", family) + V6) == NetworkPacket(0x86DD, V6, ())
    assert network_packet(link_type, struct.pack(order + "I", 2) + V4) == NetworkPacket(0x0800, V4, ())


@pytest.mark.parametrize(
    ("link_type", "header"),
    [
        (9, b"\xff\x03\x00\x21"),
        (9, b"\xff\x03\x21"),  # the protocol compressed to a byte
        (9, b"\x21"),  # and address and control left out
        (50, b"\xff\x03\x00\x21"),
        (50, b"\x0f\x00\x08\x00"),  # Cisco's HDLC
        (104, b"\x8f\x00\x08\x00"),
        (1, MACS + struct.pack(">H", len(V4) + 8) + b"\xaa\xaa\x03\0\0\0\x08\x00"),  # SNAP
        (1, MACS + b"\x91\x00\x00\x05\x08\x00"),
    ],
)
def test_frames_made_by_hand(link_type: int, header: bytes) -> None:
    found = network_packet(link_type, header + V4)
    assert isinstance(found, NetworkPacket)
    assert (found.ethertype, found.packet) == (0x0800, V4)


def test_other_protocols_keep_their_ethertype() -> None:
    assert network_packet(1, MACS + b"\x08\x06" + b"arp") == NetworkPacket(0x0806, b"arp", ())


@pytest.mark.parametrize(
    ("link_type", "frame", "reason"),
    [
        (1, bytes(13), "ends inside its link-layer header"),
        (1, MACS + b"\x81\x00\x00", "ends inside a VLAN tag"),
        (1, MACS + b"\x00\x26\x42\x42\x03", "an LLC frame"),
        (1, MACS + b"\x00\x26\xaa\xaa\x03\0\0\0\x08", "ends inside its link-layer header"),
        (1, MACS + b"\x88\x64\x11\x09\0\0\0\0", "PPPoE that is not a session's"),
        (9, b"\xff\x03\xc0\x21", "PPP protocol 0xc021"),
        (9, b"\xff\x03", "ends inside its link-layer header"),
        (0, bytes(4), "address family 0"),
        (108, b"\0\0", "ends inside its link-layer header"),
        (101, b"\x50", "raw IP of version 5"),
        (101, b"", "ends inside its link-layer header"),
        (113, bytes(15), "ends inside its link-layer header"),
        (113, b"\0\0\x03\x38" + bytes(12), "a netlink message"),
        (276, bytes(19), "ends inside its link-layer header"),
        (0, b"\x17\0\0\0" + bytes(30), "address family 23"),  # IPX where it was captured
        (105, bytes(90), "link type IEEE802_11 (105) is not read"),
        (4711, bytes(90), "link type 4711 (which has no name) is not read"),
    ],
)
def test_what_carries_no_packet_says_why(link_type: int, frame: bytes, reason: str) -> None:
    found = network_packet(link_type, frame)
    assert isinstance(found, str)
    assert reason in found


def test_which_are_readable() -> None:
    assert [number for number in range(300) if is_readable(number)] == [
        0, 1, 9, 12, 14, 50, 51, 101, 104, 108, 113, 228, 229, 276,
    ]  # fmt: skip
