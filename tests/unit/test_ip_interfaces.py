"""A node of two interfaces: the strong host model, routes by the longest prefix, source addresses by the route."""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from ebbrt.iobuf import IOBuf
from ebbrt.network import UdpHandler
from stack.address import parse_address
from stack.interface import Interface
from tests.fakes import FakeDevice, make_frame
from tests.stack_harness import NODE, PEER, PEER_LINK, Harness
from tests.unit.test_ip_packets import Recorder

SECOND_NODE = "192.0.2.2"
SECOND_PEER = "192.0.2.3"
SECOND_MAC = bytes.fromhex("020000000011")


class Two(Harness):
    """The harness's interface on 198.18.0.0/15, and another on 192.0.2.0/24 with peers that answer ARP."""

    def __init__(self) -> None:
        super().__init__(gateway=None)
        self.other = FakeDevice(mac=SECOND_MAC)
        self.second = self.stack.add_interface(self.other, IPv4Interface(f"{SECOND_NODE}/24"))

    def give_second(self, packet: Packet) -> None:
        frame = bytes(Ether(src=PEER_LINK, dst=SECOND_MAC.hex(":")) / packet)
        self.second.receive_frame(make_frame(self.allocator, frame), False)

    def resolve(self, interface: Interface, address: str) -> None:
        answer = ARP(op=2, hwsrc=PEER_LINK, psrc=address, hwdst=interface.device.mac, pdst=NODE)
        frame = bytes(Ether(src=PEER_LINK, dst=interface.device.mac.hex(":")) / answer)
        interface.receive_frame(make_frame(self.allocator, frame), False)

    def asked(self, device: FakeDevice) -> list[tuple[str, str]]:
        """Who asked for whom by ARP on a device."""
        return [(frame[ARP].psrc, frame[ARP].pdst) for frame in map(Ether, device.frames()) if ARP in frame]

    def send(self, address: str) -> bool:
        return self.stack.udp.bind(0, Recorder()).send(make_frame(self.allocator, b"x"), address, 9)


def test_a_packet_is_ours_only_on_the_interface_that_has_the_address() -> None:
    two = Two()
    two.give_ip(IP(src=PEER, dst=SECOND_NODE) / ICMP())
    two.give_second(IP(src=SECOND_PEER, dst=NODE) / ICMP())
    assert two.counter("ipv4", "not_ours") == 2
    two.give_second(IP(src=SECOND_PEER, dst=SECOND_NODE) / ICMP())
    assert two.counter("ipv4", "delivered") == 1
    assert two.asked(two.other) == [(SECOND_NODE, SECOND_PEER)]
    assert two.take() == []


def test_each_interface_leads_to_its_own_network_from_its_own_address() -> None:
    two = Two()
    assert two.send(SECOND_PEER)
    assert two.send("198.18.7.7")
    assert not two.send("203.0.113.1")
    assert two.asked(two.other) == [(SECOND_NODE, SECOND_PEER)]
    assert two.asked(two.device) == [(NODE, "198.18.7.7")]


def test_the_longest_prefix_wins_even_against_the_link_itself() -> None:
    two = Two()
    two.stack.add_gateway(IPv4Address("198.18.0.1"))
    two.stack.add_route(IPv4Network("203.0.113.0/24"), IPv4Address("192.0.2.9"))
    two.stack.add_route(IPv4Network("203.0.113.128/25"), IPv4Address("198.18.0.9"))
    two.stack.add_route(IPv4Network("198.18.64.0/24"), IPv4Address("198.18.0.64"))
    for address in ("8.8.8.8", "203.0.113.1", "203.0.113.129", "198.18.64.1"):
        assert two.send(address)
    assert two.asked(two.device) == [(NODE, "198.18.0.1"), (NODE, "198.18.0.9"), (NODE, "198.18.0.64")]
    assert two.asked(two.other) == [(SECOND_NODE, "192.0.2.9")]


def test_a_route_that_is_removed_leads_nowhere_for_who_held_its_path() -> None:
    two = Two()
    two.stack.add_route(IPv4Network("203.0.113.0/24"), IPv4Address("192.0.2.9"))
    path = two.stack.internet.path(None, parse_address("203.0.113.1"))
    assert path.leads_to_host()
    two.stack.routes.remove(IPv4Network("203.0.113.0/24"), IPv4Address("192.0.2.9"), two.second)
    assert not path.leads_to_host()


def test_a_gateway_must_be_on_a_network_of_ours() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.1"):
        Two().stack.add_route(IPv4Network("203.0.113.0/24"), IPv4Address("10.0.0.1"))


def test_an_answer_goes_from_the_address_that_was_asked() -> None:
    """Though the route to the asker leads out by the other interface (RFC 1122 section 4.1.3.5)."""

    class Echo(UdpHandler):
        def receive(self, data: IOBuf, address: str, port: int) -> None:
            self.socket.send(data, address, port)

    two = Two()
    far = "203.0.113.1"
    two.stack.add_gateway(IPv4Address("198.18.0.1"))
    two.stack.add_route(IPv4Network("203.0.0.0/16"), IPv4Address("192.0.2.9"))
    two.stack.add_route(IPv4Network("203.0.113.0/24"), IPv4Address("198.18.0.9"))
    two.stack.udp.bind(7, Echo())
    two.give_second(IP(src=far, dst=SECOND_NODE) / UDP(sport=9, dport=7) / Raw(b"who?"))
    assert two.asked(two.device) == []
    assert two.asked(two.other) == [(SECOND_NODE, "192.0.2.9")]
    two.resolve(two.second, "192.0.2.9")
    (answer,) = map(Ether, two.other.frames())
    assert (answer[IP].src, answer[IP].dst, answer[UDP].payload.load) == (SECOND_NODE, far, b"who?")
