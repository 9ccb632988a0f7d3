"""Neighbor Discovery: resolution, unreachability detection, routers, and what hostile messages may not do."""

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_Redirect,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptMTU,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    in6_chksum,
)
from scapy.packet import Packet, Raw

from ebbrt.network import UdpHandler, UdpSocket
from stack.ipv6.settings import Ipv6Settings
from tests.fakes import make_frame
from tests.ipv6_harness import (
    NODE,
    NODE_LINK,
    PEER,
    PEER_LINK,
    ROUTER_LINK,
    SECOND,
    Harness,
    group_link,
    prefix,
    solicited,
    verified,
)

OTHER_LINK = "02:00:00:00:00:77"
CUT_SHORT = b"\x87\0" + in6_chksum(58, IPv6(src=PEER, dst=NODE), b"\x87" + bytes(11)).to_bytes(2, "big") + bytes(8)
AUTOMATIC = Ipv6Settings(automatic=True, probes=0)


def socket_of(harness: Harness) -> UdpSocket:
    return harness.stack.udp.bind(0, UdpHandler())


def say(harness: Harness, socket: UdpSocket, to: str = PEER, data: bytes = b"hello") -> bool:
    return socket.send(make_frame(harness.allocator, data), to, 9)


def answer(target: str = PEER, link: str | None = PEER_LINK, **flags: int) -> Packet:
    message = ICMPv6ND_NA(**{"tgt": target, "R": 0, "S": 1, "O": 1, **flags})
    return message / ICMPv6NDOptDstLLAddr(lladdr=link) if link else message


def test_we_answer_for_our_address() -> None:
    harness = Harness(knows_peer=False)
    ask = ICMPv6ND_NS(tgt=NODE) / ICMPv6NDOptSrcLLAddr(lladdr=PEER_LINK)
    harness.give_nd(ask, to=solicited(NODE))
    (frame,) = harness.take()
    packet = verified(frame)
    assert (frame.dst, packet.src, packet.dst, packet.hlim) == (PEER_LINK, NODE, PEER, 255)
    said = packet[ICMPv6ND_NA]
    assert (said.tgt, said.R, said.S, said.O) == (NODE, 0, 1, 1)
    assert packet[ICMPv6NDOptDstLLAddr].lladdr == NODE_LINK
    harness.give_nd(ICMPv6ND_NS(tgt="fd00::9") / ICMPv6NDOptSrcLLAddr(lladdr=PEER_LINK), to=solicited(NODE))
    assert harness.take() == []


def test_who_does_not_tell_a_link_address_is_asked_for_it_first() -> None:
    harness = Harness(knows_peer=False)
    harness.give_nd(ICMPv6ND_NS(tgt=NODE))
    (ask,) = harness.take()
    assert (ask[IPv6].src, ask[IPv6].dst, ask[ICMPv6ND_NS].tgt) == (NODE, solicited(PEER), PEER)
    harness.give_nd(answer())
    assert harness.take()[0][ICMPv6ND_NA].tgt == NODE


def test_packets_wait_for_resolution_and_leave_in_order() -> None:
    harness = Harness(knows_peer=False)
    socket = socket_of(harness)
    for number in range(3):
        assert say(harness, socket, data=b"%d" % number)
    (ask,) = harness.take()
    packet = verified(ask)
    assert (ask.dst, packet.dst, packet.hlim) == (group_link(solicited(PEER)), solicited(PEER), 255)
    assert (packet.src, packet[ICMPv6ND_NS].tgt, packet[ICMPv6NDOptSrcLLAddr].lladdr) == (NODE, PEER, NODE_LINK)
    harness.give_nd(answer())
    frames = harness.take()
    assert [verified(frame)[UDP].payload.load for frame in frames] == [b"0", b"1", b"2"]
    assert {frame.dst for frame in frames} == {PEER_LINK}


def test_an_old_neighbour_is_used_then_probed_then_given_up() -> None:
    harness = Harness()
    socket = socket_of(harness)
    harness.advance(50 * SECOND)
    say(harness, socket)
    assert [frame.dst for frame in harness.take()] == [PEER_LINK]  # no question yet: DELAY
    harness.advance(5 * SECOND)
    (probe,) = harness.take()
    assert (probe.dst, probe[IPv6].dst, probe[ICMPv6ND_NS].tgt) == (PEER_LINK, PEER, PEER)
    harness.advance(1 * SECOND)
    harness.give_nd(answer())
    assert len(harness.take()) == 1
    harness.advance(50 * SECOND)
    say(harness, socket)
    harness.advance(5 * SECOND + 2 * SECOND)
    assert len(harness.take()) == 1 + 3
    harness.advance(SECOND)
    assert harness.counter("ndp", "unreachable") == 1
    assert harness.counter("ndp", "neighbours") == 0


def test_an_advertisement_changes_what_section_7_2_5_says() -> None:
    harness = Harness()
    socket = socket_of(harness)

    def goes_to() -> str:
        say(harness, socket)
        return str(harness.take()[0].dst)

    harness.give_nd(answer(link=OTHER_LINK, S=0, O=0))  # doubted, not believed
    assert goes_to() == PEER_LINK
    harness.advance(5 * SECOND)
    assert harness.take()[0][ICMPv6ND_NS].tgt == PEER
    harness.give_nd(answer(link=OTHER_LINK, S=1, O=1))
    assert goes_to() == OTHER_LINK
    harness.give_nd(answer("fd00::55"))  # of somebody we never asked for
    assert harness.counter("ndp", "neighbours") == 1


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (ICMPv6ND_NS(tgt=NODE), {"hlim": 254}),
        (ICMPv6ND_NS(tgt=NODE, code=1), {}),
        (ICMPv6ND_NS(tgt="ff02::1"), {}),
        (ICMPv6ND_NS(tgt=NODE), {"source": "::"}),  # not to the solicited-node group
        (ICMPv6ND_NS(tgt=NODE) / ICMPv6NDOptSrcLLAddr(lladdr=PEER_LINK), {"source": "::", "to": solicited(NODE)}),
        (ICMPv6ND_NS(tgt=NODE) / Raw(b"\1\0\0\0\0\0\0\0"), {}),
        (ICMPv6ND_NS(tgt=NODE) / Raw(b"\1\2\0\0\0\0\0\0"), {}),
        (ICMPv6ND_NS(tgt=NODE) / ICMPv6NDOptSrcLLAddr(lladdr="33:33:00:00:00:01"), {}),
        (Raw(CUT_SHORT), {"nh": 58}),
        (answer(), {"hlim": 254}),
        (answer(code=1), {}),
        (answer("ff02::2"), {}),
        (answer(S=1), {"to": "ff02::1"}),
        (answer(link="ff:ff:ff:ff:ff:ff"), {}),
    ],
)
def test_invalid_messages_change_nothing(message: Packet, fields: dict[str, object]) -> None:
    harness = Harness(knows_peer=False)
    harness.give_nd(message, **fields)
    assert harness.counter("ndp", "invalid") == 1
    assert harness.counter("ndp", "neighbours") == 0
    assert harness.take() == []


def test_a_flood_of_questions_and_destinations_stays_bounded() -> None:
    harness = Harness()
    socket = socket_of(harness)
    for number in range(3000):
        if number % 500 == 0:
            say(harness, socket)
        source = f"fd00::1:{number:x}"
        harness.give_nd(ICMPv6ND_NS(tgt=NODE) / ICMPv6NDOptSrcLLAddr(lladdr=OTHER_LINK), source=source)
    assert harness.counter("ndp", "neighbours") == 1024
    harness.take()
    say(harness, socket)
    assert [frame.dst for frame in harness.take()] == [PEER_LINK]  # who is in use stays known


# Routers


def test_a_host_asks_for_routers_three_times() -> None:
    harness = Harness(AUTOMATIC)
    harness.advance(20 * SECOND)
    asked = [frame for frame in harness.take() if frame[IPv6].dst == "ff02::2"]
    assert len(asked) == 3
    assert (asked[0].dst, asked[0][IPv6].hlim) == ("33:33:00:00:00:02", 255)
    harness = Harness(AUTOMATIC)
    harness.advertise()
    harness.advance(20 * SECOND)
    assert [frame for frame in harness.take() if frame[IPv6].dst == "ff02::2"] == []


def test_a_router_forwards_until_its_lifetime_ends() -> None:
    harness = Harness(AUTOMATIC)
    socket = socket_of(harness)
    harness.advertise(prefix())
    assert say(harness, socket, "2001:db8:2::1")
    assert harness.take()[-1].dst == ROUTER_LINK
    harness.advance(1800 * SECOND)
    assert not say(harness, socket, "2001:db8:2::1")
    harness.advertise()
    assert say(harness, socket, "2001:db8:2::1")
    harness.advertise(routerlifetime=0)
    assert not say(harness, socket, "2001:db8:2::1")


def test_another_router_is_taken_when_one_does_not_answer() -> None:
    harness = Harness(AUTOMATIC)
    socket = socket_of(harness)
    harness.advertise(prefix())
    harness.advertise(source="fe80::98")
    say(harness, socket, "2001:db8:2::1")
    assert harness.take()[-1].dst == ROUTER_LINK
    harness.advance(10 * SECOND)
    harness.take()
    say(harness, socket, "2001:db8:2::1")
    harness.take()
    assert harness.link.routers.choose() == (0xFE80 << 48, 0x98)


def test_parameters_are_taken_within_their_limits() -> None:
    harness = Harness(AUTOMATIC)
    harness.advertise(prefix(), ICMPv6NDOptMTU(mtu=1400), chlim=33)
    assert (harness.link.hop_limit, harness.link.mtu) == (33, 1400)
    harness.advertise(ICMPv6NDOptMTU(mtu=1279), chlim=0)
    harness.advertise(ICMPv6NDOptMTU(mtu=9000))
    assert (harness.link.hop_limit, harness.link.mtu) == (33, 1400)
    say(harness, socket_of(harness), "2001:db8:2::1")
    assert harness.take()[-1][IPv6].hlim == 33


@pytest.mark.parametrize("fields", [{"source": PEER}, {"source": "::"}, {"code": 1}])
def test_invalid_advertisements_are_dropped(fields: dict[str, object]) -> None:
    harness = Harness(AUTOMATIC)
    harness.advertise(prefix(), **fields)
    assert harness.counter("ndp", "router_advertisements_invalid") == 1
    assert harness.counter("ndp", "routers") == 0


def test_routers_and_prefixes_are_bounded_and_redirects_not_followed() -> None:
    harness = Harness(AUTOMATIC)
    for number in range(40):
        harness.advertise(prefix(f"2001:db8:{number:x}::"), source=f"fe80::{number + 1:x}")
    assert harness.counter("ndp", "routers") == 8
    assert harness.counter("ndp", "prefixes") == 16
    assert harness.counter("ndp", "addresses") == 16
    redirect = ICMPv6ND_Redirect(tgt="fe80::66", dst="2001:db8:99::1")
    harness.give_nd(redirect, source="fe80::1", to=harness.addresses()[0])
    assert harness.counter("ndp", "redirects_ignored") == 1


def test_a_node_with_fixed_addresses_heeds_no_router() -> None:
    harness = Harness()
    harness.advertise(prefix())
    assert harness.addresses()[-1] == NODE
    assert harness.counter("ndp", "routers") == 0
