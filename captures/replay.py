"""Replay the clients of a memcached capture to a live server and check its replies against the recorded ones.

Ordinary kernel sockets, so a live TCP does the talking and only the application's bytes come from the capture. What
to send when is ``replay_plan``'s business. Replies must be equal byte for byte but for the CAS, which a server is
free to choose: it is masked in replies, and a recorded CAS in a request is replaced by the one the live server gave
where the capture's server gave that. STAT's figures are the server's own: only their end is waited for.

The live store must be in the state the captured one was in before the first packet, for instance both empty.

A live server that keeps talking without answering is given up, too: for one reply it gets ten timeouts, and as many
bytes as all recorded replies have together, and 16 MiB.
"""

import selectors
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from captures import memcached_binary as protocol
from captures.flows import Connection, read_trace
from captures.memcached_binary import CAS_END, CAS_START, Exchange, Message
from captures.reach import OutsideLabError, require_lab
from captures.replay_plan import Plan, Step, packet_of, pieces, plan_replay

DIFFERENCES_KEPT = 20
SURPLUS_KEPT = 3  # of them, replies to nothing: they must not crowd out what came of them
HEX_BYTES = 96  # of a reply shown in a difference
MAX_TIMEOUTS = 10  # that one reply may take, when bytes keep coming
SPARE_BYTES = 16 << 20  # that a server may send for one reply beyond all that was recorded


class ReplayError(Exception):
    """The live server could not be talked to."""


@dataclass(slots=True)
class Difference:
    """A reply that is not the recorded one, and the packet of the capture that holds the recorded one."""

    packet: int
    connection: str
    opcode: str
    reason: str
    recorded: str  # hexadecimal, cut after HEX_BYTES
    live: str


@dataclass(slots=True)
class ReplayResult:
    """What came of a replay; every planned request is in exactly one of the four counts below ``requests``."""

    connections: int
    requests: int
    equal: int = 0
    different: int = 0
    timed_out: int = 0
    not_sent: int = 0  # on a connection after it failed
    unanswered: int = 0  # at the capture's end, without a recorded reply: not part of ``requests``
    surplus: int = 0  # live replies to nothing
    not_closed: int = 0  # connections that the captured server closed and the live one did not
    seconds: float = 0.0
    differences: list[Difference] = field(default_factory=list)  # the first ones
    left_out: list[str] = field(default_factory=list)  # in words, what of the capture was not replayed

    def all_equal(self) -> bool:
        """Whether the live server did all that the captured one did."""
        return self.equal == self.requests and not self.surplus and not self.not_closed


def replay(capture: Path, address: str, to_port: int, *, port: int = 11211, timeout: float = 5.0) -> ReplayResult:
    """Replay the capture's connections to ``port`` to the server at ``address`` and ``to_port``.

    ``timeout``: seconds without a byte after which a connection is given up. CaptureError when the capture cannot be
    replayed, with the packet that shows why; ReplayError when the server cannot be reached, or must not (``reach``).
    """
    try:
        require_lab(address)
    except OutsideLabError as error:
        raise ReplayError(str(error)) from error
    plan = plan_replay(read_trace(capture, port), port)
    started = time.monotonic()
    with Replayer(plan, (address, to_port), timeout) as replayer:
        for step in plan.steps:
            replayer.run(step)
    replayer.result.seconds = time.monotonic() - started
    return replayer.result


class LiveConnection:
    """One connection to the live server, which gets ``timeout`` and ``max_bytes`` as the module's text says."""

    def __init__(self, address: tuple[str, int], timeout: float, max_bytes: int) -> None:
        try:
            self.socket = socket.create_connection(address, timeout)
        except OSError as error:
            raise ReplayError(f"cannot connect to {address[0]} port {address[1]}: {error}") from error
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.socket, selectors.EVENT_READ)
        self.timeout = timeout
        self.max_bytes = max_bytes
        self.received = bytearray()
        self.to_send: deque[memoryview] = deque()
        self.failure = ""
        self.timed_out = False
        self.await_reply()

    def await_reply(self) -> None:
        """Time and bytes for the next reply begin to count."""
        self.give_up_at = time.monotonic() + MAX_TIMEOUTS * self.timeout
        self.bytes_left = self.max_bytes

    def send(self, data: bytes) -> None:
        """Queue bytes and send what the kernel takes now."""
        self.to_send.append(memoryview(data))
        self._write()

    def next_message(self) -> bytes | None:
        """The next complete reply, None with ``failure`` set when there will be none."""
        while not self.failure:
            if self.received and self.received[0] != protocol.REPLY_MAGIC:
                self.failure = f"not a reply: it begins with 0x{self.received[0]:02x}"
                break
            length = protocol.message_length(self.received, 0)
            if length is not None and length > self.max_bytes:
                self.failure = f"begins a reply of {length} bytes; at most {self.max_bytes} are taken"
                break
            if length is not None and length <= len(self.received):
                message = bytes(self.received[:length])
                del self.received[:length]
                return message
            self.progress()
        return None

    def progress(self) -> None:
        """Wait until bytes can be moved and move them; give up when the server's time or bytes are used up."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.to_send else 0)
        self.selector.modify(self.socket, events)
        left = self.give_up_at - time.monotonic()
        ready = self.selector.select(min(self.timeout, left)) if left > 0 else []
        if not ready:
            self.timed_out = True
            self.failure = "timed out" if left > 0 else "timed out, though the server kept talking"
            return
        if ready[0][1] & selectors.EVENT_WRITE:
            self._write()
        if ready[0][1] & selectors.EVENT_READ:
            self._read()

    def _write(self) -> None:
        try:
            while self.to_send:
                sent = self.socket.send(self.to_send[0])
                if sent < len(self.to_send[0]):
                    self.to_send[0] = self.to_send[0][sent:]
                else:
                    self.to_send.popleft()
        except BlockingIOError:
            pass
        except OSError as error:
            self.failure = f"sending failed: {error.strerror}"

    def _read(self) -> None:
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError as error:
            self.failure = f"receiving failed: {error.strerror}"
            return
        if not data:
            self.failure = "the server closed the connection"
        self.received += data
        self.bytes_left -= len(data)
        if self.bytes_left < 0:
            self.failure = f"the server sent more than {self.max_bytes} bytes instead of the reply"

    def finish(self) -> bool:
        """Say that no more will be sent and take what still comes; whether the server then closed, too."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            return True  # it is closed already
        self.await_reply()
        while not self.failure:
            self.progress()
        return not self.timed_out and self.bytes_left >= 0

    def close(self) -> None:
        """Give the socket back."""
        self.selector.close()
        self.socket.close()


class Replayer:
    """Carries out a plan, step by step."""

    def __init__(self, plan: Plan, address: tuple[str, int], timeout: float) -> None:
        self.plan = plan
        self.address = address
        self.timeout = timeout
        self.max_bytes = SPARE_BYTES + sum(len(connection.server.stream) for connection in plan.connections)
        self.live: dict[int, LiveConnection] = {}
        self.steps_left: dict[int, int] = {}
        self.cas: dict[int, int] = {}  # recorded -> live
        requests = 0
        for step in plan.steps:
            requests += len(step.exchanges)
            self.steps_left[step.connection] = self.steps_left.get(step.connection, 0) + 1
        self.result = ReplayResult(len(self.steps_left), requests)
        self.result.unanswered = plan.unanswered
        self.result.left_out = plan.left_out

    def __enter__(self) -> "Replayer":
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self.live.values():
            connection.close()

    def run(self, step: Step) -> None:
        """Send the step's requests, take and judge the replies; after its connection's last step, close it."""
        live = self.live.get(step.connection)
        if live is None:
            live = self.live[step.connection] = LiveConnection(self.address, self.timeout, self.max_bytes)
        recorded = self.plan.connections[step.connection]
        if live.failure:
            self.result.not_sent += len(step.exchanges)
        else:
            live.await_reply()
            for piece in self._requests(recorded, step):
                live.send(piece)
            Judge(self, recorded, live, step).run()
        self.steps_left[step.connection] -= 1
        if not self.steps_left[step.connection]:
            self._finish(recorded, live)
            live.close()
            del self.live[step.connection]

    def _requests(self, recorded: Connection, step: Step) -> list[bytes]:
        """The step's bytes in the capture's pieces, with live CAS values."""
        start = step.exchanges[0].request.offset
        end = step.exchanges[-1].request.end
        data = recorded.client.stream[start:end]
        for exchange in step.exchanges:
            request = exchange.request
            if request.cas:
                at = request.offset - start
                data[at + CAS_START : at + CAS_END] = self.cas.get(request.cas, request.cas).to_bytes(8, "big")
        return [bytes(data[first - start : last - start]) for first, last in pieces(recorded.client, start, end)]

    def _finish(self, recorded: Connection, live: LiveConnection) -> None:
        """Close; the server must close, too, where the captured one did, and must not say anything more."""
        if live.failure or recorded.server.fin_packet is None:
            return
        if not live.finish():
            self.result.not_closed += 1
            self.note(recorded.server.fin_packet, recorded, "FIN", "the server did not close", b"", b"")
        if live.received:
            self.result.surplus += 1
            packet = recorded.server.fin_packet
            self.note(packet, recorded, "FIN", "more replies than were recorded", b"", bytes(live.received))

    def note(self, packet: int, recorded: Connection, opcode: str, reason: str, old: bytes, new: bytes) -> None:
        """Keep a difference, if there is room."""
        if len(self.result.differences) < DIFFERENCES_KEPT:
            name = recorded.name()
            shown = (old[:HEX_BYTES].hex(), new[:HEX_BYTES].hex())
            self.result.differences.append(Difference(packet, name, opcode, reason, *shown))


class Judge:
    """Takes the live replies to one step and gives each request its verdict."""

    def __init__(self, replayer: Replayer, recorded: Connection, live: LiveConnection, step: Step) -> None:
        self.replayer = replayer
        self.result = replayer.result
        self.recorded = recorded
        self.live = live
        self.waiting = deque(step.exchanges)
        self.taken = 0  # replies to the first of them
        self.same = True  # so far, those replies

    def run(self) -> None:
        """Until every request is judged or the connection failed."""
        while any(exchange.replies for exchange in self.waiting):
            message = self.live.next_message()
            if message is None:
                self._give_up()
                return
            self._take(message)
        self.result.equal += len(self.waiting)  # quiet to the end, as recorded

    def _take(self, data: bytes) -> None:
        message = protocol.split(data, protocol.REPLY_MAGIC)[0] if _consistent(data) else None
        if message is None or not self._advance_to(message):
            self.result.surplus += 1
            if self.result.surplus <= SURPLUS_KEPT:
                self._note(self.waiting[0], "a reply to nothing that was asked", b"", data)
            return
        exchange = self.waiting[0]
        if exchange.request.opcode == protocol.STAT and message.status == 0:
            if not protocol.continues(message):
                self._judged()
            return
        if self.taken >= len(exchange.replies):
            self._differs(exchange, "a reply where none was recorded", b"", data)
        else:
            reply = exchange.replies[self.taken]
            old = bytes(self.recorded.server.stream[reply.offset : reply.end])
            if data[:CAS_START] != old[:CAS_START] or data[CAS_END:] != old[CAS_END:]:
                what, before, now = protocol.first_difference(old, data)
                self._differs(exchange, f"{what} {before} recorded, {now} live", old, data)
            elif reply.cas:
                self.replayer.cas[reply.cas] = message.cas
        self.taken += 1
        if self.taken >= len(exchange.replies):
            self._judged()

    def _advance_to(self, message: Message) -> bool:
        """Make the request that ``message`` answers the first one waiting; False when it answers none.

        Requests passed over stay without a reply, which is right only where none was recorded. A reply whose opaque
        is wrong is taken for the answer to the first request of its opcode, so that the difference can be shown.
        """
        places = [at for at, each in enumerate(self.waiting) if _answers(message, each)]
        if not places:
            places = [at for at, each in enumerate(self.waiting) if each.replies][:1]
            if self.waiting[places[0]].request.opcode != message.opcode:
                return False
        for _ in range(places[0]):
            exchange = self.waiting[0]
            if self.taken < len(exchange.replies):
                reply = exchange.replies[self.taken]
                old = bytes(self.recorded.server.stream[reply.offset : reply.end])
                self._differs(exchange, "no reply", old, b"")
            self._judged()
        return True

    def _differs(self, exchange: Exchange, reason: str, old: bytes, new: bytes) -> None:
        self.same = False
        self._note(exchange, reason, old, new)

    def _note(self, exchange: Exchange, reason: str, old: bytes, new: bytes) -> None:
        packet = packet_of(self.recorded, exchange)
        opcode = protocol.opcode_name(exchange.request.opcode)
        self.replayer.note(packet, self.recorded, opcode, reason, old, new)

    def _judged(self) -> None:
        """The verdict on the first waiting request is known."""
        if self.same:
            self.result.equal += 1
        else:
            self.result.different += 1
        self.waiting.popleft()
        self.live.await_reply()
        self.taken = 0
        self.same = True

    def _give_up(self) -> None:
        """The connection failed: none of the waiting requests will be answered."""
        exchange = next(each for each in self.waiting if each.replies)
        reply = exchange.replies[0]
        old = bytes(self.recorded.server.stream[reply.offset : reply.end])
        self._note(exchange, self.live.failure, old, bytes(self.live.received))
        if self.live.timed_out:
            self.result.timed_out += len(self.waiting)
        else:
            self.result.different += len(self.waiting)


def _answers(message: Message, exchange: Exchange) -> bool:
    return message.opcode == exchange.request.opcode and message.opaque == exchange.request.opaque


def _consistent(data: bytes) -> bool:
    """Whether the reply's lengths agree, so that it can be split."""
    _, _, key_length, extras_length, _, _, body, _, _ = protocol.HEADER.unpack_from(data)
    return bool(key_length + extras_length <= body)
