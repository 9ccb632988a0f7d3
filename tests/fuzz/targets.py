"""Coverage-guided fuzzing of every parser, with atheris: a target takes bytes, and must end without an exception.

``python -m tests.fuzz`` runs one. What a parser says to bad input (its own kind of error, a counted drop) is not a
failure; anything else is. ``test_targets`` runs each of them on what it is meant for.
"""

import contextlib
import gzip
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

from apps.transfer.protocol import ProtocolError, Request
from captures.files import CaptureError, Packet, read_packets
from captures.flows import follow
from captures.link_layers import is_readable, network_packet
from captures.pcapng_writer import interface_block, packet_block, section_block
from drivers.virtio.offload import OffloadError, wire_frames
from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator, NodeMemory
from ebbrt.messenger.frames import FrameReader
from ebbrt.messenger.protocol import FRAME_HEADER
from ebbrt.network import TcpHandler, UdpHandler
from netlab.emulation.settings import LinkSettings, LinkSettingsError
from netlab.script.errors import ScriptError
from netlab.script.parser import parse
from tests.conversation import Conversation
from tests.fakes import NODE_MAC, PEER_MAC, make_frame
from tests.fuzz.hostile import packets
from tests.memcached_requests import Bench, request, store
from tests.stack_harness import Harness

NODE_IP, PEER_IP = bytes((198, 18, 0, 2)), bytes((198, 18, 0, 3))

TCP_PORT, UDP_PORT = 80, 7


class _Echo(TcpHandler):
    def receive(self, data: IOBuf) -> None:
        self.connection.send(data)


class _UdpEcho(UdpHandler):
    def receive(self, data: IOBuf, address: str, port: int) -> None:
        if port:
            self.socket.send(data, address, port)


def _harness() -> Harness:
    harness = Harness()
    harness.stack.tcp.listen(TCP_PORT, lambda connection: _Echo())
    harness.stack.udp.bind(UDP_PORT, _UdpEcho())
    return harness


def frame(data: bytes) -> None:
    """Anything at all, as an Ethernet frame."""
    _harness().give(data)


def ipv4(data: bytes) -> None:
    """The payload of an IPv4 packet: its first bytes are the protocol, and where in a datagram it lies."""
    if len(data) >= 3:
        packet = packets.ipv4(PEER_IP, NODE_IP, data[0], data[3:], int.from_bytes(data[1:3], "big"))
        _harness().give(packets.ethernet(NODE_MAC, PEER_MAC, packet), checksum_valid=True)


def tcp(data: bytes) -> None:
    """Segments to an open port, their checksums taken for granted: each a byte of length and so much behind it."""
    harness = _harness()
    while data:
        segment, data = data[1 : 1 + data[0]], data[1 + data[0] :]
        packet = packets.ipv4(PEER_IP, NODE_IP, packets.PROTOCOL_TCP, segment)
        harness.give(packets.ethernet(NODE_MAC, PEER_MAC, packet), checksum_valid=True)
        harness.advance(1_000_000)


def memcached(data: bytes) -> None:
    """Requests of memcached's binary protocol."""
    if data:
        Bench(memory=4 << 20).connection.deliver(data, 512)


def messenger(data: bytes) -> None:
    """The stream of another node's Messenger."""
    allocator = MemoryAllocator(NodeMemory(4 << 20))
    scratch = allocate(allocator, FRAME_HEADER)
    assert scratch is not None
    reader = FrameReader(allocator, scratch)
    if data:
        reader.append(make_frame(allocator, data))
    while reader.advance():
        reader.data = None


def offload(data: bytes) -> None:
    """A frame behind a virtio-net header that says what is left to do to it."""
    with contextlib.suppress(OffloadError):
        wire_frames(data)


# 105 is a link type that is not read, and 65535 one that nobody has.
LINK_TYPES = (*(number for number in range(300) if is_readable(number)), 105, 65535)


def _records(data: bytes) -> list[bytes]:
    """Pieces of ``data``: each a byte of length and so much behind it."""
    found = []
    while data:
        found.append(data[1 : 1 + data[0]])
        data = data[1 + data[0] :]
    return found


def _pcap(link_type: int, data: bytes, order: str) -> bytes:
    header = struct.pack(order + "IHHIIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, link_type)
    frames = [struct.pack(order + "IIII", 1, 1, len(each), len(each)) + each for each in _records(data)]
    return header + b"".join(frames)


def _pcapng(link_type: int, data: bytes) -> bytes:
    frames = [packet_block(1, each, len(each)) for each in _records(data)]
    return section_block("fuzz") + interface_block(link_type, "eth0") + b"".join(frames)


def _read_file(content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file, contextlib.suppress(CaptureError):
        file.write(content)
        file.flush()
        for packet in read_packets(Path(file.name)):
            network_packet(packet.link_type, packet.frame)


def capture_file(data: bytes) -> None:
    """A capture file: the first byte says in what container, the second on what link; or all of it as it is."""
    if len(data) < 2:
        return
    link_type = LINK_TYPES[data[1] % len(LINK_TYPES)]
    match data[0] % 6:
        case 0:
            _read_file(data[2:])
        case 1:
            _read_file(gzip.compress(data[2:], 1))
        case 2:
            _read_file(gzip.compress(_pcapng(link_type, data[2:]), 1))
        case 3:
            _read_file(_pcapng(link_type, data[2:]))
        case 4:
            _read_file(_pcap(link_type, data[2:], "<"))
        case _:
            _read_file(_pcap(link_type, data[2:], ">"))


def capture_flows(data: bytes) -> None:
    """Packets of a capture: the first byte says on what link; each is a byte of length and so much behind it."""
    if data:
        link_type = LINK_TYPES[data[0] % len(LINK_TYPES)]
        packets_ = [
            Packet(number, number * 1_000_000, each, len(each), link_type)
            for number, each in enumerate(_records(data[1:]), 1)
        ]
        with contextlib.suppress(CaptureError):
            trace = follow(packets_)
            for connection in trace.connections:
                connection.problem()


def script(data: bytes) -> None:
    """A packetdrill script."""
    with contextlib.suppress(ScriptError):
        parse("fuzzed.pkt", data.decode("latin-1"))


def link(data: bytes) -> None:
    """How people write what a link does."""
    with contextlib.suppress(LinkSettingsError):
        LinkSettings.parse(data.decode("latin-1"))


def transfer(data: bytes) -> None:
    """A request for a transfer."""
    with contextlib.suppress(ProtocolError):
        Request.unpack(data[:24].ljust(24, b"\0"))


def _conversation() -> list[bytes]:
    """A request and its reply over TCP, as frames."""
    made = Conversation().handshake().client(request(0, b"key")).server(request(0, b"key")).close()
    return [bytes(packet) for packet in made.packets]


ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "captures" / "reference" / "memcached-linux.pcapng").read_bytes()[:20_000]
SYN = packets.tcp(PEER_IP, NODE_IP, (1025, TCP_PORT), 1, 0, packets.SYN, 99, b"\2\4\5\xb4")
# What each of them is meant for: where fuzzing begins.
EXAMPLES = {
    "frame": packets.ethernet(NODE_MAC, PEER_MAC, packets.ipv4(PEER_IP, NODE_IP, 6, SYN)),
    "ipv4": b"\x06\x00\x00" + SYN,
    "tcp": bytes([len(SYN)]) + SYN,
    "memcached": store(1, b"key", b"value") + request(0, b"key"),
    "messenger": struct.pack(">BBBBIQQQQ", 0xEB, 1, 1, 0, 4, 7, 1, 0, 0) + b"data",
    "offload": bytes([1, 1, 54, 0, 100, 0, 34, 0, 16, 0, 0, 0])
    + packets.ethernet(NODE_MAC, PEER_MAC, packets.ipv4(PEER_IP, NODE_IP, 6, SYN + bytes(300))),
    "capture_file": bytes(2) + REFERENCE,
    "capture_flows": bytes([LINK_TYPES.index(1)]) + b"".join(bytes([len(each)]) + each for each in _conversation()),
    "script": b"0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 < S 0:0(0) win 1000 <mss 1460,nop,wscale 7>\n",
    "link": b"delay=25ms,loss=1%,rate=100mbit,limit=100,reorder=1%:5ms,duplicate=0.1%,gilbert=1%/30%",
    "transfer": b"XFER\x01\x01\0\0" + bytes(16),
}

TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        frame,
        ipv4,
        tcp,
        memcached,
        messenger,
        offload,
        capture_file,
        capture_flows,
        script,
        link,
        transfer,
    )
}
