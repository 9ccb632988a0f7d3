"""Reassembly: fragments as scapy makes them, in any order, with everything that can be wrong with them."""

import random

import pytest
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.packet import Raw

from ebbrt.constants import FOREVER
from stack.fragments import (
    CHARGE,
    IPV4_TIMEOUT,
    IPV6_TIMEOUT,
    MOST_PINNED_EACH,
    Datagram,
    Fragments,
    is_tiny,
)
from tests.fakes import make_allocator, make_frame, read_chain

ALLOCATOR = make_allocator()
UDP_NUMBER = 17


def give(fragments: Fragments, packet: IP, *cuts: int, key: object = None, now: int = 0) -> Datagram | None:
    """Give one IPv4 fragment of scapy's, spread over buffers at the given offsets."""
    again = IP(bytes(packet))
    return fragments.take(
        again.id if key is None else key,
        make_frame(ALLOCATOR, bytes(packet), *cuts),
        again.ihl * 4,
        again.frag * 8,
        again.len - again.ihl * 4,
        again.flags.MF,
        again.proto,
        again.tos & 3,
        now,
    )


def part(fragments: Fragments, start: int, data: bytes, more: bool, ecn: int = 0, now: int = 0) -> Datagram | None:
    """Give the bytes ``data`` of datagram 1, with a header of 20 bytes."""
    return fragments.take(1, make_frame(ALLOCATOR, bytes(20) + data), 20, start, len(data), more, UDP_NUMBER, ecn, now)


def datagram(length: int) -> IP:
    data = bytes(number * 7 & 0xFF for number in range(length))
    return IP(src="198.18.0.3", dst="198.18.0.2", id=77) / UDP(sport=9, dport=7) / Raw(data)


@pytest.mark.parametrize("order", ["forward", "backward", "shuffled"])
@pytest.mark.parametrize("cuts", [(), (20,), (21, 27)])
def test_what_scapy_cuts_is_whole_again(order: str, cuts: tuple[int, ...]) -> None:
    whole = datagram(4000)
    parts = fragment(whole, 1000)
    if order == "backward":
        parts.reverse()
    elif order == "shuffled":
        random.Random(3).shuffle(parts)
    fragments = Fragments(IPV4_TIMEOUT)
    results = [give(fragments, one, *cuts) for one in parts]
    assert results[:-1] == [None] * (len(parts) - 1)
    done = results[-1]
    assert done is not None
    assert done.header is not None
    assert read_chain(done.header) == bytes(next(one for one in parts if one.frag == 0))[:20]
    assert done.length == 4008
    assert read_chain(done.payload) == bytes(IP(bytes(whole)).payload)
    assert fragments.pinned == 0
    assert fragments.statistics()["reassembled"] == 1
    assert fragments.next_deadline() == FOREVER


def test_no_byte_is_copied() -> None:
    before = ALLOCATOR.memory.payload_bytes_copied
    fragments = Fragments(IPV4_TIMEOUT)
    assert part(fragments, 0, b"a" * 800, True) is None
    whole = part(fragments, 800, b"b" * 10, False)
    assert whole is not None
    assert read_chain(whole.payload) == b"a" * 800 + b"b" * 10
    assert ALLOCATOR.memory.payload_bytes_copied == before


def test_version_6_of_scapy_too() -> None:
    whole = IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrFragment(id=5) / UDP(sport=1, dport=2)
    whole /= Raw(bytes(3000))
    fragments = Fragments(IPV6_TIMEOUT)
    results = []
    for one in fragment6(whole, 1280):
        data = bytes(one)
        header = IPv6(data)[IPv6ExtHdrFragment]
        chain = make_frame(ALLOCATOR, data)
        results.append(
            fragments.take(("key", 5), chain, 48, header.offset * 8, len(data) - 48, header.m == 1, header.nh, 0, 0)
        )
    assert results[-1] is not None
    assert results[-1].length == 3008


def test_datagrams_do_not_mix() -> None:
    fragments = Fragments(IPV4_TIMEOUT)
    one, two = fragment(datagram(3000), 1480)[:2]
    assert give(fragments, one, key="a") is None
    assert give(fragments, two, key="b") is None
    assert fragments.statistics()["datagrams"] == 2


def test_overlap_condemns_the_datagram_and_what_follows() -> None:
    fragments = Fragments(IPV4_TIMEOUT)
    part(fragments, 0, bytes(16), True)
    part(fragments, 8, bytes(16), True)
    assert fragments.pinned == CHARGE
    assert part(fragments, 0, bytes(16), True) is None
    assert part(fragments, 16, bytes(8), False) is None
    assert fragments.poll(IPV4_TIMEOUT - 1) == []
    assert fragments.poll(IPV4_TIMEOUT) == []  # nobody is told
    counted = fragments.statistics()
    assert (counted["overlaps"], counted["of_condemned"], counted["pinned_bytes"]) == (1, 2, 0)
    assert counted["expired"] == 0
    part(fragments, 0, bytes(16), True)
    assert part(fragments, 16, bytes(8), False) is not None  # the identification is free again


def test_exact_duplicates_are_tolerated() -> None:
    fragments = Fragments(IPV4_TIMEOUT)
    part(fragments, 16, b"last" * 2, False)
    part(fragments, 16, b"last" * 2, False)
    part(fragments, 0, bytes(8), True)
    part(fragments, 0, bytes(8), True)
    assert part(fragments, 8, bytes(8), True) is not None
    assert fragments.statistics()["duplicates"] == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((16, 8, False), (24, 8, True)),  # beyond the end
        ((16, 8, False), (24, 8, False)),  # a second end
        ((24, 8, True), (16, 8, False)),  # an end before what has come
        ((16, 8, False), (16, 8, True)),  # the same bytes are the end, and are not
        ((16, 8, True), (16, 8, False)),
        ((0, 32, True), (8, 8, True)),  # within
        ((8, 8, True), (0, 32, True)),  # around
    ],
)
def test_contradictions_condemn(first: tuple[int, int, bool], second: tuple[int, int, bool]) -> None:
    fragments = Fragments(IPV4_TIMEOUT)
    for start, length, more in (first, second):
        assert part(fragments, start, bytes(length), more) is None
    assert fragments.statistics()["overlaps"] == 1


@pytest.mark.parametrize(
    ("start", "length", "more"), [(0, 0, True), (8, 12, True), (65528, 8, False), (8, 65528, False), (4, 8, True)]
)
def test_impossible_fragments(start: int, length: int, more: bool) -> None:
    fragments = Fragments(IPV4_TIMEOUT)
    assert part(fragments, start, bytes(length), more) is None
    assert fragments.statistics()["malformed"] == 1
    assert fragments.pinned == 0


def test_tiny_fragments_of_tcp() -> None:
    assert is_tiny(6, 0, 16)
    assert not is_tiny(6, 0, 24)
    assert is_tiny(6, 8, 8)
    assert is_tiny(6, 16, 8)
    assert not is_tiny(6, 24, 8)
    assert not is_tiny(17, 0, 8)
    fragments = Fragments(IPV4_TIMEOUT)
    assert fragments.take(1, make_frame(ALLOCATOR, bytes(28)), 20, 0, 8, True, 6, 0, 0) is None
    assert fragments.statistics()["tiny"] == 1


def test_ecn_of_the_whole() -> None:
    """RFC 3168 section 5.3."""
    for seen, expected in (((2, 3), 3), ((2, 2), 2), ((0, 2), 0), ((1, 3, 2), 3), ((0, 3), None)):
        fragments = Fragments(IPV4_TIMEOUT)
        whole = None
        for number, ecn in enumerate(seen):
            whole = part(fragments, 8 * number, bytes(8), number < len(seen) - 1, ecn)
        if expected is None:
            assert whole is None
            assert fragments.statistics()["bad_ecn"] == 1
        else:
            assert whole is not None
            assert whole.ecn == expected


def test_time_is_up() -> None:
    fragments = Fragments(IPV4_TIMEOUT)
    part(fragments, 0, b"begin..." * 4, True, now=5)
    part(fragments, 64, bytes(8), True, now=7)  # later parts give no more time
    assert fragments.next_deadline() == IPV4_TIMEOUT + 5
    assert fragments.poll(IPV4_TIMEOUT + 4) == []
    (late,) = fragments.poll(IPV4_TIMEOUT + 5)
    first = late.first_fragment()
    assert first is not None
    assert read_chain(first) == bytes(20) + b"begin..." * 4
    assert fragments.statistics()["expired"] == 1
    assert fragments.pinned == 0
    part(fragments, 64, bytes(8), True)
    assert fragments.poll(IPV4_TIMEOUT) == []  # without its first fragment nobody is told (RFC 792)
    assert fragments.statistics()["expired"] == 2


def test_the_oldest_makes_room() -> None:
    fragments = Fragments(IPV4_TIMEOUT, most_pinned=16 << 10)
    for number in range(100):
        fragments.take(number, make_frame(ALLOCATOR, bytes(520)), 20, 0, 400, True, UDP_NUMBER, 0, number)
        assert fragments.pinned <= 16 << 10
    counted = fragments.statistics()
    assert counted["evicted"] + counted["datagrams"] == 100
    assert counted["datagrams"] == (16 << 10) // (1024 + 2 * CHARGE)
    fragments.clear()
    assert fragments.pinned == 0


def test_one_datagram_cannot_pin_all() -> None:
    fragments = Fragments(IPV4_TIMEOUT)
    for number in range(2000):
        part(fragments, 8 * number, bytes(8), True)
        assert fragments.pinned <= MOST_PINNED_EACH
    assert fragments.statistics()["too_costly"] == 1


class Reference:
    """Reassembly byte by byte, the slow and obvious way."""

    def __init__(self) -> None:
        self.owner: dict[int, tuple[int, int, bool]] = {}
        self.data: dict[int, int] = {}
        self.length: int | None = None
        self.dead = False

    def take(self, start: int, data: bytes, more: bool) -> bytes | None:
        mine = (start, start + len(data), more)
        places = range(start, start + len(data))
        owners = {self.owner.get(place) for place in places}
        if self.dead or owners == {mine}:
            return None
        ends = [owner[1] for owner in self.owner.values()] + [mine[1]]
        length = self.length if more else mine[1]
        contradiction = self.length is not None and not more and self.length != mine[1]
        too_far = length is not None and max(ends) > length
        last_but_more = more and length is not None and mine[1] >= length
        if owners != {None} or contradiction or too_far or last_but_more:
            self.dead = True
            return None
        self.length = length
        for place, byte in zip(places, data, strict=True):
            self.owner[place] = mine
            self.data[place] = byte
        if self.length is not None and len(self.data) == self.length:
            return bytes(self.data[place] for place in range(self.length))
        return None


@pytest.mark.parametrize("seed", range(300))
def test_agrees_with_the_reference(seed: int) -> None:
    chance = random.Random(seed)
    units = chance.randrange(2, 12)
    original = chance.randbytes(8 * units - chance.randrange(8))
    pieces = []
    at = 0
    while at < len(original):
        size = 8 * chance.randrange(1, 4)
        pieces.append((at, original[at : at + size], at + size < len(original)))
        at += size
    for _ in range(chance.choice([0, 0, 1, 3])):
        start = 8 * chance.randrange(units)
        pieces.append((start, chance.randbytes(8 * chance.randrange(1, 4)), chance.random() < 0.7))
    pieces += chance.sample(pieces, chance.randrange(2))
    chance.shuffle(pieces)
    fragments, reference = Fragments(IPV4_TIMEOUT), Reference()
    for start, data, more in pieces:
        whole, expected = part(fragments, start, data, more), reference.take(start, data, more)
        assert (None if whole is None else read_chain(whole.payload)) == expected
        if expected is not None:
            assert fragments.pinned == 0
            break
