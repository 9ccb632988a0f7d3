"""The MTU of a path is one thing for all who send there, over both versions of IP: UDP, ICMP, TCP (RFC 1191, 8201)."""

from collections.abc import Callable
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, defragment
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrFragment,
)
from scapy.packet import Packet, Raw

from ebbrt.network import UdpSocket
from stack.address import parse_address
from stack.path_mtu import MTU_LIFETIME
from tests import ipv6_harness, stack_harness
from tests.fakes import make_frame
from tests.unit.test_ip_packets import Recorder

ROUTER = "198.18.0.1"
ROUTER_IPV6 = "fd00::9"


class Sender:
    """A machine with a socket, whose datagrams to the peer are looked at; and a router that finds them too long."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.harness: Any = stack_harness.Harness() if version == 4 else ipv6_harness.Harness()
        self.node = stack_harness.NODE if version == 4 else ipv6_harness.NODE
        self.peer = stack_harness.PEER if version == 4 else ipv6_harness.PEER
        self.handler = Recorder()
        self.socket: UdpSocket = self.harness.stack.udp.bind(7, self.handler)

    def send(self, length: int) -> list[Packet]:
        """The packets that a datagram with so much data leaves in."""
        assert self.socket.send(make_frame(self.harness.allocator, bytes(length)), self.peer, 9)
        return self.take()

    def take(self) -> list[Packet]:
        kind = IP if self.version == 4 else IPv6
        return [frame[kind] for frame in self.harness.take() if kind in frame]

    def too_big(self, sent: Packet | bytes, mtu: int) -> None:
        """The router's message about a packet of ours."""
        if self.version == 4:
            error = IP(src=ROUTER, dst=self.node) / ICMP(type=3, code=4, nexthopmtu=mtu) / bytes(sent)[:28]
        else:
            error = IPv6(src=ROUTER_IPV6, dst=self.node) / ICMPv6PacketTooBig(mtu=mtu) / Raw(bytes(sent)[:1200])
        self.harness.give_ip(error)

    def mtu(self) -> int:
        path = self.harness.stack.internet.path(None, parse_address(self.peer))
        return int(path.mtu)


@pytest.fixture(params=[4, 6])
def sender(request: pytest.FixtureRequest) -> Sender:
    return Sender(request.param)


def narrow(sender: Sender) -> int:
    return 600 if sender.version == 4 else 1300


def test_datagrams_leave_in_fragments_after_one_did_not_fit(sender: Sender) -> None:
    (sent,) = sender.send(1400)
    sender.too_big(sent, narrow(sender))
    parts = sender.send(1400)
    assert max(len(part) for part in parts) in range(narrow(sender) - 7, narrow(sender) + 1)
    if sender.version == 4:
        assert not any(part.flags.DF for part in parts)
        (whole,) = defragment(parts)
        assert len(whole) == 1428
    else:
        assert all(IPv6ExtHdrFragment in part for part in parts)
    (short,) = sender.send(500)
    assert sender.version == 6 or short.flags == "DF"
    assert sender.handler.lost == [("unreachable", sender.peer, 9)]


def test_ten_minutes_later_the_whole_length_is_tried_again(sender: Sender) -> None:
    (sent,) = sender.send(1400)
    sender.too_big(sent, narrow(sender))
    sender.harness.clock.advance(MTU_LIFETIME - 1)
    assert len(sender.send(1400)) > 1
    sender.harness.clock.advance(1)
    sender.harness.introduce()
    (again,) = [packet for packet in sender.send(1400) if UDP in packet]
    assert len(again) == len(sent)


def test_what_udp_has_learnt_tcp_knows(sender: Sender) -> None:
    (sent,) = sender.send(1400)
    sender.too_big(sent, narrow(sender))
    local, remote = parse_address(sender.node), parse_address(sender.peer)
    assert sender.harness.stack.internet.path(local, remote).mtu == narrow(sender)
    assert sender.mtu() == narrow(sender)


def test_what_tcp_has_learnt_udp_keeps_to(sender: Sender) -> None:
    local, remote = parse_address(sender.node), parse_address(sender.peer)
    sender.harness.stack.internet.path(local, remote).packet_too_big(narrow(sender), 1500, 0)
    assert len(sender.send(1400)) > 1


def test_long_pings_pass_a_narrow_path(sender: Sender) -> None:
    if sender.version == 4:
        request: Packet = IP(src=sender.peer, dst=sender.node) / ICMP() / Raw(bytes(1400))
    else:
        request = IPv6(src=sender.peer, dst=sender.node) / ICMPv6EchoRequest(data=bytes(1400))
    sender.harness.give_ip(request)
    (reply,) = sender.take()
    assert ICMP in reply or ICMPv6EchoReply in reply
    sender.too_big(reply, narrow(sender))
    sender.harness.give_ip(request)
    assert len(sender.take()) > 1


Forge = Callable[[Packet], Packet | bytes]


def another_port(sent: Packet) -> Packet:
    forged = sent.copy()
    forged[UDP].sport = 8
    return forged


def another_host(sent: Packet) -> Packet:
    forged = sent.copy()
    forged.dst = "198.18.0.77" if IP in sent else "fd00::77"
    return forged


def longer_than_the_link(sent: Packet) -> Packet:
    forged = sent.copy()
    if IP in sent:
        forged.len = 4000
    else:
        forged.plen = 4000
    return forged


def shorter_than_what_fits(sent: Packet) -> Packet:
    forged = sent.copy()
    if IP in sent:
        forged.len = 600
    else:
        forged.plen = 1260
    return forged


@pytest.mark.parametrize("forge", [another_port, another_host, longer_than_the_link, shorter_than_what_fits])
def test_forged_messages_change_nothing(sender: Sender, forge: Forge) -> None:
    (sent,) = sender.send(1400)
    sender.too_big(forge(sent), narrow(sender))
    assert sender.mtu() == 1500
    (again,) = sender.send(1400)
    assert len(again) == len(sent)
    stack = sender.harness.stack
    paths = stack.ipv4 if sender.version == 4 else stack.ipv6.output
    stranger = parse_address("198.18.0.77" if sender.version == 4 else "fd00::77")
    assert paths.known_path(parse_address(sender.node), stranger) is None, "a forged message had us remember a path"


def test_a_message_never_widens_a_path(sender: Sender) -> None:
    (sent,) = sender.send(1400)
    sender.too_big(sent, narrow(sender))
    sender.too_big(sent, narrow(sender) + 40)
    assert sender.mtu() == narrow(sender)


@pytest.mark.parametrize("mtu", [0, 1, 68, 1279])
def test_no_message_makes_ipv6_packets_shorter_than_1280(mtu: int) -> None:
    sender = Sender(6)
    (sent,) = sender.send(1400)
    sender.too_big(sent, mtu)
    assert len(sender.send(1400)) == 1, "RFC 8201 section 4: such a message is to be discarded"


def test_an_old_router_that_names_no_size() -> None:
    sender = Sender(4)
    (sent,) = sender.send(1400)
    sender.too_big(sent, 0)
    assert sender.mtu() == 1400
    assert [len(part) for part in sender.send(1400)] == [1396, 52]


@pytest.mark.parametrize("mtu", [68, 300, 551])
def test_below_the_floor_routers_may_cut_what_we_send(mtu: int) -> None:
    """As Linux: packets of 552 bytes at most, without DF, with identifications; later on all is as before."""
    sender = Sender(4)
    (sent,) = sender.send(1400)
    sender.too_big(sent, mtu)
    parts = sender.send(1400)
    assert max(len(part) for part in parts) == 548
    shorts = [sender.send(400)[0] for _ in range(8)]
    assert not any(short.flags.DF for short in shorts)
    assert len({short.id for short in shorts}) == 8
    for short in shorts:
        rebuilt = IP(bytes(short))
        del rebuilt.chksum
        assert IP(bytes(rebuilt)).chksum == short.chksum
    sender.harness.clock.advance(MTU_LIFETIME)
    sender.harness.introduce()
    assert sender.send(400)[-1].id != 0  # the time is up for the next one
    assert (sender.send(400)[0].flags, sender.send(400)[0].id) == ("DF", 0)


def test_tcp_below_the_floor_is_cut_too() -> None:
    sender = Sender(4)
    (sent,) = sender.send(1400)
    sender.too_big(sent, 300)
    sender.harness.give_ip(IP(src=sender.peer, dst=sender.node) / TCP(dport=80, flags="S"))
    sender.take()
    path = sender.harness.stack.internet.path(None, parse_address(sender.peer))
    packet = make_frame(sender.harness.allocator, bytes(600))
    packet.owns_headroom = True
    packet.advance(100)
    assert path.send(packet, 500, 6, 16, 0, 0, sender.harness.clock.now())
    (segment,) = sender.take()
    assert (segment.flags.DF, len(segment)) == (False, 520)


def test_fragments_of_a_message_about_fragments() -> None:
    """A datagram that was sent in fragments is quoted by its first one."""
    sender = Sender(6)
    parts = sender.send(2000)
    sender.too_big(parts[0], 1300)
    assert max(len(part) for part in sender.send(2000)) in range(1293, 1301)


def test_a_router_that_advertises_less_than_before_is_heard_by_paths_that_are_held() -> None:
    harness = ipv6_harness.Harness()
    path = harness.stack.internet.path(parse_address(ipv6_harness.NODE), parse_address(ipv6_harness.PEER))
    harness.link.mtu = 1400
    harness.link.generation += 1
    assert path.leads_to_host()
    assert path.mtu == 1400
    path.packet_too_big(1300, 1400, 0)
    harness.link.mtu = 1500
    harness.link.generation += 1
    assert path.leads_to_host()
    assert (path.mtu, path.link_mtu()) == (1300, 1500)


def test_errors_of_other_kinds_do_not_narrow(sender: Sender) -> None:
    (sent,) = sender.send(1400)
    if sender.version == 4:
        error: Packet = ICMP(type=3, code=1) / bytes(sent)[:28]
        sender.harness.give_ip(IP(src=ROUTER, dst=sender.node) / error)
    else:
        sender.harness.give_ip(IPv6(src=ROUTER_IPV6, dst=sender.node) / ICMPv6DestUnreach(code=3) / sent)
    assert sender.mtu() == 1500
