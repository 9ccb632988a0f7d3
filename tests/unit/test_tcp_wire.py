"""The TCP header view and options against scapy."""

import pytest
from scapy.layers.inet import TCP

from ebbrt.memory import NodeMemory
from stack.wire.tcp import TcpHeader, TcpOptions, write_mss, write_timestamps, write_window_scale


def placed(data: bytes, at: int = 0):
    """(node memory, offset) with ``data`` there."""
    memory = NodeMemory(4096)
    memory.view(64 + at, len(data))[:] = data
    return memory, 64 + at


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_fields_as_scapy_wrote_them(at):
    packet = TCP(
        sport=0xFEDC, dport=11211, seq=0x89ABCDEF, ack=0xFFFFFFFF, flags="SAFRPUEC", window=0xABCD, chksum=1,
        options=[("MSS", 1460)],
    )  # fmt: skip
    header = TcpHeader(NodeMemory(4096))
    header.at(*placed(bytes(packet), at))
    assert (header.source_port(), header.destination_port()) == (0xFEDC, 11211)
    assert (header.sequence(), header.acknowledgment()) == (0x89ABCDEF, 0xFFFFFFFF)
    assert (header.data_offset(), header.flags(), header.window()) == (24, 0xFF, 0xABCD)


def test_written_header_as_scapy_reads_it():
    memory, start = placed(b"\xff" * 40)
    header = TcpHeader(memory)
    header.at(memory, start)
    at = start + 20
    at += write_mss(memory, at, 1460)
    at += write_timestamps(memory, at, 0x81828384, 0xFFFFFFFE)
    at += write_window_scale(memory, at, 7)
    header.write(50000, 80, 0x80000001, 0xF0000002, at - start, 0x12, 0xFFFF)
    packet = TCP(bytes(memory.view(start, 40)))
    assert (packet.sport, packet.dport, packet.seq, packet.ack) == (50000, 80, 0x80000001, 0xF0000002)
    assert (packet.flags, packet.window, packet.dataofs, packet.chksum, packet.urgptr) == ("SA", 0xFFFF, 10, 0, 0)
    assert [option for option in packet.options if option[0] != "NOP"] == [
        ("MSS", 1460),
        ("Timestamp", (0x81828384, 0xFFFFFFFE)),
        ("WScale", 7),
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], (0, -1, None)),
        ([("MSS", 9000), ("SAckOK", b""), ("Timestamp", (5, 6)), ("NOP", None), ("WScale", 14)], (9000, 14, (5, 6))),
        ([("NOP", None), ("NOP", None), ("Timestamp", (0xFFFFFFFF, 1))], (0, -1, (0xFFFFFFFF, 1))),
        ([("WScale", 200)], (0, 14, None)),
        ([("EOL", None), ("MSS", 5)], (0, -1, None)),
    ],
)
def test_options_as_scapy_wrote_them(options, expected):
    data = bytes(TCP(options=options))
    memory, start = placed(data)
    parsed = TcpOptions()
    assert parsed.parse(memory, start + 20, len(data) - 20)
    timestamps = (parsed.timestamp_value, parsed.timestamp_echo) if parsed.has_timestamps else None
    assert (parsed.mss, parsed.window_scale, timestamps) == expected


@pytest.mark.parametrize(
    "data",
    [b"\x02", b"\x02\x00", b"\x02\x01", b"\x02\x03\x01", b"\x02\x05\x01\x01\x01", b"\x03\x04\x01\x01", b"\x08\x0a\x01",
     b"\x08\x03\x01", b"\x01\x01\x02", b"\x63\x00\x00\x00", b"\x63\x09\x00\x00"],
)  # fmt: skip
def test_malformed_options_are_refused(data):
    assert not TcpOptions().parse(*placed(data), len(data))
