import itertools
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from typer.testing import CliRunner

from captures import memcached_binary as protocol
from captures.files import CaptureError, Packet, write_pcapng
from captures.flows import read_trace
from captures.replay import LiveConnection, ReplayError, ReplayResult, replay
from captures.replay_plan import Step, pieces, plan_replay
from netlab.commands.capture import parse_address, register
from tests.conversation import (
    GET,
    GETQ,
    NOOP,
    QUIT,
    SET,
    SETQ,
    STAT,
    Conversation,
    over_ipv6,
    reply,
    request,
    save,
)

Answer = Callable[[protocol.Message, bytes], bytes]


class Store:
    """A memcached of three commands on loopback, one thread per connection, whose CAS values begin at ``cas``."""

    def __init__(self, cas: int = 100) -> None:
        self.values: dict[bytes, tuple[bytes, int]] = {}
        self.cas = cas
        self.seen: list[bytes] = []
        self.answer: Answer = self.proper
        self.close_with_client = True
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.accepted: list[socket.socket] = []
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def proper(self, message: protocol.Message, data: bytes) -> bytes:
        """What a right server answers."""
        body = data[24:]
        if message.opcode in (SET, SETQ):
            key, value = body[8 : 8 + message.key_length], body[8 + message.key_length :]
            if message.cas and self.values.get(key, (b"", 0))[1] != message.cas:
                return reply(message.opcode, b"Data exists for key.", opaque=message.opaque, status=2)
            self.cas += 1
            self.values[key] = value, self.cas
            return b"" if message.opcode == SETQ else reply(SET, opaque=message.opaque, cas=self.cas)
        if message.opcode in (GET, GETQ):
            if body not in self.values:
                return b"" if message.opcode == GETQ else reply(GET, b"Not found", opaque=message.opaque, status=1)
            value, cas = self.values[body]
            return reply(message.opcode, value, opaque=message.opaque, cas=cas)
        if message.opcode == STAT:
            return reply(STAT, b"99", key=b"pid", opaque=message.opaque) + reply(STAT, opaque=message.opaque)
        return reply(message.opcode, opaque=message.opaque)

    def _accept(self) -> None:
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            self.accepted.append(connection)
            self.threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self.threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        received = b""
        while data := _receive(connection):
            received += data
            messages = protocol.split(received, protocol.REQUEST_MAGIC)
            for message in messages:
                self.seen.append(received[message.offset : message.end])
                try:
                    connection.sendall(self.answer(message, received[message.offset : message.end]))
                except OSError:  # the client has gone
                    return
            if messages:
                received = received[messages[-1].end :]
        if self.close_with_client:
            connection.close()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.accepted:
            connection.close()
        for thread in self.threads:
            thread.join()


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except OSError:
        return b""


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()
    yield made
    made.close()


def run(path: Path, store: Store, timeout: float = 5.0) -> ReplayResult:
    return replay(path, "127.0.0.1", store.port, timeout=timeout)


def set_get(conversation: Conversation | None = None) -> Conversation:
    """SET k=v, GET k, GET missing."""
    conversation = (conversation or Conversation()).handshake()
    conversation.client(request(SET, b"k", b"v", opaque=1)).server(reply(SET, opaque=1, cas=7))
    conversation.client(request(GET, b"k", opaque=2)).server(reply(GET, b"v", opaque=2, cas=7))
    conversation.client(request(GET, b"m", opaque=3)).server(reply(GET, b"Not found", opaque=3, status=1))
    return conversation


def test_equal_replies(tmp_path: Path, store: Store) -> None:
    result = run(save(tmp_path / "a.pcap", set_get().close().packets), store)
    assert (result.connections, result.requests, result.equal, result.different) == (1, 3, 3, 0)
    assert result.all_equal()


def test_other_bytes_are_shown_with_the_packet(tmp_path: Path, store: Store) -> None:
    conversation = set_get()
    store.answer = lambda message, data: store.proper(message, data).replace(b"v", b"w")
    result = run(save(tmp_path / "a.pcap", conversation.close().packets), store)
    assert (result.equal, result.different) == (2, 1)
    assert not result.all_equal()
    (difference,) = result.differences
    assert (difference.packet, difference.opcode) == (7, "GET")
    assert difference.reason == "body: byte 4 is 0x76 recorded, 0x77 live"
    assert bytes.fromhex(difference.recorded)[-1:] == b"v"
    assert bytes.fromhex(difference.live)[-1:] == b"w"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data[:7] + b"\x04" + data[8:], "status"),
        (lambda data: data[:12] + b"\x01" + data[13:], "opaque"),
        (lambda data: data + data, "more replies than were recorded"),
        (lambda data: b"ERROR\r\n", "not a reply"),
    ],
)
def test_wrong_replies_differ(tmp_path: Path, store: Store, change: Callable[[bytes], bytes], reason: str) -> None:
    def answer(message: protocol.Message, data: bytes) -> bytes:
        right = store.proper(message, data)
        return change(right) if message.opaque == 3 else right

    store.answer = answer
    result = run(save(tmp_path / "a.pcap", set_get().close().packets), store)
    assert not result.all_equal()
    assert reason in result.differences[0].reason


def test_cas_is_masked_in_replies_and_mapped_in_requests(tmp_path: Path, store: Store) -> None:
    conversation = set_get()
    conversation.client(request(SET, b"k", b"x", opaque=4, cas=7)).server(reply(SET, opaque=4, cas=8))
    wrong = request(SET, b"k", b"y", opaque=5, cas=7), reply(SET, b"Data exists for key.", opaque=5, status=2)
    conversation.client(wrong[0]).server(wrong[1])
    result = run(save(tmp_path / "a.pcap", conversation.close().packets), store)
    assert result.all_equal(), result
    assert [struct.unpack_from(">Q", data, 16)[0] for data in store.seen] == [0, 0, 0, 101, 101]


def test_requests_go_in_the_order_of_their_replies(tmp_path: Path, store: Store) -> None:
    """Two clients at once: the server took the second one's SET before the first one's GET."""
    one, two = Conversation(40000).handshake(), Conversation(40001).handshake()
    one.client(request(GET, b"k", opaque=1)).server(reply(GET, b"v", opaque=1, cas=5)).close()
    two.client(request(SET, b"k", b"v", opaque=2)).server(reply(SET, opaque=2, cas=5)).close()
    packets = [*one.packets[:4], *two.packets[:5], *one.packets[4:], *two.packets[5:]]
    assert run(save(tmp_path / "a.pcap", packets), store).all_equal()
    assert [data[1] for data in store.seen] == [SET, GET]


def test_quiet_requests(tmp_path: Path, store: Store) -> None:
    conversation = Conversation().handshake()
    conversation.client(request(SETQ, b"k", b"v", opaque=1) + request(GETQ, b"m", opaque=2))
    conversation.client(request(GETQ, b"k", opaque=3) + request(NOOP, opaque=4))
    conversation.server(reply(GETQ, b"v", opaque=3, cas=5) + reply(NOOP, opaque=4))
    conversation.client(request(SETQ, b"z", b"v", opaque=5)).close()
    path = save(tmp_path / "a.pcap", conversation.packets)
    result = run(path, store)
    assert (result.requests, result.equal, result.surplus) == (5, 5, 0)

    store.values[b"m"] = b"now it hits", 1
    result = run(path, store)
    assert (result.equal, result.different) == (4, 1)
    assert result.differences[0].reason == "a reply where none was recorded"


def test_a_quiet_hit_that_misses_live(tmp_path: Path, store: Store) -> None:
    conversation = Conversation().handshake().client(request(GETQ, b"k", opaque=3) + request(NOOP, opaque=4))
    conversation.server(reply(GETQ, b"v", opaque=3, cas=5) + reply(NOOP, opaque=4)).close()
    result = run(save(tmp_path / "a.pcap", conversation.packets), store)
    assert (result.equal, result.different) == (1, 1)
    assert result.differences[0].reason == "no reply"


def test_stat_is_not_compared(tmp_path: Path, store: Store) -> None:
    conversation = Conversation().handshake().client(request(STAT, opaque=1))
    conversation.server(reply(STAT, b"4", key=b"pid", opaque=1) + reply(STAT, b"6", key=b"uptime", opaque=1))
    conversation.server(reply(STAT, opaque=1)).client(request(NOOP)).server(reply(NOOP)).close()
    assert run(save(tmp_path / "a.pcap", conversation.packets), store).all_equal()


def test_pipelines_stay_together_in_the_captures_pieces(tmp_path: Path, store: Store) -> None:
    both = request(SET, b"k", b"v", opaque=1) + request(GET, b"k", opaque=2)
    conversation = Conversation().handshake().client(both[:30]).client(both[30:])
    conversation.server(reply(SET, opaque=1, cas=7)).server(reply(GET, b"v", opaque=2, cas=7)).close()
    path = save(tmp_path / "a.pcap", conversation.packets)
    plan = plan_replay(read_trace(path), 11211)
    assert [len(step.exchanges) for step in plan.steps] == [2]
    assert pieces(plan.connections[0].client, 0, len(both)) == [(0, 30), (30, len(both))]
    assert pieces(plan.connections[0].client, 5, 31) == [(5, 30), (30, 31)]
    assert run(path, store).all_equal()


def test_a_bounded_capture_leaves_its_last_requests_out(tmp_path: Path, store: Store) -> None:
    conversation = set_get().client(request(GET, b"k", opaque=4))
    result = run(save(tmp_path / "a.pcap", conversation.packets), store)
    assert (result.requests, result.equal, result.unanswered) == (3, 3, 1)
    assert len(store.seen) == 3
    assert result.all_equal()


def test_a_silent_server_times_out(tmp_path: Path, store: Store) -> None:
    store.answer = lambda message, data: b"" if message.opaque == 2 else store.proper(message, data)
    result = run(save(tmp_path / "a.pcap", set_get().close().packets), store, timeout=0.05)
    assert (result.equal, result.timed_out, result.not_sent) == (1, 1, 1)
    assert result.differences[0].reason == "timed out"


def test_a_server_that_does_not_close(tmp_path: Path, store: Store) -> None:
    store.close_with_client = False
    result = run(save(tmp_path / "a.pcap", set_get().close().packets), store, timeout=0.05)
    assert (result.equal, result.not_closed, result.all_equal()) == (3, 1, False)


def test_quit_closes(tmp_path: Path, store: Store) -> None:
    conversation = set_get().client(request(QUIT)).server(reply(QUIT)).close()
    assert run(save(tmp_path / "a.pcap", conversation.packets), store).all_equal()


def test_large_values_in_both_directions(tmp_path: Path, store: Store) -> None:
    """More than the sockets hold: sending must go on while receiving."""
    value = bytes(range(256)) * 200
    requests = b"".join(request(SET, b"k%d" % n, value, opaque=n) + request(GET, b"k%d" % n) for n in range(250))
    replies = b"".join(reply(SET, opaque=n, cas=5) + reply(GET, value, cas=5) for n in range(250))
    conversation = Conversation().handshake()
    for at in range(0, len(requests), 60000):
        conversation.client(requests[at : at + 60000])
    for at in range(0, len(replies), 60000):
        conversation.server(replies[at : at + 60000])
    path = save(tmp_path / "a.pcap", conversation.close().packets)
    assert len(plan_replay(read_trace(path), 11211).steps) == 1
    assert run(path, store).all_equal()


def test_retransmissions_and_reordering_do_not_matter(tmp_path: Path, store: Store) -> None:
    conversation = set_get().close()
    packets = conversation.packets
    packets[4:4] = [packets[3]]
    packets[6], packets[7] = packets[7], packets[6]
    assert run(save(tmp_path / "a.pcap", packets), store).all_equal()


def test_replies_captured_in_the_wrong_order(tmp_path: Path) -> None:
    conversation = Conversation().handshake()
    conversation.client(request(SET, b"k", b"v", opaque=1)).client(request(GET, b"k", opaque=2))
    conversation.server(reply(SET, opaque=1, cas=5)).server(reply(GET, b"v", opaque=2, cas=5))
    conversation.packets[5:] = reversed(conversation.packets[5:])
    plan = plan_replay(read_trace(save(tmp_path / "a.pcap", conversation.packets)), 11211)
    assert [exchange.request.opaque for step in plan.steps for exchange in step.exchanges] == [1, 2]


def test_no_server_is_an_error_of_its_own(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(ReplayError, match="cannot connect"):
        replay(save(tmp_path / "a.pcap", set_get().packets), "127.0.0.1", port)


# -- refusals


def refused(path: Path, port: int = 11211) -> CaptureError:
    with pytest.raises(CaptureError) as caught:
        plan_replay(read_trace(path), port)
    return caught.value


def test_a_missing_packet_is_refused(tmp_path: Path) -> None:
    packets = Conversation().handshake().client(request(NOOP)).client(request(NOOP)).server(reply(NOOP) * 2).packets
    del packets[3]
    error = refused(save(tmp_path / "a.pcap", packets))
    assert error.packet == 4
    assert "lacks bytes 0 to 23" in error.reason


def test_a_missing_reply_is_refused(tmp_path: Path) -> None:
    packets = set_get().close().packets
    del packets[6]
    error = refused(save(tmp_path / "a.pcap", packets))
    assert error.packet == 7
    assert "does not have" in error.reason


def test_a_cut_packet_is_refused(tmp_path: Path) -> None:
    frames = [bytes(packet) for packet in set_get().packets]
    packets = [Packet(i, i, frame, len(frame)) for i, frame in enumerate(frames)]
    packets[5] = packets[5]._replace(frame=frames[5][:60])
    path = tmp_path / "a.pcapng"
    write_pcapng(path, packets)
    error = refused(path)
    assert error.packet == 6
    assert "was cut: 6 of 25 payload bytes" in error.reason


def test_a_packet_cut_inside_its_headers_is_refused(tmp_path: Path) -> None:
    frames = [bytes(packet) for packet in set_get().packets]
    path = tmp_path / "a.pcapng"
    write_pcapng(path, [Packet(1, 0, frame[:40], len(frame)) for frame in frames])
    assert refused(path).packet == 1


def test_no_handshake_is_refused(tmp_path: Path) -> None:
    error = refused(save(tmp_path / "a.pcap", set_get().packets[3:]))
    assert error.packet == 1
    assert "no handshake seen" in error.reason


def test_no_payload_is_refused(tmp_path: Path) -> None:
    error = refused(save(tmp_path / "a.pcap", Conversation().handshake().close().packets))
    assert error.packet == 1
    assert "no TCP payload" in error.reason


def test_another_port_is_refused(tmp_path: Path) -> None:
    error = refused(save(tmp_path / "a.pcap", set_get().packets), port=80)
    assert "no connection to port 80" in error.reason


def test_another_protocol_is_refused(tmp_path: Path) -> None:
    conversation = Conversation().handshake().client(request(NOOP)).server(reply(NOOP)).client(b"get key\r\n")
    error = refused(save(tmp_path / "a.pcap", conversation.packets))
    assert error.packet == 6
    assert "not memcached's" in error.reason


def test_a_reply_to_nothing_is_refused(tmp_path: Path) -> None:
    conversation = Conversation().handshake().client(request(NOOP)).server(reply(NOOP)).server(reply(GET))
    error = refused(save(tmp_path / "a.pcap", conversation.packets))
    assert error.packet == 6
    assert "answers no request" in error.reason


def test_an_opened_connection_at_the_captures_end_does_no_harm(tmp_path: Path) -> None:
    late = Conversation(40001).handshake().packets[:1]
    plan = plan_replay(read_trace(save(tmp_path / "a.pcap", set_get().packets + late)), 11211)
    assert len(plan.connections) == 1
    assert all(isinstance(step, Step) for step in plan.steps)


# -- what else is in the capture


def fragment(source: str, destination: str, proto: int = 6) -> Ether:
    return Ether() / IP(src=source, dst=destination, proto=proto, flags="MF", id=9) / Raw(bytes(64))


def test_both_versions_of_ip_are_replayed(tmp_path: Path, store: Store) -> None:
    four = set_get().close()
    six = set_get(Conversation(40001)).close()
    path = save(tmp_path / "a.pcap", four.packets + [over_ipv6(packet) for packet in six.packets])
    result = run(path, store)
    assert (result.connections, result.requests, result.equal, result.left_out) == (2, 6, 6, [])


def test_what_is_of_other_flows_is_left_out_and_said(tmp_path: Path, store: Store) -> None:
    bad = Ether() / IP(src="198.18.0.1", dst="198.18.0.2") / TCP(sport=1, dport=2, dataofs=15)
    others = [
        fragment("10.0.0.1", "10.0.0.2"),
        bad,
        fragment("198.18.0.1", "198.18.0.2", proto=17),
        Ether() / IP() / UDP(),
    ]
    result = run(save(tmp_path / "a.pcap", set_get().close().packets + others), store)
    assert result.all_equal()
    assert result.left_out == [
        "2 unreadable packets (packet 13: an IP fragment: TCP inside fragments is not reassembled)",
        "2 packets without TCP (2 UDP)",
    ]


def test_a_fragment_that_may_be_of_a_replayed_connection_is_refused(tmp_path: Path) -> None:
    packets = set_get().close().packets
    packets.insert(5, fragment("198.18.0.1", "198.18.0.2"))
    error = refused(save(tmp_path / "a.pcap", packets))
    assert (error.packet, error.reason) == (6, "an IP fragment: TCP inside fragments is not reassembled")


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pcap", set_get().close().packets)
    path.write_bytes(path.read_bytes()[:-3])
    assert refused(path).packet == 12


# -- a server that keeps talking


def endless(store: Store, piece: bytes) -> None:
    """Have the server answer the first request with this, again and again, until the client goes."""

    def answer(message: protocol.Message, data: bytes) -> bytes:
        connection = store.accepted[-1]
        for _ in itertools.count():
            try:
                connection.sendall(piece)
            except OSError:
                return b""

    store.answer = answer


@pytest.mark.parametrize(
    ("piece", "reason"),
    [
        (reply(NOOP, opaque=99) * 1000, "instead of the reply"),
        (reply(STAT, b"1", key=b"pid") * 1000, "instead of the reply"),
        (
            struct.pack(">BBHBBHIIQ", 0x81, SET, 0, 0, 0, 0, 0xFFFFFFFF, 1, 0) + bytes(4096),
            "begins a reply of 4294967319",
        ),
    ],
    ids=["replies to nothing", "statistics", "one reply"],
)
def test_a_server_that_never_stops_is_given_up(tmp_path: Path, store: Store, piece: bytes, reason: str) -> None:
    endless(store, piece)
    conversation = Conversation().handshake().client(request(STAT)).server(reply(STAT, b"9", key=b"pid") + reply(STAT))
    if b"pid" not in piece:
        conversation = set_get()
    result = run(save(tmp_path / "a.pcap", conversation.close().packets), store)
    assert result.equal == 0
    assert result.different >= 1
    assert any(reason in difference.reason for difference in result.differences), result.differences


def test_a_server_that_drips_is_given_up(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    now = itertools.count()
    monkeypatch.setattr("captures.replay.time.monotonic", lambda: float(next(now)))  # a second for each look
    endless(store, reply(NOOP, opaque=99))
    monkeypatch.setattr("captures.replay.LiveConnection._read", one_byte)
    result = run(save(tmp_path / "a.pcap", set_get().close().packets), store, timeout=5.0)
    assert (result.timed_out, result.not_sent) == (1, 2)
    assert any("timed out, though the server kept talking" in each.reason for each in result.differences)


def one_byte(live: LiveConnection) -> None:
    live.received += live.socket.recv(1)


# -- the command line


def command(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    register(app)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_replay_command(tmp_path: Path, store: Store) -> None:
    path = str(save(tmp_path / "a.pcap", set_get().close().packets))
    status, output = command("replay", path, "--to", f"127.0.0.1:{store.port}", "--json")
    assert (status, json.loads(output)["equal"]) == (0, 3)
    status, output = command("replay", path, "--to", f"127.0.0.1:{store.port}")
    assert status == 0
    assert "1 connections, 3 requests" in output
    assert "3 equal, 0 different" in output


def test_replay_command_fails_on_a_difference(tmp_path: Path, store: Store) -> None:
    store.values[b"m"] = b"surprise", 3
    path = str(save(tmp_path / "a.pcap", set_get().close().packets))
    status, output = command("replay", path, "--to", f"127.0.0.1:{store.port}")
    assert status == 1
    assert "packet 9, GET" in output
    assert "status: not found recorded, ok live" in output


def test_replay_command_refuses(tmp_path: Path) -> None:
    path = str(save(tmp_path / "a.pcap", set_get().packets[3:]))
    status, output = command("replay", path, "--to", "127.0.0.1:1")
    assert status == 2
    assert "netlab: packet 1: " in output


def test_diff_command(tmp_path: Path) -> None:
    a = str(save(tmp_path / "a.pcap", set_get().close().packets))
    b = str(save(tmp_path / "b.pcap", set_get(Conversation(50000, 1, 2)).close().packets))
    c = str(save(tmp_path / "c.pcap", set_get().add(False, 0, flags="R").packets))
    status, output = command("diff", a, b)
    assert (status, "0 of " in output) == (0, True)
    status, output = command("diff", a, c, "--json")
    assert status == 1
    assert {"section", "name", "a", "b", "differs"} == set(json.loads(output)["rows"][0])
    assert command("diff", a, str(tmp_path / "none.pcap"))[0] == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", ("10.0.0.1", 11211)),
        ("10.0.0.1:80", ("10.0.0.1", 80)),
        ("fd00::1", ("fd00::1", 11211)),
        ("[fd00::1]:80", ("fd00::1", 80)),
        ("[fd00::1]", ("fd00::1", 11211)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize("text", ["", ":80", "10.0.0.1:x", "10.0.0.1:0", "10.0.0.1:70000"])
def test_bad_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="give ADDRESS"):
        parse_address(text)
