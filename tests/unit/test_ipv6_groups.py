"""Multicast Listener Discovery: what is reported, when, and to whom."""

from scapy.layers.inet6 import (
    ICMPv6MLDMultAddrRec,
    ICMPv6MLDone,
    ICMPv6MLQuery,
    ICMPv6MLQuery2,
    ICMPv6MLReport,
    ICMPv6MLReport2,
    IPv6,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from stack.ipv6.mld import response_delay
from tests.ipv6_harness import NODE, PEER_LINK, ROUTER, SECOND, Harness, group_link, solicited

OWN = solicited(NODE)


def query(harness: Harness, message: Packet, to: str = "ff02::1", alert: bool = True, **fields: object) -> None:
    packet = IPv6(**{"src": ROUTER, "dst": to, "hlim": 1, **fields})
    if alert:
        packet = packet / IPv6ExtHdrHopByHop(options=[RouterAlert()])
    harness.give(Ether(src=PEER_LINK, dst=group_link(to)) / packet / message)


def reported(harness: Harness) -> list[tuple[int, str]]:
    """(type of record, group), of what was sent since the last call."""
    harness.take()
    frames, harness.reports = harness.reports, []
    records = []
    for frame in frames:
        assert (frame.dst, frame[IPv6].dst, frame[IPv6].hlim) == ("33:33:00:00:00:16", "ff02::16", 1)
        assert isinstance(frame[IPv6ExtHdrHopByHop].options[0], RouterAlert)
        count = len(records)
        record = frame[ICMPv6MLReport2].records[0]
        while isinstance(record, ICMPv6MLDMultAddrRec):
            records.append((record.rtype, record.dst))
            record = record.payload
        assert frame[ICMPv6MLReport2].records_number == len(records) - count
    return records


def quiet() -> Harness:
    """A node whose first reports have been sent."""
    harness = Harness(knows_peer=False)
    harness.advance(2 * SECOND)
    reported(harness)
    return harness


def test_a_group_is_reported_twice_when_joined_and_when_left() -> None:
    harness = Harness(knows_peer=False)
    assert (4, OWN) in reported(harness)
    harness.advance(SECOND)
    assert (4, OWN) in reported(harness)
    harness.advance(10 * SECOND)
    assert reported(harness) == []
    group = harness.link.groups[-1]
    harness.link.leave(group.high, group.low, harness.clock.now())
    harness.advance(SECOND)
    assert reported(harness) == [(3, OWN)] * 2


def test_a_general_query_is_answered_within_its_time_with_all_groups() -> None:
    harness = quiet()
    query(harness, ICMPv6MLQuery2(mrd=4000))
    assert reported(harness) == []
    harness.advance(4 * SECOND)
    answer = reported(harness)
    assert (2, OWN) in answer
    assert len(answer) == len(harness.link.groups)
    assert all(group != "ff02::1" for _, group in answer)


def test_a_query_for_one_group_is_answered_for_that() -> None:
    harness = quiet()
    query(harness, ICMPv6MLQuery2(mladdr=OWN, mrd=0), to=OWN)
    harness.advance(1)
    assert reported(harness) == [(2, OWN)]
    query(harness, ICMPv6MLQuery2(mladdr="ff05::1", mrd=0))
    harness.advance(SECOND)
    assert reported(harness) == []


def test_queries_that_may_not_be_are_dropped() -> None:
    harness = quiet()
    query(harness, ICMPv6MLQuery2(mrd=0), hlim=2)
    query(harness, ICMPv6MLQuery2(mrd=0), src="fd00::9")
    query(harness, ICMPv6MLQuery2(mrd=0), alert=False)
    harness.advance(SECOND)
    assert reported(harness) == []
    assert harness.counter("ndp", "mld_invalid") == 3


def test_version_1_is_spoken_to_a_router_of_version_1_and_only_by_one_host() -> None:
    harness = quiet()
    query(harness, ICMPv6MLQuery(mrd=100))
    harness.advance(SECOND)
    harness.take()
    groups = {frame[IPv6].dst: frame[ICMPv6MLReport].mladdr for frame in harness.reports}
    assert groups[OWN] == OWN
    harness.reports = []
    query(harness, ICMPv6MLQuery(mladdr=OWN, mrd=100), to=OWN)
    query(harness, ICMPv6MLReport(mladdr=OWN), to=OWN)
    harness.advance(SECOND)
    harness.take()
    assert harness.reports == []
    group = harness.link.groups[-1]
    harness.link.leave(group.high, group.low, harness.clock.now())
    harness.take()
    assert (harness.reports[0][IPv6].dst, harness.reports[0][ICMPv6MLDone].mladdr) == ("ff02::2", OWN)


def test_response_codes() -> None:
    assert response_delay(10_000) == 10_000
    assert response_delay(0x8000) == 0x1000 << 3
    assert response_delay(0xFFFF) == 0x1FFF << 10


def test_records_are_as_scapy_writes_them() -> None:
    harness = Harness(knows_peer=False)
    harness.take()
    frame = harness.reports[-1]
    record = ICMPv6MLDMultAddrRec(rtype=4, dst=OWN)
    expected = IPv6(src=frame[IPv6].src, dst="ff02::16", hlim=1) / IPv6ExtHdrHopByHop(options=[RouterAlert()])
    expected = expected / ICMPv6MLReport2(records=[record])
    assert bytes(frame[IPv6]) == bytes(expected)
