"""Whatever a capture file holds, reading, comparing and planning a replay end normally or in CaptureError."""

import contextlib
import gzip
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from captures.diff import compare
from captures.files import CaptureError, Packet, write_pcapng
from captures.flows import read_trace
from captures.link_layers import network_packet
from captures.memcached_binary import REPLY_MAGIC, REQUEST_MAGIC, ProtocolError, match, split
from captures.replay_plan import plan_replay
from tests.conversation import GET, SET, Conversation, reply, request
from tests.fuzz.targets import LINK_TYPES

MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

PCAP = struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
PCAPNG = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
INTERFACE = struct.pack("<IIHHII", 1, 20, 1, 0, 0, 20)


def conversation() -> list[bytes]:
    made = Conversation(client_isn=0xFFFF_FFF0).handshake()
    for opaque in range(4):
        made.client(request(SET, b"key", b"value", opaque=opaque)).server(reply(SET, opaque=opaque))
        made.client(request(GET, b"key", opaque=opaque)).server(reply(GET, b"value", opaque=opaque))
    return [bytes(packet) for packet in made.close().packets]


FRAMES = conversation()


def use(path: Path) -> None:
    with contextlib.suppress(CaptureError):
        trace = read_trace(path)
        for connection in trace.connections:
            connection.problem()
        compare(path, path)
        plan_replay(trace, 11211)


@MANY
@given(start=st.sampled_from([b"", PCAP, PCAPNG, PCAPNG + INTERFACE]), rest=st.binary(max_size=400))
def test_random_files(tmp_path: Path, start: bytes, rest: bytes) -> None:
    path = tmp_path / "random"
    path.write_bytes(start + rest)
    use(path)


@MANY
@given(changes=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=8), end=st.integers(0, 4000))
def test_damaged_files(tmp_path: Path, changes: list[tuple[int, int]], end: int) -> None:
    path = tmp_path / "damaged.pcapng"
    write_pcapng(path, [Packet(i, i, frame, len(frame)) for i, frame in enumerate(FRAMES)])
    data = bytearray(path.read_bytes())
    for at, value in changes:
        data[at % len(data)] = value
    path.write_bytes(data[: max(end, 60)])
    use(path)


@MANY
@given(frames=st.lists(st.tuples(st.binary(max_size=80), st.integers(0, 20)), max_size=6))
def test_random_packets(tmp_path: Path, frames: list[tuple[bytes, int]]) -> None:
    path = tmp_path / "random.pcapng"
    tcp = bytes(12) + b"\x08\x00\x45"  # so that some get as far as the IP header
    write_pcapng(path, [Packet(1, 0, tcp + frame, len(tcp + frame) + cut) for frame, cut in frames])
    use(path)


@MANY
@given(
    order=st.lists(st.integers(0, len(FRAMES) - 1), max_size=30),
    changes=st.lists(st.tuples(st.integers(0, 29), st.integers(14, 120), st.integers(0, 255)), max_size=6),
    cuts=st.lists(st.tuples(st.integers(0, 29), st.integers(0, 100)), max_size=2),
)
def test_shuffled_damaged_and_cut_conversations(
    tmp_path: Path, order: list[int], changes: list[tuple[int, int, int]], cuts: list[tuple[int, int]]
) -> None:
    frames = [bytearray(FRAMES[index]) for index in order]
    for index, at, value in changes:
        if index < len(frames):
            frames[index][at % len(frames[index])] = value
    lengths = [len(frame) for frame in frames]
    for index, kept in cuts:
        if index < len(frames):
            del frames[index][kept:]
    path = tmp_path / "shuffled.pcapng"
    packets = zip(frames, lengths, strict=True)
    write_pcapng(path, [Packet(i, i * 1000, bytes(frame), length) for i, (frame, length) in enumerate(packets)])
    use(path)


@MANY
@given(
    link_type=st.sampled_from(LINK_TYPES),
    start=st.sampled_from([b"", FRAMES[0], FRAMES[4]]),
    frame=st.binary(max_size=90),
)
def test_random_frames_on_every_link(tmp_path: Path, link_type: int, start: bytes, frame: bytes) -> None:
    frame = frame[:24] + start + frame[24:]
    carried = network_packet(link_type, frame)
    assert carried if isinstance(carried, str) else frame.endswith(carried.packet)
    path = tmp_path / "random.pcapng"
    write_pcapng(path, [Packet(1, 0, frame, len(frame), link_type)])
    use(path)


@MANY
@given(
    content=st.binary(max_size=400), kept=st.integers(0, 400), start=st.sampled_from([b"", PCAP, PCAPNG + INTERFACE])
)
def test_random_compressed_files(tmp_path: Path, content: bytes, kept: int, start: bytes) -> None:
    path = tmp_path / "random.gz"
    path.write_bytes(gzip.compress(start + content, 1)[: 20 + kept])
    use(path)


@MANY
@given(requests=st.binary(max_size=200), replies=st.binary(max_size=200), magic=st.booleans())
def test_random_streams(requests: bytes, replies: bytes, magic: bool) -> None:
    if magic:
        requests, replies = b"\x80" + requests, b"\x81" + replies
    with contextlib.suppress(ProtocolError):
        match(split(requests, REQUEST_MAGIC), split(replies, REPLY_MAGIC))


def test_the_undamaged_conversation_is_planned(tmp_path: Path) -> None:
    path = tmp_path / "whole.pcapng"
    write_pcapng(path, [Packet(i, i, frame, len(frame)) for i, frame in enumerate(FRAMES)])
    assert len(plan_replay(read_trace(path), 11211).steps) == 8
    with pytest.raises(CaptureError):
        plan_replay(read_trace(path), 80)
