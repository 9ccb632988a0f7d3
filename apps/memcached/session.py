"""One connection's session: takes requests off the stream, one after the other, and answers them.

A request is looked at as soon as its header, extras and key are there; a value it carries is awaited, then taken as
the received pieces themselves and stored. A reply is a fresh header, chained to views of the stored pieces. When the
client does not read its replies (``send_window`` is used up), the session stops taking requests and pauses the
connection. A malformed request is answered, counted with its reason, and ends its own connection only.
Read ``protocol`` first; ``commands`` carries the requests out.
"""

from apps.memcached.protocol import (
    COMMAND,
    ERROR_TEXTS,
    EXTRAS_LENGTH,
    FLUSH,
    HEADER,
    INVALID_ARGUMENTS,
    KEY_OPTIONAL,
    KEY_RULE,
    LONGEST_KEY,
    LONGEST_VALUE,
    MAGIC_REQUEST,
    MAGIC_RESPONSE,
    QUIET,
    SET,
    TAKES_VALUE,
    TOO_LARGE,
    UNKNOWN,
    UNKNOWN_COMMAND,
    WITH_KEY,
)
from apps.memcached.store import Store
from ebbrt.input import Input
from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import NodeMemory
from ebbrt.network import TcpHandler

REPLY_HEADROOM = 192  # for the headers of TCP, IP, Ethernet and the device


class Core:
    """What the sessions of a core share: the store, the scratch for split headers, and the counters.

    ``sessions`` holds the open ones; ``problems`` counts protocol errors and refusals by reason.
    """

    def __init__(self, store: Store, scratch: IOBuf) -> None:
        self.store = store
        self.scratch = scratch
        self.sessions: set[Session] = set()
        self.accepted = 0  # connections ever
        self.opened = 0  # connections since STAT reset
        self.started = store.now()
        self.problems: dict[str, int] = {}

    def count(self, reason: str) -> None:
        """Count one protocol error or refusal."""
        self.problems[reason] = self.problems.get(reason, 0) + 1


class Session(TcpHandler):
    """The stream of one connection. ``Commands`` below it carries out a request that is complete.

    While a request is carried out, these hold its header: ``opcode`` as sent, ``command`` what it stands for,
    ``quiet``, ``with_key``, ``key_length``, ``extras_length``, ``value_length``, ``opaque``, ``cas``; ``at`` is where
    in node memory header, extras and key lie in a row.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        self.store: Store = core.store
        self.memory: NodeMemory = core.store.allocator.memory
        self._input = Input(core.store.allocator, core.scratch)
        self._needed = HEADER  # bytes of input without which there is nothing to do
        self._refused = 0  # bytes of a refused request still to be dropped
        self._paused = False
        self._waiting = False
        self._peer_closed = False
        self._ended = False
        self.opcode = self.command = self.key_length = self.extras_length = self.value_length = 0
        self.quiet = self.with_key = False
        self.opaque = self.cas = self.at = 0

    def connected(self) -> None:
        """Replies are whole messages: none of them gains by waiting."""
        self.connection.disable_nagle()

    def receive(self, data: IOBuf) -> None:
        """Answer every request that is complete now."""
        if self._ended:
            return
        self._input.append(data)
        if not self._paused:
            self._process()

    def send_window_opened(self) -> None:
        """The client reads its replies again: go on."""
        if not self._paused or self._waiting:
            return
        self._paused = False
        self._process()
        if not self._paused and not self._ended:
            self.connection.resume()

    def wait(self) -> None:
        """Take no further request until ``go_on``: another core carries this one out."""
        self._paused = self._waiting = True
        self.connection.pause()

    def go_on(self) -> None:
        """The request that was waited for is answered."""
        self._waiting = False
        self.send_window_opened()

    def peer_closed(self) -> None:
        """Close, once the requests that came before are answered."""
        self._peer_closed = True
        if not self._paused:
            self.end("")

    def closed(self, reason: str) -> None:
        """Forget everything: nothing may keep the session alive."""
        self._ended = True
        self._input.clear()
        self.core.sessions.discard(self)
        self.connection = None  # type: ignore[assignment]

    def end(self, problem: str) -> None:
        """Answer nothing more and close; ``problem``, if any, is counted."""
        if problem:
            self.core.count(problem)
        if not self._ended:
            self._ended = True
            self._input.clear()
            self.connection.resume()  # data held back meanwhile is dropped: the peer's end must still get through
            self.connection.close()

    def give_up(self) -> None:
        """Reset the connection: there is no node memory left to answer it with."""
        self.core.count("out of memory")
        self._ended = True
        self._input.clear()
        self.connection.abort()

    def _process(self) -> None:
        while not self._ended and not self._paused and self._input.length >= self._needed:
            if self._refused:
                self._drop_refused()
            elif self.connection.send_window() == 0:
                self._paused = True
                self.connection.pause()
            else:
                self._take_request()
        if self._ended or self._paused:
            return
        if self._peer_closed:
            self.end("")
        elif self._input.length and not self._input.settle():
            self.give_up()

    def _drop_refused(self) -> None:
        count = min(self._refused, self._input.length)
        self._input.skip(count)
        self._refused -= count
        self._needed = 1 if self._refused else HEADER

    def _refuse_rest(self, count: int) -> None:
        """Let the next ``count`` bytes of input be dropped as they come."""
        self._refused = count
        self._needed = 1 if count else HEADER

    def _take_request(self) -> None:
        """Look at the request at the front; carry it out if all of it is there, else say what is needed."""
        at = self._input.flat(HEADER)
        self._read_header(at)
        if self.memory.mem[at] != MAGIC_REQUEST:
            self.end("bad magic")
            return
        body = get32(self.memory, at + 8)
        front = HEADER + self.extras_length + self.key_length
        if self.extras_length + self.key_length > body:
            self.answer_error(UNKNOWN_COMMAND)
            self.end("bad length")
            return
        if self.key_length > LONGEST_KEY:
            self.answer_error(INVALID_ARGUMENTS)
            self.end("key too long")
            return
        if self.command == UNKNOWN:
            self.core.count("unknown command")
            self.answer_error(UNKNOWN_COMMAND)
            self._refuse_rest(HEADER + body)
            return
        self.value_length = body + HEADER - front
        if not self._is_well_formed():
            self.answer_error(INVALID_ARGUMENTS)
            self.end("invalid arguments")
            return
        is_too_large = self.value_length > LONGEST_VALUE
        self._needed = front if is_too_large else HEADER + body
        if self._input.length < self._needed:
            return
        self._needed = HEADER
        self.at = self._input.flat(front)
        key = self.memory.read(self.at + HEADER + self.extras_length, self.key_length)
        if is_too_large:
            self.refuse_large(key, HEADER + body)
        else:
            self.carry_out(key, front)

    def _read_header(self, at: int) -> None:
        memory = self.memory
        self.opcode = memory.mem[at + 1]
        self.command = COMMAND[self.opcode]
        self.quiet = QUIET[self.opcode] != 0
        self.with_key = WITH_KEY[self.opcode] != 0
        self.key_length = memory.mem[at + 2] << 8 | memory.mem[at + 3]
        self.extras_length = memory.mem[at + 4]
        self.opaque = get32(memory, at + 12)
        self.cas = get64(memory, at + 16)

    def _is_well_formed(self) -> bool:
        """Whether extras, key and value are those the command asks for."""
        command = self.command
        if self.extras_length != EXTRAS_LENGTH[command] and not (command == FLUSH and self.extras_length == 0):
            return False
        if self.value_length and not TAKES_VALUE[command]:
            return False
        return KEY_RULE[command] == KEY_OPTIONAL or (self.key_length != 0) == (KEY_RULE[command] != 0)

    def refuse_large(self, key: bytes, length: int) -> None:
        """Answer a request whose value is too large, and drop its ``length`` bytes as they come."""
        self.store.counters.store_too_large += 1
        self.core.count("value too large")
        if self.command == SET:
            self.store.remove(key)  # as memcached: better no value than the one that was to be replaced
        self.answer_error(TOO_LARGE)
        self._refuse_rest(length)

    def carry_out(self, key: bytes, front: int) -> None:
        """Carry out the request at the front of the input, which is complete, and consume it."""
        raise NotImplementedError

    def skip(self, count: int) -> None:
        """Consume bytes of the request."""
        self._input.skip(count)

    def take_whole(self, front: int) -> IOBuf | None:
        """Consume the whole request at the front of the input, of ``front`` bytes and the value."""
        return self._input.take(front + self.value_length)

    def take_value(self) -> IOBuf | None:
        """Consume the value of the request, as the pieces it came in."""
        return self._input.take(self.value_length)

    def reply(self, status: int, extras_length: int, key: bytes, value_length: int, cas: int) -> IOBuf | None:
        """The fresh first piece of a reply: header, room for extras, key. ``value_length`` bytes are to follow.

        None when there is no memory for it; the connection is then reset.
        """
        key_length = len(key)
        head = allocate(self.store.allocator, HEADER + extras_length + key_length, REPLY_HEADROOM)
        if head is None:
            self.give_up()
            return None
        memory = head.memory
        at = head.start
        memory.mem[at] = MAGIC_RESPONSE
        memory.mem[at + 1] = self.opcode
        memory.mem[at + 2] = key_length >> 8
        memory.mem[at + 3] = key_length & 0xFF
        memory.mem[at + 4] = extras_length
        memory.mem[at + 5] = 0
        memory.mem[at + 6] = status >> 8
        memory.mem[at + 7] = status & 0xFF
        put32(memory, at + 8, extras_length + key_length + value_length)
        put32(memory, at + 12, self.opaque)
        put64(memory, at + 16, cas)
        if key_length:
            head.write(HEADER + extras_length, key)
        return head

    def answer(self, status: int, cas: int, text: bytes) -> None:
        """Send a reply without extras and key, whose body is ``text``."""
        head = self.reply(status, 0, text, 0, cas)
        if head is not None:
            put16(head.memory, head.start + 2, 0)  # the text is body, not key
            self.connection.send(head)

    def answer_error(self, status: int) -> None:
        """Send the protocol's text for an error."""
        self.answer(status, 0, ERROR_TEXTS[status])


def get32(memory: NodeMemory, at: int) -> int:
    """Four bytes in network order."""
    return memory.mem[at] << 24 | memory.mem[at + 1] << 16 | memory.mem[at + 2] << 8 | memory.mem[at + 3]


def get64(memory: NodeMemory, at: int) -> int:
    """Eight bytes in network order."""
    high = get32(memory, at)
    return high << 32 | get32(memory, at + 4)


def put16(memory: NodeMemory, at: int, value: int) -> None:
    """Write two bytes in network order."""
    memory.mem[at] = value >> 8
    memory.mem[at + 1] = value & 0xFF


def put32(memory: NodeMemory, at: int, value: int) -> None:
    """Write the low 32 bits of ``value`` in network order."""
    memory.mem[at] = value >> 24 & 0xFF
    memory.mem[at + 1] = value >> 16 & 0xFF
    memory.mem[at + 2] = value >> 8 & 0xFF
    memory.mem[at + 3] = value & 0xFF


def put64(memory: NodeMemory, at: int, value: int) -> None:
    """Write eight bytes in network order."""
    put32(memory, at, value >> 32)
    put32(memory, at + 4, value)
