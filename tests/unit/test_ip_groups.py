"""Multicast and IGMP: what is received and sent, and what is reported when; scapy judges the messages."""

import pytest
from scapy.layers.igmp import IGMP_MQ, IGMP_MR, IGMPv2_MR, IGMPv3_MQ, IGMPv3_MR
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_Router_Alert
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from ebbrt.constants import FOREVER
from ebbrt.network import UdpSocket
from stack.ipv4.igmp import response_time
from tests.fakes import make_frame
from tests.stack_harness import NODE, PEER, PEER_LINK, SECOND, Harness
from tests.unit.test_ip_packets import Recorder

GROUP = "239.1.2.3"
LINK = "01:00:5e:01:02:03"
EXCLUDE, TO_INCLUDE, TO_EXCLUDE = 2, 3, 4


def give(harness: Harness, packet: Packet, link: str = LINK) -> None:
    harness.give(Ether(src=PEER_LINK, dst=link) / packet)


def joined(harness: Harness) -> tuple[UdpSocket, Recorder]:
    """A socket on port 7 that listens to GROUP; its reports are over."""
    recorder = Recorder()
    socket = harness.stack.udp.bind(7, recorder)
    socket.join(GROUP)
    harness.advance(SECOND)
    harness.take()
    return socket, recorder


def query(harness: Harness, message: Packet, group: str = "224.0.0.1") -> None:
    give(
        harness,
        IP(src=PEER, dst=group, ttl=1, proto=2, options=[IPOption_Router_Alert()]) / message,
        "01:00:5e:00:00:01",
    )


def reports(harness: Harness) -> list[tuple[str, int, str, list[str]]]:
    """Version 3's records that were sent: destination, kind, group, sources."""
    found = []
    for frame in harness.take():
        packet = frame[IP]
        assert (packet.ttl, packet.tos, bytes(packet)[20:24]) == (1, 0xC0, b"\x94\x04\0\0")
        message = packet[IGMPv3_MR]
        again = message.copy()
        del again.chksum
        assert bytes(again) == bytes(message)
        found += [(packet.dst, one.rtype, one.maddr, one.srcaddrs) for one in message.records]
    return found


def test_a_group_is_received_once_joined_and_until_left() -> None:
    harness = Harness()
    recorder = Recorder()
    socket = harness.stack.udp.bind(7, recorder)
    datagram = IP(src=PEER, dst=GROUP) / UDP(sport=9, dport=7) / Raw(b"to all")
    give(harness, datagram)
    socket.join(GROUP)
    give(harness, datagram)
    socket.leave(GROUP)
    give(harness, datagram)
    assert recorder.received == [(b"to all", PEER, 9)]
    assert harness.counter("ipv4", "not_ours") == 2


def test_groups_are_never_answered_by_icmp_or_tcp() -> None:
    harness = Harness()
    joined(harness)
    for payload in (UDP(dport=9), ICMP(), TCP(dport=7, flags="S"), Raw(b"x")):
        give(harness, IP(src=PEER, dst=GROUP) / payload)
    assert harness.take() == []


def test_datagrams_to_a_group_leave_for_its_link_address_and_go_one_hop() -> None:
    harness = Harness(gateway=None)
    assert harness.stack.udp.bind(7, Recorder()).send(make_frame(harness.allocator, b"x" * 3000), GROUP, 9)
    frames = harness.take()
    assert [(frame.dst, frame[IP].src, frame[IP].dst, frame[IP].ttl) for frame in frames] == [
        (LINK, NODE, GROUP, 1)
    ] * 3
    for frame in frames:
        again = frame[IP].copy()
        del again.chksum
        assert IP(bytes(again)).chksum == frame[IP].chksum
    assert not harness.stack.internet.path(None, (0, 0xFFFFEF010203)).leads_to_host()


def test_joining_and_leaving_are_reported_twice() -> None:
    harness = Harness()
    socket = harness.stack.udp.bind(7, Recorder())
    socket.join(GROUP)
    assert reports(harness) == [("224.0.0.22", TO_EXCLUDE, GROUP, [])]
    harness.advance(SECOND)
    assert reports(harness) == [("224.0.0.22", TO_EXCLUDE, GROUP, [])]
    assert harness.stack.next_deadline() == FOREVER
    socket.join(GROUP)
    socket.leave(GROUP)
    assert reports(harness) == []
    socket.close()
    harness.advance(SECOND)
    assert reports(harness) == [("224.0.0.22", TO_INCLUDE, GROUP, [])] * 2
    assert harness.counter("igmp", "groups") == 0


@pytest.mark.parametrize("group", ["0.0.0.0", GROUP])
def test_queries_are_answered_within_the_time_they_allow(group: str) -> None:
    harness = Harness()
    joined(harness)
    query(harness, IGMPv3_MQ(mrcode=100, gaddr=group, qrv=2))
    assert harness.take() == []
    assert harness.clock.now() < harness.stack.next_deadline() <= harness.clock.now() + 10 * SECOND
    harness.advance(10 * SECOND)
    assert reports(harness) == [("224.0.0.22", EXCLUDE, GROUP, [])]


def test_queries_for_others_are_not_answered() -> None:
    harness = Harness()
    joined(harness)
    query(harness, IGMPv3_MQ(mrcode=10, gaddr="239.9.9.9"))
    query(harness, IGMPv3_MQ(mrcode=10, chksum=1))
    query(harness, Raw(b"\x11\0\0"))
    assert harness.stack.next_deadline() == FOREVER
    assert (harness.counter("igmp", "bad_checksum"), harness.counter("igmp", "malformed")) == (1, 1)


def test_a_query_for_sources_is_answered_with_those() -> None:
    harness = Harness()
    joined(harness)
    query(harness, IGMPv3_MQ(mrcode=10, gaddr=GROUP, srcaddrs=["10.0.0.2", "10.0.0.1"]), GROUP)
    harness.advance(SECOND)
    assert reports(harness) == [("224.0.0.22", 1, GROUP, ["10.0.0.1", "10.0.0.2"])]


@pytest.mark.parametrize(("code", "kind"), [(50, 0x16), (0, 0x12)], ids=["version 2", "version 1"])
def test_an_old_querier_is_answered_in_its_version_and_once_a_group(code: int, kind: int) -> None:
    harness = Harness()
    socket, _ = joined(harness)
    query(harness, IGMP_MQ(mrcode=code))
    harness.advance(10 * SECOND)
    (report,) = harness.take()
    assert (report.dst, report[IP].dst, bytes(report[IP].payload)[0]) == (LINK, GROUP, kind)
    query(harness, IGMP_MQ(mrcode=code))
    give(harness, IP(src=PEER, dst=GROUP, ttl=1) / (IGMPv2_MR if code else IGMP_MR)(mrcode=0, gaddr=GROUP))
    harness.advance(10 * SECOND)
    assert harness.take() == [], "another host had reported the group"
    socket.leave(GROUP)
    left = harness.take()
    assert [(frame[IP].dst, bytes(frame[IP].payload)[0]) for frame in left] == ([("224.0.0.2", 0x17)] if code else [])
    harness.advance(260 * SECOND)
    socket.join(GROUP)
    assert reports(harness)[0][1] == TO_EXCLUDE, "the old querier is not forgotten"


def test_groups_are_bounded_and_checked() -> None:
    harness = Harness()
    socket = harness.stack.udp.bind(7, Recorder())
    for number in range(64):
        socket.join(f"239.0.0.{number}")
    with pytest.raises(OSError, match="64"):
        socket.join(GROUP)
    for text in (PEER, "255.255.255.255"):
        with pytest.raises(ValueError, match="group"):
            socket.join(text)
    with pytest.raises(ValueError, match="joined"):
        socket.leave(GROUP)


def test_everybody_is_in_the_group_of_all_hosts_and_nobody_reports_it() -> None:
    harness = Harness()
    recorder = Recorder()
    socket = harness.stack.udp.bind(7, recorder)
    give(harness, IP(src=PEER, dst="224.0.0.1") / UDP(sport=9, dport=7) / Raw(b"hosts"), "01:00:5e:00:00:01")
    assert recorder.received == [(b"hosts", PEER, 9)]
    socket.join("224.0.0.1")
    assert harness.take() == []


@pytest.mark.parametrize(("code", "tenths"), [(0, 0), (127, 127), (0x80, 128), (0xFF, 31744)])
def test_response_times(code: int, tenths: int) -> None:
    assert response_time(code) == tenths * SECOND // 10
