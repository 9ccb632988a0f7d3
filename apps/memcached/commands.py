"""The commands of the binary protocol, each as one method: what is looked up, stored and answered.

Where the protocol leaves a choice, memcached 1.6.18 is the judge: texts, statuses, which failures a quiet command
answers, when a CAS number is spent.
"""

import re

from apps.memcached.protocol import (
    ADD,
    APPEND,
    DECREMENT,
    DELETE,
    FLUSH,
    GAT,
    GET,
    HEADER,
    INCREMENT,
    KEY_EXISTS,
    KEY_NOT_FOUND,
    LONGEST_VALUE,
    NO_CREATION,
    NON_NUMERIC,
    NOOP,
    NOT_STORED,
    OK,
    OUT_OF_MEMORY,
    PREPEND,
    QUIT,
    REPLACE,
    SET,
    STAT,
    TOUCH,
    VERSION,
    VERSION_TEXT,
)
from apps.memcached.session import Core, Session, get32, get64, put32, put64
from apps.memcached.statistics import stat_group
from apps.memcached.store import Item
from ebbrt.iobuf import IOBuf, allocate

WORD = 0xFFFFFFFFFFFFFFFF
LARGEST_COUNTER_VALUE = 1 << 19  # memcached keeps larger values in chunks, and does no sums on them
NUMBER = re.compile(rb"[ \t-\r]*([+-]?)([0-9]+)(?=[ \t-\r\0]|\Z)")  # what strtoull takes, up to a space


class Commands(Session):
    """Carries out requests against the store."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self.now = 0  # seconds since the epoch, when the request at hand was taken up

    def carry_out(self, key: bytes, front: int) -> None:
        """Carry out the request at the front of the input; ``front`` is the length of header, extras and key."""
        command = self.command
        self.now = self.store.now()
        if command == GET:
            self.skip(front)
            self._get(key)
        elif command in (SET, ADD, REPLACE):
            flags = get32(self.memory, self.at + HEADER)
            expiration = get32(self.memory, self.at + HEADER + 4)
            self.skip(front)
            self._set(key, flags, expiration)
        else:
            self._carry_out_rare(key, front)

    def _carry_out_rare(self, key: bytes, front: int) -> None:
        command = self.command
        extras = self.at + HEADER
        first = get32(self.memory, extras) if self.extras_length >= 4 else 0
        delta = initial = expiration = 0
        if self.extras_length == 20:
            delta = get64(self.memory, extras)
            initial = get64(self.memory, extras + 8)
            expiration = get32(self.memory, extras + 16)
        self.skip(front)
        if command == DELETE:
            self._delete(key)
        elif command in (INCREMENT, DECREMENT):
            self._add_to_counter(key, delta, initial, expiration)
        elif command in (APPEND, PREPEND):
            self._extend(key)
        elif command in (TOUCH, GAT):
            self._touch(key, first)
        elif command == FLUSH:
            self.store.flush(first, self.now)
            self._succeed(0)
        elif command == NOOP:
            self.answer(OK, 0, b"")
        elif command == VERSION:
            self.answer(OK, 0, VERSION_TEXT)
        elif command == STAT:
            self.stat(key)
        elif command == QUIT:
            self._succeed(0)
            self.end("")

    def _succeed(self, cas: int) -> None:
        """Answer a success without a body, unless the command is quiet."""
        if not self.quiet:
            self.answer(OK, cas, b"")

    def _get(self, key: bytes) -> None:
        item = self.store.find(key, self.now)
        self.store.counters.cmd_get += 1
        if item is None:
            self.store.counters.get_misses += 1
            self._miss(key)
        else:
            self.store.counters.get_hits += 1
            self._send_item(key, item, True)

    def _miss(self, key: bytes) -> None:
        """Tell that there is no such item: with the key for GETK and GATK, not at all for the quiet ones."""
        if self.quiet:
            return
        if not self.with_key:
            self.answer_error(KEY_NOT_FOUND)
            return
        head = self.reply(KEY_NOT_FOUND, 0, key, 0, 0)
        if head is not None:
            self.connection.send(head)

    def _send_item(self, key: bytes, item: Item, with_value: bool) -> None:
        head = self.reply(OK, 4, key if self.with_key else b"", item.length if with_value else 0, item.cas)
        if head is None:
            return
        put32(head.memory, head.start + HEADER, item.flags)
        if with_value and item.value is not None:
            head.next = item.value.clone_chain()
        self.connection.send(head)

    def _set(self, key: bytes, flags: int, expiration: int) -> None:
        store = self.store
        length = self.value_length
        value = self.take_value()
        store.counters.cmd_set += 1
        store.tend(self.now)
        if value is not None:
            value = store.compact(value, length)
        if (value is None and length) or not store.admit(length):
            self._refuse_for_memory(key)
            return
        item = store.find(key, self.now)
        status = self._may_store(item)
        if status != OK:
            self.answer_error(status)
            return
        fresh = Item(value, length, flags, store.expiry(expiration, self.now), self.now)
        self._succeed(store.put(key, item, fresh).cas)

    def _refuse_for_memory(self, key: bytes) -> None:
        self.store.counters.store_no_memory += 1
        self.core.count("out of memory")
        if self.command == SET:
            self.store.remove(key)  # as memcached: better no value than the one that was to be replaced
        self.answer_error(OUT_OF_MEMORY)

    def _may_store(self, item: Item | None) -> int:
        """Whether SET, ADD or REPLACE may store, as a status. With a CAS number all three only replace."""
        counters = self.store.counters
        if self.cas:
            if item is None:
                counters.cas_misses += 1
                return KEY_NOT_FOUND
            if item.cas != self.cas:
                counters.cas_badval += 1
                return KEY_EXISTS
            counters.cas_hits += 1
        elif self.command == ADD and item is not None:
            return KEY_EXISTS
        elif self.command == REPLACE and item is None:
            return KEY_NOT_FOUND
        return OK

    def _delete(self, key: bytes) -> None:
        item = self.store.find(key, self.now)
        if item is None:
            self.store.counters.delete_misses += 1
            self.answer_error(KEY_NOT_FOUND)
        elif self.cas and self.cas != item.cas:
            self.answer_error(KEY_EXISTS)
        else:
            self.store.counters.delete_hits += 1
            self.store.remove(key)
            self._succeed(0)

    def _extend(self, key: bytes) -> None:
        """APPEND and PREPEND: chain the new pieces to the stored ones; nothing is copied."""
        store = self.store
        length = self.value_length
        value = self.take_value()
        store.counters.cmd_set += 1
        store.tend(self.now)
        has_room = store.admit(length)
        item = store.find(key, self.now)
        if item is None or item.length + length > LONGEST_VALUE:
            self.answer_error(NOT_STORED)
            return
        if self.cas and self.cas != item.cas:
            self.answer_error(KEY_EXISTS)
            return
        # The old pieces are shared with replies in flight: views of them are chained, not they themselves.
        pieces = item.value.clone_chain() if item.value is not None else None
        whole = join(pieces, value) if self.command == APPEND else join(value, pieces)
        length += item.length
        if whole is not None:
            whole = store.compact(whole, length)
        if not has_room or (whole is None and length):
            self._refuse_for_memory(key)
            return
        self._succeed(store.put(key, item, Item(whole, length, item.flags, item.expires, self.now)).cas)

    def _touch(self, key: bytes, expiration: int) -> None:
        """TOUCH and GAT: give a new expiry; GAT also gets."""
        counters = self.store.counters
        counters.cmd_touch += 1
        if self.command == GAT:
            counters.cmd_get += 1
        item = self.store.find(key, self.now)
        if item is None:
            counters.touch_misses += 1
            if self.command == GAT:
                counters.get_misses += 1
            self._miss(key)
            return
        counters.touch_hits += 1
        if self.command == GAT:
            counters.get_hits += 1
        self.store.touch(key, item, self.store.expiry(expiration, self.now))
        self._send_item(key, item, self.command == GAT)

    def _add_to_counter(self, key: bytes, delta: int, initial: int, expiration: int) -> None:
        counters = self.store.counters
        is_increment = self.command == INCREMENT
        self.store.tend(self.now)
        has_room = self.store.admit(0)
        item = self.store.find(key, self.now)
        if item is None:
            if is_increment:
                counters.incr_misses += 1
            else:
                counters.decr_misses += 1
            if expiration == NO_CREATION:
                self.answer_error(KEY_NOT_FOUND)
            elif has_room:
                expires = self.store.expiry(expiration, self.now)
                self._store_counter(key, None, initial, Item(None, 0, 0, expires, self.now))
            else:
                self._refuse_for_memory(key)
            return
        value = parse_counter(item)
        if self.cas and self.cas != item.cas and item.length:
            self.answer_error(KEY_EXISTS)
            return
        if value is None:
            self.answer_error(NON_NUMERIC)
            return
        if is_increment:
            counters.incr_hits += 1
            value = (value + delta) & WORD
        else:
            counters.decr_hits += 1
            value = max(value - delta, 0)
        self._store_counter(key, item, value, Item(None, item.length, item.flags, item.expires, self.now))

    def _store_counter(self, key: bytes, item: Item | None, value: int, fresh: Item) -> None:
        """Store the digits, filled with spaces to the length they had before, as memcached does."""
        digits = b"%d" % value
        digits = digits.ljust(fresh.length)
        piece = allocate(self.store.allocator, len(digits))
        if piece is None:
            self._refuse_for_memory(key)
            return
        piece.write(0, digits)
        fresh.value = piece
        fresh.length = len(digits)
        cas = self.store.put(key, item, fresh).cas
        if self.quiet:
            return
        head = self.reply(OK, 0, bytes(8), 0, cas)
        if head is not None:
            put64(head.memory, head.start + HEADER, value)
            head.memory.mem[head.start + 3] = 0  # the number is body, not key
            self.connection.send(head)

    def stat(self, group: bytes) -> None:
        """Answer STAT."""
        self.answer_statistics(stat_group(group, self.core))

    def answer_statistics(self, statistics: list[tuple[str, str]] | None) -> None:
        """One reply for each statistic, then an empty one; None: there is no such group."""
        if statistics is None:
            self.answer_error(KEY_NOT_FOUND)
            return
        for name, value in statistics:
            head = self.reply(OK, 0, name.encode() + value.encode(), 0, 0)
            if head is None:
                return
            head.memory.mem[head.start + 3] = len(name)
            self.connection.send(head)
        self.answer(OK, 0, b"")


def join(front: IOBuf | None, back: IOBuf | None) -> IOBuf | None:
    """One chain of two."""
    if front is None:
        return back
    if back is not None:
        front.append(back)
    return front


def parse_counter(item: Item) -> int | None:
    """The number an item holds, as memcached's ``safe_strtoull`` reads it; None when it is none."""
    if item.value is None or item.length > LARGEST_COUNTER_VALUE:
        return None
    parts = []
    piece: IOBuf | None = item.value
    while piece is not None:
        parts.append(piece.peek(0, piece.length))
        piece = piece.next
    match = NUMBER.match(b"".join(parts))
    if match is None:
        return None
    digits = match[2].lstrip(b"0")
    if len(digits) > 20:
        return None
    value = int(digits or b"0")  # without the zeros: Python refuses to convert thousands of digits
    if value > WORD:
        return None
    if match[1] == b"-":
        value = -value & WORD
        return None if value >> 63 else value
    return value
