import struct
from pathlib import Path

import dpkt
import pytest
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import PcapNgReader, PcapNgWriter, wrpcap

from captures.files import CaptureError, Packet, read_packets, write_pcapng

FRAMES = [bytes([number]) * (60 + number) for number in range(5)]
PACKETS = [Packet(i + 1, 1_700_000_000_123_456_789 + i, frame, len(frame) + i) for i, frame in enumerate(FRAMES)]


def pcap(order: str, magic: int, *records: bytes, linktype: int = 1) -> bytes:
    return struct.pack(order + "IHHIIII", magic, 2, 4, 0, 0, 65535, linktype) + b"".join(records)


def record(order: str, seconds: int, fraction: int, frame: bytes, length: int | None = None) -> bytes:
    return struct.pack(order + "IIII", seconds, fraction, len(frame), length or len(frame)) + frame


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "expected"), [(0xA1B2C3D4, 7_000_005_000), (0xA1B23C4D, 7_000_000_005)])
def test_pcap_in_both_orders_and_precisions(tmp_path: Path, order: str, magic: int, expected: int) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap(order, magic, record(order, 7, 5, FRAMES[0]), record(order, 8, 0, FRAMES[1], 999)))
    first, second = read_packets(path)
    assert first == Packet(1, expected, FRAMES[0], len(FRAMES[0]))
    assert second == Packet(2, 8_000_000_000, FRAMES[1], 999)


def test_scapys_pcap(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    wrpcap(str(path), [Ether(frame) for frame in FRAMES])
    assert [packet.frame for packet in read_packets(path)] == FRAMES


def test_scapys_pcapng(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    with PcapNgWriter(str(path)) as writer:
        for frame in FRAMES:
            packet = Ether() / Raw(frame)
            packet.time = 5
            writer.write(packet)
    assert [packet.frame[14:] for packet in read_packets(path)] == FRAMES
    assert {packet.time_ns for packet in read_packets(path)} == {5_000_000_000}


def test_pcapng_is_read_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    assert write_pcapng(path, PACKETS, interface="br0", comment="why") == len(PACKETS)
    assert list(read_packets(path)) == PACKETS


def test_dpkt_and_scapy_read_our_pcapng(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    whole = [packet._replace(length=len(packet.frame)) for packet in PACKETS]
    write_pcapng(path, whole, interface="br0", comment="why")
    with path.open("rb") as file:
        reader = dpkt.pcapng.Reader(file)
        assert [frame for _, frame in reader] == FRAMES
        assert reader.idb.opts[0].data == b"br0"
        assert reader.datalink() == 1
    with PcapNgReader(str(path)) as reader:
        assert [bytes(packet) for packet in reader] == FRAMES


def test_big_endian_pcapng_with_binary_time_resolution(tmp_path: Path) -> None:
    def block(kind: int, body: bytes) -> bytes:
        return struct.pack(">II", kind, len(body) + 12) + body + struct.pack(">I", len(body) + 12)

    resolution = struct.pack(">HHB3xHH", 9, 1, 0x80 | 10, 0, 0)  # 1/1024 s
    frame = FRAMES[0]
    path = tmp_path / "a.pcapng"
    path.write_bytes(
        block(0x0A0D0D0A, struct.pack(">IHHq", 0x1A2B3C4D, 1, 0, -1))
        + block(1, struct.pack(">HHI", 1, 0, 0) + resolution)
        + block(4, b"namesnames..")  # a block of another kind is passed over
        + block(6, struct.pack(">IIIII", 0, 0, 512, len(frame), len(frame)) + frame)
        + block(3, struct.pack(">I", len(frame)) + frame)
    )
    assert list(read_packets(path)) == [
        Packet(1, 500_000_000, frame, len(frame)),
        Packet(2, 0, frame, len(frame)),
    ]


@pytest.mark.parametrize(
    ("content", "packet", "reason"),
    [
        (b"", None, "neither pcap nor pcapng"),
        (b"hello, world", None, "neither pcap nor pcapng"),
        (pcap("<", 0xA1B2C3D4)[:20], None, "inside its header"),
        (pcap("<", 0xA1B2C3D4, record("<", 1, 1, FRAMES[0]), b"abc"), 2, "inside the packet's header"),
        (pcap("<", 0xA1B2C3D4, record("<", 1, 1, FRAMES[0])[:-1]), 1, "inside the packet"),
        (pcap("<", 0xA1B2C3D4, record("<", 1, 1, FRAMES[0]), linktype=105), None, r"IEEE802_11 \(105\) is not read"),
        (pcap("<", 0xA1B2C3D4, record("<", 1, 1, FRAMES[0], 10)), 1, "bytes captured of 10"),
    ],
)
def test_unreadable_files_are_refused(tmp_path: Path, content: bytes, packet: int | None, reason: str) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(content)
    with pytest.raises(CaptureError, match=reason) as caught:
        list(read_packets(path))
    assert caught.value.packet == packet


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[:-2], "ends inside a block"),
        (lambda data: data[:8] + b"what" + data[12:], "byte-order magic"),
        (lambda data: data[:4] + b"\x07\0\0\0" + data[8:], "bad block length"),
    ],
)
def test_damaged_pcapng_is_refused(tmp_path: Path, damage, reason: str) -> None:
    path = tmp_path / "a.pcapng"
    write_pcapng(path, PACKETS)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CaptureError, match=reason):
        list(read_packets(path))


def test_a_missing_file_is_a_capture_error(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="No such file"):
        read_packets(tmp_path / "none.pcap")
