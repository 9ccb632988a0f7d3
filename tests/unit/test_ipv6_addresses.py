"""How an interface comes by its IPv6 addresses, how they end, and which one is chosen."""

from ipaddress import IPv6Address, IPv6Interface

import pytest
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import Ether

from stack.address import halves, parse_address
from stack.ipv6.autoconfiguration import Ipv6AddressWatcher
from stack.ipv6.constants import DEPRECATED, PREFERRED
from stack.ipv6.link import Ipv6Address
from stack.ipv6.selection import label_of, select_source
from stack.ipv6.settings import Ipv6Settings
from tests.fakes import PEER_MAC
from tests.ipv6_harness import NODE, NODE_LINK, PEER_LINK, SECOND, Harness, group_link, prefix, solicited

HOUR = 3600
AUTOMATIC = Ipv6Settings(automatic=True, probes=1)
FIXED = Ipv6Settings((IPv6Interface(f"{NODE}/64"),))


def probes(frames: list[Ether]) -> list[Ether]:
    return [frame for frame in frames if ICMPv6ND_NS in frame and frame[IPv6].src == "::"]


def public(harness: Harness) -> list[str]:
    return [text for text in harness.addresses() if not text.startswith("fe80")]


class Watcher(Ipv6AddressWatcher):
    def __init__(self) -> None:
        self.told: list[tuple[str, str, int]] = []

    def address_duplicate(self, address: Ipv6Address, mac: int) -> None:
        self.told.append(("duplicate", str(IPv6Address(address.high << 64 | address.low)), mac))

    def address_conflict(self, address: Ipv6Address, mac: int) -> None:
        self.told.append(("conflict", str(IPv6Address(address.high << 64 | address.low)), mac))


# Duplicate address detection


def test_an_address_is_asked_for_before_it_is_taken() -> None:
    harness = Harness(FIXED)
    assert harness.addresses() == []
    harness.advance(SECOND)
    asked = {frame[ICMPv6ND_NS].tgt: frame for frame in probes(harness.take())}
    frame = asked[NODE]
    assert (frame.dst, frame[IPv6].dst, frame[IPv6].hlim) == (group_link(solicited(NODE)), solicited(NODE), 255)
    assert ICMPv6NDOptSrcLLAddr not in frame
    assert len(asked) == 2
    harness.advance(SECOND)
    assert NODE in harness.addresses()
    assert len(harness.addresses()) == 2
    assert probes(harness.take()) == []


def test_a_tentative_address_receives_nothing() -> None:
    harness = Harness(FIXED)
    harness.give_nd(ICMPv6ND_NS(tgt=NODE) / ICMPv6NDOptSrcLLAddr(lladdr=PEER_LINK))
    harness.give_nd(ICMPv6ND_NS(tgt=NODE) / ICMPv6NDOptSrcLLAddr(lladdr=PEER_LINK), to=solicited(NODE))
    assert harness.counter("ipv6", "not_ours") == 1
    assert harness.take() == []


def test_somebody_else_with_an_address_that_we_have_is_told_of_but_not_our_own_echo() -> None:
    harness = Harness()
    harness.link.autoconfiguration.watcher = watcher = Watcher()
    for link in (NODE_LINK, PEER_LINK):
        harness.give_nd(ICMPv6ND_NA(tgt=NODE, S=0) / ICMPv6NDOptDstLLAddr(lladdr=link), NODE, "ff02::1")
    assert watcher.told == [("conflict", NODE, int.from_bytes(PEER_MAC, "big"))]
    assert harness.counter("ndp", "address_conflicts") == 1
    assert NODE in harness.addresses()


@pytest.mark.parametrize("by", ["owner", "rival"])
def test_an_address_that_somebody_has_or_wants_is_not_taken(by: str) -> None:
    harness = Harness(FIXED)
    harness.link.autoconfiguration.watcher = watcher = Watcher()
    harness.advance(SECOND)
    if by == "owner":
        harness.give_nd(ICMPv6ND_NA(tgt=NODE, S=0) / ICMPv6NDOptDstLLAddr(lladdr=PEER_LINK), NODE, "ff02::1")
    else:
        harness.give_nd(ICMPv6ND_NS(tgt=NODE), "::", solicited(NODE))
    assert watcher.told == [("duplicate", NODE, int.from_bytes(PEER_MAC, "big") if by == "owner" else 0)]
    harness.advance(5 * SECOND)
    assert NODE not in harness.addresses()
    assert harness.counter("ndp", "addresses_duplicate") == 1
    assert harness.counter("ndp", "addresses_given_up") == 1
    assert not harness.link.listens_to(*halves(int(IPv6Address(solicited(NODE)))))


def test_another_automatic_address_is_tried_three_times_in_all() -> None:
    harness = Harness(AUTOMATIC)
    seen = set()
    for _ in range(5):
        harness.advance(SECOND)
        for frame in probes(harness.take()):
            target = frame[ICMPv6ND_NS].tgt
            seen.add(target)
            harness.give_nd(ICMPv6ND_NA(tgt=target, S=0) / ICMPv6NDOptDstLLAddr(lladdr=PEER_LINK), target, "ff02::1")
    assert len(seen) == 3
    assert harness.addresses() == []
    assert harness.counter("ndp", "addresses_given_up") == 1


def test_we_defend_our_address() -> None:
    harness = Harness()
    harness.give_nd(ICMPv6ND_NS(tgt=NODE), "::", solicited(NODE))
    (frame,) = harness.take()
    assert (frame[IPv6].dst, frame[ICMPv6ND_NA].S, frame[ICMPv6ND_NA].O) == ("ff02::1", 0, 1)
    assert NODE in harness.addresses()


# Stateless address autoconfiguration


def test_an_advertised_prefix_gives_an_opaque_address_that_is_always_the_same() -> None:
    def address(text: str) -> IPv6Address:
        harness = Harness(AUTOMATIC)
        harness.advertise(prefix(text))
        harness.advance(3 * SECOND)
        (own,) = public(harness)
        return IPv6Address(own)

    first = address("2001:db8:1::")
    assert first == address("2001:db8:1::")
    assert int(first) >> 64 == int(IPv6Address("2001:db8:1::")) >> 64
    assert int(first) & (1 << 64) - 1 != int(address("2001:db8:2::")) & (1 << 64) - 1
    assert first.packed[11:13] != b"\xff\xfe"


@pytest.mark.parametrize(
    "option",
    [
        prefix(length=63),
        prefix(A=0),
        prefix("fe80::"),
        prefix(validlifetime=0, preferredlifetime=0),
        prefix(validlifetime=10, preferredlifetime=20),
    ],
)
def test_prefixes_that_give_no_address(option: object) -> None:
    harness = Harness(AUTOMATIC)
    harness.advertise(option)
    harness.advance(3 * SECOND)
    assert public(harness) == []


def test_an_address_is_deprecated_and_ends() -> None:
    harness = Harness(AUTOMATIC)
    harness.advertise(prefix(validlifetime=2 * HOUR, preferredlifetime=HOUR))
    harness.advance(3 * SECOND)
    (own,) = [one for one in harness.link.addresses if one.high >> 56 == 0x20]
    assert own.state == PREFERRED
    harness.advance((HOUR - 3) * SECOND)
    assert own.state == DEPRECATED
    harness.advertise(prefix(validlifetime=2 * HOUR, preferredlifetime=HOUR))
    assert own.state == PREFERRED
    harness.advance(2 * HOUR * SECOND)
    assert public(harness) == []


def test_nobody_ends_an_address_within_two_hours() -> None:
    harness = Harness(AUTOMATIC)
    harness.advertise(prefix(validlifetime=10 * HOUR, preferredlifetime=HOUR))
    harness.advance(3 * SECOND)
    harness.advertise(prefix(validlifetime=1, preferredlifetime=1))
    harness.advance((2 * HOUR - 10) * SECOND)
    assert len(public(harness)) == 1
    harness.advertise(prefix(validlifetime=5, preferredlifetime=1))  # with less than two hours left: ignored
    harness.advance(8 * SECOND)
    assert len(public(harness)) == 1
    harness.advance(3 * SECOND)
    assert public(harness) == []


# Temporary addresses


def test_a_temporary_address_is_preferred_renewed_and_forgotten() -> None:
    harness = Harness(Ipv6Settings(automatic=True, temporary=True))
    day = prefix(validlifetime=0xFFFFFFFF, preferredlifetime=0xFFFFFFFF)
    harness.advertise(day)
    harness.advance(3 * SECOND)
    first = [one for one in harness.link.addresses if one.temporary]
    assert len(first) == 1
    chosen = select_source(harness.link.addresses, parse_address("2001:db8:9::1"))
    assert chosen == first[0].pair()
    harness.advance(24 * HOUR * SECOND)
    second = [one for one in harness.link.addresses if one.temporary and one.state == PREFERRED]
    assert len(second) == 1
    assert second[0].low != first[0].low
    assert first[0].state == DEPRECATED
    harness.advance(24 * HOUR * SECOND)
    assert first[0] not in harness.link.addresses
    assert len(harness.link.addresses) <= 5


def test_a_next_temporary_address_is_there_before_the_last_is_deprecated() -> None:
    harness = Harness(Ipv6Settings(automatic=True, temporary=True))
    harness.advertise(prefix(validlifetime=0xFFFFFFFF, preferredlifetime=0xFFFFFFFF))
    harness.advance(3 * SECOND)
    (first,) = [one for one in harness.link.addresses if one.temporary]
    harness.advance(first.preferred_until - harness.clock.now() - 1)
    usable = [one for one in harness.link.addresses if one.temporary and one.state == PREFERRED]
    assert len(usable) == 2


# Selection (RFC 6724 section 10)


def ours(*texts: str, **flags: object) -> list[Ipv6Address]:
    found = []
    for text in texts:
        interface = IPv6Interface(text)
        address = Ipv6Address(*halves(int(interface.ip)), interface.network.prefixlen)
        address.state = PREFERRED
        found.append(address)
    return found


@pytest.mark.parametrize(
    ("destination", "candidates", "best"),
    [
        ("2001:db8:1::1", ("2001:db8:3::1/64", "fe80::1/64"), 0),
        ("ff05::1", ("2001:db8:3::1/64", "fe80::1/64"), 0),
        ("fe80::1", ("2001:db8:2::1/64", "fe80::2/64"), 1),
        ("2001:db8:1::1", ("2001:db8:1::2/64", "2001:db8:3::2/64"), 0),
        ("2001:db8:1::1", ("2001:db8:3::2/64", "2001:db8:1::2/64"), 1),
        ("2002:c633:6401::1", ("2001:db8:1::d5e3:7953:13eb:22e8/64", "2002:c633:6401::d5e3/64"), 1),
        ("fd11::1", ("2001:db8:1::1/64", "fd11::2/64"), 1),
        ("2001:db8:1::d5e3:0:0:1", ("2001:db8:1::2/64", "2001:db8:1::d5e3:0:0:1/64"), 1),
    ],
)
def test_source_selection(destination: str, candidates: tuple[str, ...], best: int) -> None:
    addresses = ours(*candidates)
    assert select_source(addresses, parse_address(destination)) == addresses[best].pair()


def test_source_selection_avoids_deprecated_and_prefers_temporary() -> None:
    addresses = ours("2001:db8:1::2/64", "2001:db8:1::3/64")
    addresses[0].state = DEPRECATED
    assert select_source(addresses, parse_address("2001:db8:1::2:1")) == addresses[1].pair()
    addresses = ours("2001:db8:1::2/64", "2001:db8:1::3/64")
    addresses[1].temporary = True
    assert select_source(addresses, parse_address("2001:db8:9::1")) == addresses[1].pair()


def test_the_labels_of_the_policy_table() -> None:
    assert label_of(*parse_address("::1")) == 0
    assert label_of(*parse_address("198.51.100.1")) == 4
    assert label_of(*parse_address("2002::1")) == 2
    assert label_of(*parse_address("fd00::1")) == 13
    assert label_of(*parse_address("2001:db8::1")) == 1
