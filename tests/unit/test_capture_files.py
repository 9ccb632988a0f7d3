import gzip
import os
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import dpkt
import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import CookedLinux, CookedLinuxV2, Ether
from scapy.packet import Raw
from scapy.utils import PcapNgReader, PcapNgWriter, wrpcap

from captures import files
from captures.files import OTHERS, CaptureError, Packet, read_packets, write_pcapng
from captures.link_layers import NetworkPacket, network_packet

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


# -- every container and link type, tshark as the second judge where it is installed

IPV4 = bytes(IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1, dport=2) / Raw(b"some payload"))
IPV6 = bytes(IPv6(src="fd00::1", dst="fd00::2") / TCP(sport=1, dport=2) / Raw(b"some payload"))
LINKS = {
    1: bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(IPV4)),
    0: b"\2\0\0\0" + IPV4,
    9: b"\xff\x03\x00\x57" + IPV6,
    50: b"\xff\x03\x00\x21" + IPV4,
    51: b"\x11\0\0\x07" + struct.pack(">H", len(IPV4) + 2) + b"\0\x21" + IPV4,
    101: IPV6,
    104: b"\x0f\0\x08\0" + IPV4,
    108: b"\0\0\0\x1e" + IPV6,
    113: bytes(CookedLinux() / IPv6(IPV6)),
    228: IPV4,
    229: IPV6,
    276: bytes(CookedLinuxV2() / IP(IPV4)),
}
BY_BSD = {12: IPV4, 14: IPV6}  # numbers that tshark knows otherwise


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link_type: int, *options: bytes, order: str = "<") -> bytes:
    return block(1, struct.pack(order + "HHI", link_type, 0, 0) + b"".join(options), order)


def option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def enhanced(index: int, units: int, frame: bytes, *options: bytes, order: str = "<") -> bytes:
    head = struct.pack(order + "IIIII", index, units >> 32, units & 0xFFFFFFFF, len(frame), len(frame))
    return block(6, head + frame + bytes(-len(frame) % 4) + b"".join(options), order)


def containers(link_type: int, frame: bytes) -> dict[str, bytes]:
    """The frame at 7 s and 5 ns or us, in every kind of file."""
    found = {}
    for order in "<>":
        for name, magic in (("us", 0xA1B2C3D4), ("ns", 0xA1B23C4D)):
            found[f"pcap-{order}-{name}"] = pcap(order, magic, record(order, 7, 5, frame), linktype=link_type)
        found[f"pcapng-{order}"] = (
            section(order) + interface(link_type, order=order) + enhanced(0, 7_000_005, frame, order=order)
        )
    return {**found, **{f"{name}.gz": gzip.compress(content) for name, content in found.items()}}


@pytest.mark.parametrize(("link_type", "frame"), [*LINKS.items(), *BY_BSD.items()])
def test_every_container_of_every_link_type(tmp_path: Path, link_type: int, frame: bytes) -> None:
    for name, content in containers(link_type, frame).items():
        path = tmp_path / "a.capture"
        path.write_bytes(content)
        (packet,) = read_packets(path)
        assert packet == Packet(1, 7_000_000_005 if "ns" in name else 7_000_005_000, frame, len(frame), link_type), (
            name
        )
        carried = network_packet(packet.link_type, packet.frame)
        assert isinstance(carried, NetworkPacket)
        assert carried.packet == (IPV4 if carried.ethertype == 0x0800 else IPV6)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.parametrize("container", ["pcap-<-us", "pcapng->.gz"])
@pytest.mark.parametrize(("link_type", "frame"), LINKS.items())
def test_tshark_reads_the_same(tmp_path: Path, link_type: int, frame: bytes, container: str) -> None:
    path = tmp_path / "a.capture"
    path.write_bytes(containers(link_type, frame)[container])
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", "-e", "ip.src", "-e", "ipv6.src", "-e", "tcp.payload"]
    seen = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    (packet,) = read_packets(path)
    carried = network_packet(packet.link_type, packet.frame)
    assert isinstance(carried, NetworkPacket)
    assert seen == ["10.0.0.1" if carried.ethertype == 0x0800 else "fd00::1", b"some payload".hex()]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_sees_the_frame_check_sequence_where_we_do(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    frame = LINKS[1] + zlib.crc32(LINKS[1]).to_bytes(4, "little")
    path.write_bytes(pcap("<", 0xA1B2C3D4, record("<", 7, 5, frame), linktype=0x2400_0001))
    assert list(read_packets(path)) == [Packet(1, 7_000_005_000, LINKS[1], len(LINKS[1]))]
    command = ["tshark", "-r", str(path), "-o", "eth.check_fcs:TRUE", "-T", "fields", "-e", "eth.fcs.status"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["1"]  # good


@pytest.mark.parametrize(
    ("word", "captured", "length", "expected"),
    [
        (0x2400_0001, 100, 100, (96, 96)),
        (0x2400_0001, 98, 100, (96, 96)),  # half of the sequence was cut off
        (0x2400_0001, 60, 100, (60, 96)),
        (0x2400_0001, 2, 2, (0, 0)),
        (0x1400_0001, 100, 100, (98, 98)),
        (0x2000_0001, 100, 100, (100, 100)),  # the bit that says that there is a length is not set
        (0x0400_0001, 100, 100, (100, 100)),
    ],
)
def test_fcs_in_the_link_type_word_of_pcap(
    tmp_path: Path, word: int, captured: int, length: int, expected: tuple[int, int]
) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap("<", 0xA1B2C3D4, record("<", 7, 5, bytes(captured), length), linktype=word))
    (packet,) = read_packets(path)
    assert (len(packet.frame), packet.length, packet.link_type) == (*expected, 1)


@pytest.mark.parametrize(
    ("of_interface", "of_packet", "expected"),
    [([], [], 100), ([32], [], 96), ([4], [], 96), ([], [2], 98), ([32], [2], 98)],
)
def test_fcs_in_pcapng(tmp_path: Path, of_interface: list[int], of_packet: list[int], expected: int) -> None:
    path = tmp_path / "a.pcapng"
    described = [option(13, bytes([value])) for value in of_interface]
    flags = [option(2, struct.pack("<I", value << 5)) for value in of_packet]
    path.write_bytes(section() + interface(1, *described) + enhanced(0, 1, bytes(100), *flags))
    assert [(len(packet.frame), packet.length) for packet in read_packets(path)] == [(expected, expected)]


@pytest.mark.parametrize("offset", [1_700_000_000, -5])
def test_the_offset_of_an_interfaces_times(tmp_path: Path, offset: int) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(
        section() + interface(1, option(14, struct.pack("<q", offset))) + enhanced(0, 7_000_005, FRAMES[0])
    )
    assert [packet.time_ns for packet in read_packets(path)] == [offset * 1_000_000_000 + 7_000_005_000]


def test_sections_begin_anew_each_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(
        section("<") + interface(1) + enhanced(0, 1, LINKS[1]) + section(">") + interface(101, order=">")
        + enhanced(0, 2, IPV4, order=">")
    )  # fmt: skip
    assert [(each.number, each.link_type, each.time_ns) for each in read_packets(path)] == [
        (1, 1, 1000),
        (2, 101, 2000),
    ]


def test_an_obsolete_packet_block(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    head = struct.pack("<HHIIII", 0, 3, 0, 9, len(LINKS[1]), len(LINKS[1]))
    path.write_bytes(section() + interface(1) + block(2, head + LINKS[1]))
    assert list(read_packets(path)) == [Packet(1, 9000, LINKS[1], len(LINKS[1]))]


@pytest.mark.parametrize("first", [0, 1])
def test_an_interface_of_another_kind_does_not_refuse_the_file(tmp_path: Path, first: int) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(
        section() + interface(189) + interface(1) + enhanced(first, 1, LINKS[1]) + enhanced(1 - first, 2, LINKS[1])
    )
    reasons = [network_packet(packet.link_type, packet.frame) for packet in read_packets(path)]
    assert [isinstance(each, NetworkPacket) for each in reasons] == [first == 1, first == 0]
    assert "link type USB_LINUX (189) is not read" in reasons


def test_interfaces_that_come_later_count(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(
        section() + interface(189) + enhanced(0, 1, b"usb") + section() + interface(1) + enhanced(0, 2, LINKS[1])
    )
    assert [packet.link_type for packet in read_packets(path)] == [189, 1]


@pytest.mark.parametrize(("link_type", "name"), [(105, r"IEEE802_11 \(105\)"), (147, r"147 \(which has no name\)")])
def test_files_without_a_link_type_that_is_read_are_refused_by_its_name(
    tmp_path: Path, link_type: int, name: str
) -> None:
    for content in containers(link_type, b"frame").values():
        path = tmp_path / "a.capture"
        path.write_bytes(content)
        with pytest.raises(CaptureError, match=f"link type {name} is not read"):
            list(read_packets(path))


@pytest.mark.parametrize(("begin", "what"), [(begin, what) for begin, (what, _) in OTHERS.items()])
def test_other_kinds_of_files_are_refused_by_name(tmp_path: Path, begin: bytes, what: str) -> None:
    path = tmp_path / "a.capture"
    path.write_bytes(begin + bytes(100))
    with pytest.raises(CaptureError, match=re.escape(f"is {what}")):
        read_packets(path)


def test_a_compressed_file_that_ends_early_gives_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap.gz"
    whole = gzip.compress(pcap("<", 0xA1B2C3D4, *[record("<", 1, 1, os.urandom(500)) for _ in range(1000)]))
    path.write_bytes(whole[: len(whole) // 2])
    read = read_packets(path)
    found = []
    with pytest.raises(CaptureError, match="the compressed file ends early"):
        found.extend(read)
    assert len(found) > 400


def test_a_damaged_compressed_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap.gz"
    path.write_bytes(gzip.compress(pcap("<", 0xA1B2C3D4))[:10] + b"\xff" * 40)
    with pytest.raises(CaptureError, match="cannot read"):
        read_packets(path)


def test_a_bomb_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_UNPACKED", 1 << 20)
    path = tmp_path / "a.pcap.gz"
    path.write_bytes(gzip.compress(pcap("<", 0xA1B2C3D4) + bytes(2 << 20)))
    with pytest.raises(CaptureError, match="holds more than 1 MiB"):
        for _ in read_packets(path):
            pass


def test_lengths_without_sense_do_not_ask_for_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap("<", 0xA1B2C3D4, struct.pack("<IIII", 1, 1, 0xFFFF_FFF0, 0xFFFF_FFF0)))
    with pytest.raises(CaptureError, match="more than any capture has"):
        list(read_packets(path))
    path.write_bytes(section() + struct.pack("<II", 6, 0xFFFF_FFF0))
    with pytest.raises(CaptureError, match="bad block length"):
        list(read_packets(path))


def test_a_block_whose_lengths_differ_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(section() + interface(1)[:-4] + b"\0\0\0\0")
    with pytest.raises(CaptureError, match="two lengths that differ"):
        list(read_packets(path))
