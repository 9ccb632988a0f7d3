"""What a network card does for its driver: checksums completed, large segments cut. Scapy is the judge."""

import random
import struct

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from drivers.virtio.offload import OffloadError, ones_complement_sum, wire_frames
from tests import fakes

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4 = ETHER / IP(src="198.18.0.1", dst="198.18.0.2", id=0xFFFF, flags="DF")
V6 = ETHER / IPv6(src="2001:db8::1", dst="2001:db8::2")
PAYLOAD = random.Random(3).randbytes(5000)
NEEDS_CHECKSUM, TCPV4, TCPV6 = 1, 1, 4


def header(flags: int, gso_type: int = 0, size: int = 0, start: int = 0, offset: int = 0) -> bytes:
    return struct.pack("<BBHHHHH", flags, gso_type, 0, size, start, offset, 0)


def dissected(frame: bytes, like: Packet) -> Packet:
    """The frame as scapy sees it; its checksums must be those that scapy would have put there."""
    packet = Ether(frame)
    again = packet.copy()
    for layer in again.iterpayloads():
        for name in ("chksum", "len", "plen"):
            if name in layer.fields:
                del layer.fields[name]
    assert bytes(again) == frame, again.show2(dump=True)
    return packet


@pytest.mark.parametrize("length", [0, 1, 2, 3, 1459, 1460])
def test_the_sum_is_that_of_rfc_1071(length: int) -> None:
    for data in (PAYLOAD[:length], bytes(length), b"\xff" * length):
        assert ones_complement_sum(data) == fakes.ones_complement_sum(data)


def test_a_complete_frame_goes_out_as_it_is() -> None:
    assert wire_frames(header(0) + b"anything") == [b"anything"]


@pytest.mark.parametrize("length", [0, 1, 999])
@pytest.mark.parametrize(("layer", "offset"), [(TCP, 16), (UDP, 6)])
def test_a_partial_checksum_is_completed(layer: type[Packet], offset: int, length: int) -> None:
    whole = bytes(V4 / layer(sport=1, dport=2) / PAYLOAD[:length])
    pseudo = whole[26:34] + struct.pack(">HH", whole[23], len(whole) - 34)
    at = 34 + offset
    partial = whole[:at] + fakes.ones_complement_sum(pseudo).to_bytes(2, "big") + whole[at + 2 :]
    assert wire_frames(header(NEEDS_CHECKSUM, start=34, offset=offset) + partial) == [whole]


@pytest.mark.parametrize(("below", "gso_type"), [(V4, TCPV4), (V6, TCPV6)])
@pytest.mark.parametrize("size", [1448, 2500, 4999, 5000, 6000])
def test_a_large_segment_is_cut(below: Packet, gso_type: int, size: int) -> None:
    options = [("NOP", None), ("NOP", None), ("Timestamp", (1, 2))]
    segment = below / TCP(sport=1, dport=2, seq=0xFFFFFF00, flags="FPAC", options=options) / PAYLOAD
    start = 34 if below is V4 else 54
    frames = wire_frames(header(NEEDS_CHECKSUM, gso_type, size, start, 16) + bytes(segment))
    packets = [dissected(frame, segment) for frame in frames]
    assert b"".join(bytes(packet[TCP].payload) for packet in packets) == PAYLOAD
    assert [len(packet[TCP].payload) for packet in packets[:-1]] == [size] * (len(packets) - 1)
    at = 0xFFFFFF00
    for number, packet in enumerate(packets):
        assert packet[TCP].seq == at
        at = (at + len(packet[TCP].payload)) & 0xFFFFFFFF
        last, first = packet is packets[-1], number == 0
        assert str(packet[TCP].flags) == "FPAC".replace("FP", "FP" * last).replace("C", "C" * first)
        if below is V4:
            assert packet[IP].id == (0xFFFF + number) & 0xFFFF


@pytest.mark.parametrize(
    "data",
    [
        b"short",
        header(NEEDS_CHECKSUM, start=60, offset=16) + bytes(60),
        header(NEEDS_CHECKSUM, TCPV4, 0, 34, 16) + bytes(V4 / TCP() / b"payload"),
        header(NEEDS_CHECKSUM, TCPV4, 100, 34, 16) + bytes(V4 / TCP()),
        header(NEEDS_CHECKSUM, TCPV4, 100, 60, 16) + bytes(V4 / TCP() / b"payload"),
        header(NEEDS_CHECKSUM, TCPV4, 100, 20, 16) + bytes(V4 / TCP() / b"payload"),
        header(NEEDS_CHECKSUM, TCPV4, 2, 34, 16) + bytes(V4 / TCP(dataofs=4) / b"payload"),
        header(NEEDS_CHECKSUM, TCPV4, 100, 14, 16) + bytes(ETHER / (b"\0" * 60)),
    ],
)
def test_what_cannot_be_done_is_told(data: bytes) -> None:
    with pytest.raises(OffloadError):
        wire_frames(data)
