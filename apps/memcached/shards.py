"""memcached on several cores: every key belongs to one core, and any core answers any client.

The kernel spreads connections over a node's cores and knows nothing of keys. So a session whose request is about a
key of another core hands the request over, views of the received buffers, and sends the views that come back; until
then it takes no further request, so that replies keep their order. The other core carries it out as if it had come
to it. Which core a key belongs to follows from its hash, so no core asks another where a key is.

A value that comes from another core is copied once, when it is stored: each core's store is then bounded by its own
memory. Nothing else is copied. FLUSH goes to all cores, and so does STAT, whose numbers are added up.
"""

import json
import struct

from apps.memcached.commands import Commands
from apps.memcached.protocol import FLUSH, KEY_REQUIRED, KEY_RULE, SET
from apps.memcached.session import Core
from apps.memcached.statistics import COUNTER_NAMES, stat_group
from ebbrt.cores import CoreLinks, CoreMessageHandler
from ebbrt.input import copy_together
from ebbrt.iobuf import IOBuf
from ebbrt.network import TcpConnection

KIND = 64  # of our messages on the core links
UNBOUNDED = 1 << 30

_MESSAGE = struct.Struct("<BQ")  # what it is, and the number of the session it is about; then text, if any
_REQUEST, _REPLY, _LOST, _REMOVE, _ASK_STATISTICS, _STATISTICS = range(6)
_SUMMED = frozenset(
    (*COUNTER_NAMES, "curr_connections", "total_connections", "limit_maxbytes", "maxbytes", "bytes", "curr_items",
     "threads", "num_threads", "items:1:number")
)  # fmt: skip


class Shards(CoreMessageHandler):
    """One core's part of the whole: carries out what other cores hand over, and brings back what they answer."""

    def __init__(self, core: Core, links: CoreLinks) -> None:
        self.core = core
        self.others = [number for number in range(links.count) if number != links.number]
        self._links = links
        self._answers = Answers()
        self._visitor = VisitingCommands(core, self._answers)
        self._sessions: dict[int, ShardedCommands] = {}
        self._next = 0
        self.handed_over = 0  # requests given to other cores
        self.served = 0  # requests of other cores
        links.register(KIND, self)

    def add(self, session: "ShardedCommands") -> int:
        """A number by which other cores' answers find the session."""
        self._next += 1
        self._sessions[self._next] = session
        return self._next

    def forget(self, number: int) -> None:
        """The session is gone; answers for it are dropped."""
        self._sessions.pop(number, None)

    def owner(self, key: bytes) -> int:
        """The core a key belongs to. The hash is the same on all cores, which are forks of one process."""
        return hash(key) % self._links.count

    def is_here(self, key: bytes) -> bool:
        """Whether a key belongs to this core."""
        return self.owner(key) == self._links.number

    def hand_over(self, core: int, session: int, request: IOBuf) -> None:
        """Let ``core`` carry a whole request out; the session gets its answer."""
        self.handed_over += 1
        self._links.send(core, KIND, _MESSAGE.pack(_REQUEST, session), request)

    def remove(self, key: bytes) -> None:
        """Let the core of ``key`` forget it, before anything that this core hands over later."""
        self._links.send(self.owner(key), KIND, _MESSAGE.pack(_REMOVE, 0) + key)

    def ask_statistics(self, session: int, group: bytes) -> None:
        """Ask all other cores for a group of statistics; the session gets their answers."""
        for core in self.others:
            self._links.send(core, KIND, _MESSAGE.pack(_ASK_STATISTICS, session) + group)

    def carry_out(self, request: IOBuf) -> tuple[IOBuf | None, bool]:
        """Carry a whole request out on this core: its replies, and whether memory ran out for them."""
        self._visitor.receive(request)
        return self._answers.take()

    def receive(self, core: int, data: bytes, chain: IOBuf | None) -> None:
        """See CoreMessageHandler."""
        what, number = _MESSAGE.unpack_from(data)
        text = data[_MESSAGE.size :]
        if what == _REQUEST:
            assert chain is not None
            self.served += 1
            replies, lost = self.carry_out(chain)
            self._links.send(core, KIND, _MESSAGE.pack(_LOST if lost else _REPLY, number), replies)
        elif what == _REMOVE:
            self.core.store.remove(text)
        elif what == _ASK_STATISTICS:
            numbers = json.dumps(stat_group(text, self.core)).encode()
            self._links.send(core, KIND, _MESSAGE.pack(_STATISTICS, number) + numbers)
        elif number in self._sessions:
            session = self._sessions[number]
            if what == _STATISTICS:
                session.other_statistics(dict(json.loads(text)))
            else:
                session.answered(chain, what == _LOST)

    def statistics(self) -> dict[str, int]:
        """Requests handed over to other cores, and carried out for them."""
        return {"handed_over": self.handed_over, "served_for_others": self.served}


class ShardedCommands(Commands):
    """The session of a connection: requests about this core's keys are carried out here, others are handed over."""

    def __init__(self, core: Core, shards: Shards) -> None:
        super().__init__(core)
        self._shards = shards
        self._number = shards.add(self)
        self._unanswered = 0
        self._own_reply: IOBuf | None = None  # to a request that all cores carry out
        self._totals: dict[str, str] = {}

    def carry_out(self, key: bytes, front: int) -> None:
        """See Commands."""
        if self.command == FLUSH:
            self._flush_everywhere(front)
        elif KEY_RULE[self.command] != KEY_REQUIRED or self._shards.is_here(key):
            super().carry_out(key, front)
        else:
            request = self.take_whole(front)
            assert request is not None
            self._unanswered = 1
            self.wait()
            self._shards.hand_over(self._shards.owner(key), self._number, request)

    def _flush_everywhere(self, front: int) -> None:
        request = self.take_whole(front)
        assert request is not None
        self._unanswered = len(self._shards.others)
        self.wait()
        for core in self._shards.others:
            self._shards.hand_over(core, self._number, request.clone_chain())
        self._own_reply, lost = self._shards.carry_out(request)
        if lost:
            self.give_up()

    def answered(self, replies: IOBuf | None, lost: bool) -> None:
        """Another core has carried the request out; ``lost``: it had no memory for the reply."""
        self._unanswered -= 1
        if self.command != FLUSH:
            self._own_reply = replies
        if lost:
            self.give_up()
        elif self._unanswered == 0:
            reply, self._own_reply = self._own_reply, None
            if reply is not None:
                self.connection.send(reply)
            self.go_on()

    def stat(self, group: bytes) -> None:
        """See Commands."""
        own = stat_group(group, self.core)
        if own is None:
            self.answer_statistics(None)
            return
        self._totals = dict(own)
        self._unanswered = len(self._shards.others)
        self.wait()
        self._shards.ask_statistics(self._number, group)

    def other_statistics(self, numbers: dict[str, str]) -> None:
        """Add what another core has counted."""
        for name, value in numbers.items():
            if name not in self._totals:
                self._totals[name] = value
            elif name in _SUMMED:
                self._totals[name] = str(int(self._totals[name]) + int(value))
        self._unanswered -= 1
        if self._unanswered == 0:
            self.answer_statistics(list(self._totals.items()))
            self.go_on()

    def refuse_large(self, key: bytes, length: int) -> None:
        """See Session."""
        if self.command == SET and not self._shards.is_here(key):
            self._shards.remove(key)
        super().refuse_large(key, length)

    def closed(self, reason: str) -> None:
        """See Session."""
        self._shards.forget(self._number)
        super().closed(reason)


class Answers(TcpConnection):
    """Stands for a connection while a request of another core is carried out: collects the replies."""

    def __init__(self) -> None:
        self._replies: IOBuf | None = None
        self._lost = False

    def take(self) -> tuple[IOBuf | None, bool]:
        """What was sent since the last call, and whether memory ran out."""
        taken = self._replies, self._lost
        self._replies = None
        self._lost = False
        return taken

    def send(self, data: IOBuf) -> bool:
        """See TcpConnection."""
        if self._replies is None:
            self._replies = data
        else:
            self._replies.append(data)
        return True

    def send_window(self) -> int:
        """See TcpConnection."""
        return UNBOUNDED

    def abort(self) -> None:
        """See TcpConnection."""
        self._lost = True


class VisitingCommands(Commands):
    """Carries out whole requests that other cores hand over."""

    def __init__(self, core: Core, answers: Answers) -> None:
        super().__init__(core)
        self.connection = answers

    def take_value(self) -> IOBuf | None:
        """See Session. The value is copied into this core's own memory."""
        value = super().take_value()
        if value is None:
            return None
        return copy_together(self.store.allocator, value, value.chain_length())

    def give_up(self) -> None:
        """See Session. The next request begins anew."""
        self.core.count("out of memory")
        self.connection.abort()
