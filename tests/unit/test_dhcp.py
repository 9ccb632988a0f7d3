"""The DHCP client on a stack, under virtual time; scapy judges its messages, and plays the server."""

import random
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from ebbrt.network import UdpHandler
from stack.dhcp.configure import Dhcp, LeaseListener
from stack.dhcp.message import parse
from stack.interface import Interface
from tests.fakes import NODE_MAC, make_frame
from tests.stack_harness import BROADCAST_LINK, NODE, NODE_LINK, PEER_LINK, SECOND, verified
from tests.unit.test_ip_conflicts import Machine

SERVER = "198.18.0.1"
LEASE = [
    ("server_id", SERVER),
    ("lease_time", 120),
    ("subnet_mask", "255.254.0.0"),
    ("router", SERVER, "198.18.0.9"),
    ("name_server", "198.18.0.53"),
    ("interface-mtu", 1400),
]


class Listener(LeaseListener):
    def __init__(self) -> None:
        self.told: list[tuple[IPv4Interface | None, IPv4Address | None]] = []

    def address_changed(self, interface: Interface, address: IPv4Interface | None, router: IPv4Address | None) -> None:
        self.told.append((address, router))


class Client:
    """A machine that asks for an address; what it says is dissected, and answered as told."""

    def __init__(self, seed: int = 1) -> None:
        self.machine = Machine(seed)
        self.listener = Listener()
        self.dhcp = Dhcp(self.machine.stack, self.listener)
        self.dhcp.configure(self.machine.interface)
        self.client = self.dhcp._clients[0].client
        self.unicast = False  # whether the server ignores that we ask for broadcasts
        self.poll()

    def poll(self) -> None:
        self.machine.stack.poll(self.machine.clock.now())

    def next(self) -> float:
        return self.machine.next()

    def heard(self) -> Packet:
        """The one message that was sent since last asked; ARP is left out."""
        (frame,) = (frame for frame in map(Ether, self.machine.device.frames()) if BOOTP in frame)
        verified(frame)
        return frame

    def answer(self, kind: str, options: list[Any] = LEASE, **fields: object) -> None:
        """A message from the server, to the transaction that is under way."""
        header = {"op": 2, "xid": self.client._xid, "yiaddr": NODE, "chaddr": NODE_MAC, **fields}
        payload = BOOTP(**header) / DHCP(options=[("message-type", kind), *options, "end"])
        if self.unicast:
            packet = IP(src=SERVER, dst=header["yiaddr"]) / UDP(sport=67, dport=68) / payload
            self.give(Ether(src=PEER_LINK, dst=NODE_LINK) / packet)
            return
        packet = IP(src=SERVER, dst="255.255.255.255") / UDP(sport=67, dport=68) / payload
        self.give(Ether(src=PEER_LINK, dst=BROADCAST_LINK) / packet)

    def give(self, frame: Packet) -> None:
        self.machine.interface.receive_frame(make_frame(self.machine.allocator, bytes(frame)), False)

    def bind(self, options: list[Any] = LEASE, ack: list[Any] | None = None) -> None:
        """As far as BOUND; ``ack``: what the ACK says, if not the same as the offer."""
        self.heard()
        self.answer("offer", options)
        self.heard()
        self.answer("ack", options if ack is None else ack)
        while self.client.state == "checking":
            self.next()
        self.machine.device.frames()
        self.machine.clock.advance(2 * SECOND)
        self.poll()
        self.machine.device.frames()

    def renew(self, options: list[Any]) -> None:
        """As far as the answer to the first renewal."""
        while self.client.state != "renewing":
            self.next()
        self.machine.device.frames()
        self.answer("ack", options)

    def network(self) -> IPv4Interface:
        """The address that the interface has, and its network."""
        interface = self.machine.interface
        return IPv4Interface((interface.ipv4_address, interface.ipv4_mask.bit_count()))

    def router(self) -> str | None:
        route = self.machine.stack.routes.find(0x08080808)
        return None if route is None else str(IPv4Address(route.gateway))

    def counter(self, name: str) -> int:
        return self.dhcp.statistics()["0"][name]


def options_of(frame: Packet) -> dict[str, Any]:
    return {option[0]: option[1] for option in frame[DHCP].options if isinstance(option, tuple)}


def test_discover_offer_request_ack_probe_and_bound() -> None:
    client = Client()
    discover = client.heard()
    assert (discover.dst, discover[IP].src, discover[IP].dst) == (BROADCAST_LINK, "0.0.0.0", "255.255.255.255")
    assert (discover[UDP].sport, discover[UDP].dport) == (68, 67)
    assert (discover[BOOTP].op, discover[BOOTP].chaddr[:6], int(discover[BOOTP].flags)) == (1, NODE_MAC, 0x8000)
    said = options_of(discover)
    assert (said["message-type"], said["client_id"], said["max_dhcp_size"]) == (1, b"\x01" + NODE_MAC, 1472)
    client.answer("offer")
    request = client.heard()
    said = options_of(request)
    assert (said["message-type"], said["requested_addr"], said["server_id"]) == (3, NODE, SERVER)
    assert request[BOOTP].xid == discover[BOOTP].xid
    client.answer("ack")
    assert client.machine.interface.ipv4_address == 0, "taken before it was probed for"
    probes = 0
    while client.client.state == "checking":
        client.next()
        probes += sum(
            ARP in frame and frame[ARP].psrc == "0.0.0.0" for frame in map(Ether, client.machine.device.frames())
        )
    assert probes == 3
    assert client.listener.told == [(IPv4Interface(f"{NODE}/15"), IPv4Address(SERVER))]
    lease = client.client.lease
    assert lease is not None
    assert (lease.dns, lease.mtu) == ((IPv4Address("198.18.0.53"),), 1400)
    route = client.machine.stack.routes.find(0x08080808)
    assert route is not None
    assert IPv4Address(route.gateway) == IPv4Address(SERVER)


def test_discover_is_repeated_with_backoff_and_chance() -> None:
    waits = []
    for seed in (1, 2):
        client = Client(seed)
        waits.append([client.next() for _ in range(7)])
    for seen in waits:
        assert all(abs(wait - nominal) <= 1 for wait, nominal in zip(seen, (4, 8, 16, 32, 64, 64, 64), strict=True))
    assert waits[0] != waits[1]


def test_an_offer_that_is_not_confirmed_is_forgotten_after_a_minute() -> None:
    client = Client()
    client.answer("offer")
    waited = sum(client.next() for _ in range(4))
    assert 56 <= waited <= 64
    client.next()
    assert client.client.state == "selecting"


def test_renewed_by_its_server_alone_at_t1() -> None:
    client = Client()
    client.bind()
    client.give(Ether(src=PEER_LINK, dst=BROADCAST_LINK) / ARP(op=1, hwsrc=PEER_LINK, psrc=SERVER, pdst=NODE))
    client.machine.device.frames()
    assert 50 <= client.next() <= 60
    request = client.heard()
    said = options_of(request)
    assert (request.dst, request[IP].src, request[IP].dst, request[BOOTP].ciaddr) == (PEER_LINK, NODE, SERVER, NODE)
    assert said["message-type"] == 3
    assert "server_id" not in said
    assert "requested_addr" not in said
    client.answer("ack")
    assert (client.client.state, client.counter("renewed")) == ("bound", 1)
    assert client.next() == 60


def test_nobody_moves_us_to_another_address_by_a_renewal() -> None:
    client = Client()
    client.bind()
    while client.client.state != "renewing":
        client.next()
    client.answer("ack", yiaddr="198.18.0.99")
    assert (client.client.state, client.counter("unusable")) == ("renewing", 1)
    assert client.machine.interface.ipv4_address == int(IPv4Address(NODE))


# What was said holds until it is changed


BARE = LEASE[:2]  # the server and the time: what an ACK must say


def test_an_ack_without_what_was_offered() -> None:
    client = Client()
    client.bind(LEASE, ack=BARE)
    assert (client.network(), client.router()) == (IPv4Interface(f"{NODE}/15"), SERVER)
    assert client.client.lease is not None
    assert client.client.lease.mtu == 1400


def test_an_ack_that_says_something_else_than_the_offer() -> None:
    client = Client()
    client.bind(LEASE, ack=[*BARE, ("subnet_mask", "255.255.0.0"), ("router", "198.18.0.9")])
    assert (client.network(), client.router()) == (IPv4Interface(f"{NODE}/16"), "198.18.0.9")


@pytest.mark.parametrize("left_out", [(2,), (3,), (2, 3), (2, 3, 4, 5)])
def test_a_renewal_that_leaves_out_what_was_said_before(left_out: tuple[int, ...]) -> None:
    client = Client()
    client.bind()
    client.renew([option for number, option in enumerate(LEASE) if number not in left_out])
    assert (client.client.state, client.counter("renewed"), client.counter("unusable")) == ("bound", 1, 0)
    assert (client.network(), client.router()) == (IPv4Interface(f"{NODE}/15"), SERVER)
    assert (None, None) not in client.listener.told
    assert client.client.lease is not None
    assert (client.client.lease.dns, client.client.lease.mtu) == ((IPv4Address("198.18.0.53"),), 1400)


def test_a_renewal_changes_what_it_says() -> None:
    client = Client()
    client.bind()
    client.renew([*BARE, ("subnet_mask", "255.255.0.0"), ("router", "198.18.0.9")])
    assert client.client.state == "bound"
    assert (client.network(), client.router()) == (IPv4Interface(f"{NODE}/16"), "198.18.0.9")
    assert client.listener.told[-1] == (IPv4Interface(f"{NODE}/16"), IPv4Address("198.18.0.9"))
    client.renew(BARE)
    assert (client.network(), client.router()) == (IPv4Interface(f"{NODE}/16"), "198.18.0.9")


def test_a_new_lease_time_brings_its_own_t1_and_t2() -> None:
    client = Client()
    client.bind([*LEASE, ("renewal_time", 20), ("rebinding_time", 30)])
    client.renew([LEASE[0], ("lease_time", 1000)])
    assert client.client.lease is not None
    assert client.client.lease.renew_at - client.client._sent_at == 500 * SECOND


def test_nothing_is_held_from_a_lease_that_was_lost() -> None:
    client = Client()
    client.bind()
    client.renew([LEASE[0]])
    while client.client.state != "renewing":
        client.next()
    client.answer("nak", [("server_id", SERVER)])
    client.next()
    client.machine.device.frames()
    client.answer("offer", BARE)
    client.answer("ack", BARE)
    while client.client.state == "checking":
        client.next()
    assert (client.network(), client.router()) == (IPv4Interface(f"{NODE}/24"), None)


@pytest.mark.parametrize(
    ("address", "length"), [("10.1.2.3", 8), ("100.64.0.9", 8), ("172.16.9.9", 16), (NODE, 24), ("203.0.113.7", 24)]
)
def test_without_any_mask_the_class_of_the_address_says_it(address: str, length: int) -> None:
    client = Client()
    client.heard()
    client.answer("offer", BARE, yiaddr=address)
    client.answer("ack", BARE, yiaddr=address)
    while client.client.state == "checking":
        client.next()
    assert client.network() == IPv4Interface(f"{address}/{length}")


# A router that is outside of the network, which is one address


ALONE = [*BARE, ("subnet_mask", "255.255.255.255"), ("router", "203.0.113.1")]
ROUTER_LINK = "02:00:00:00:00:71"


def test_a_router_beside_a_network_of_one_is_reached_on_the_link() -> None:
    client = Client()
    client.bind(ALONE)
    assert (client.network(), client.router()) == (IPv4Interface(f"{NODE}/32"), "203.0.113.1")
    question = ARP(op=1, hwsrc=ROUTER_LINK, psrc="203.0.113.1", pdst=NODE)
    client.give(Ether(src=ROUTER_LINK, dst=BROADCAST_LINK) / question)
    (answer,) = map(Ether, client.machine.device.frames())
    assert (answer.dst, answer[ARP].op, answer[ARP].psrc) == (ROUTER_LINK, 2, NODE)
    client.give(Ether(src=ROUTER_LINK, dst=NODE_LINK) / IP(src="8.8.8.8", dst=NODE) / ICMP())
    (reply,) = map(Ether, client.machine.device.frames())
    assert (reply.dst, reply[IP].dst, reply[ICMP].type) == (ROUTER_LINK, "8.8.8.8", 0)


def test_that_router_is_asked_for_by_arp_and_heard() -> None:
    client = Client()
    client.bind(ALONE)
    client.give(Ether(src=ROUTER_LINK, dst=NODE_LINK) / IP(src="8.8.8.8", dst=NODE) / ICMP())
    socket = client.machine.stack.udp.bind(7, UdpHandler())
    assert socket.send(make_frame(client.machine.allocator, b"x"), "8.8.8.8", 9)
    asked = [frame for frame in map(Ether, client.machine.device.frames()) if ARP in frame]
    assert [frame[ARP].pdst for frame in asked][-1] == "203.0.113.1"
    client.give(Ether(src=ROUTER_LINK, dst=NODE_LINK) / ARP(op=2, hwsrc=ROUTER_LINK, psrc="203.0.113.1", pdst=NODE))
    sent = [frame for frame in map(Ether, client.machine.device.frames()) if UDP in frame]
    assert [(frame.dst, frame[IP].dst) for frame in sent] == [(ROUTER_LINK, "8.8.8.8")]
    stranger = ARP(op=1, hwsrc=ROUTER_LINK, psrc="203.0.113.2", pdst=NODE)
    client.give(Ether(src=ROUTER_LINK, dst=BROADCAST_LINK) / stranger)
    assert client.machine.device.frames() == [], "only the router is on the link with us"


def test_that_router_goes_with_the_lease() -> None:
    client = Client()
    client.bind(ALONE)
    while client.client.lease is not None:
        client.next()
    assert client.router() is None
    assert client.machine.interface.arp.on_link == set()


@pytest.mark.parametrize("router", ["127.0.0.1", "224.0.0.1", "0.0.0.0", "255.255.255.255", NODE])
def test_a_router_that_no_host_can_be_is_left_out(router: str) -> None:
    client = Client()
    client.bind([*ALONE[:3], ("router", router)])
    assert (client.client.state, client.router()) == ("bound", None)


def test_a_router_outside_of_a_network_of_many_is_left_out() -> None:
    client = Client()
    client.bind([*LEASE[:3], ("router", "203.0.113.1")])
    assert (client.client.state, client.router()) == ("bound", None)


# A server that sends to the address it offers


def test_answers_to_the_address_that_is_offered_are_taken() -> None:
    client = Client()
    client.unicast = True
    client.bind()
    assert (client.client.state, client.router()) == ("bound", SERVER)


@pytest.mark.parametrize(
    "packet",
    [
        UDP(sport=67, dport=69),
        UDP(sport=67, dport=68, len=4),
        TCP(dport=68),
        ICMP(),
        Raw(b"\0\0\0\x44"),
    ],
)
def test_nothing_else_to_an_address_that_is_not_ours_is_answered(packet: Packet) -> None:
    client = Client()
    client.machine.stack.udp.bind(69, UdpHandler())
    client.machine.device.frames()
    header = IP(src=SERVER, dst=NODE, proto=17) if isinstance(packet, Raw) else IP(src=SERVER, dst=NODE)
    client.give(Ether(src=PEER_LINK, dst=NODE_LINK) / header / packet)
    assert client.machine.device.frames() == []
    assert client.counter("received") == 0


def test_once_there_is_an_address_only_that_is_heard() -> None:
    client = Client()
    client.bind()
    packet = IP(src=SERVER, dst="198.18.0.77") / UDP(sport=67, dport=68) / Raw(bytes(300))
    before = client.counter("received")
    client.give(Ether(src=PEER_LINK, dst=NODE_LINK) / packet)
    assert client.counter("received") == before


def test_rebound_by_anybody_at_t2_and_given_up_at_the_end() -> None:
    client = Client()
    client.bind()
    client.next()  # T1
    client.machine.device.frames()
    while client.client.state == "renewing":
        client.next()
    request = next(frame for frame in map(Ether, client.machine.device.frames()) if BOOTP in frame)
    assert (request[IP].src, request[IP].dst, request[BOOTP].ciaddr) == (NODE, "255.255.255.255", NODE)
    other = [("server_id", "198.18.0.2"), *LEASE[1:]]
    client.answer("ack", other)
    assert client.client.state == "bound"
    while client.client.lease is not None:
        client.next()
    assert client.listener.told[-1] == (None, None)
    assert client.machine.interface.ipv4_address == 0
    assert client.machine.stack.routes.find(0x08080808) is None
    client.next()
    assert options_of(Ether(client.machine.device.frames()[-1]))["message-type"] == 1


def test_servers_own_times_are_kept_when_they_make_sense() -> None:
    client = Client()
    client.bind([*LEASE, ("renewal_time", 20), ("rebinding_time", 30)])
    assert client.next() <= 20
    client = Client()
    client.bind([*LEASE, ("renewal_time", 90), ("rebinding_time", 30)])
    assert client.next() >= 50


def test_an_endless_lease_is_never_renewed() -> None:
    client = Client()
    client.bind([LEASE[0], ("lease_time", 0xFFFFFFFF), LEASE[2]])
    client.machine.clock.advance(10**9 * SECOND)
    client.poll()
    assert client.client.state == "bound"


@pytest.mark.parametrize("state", ["requesting", "renewing"])
def test_nak_starts_anew(state: str) -> None:
    client = Client()
    if state == "renewing":
        client.bind()
        client.next()
    else:
        client.answer("offer")
    client.answer("nak", [("server_id", SERVER)])
    assert client.client.state == "init"
    assert client.machine.interface.ipv4_address == 0
    assert client.next() == 0
    client.answer("offer")
    client.answer("nak", [("server_id", SERVER)])
    wait = client.client.deadline - client.machine.clock.now()
    assert wait == 10 * SECOND, "refused again and again, it asks again and again"


def test_an_address_that_another_host_has_is_declined() -> None:
    client = Client()
    client.answer("offer")
    client.answer("ack")
    client.next()
    client.machine.device.frames()
    client.machine.give(op=2, psrc=NODE, pdst="0.0.0.0")
    decline = client.heard()
    said = options_of(decline)
    assert (said["message-type"], said["requested_addr"], said["server_id"]) == (4, NODE, SERVER)
    assert (decline[IP].src, decline[BOOTP].ciaddr) == ("0.0.0.0", "0.0.0.0")
    assert client.next() == 10
    assert options_of(client.heard())["message-type"] == 1


def test_a_conflict_later_on_gives_the_address_up() -> None:
    client = Client()
    client.bind()
    for _ in range(2):
        client.machine.give(op=1, psrc=NODE, pdst=SERVER)
    assert options_of(client.heard())["message-type"] == 4
    assert client.listener.told[-1] == (None, None)


@pytest.mark.parametrize(
    ("fields", "options", "counter"),
    [
        ({"xid": 1}, LEASE, "not_ours"),
        ({"op": 1}, LEASE, "not_ours"),
        ({"chaddr": b"another"}, LEASE, "not_ours"),
        ({"yiaddr": "127.0.0.1"}, LEASE, "unusable"),
        ({"yiaddr": "224.0.0.1"}, LEASE, "unusable"),
        ({"yiaddr": "198.19.255.255"}, LEASE, "unusable"),
        ({}, LEASE[1:], "unusable"),
        ({}, [LEASE[0], ("lease_time", 1), LEASE[2]], "unusable"),
        ({}, [*LEASE[:2], ("subnet_mask", "255.0.255.0")], "unusable"),
        ({}, [*LEASE[:2], ("subnet_mask", "0.0.0.255")], "unusable"),
    ],
)
def test_offers_that_no_host_can_use_are_counted(fields: dict[str, object], options: list[Any], counter: str) -> None:
    client = Client()
    client.answer("offer", options, **fields)
    assert (client.client.state, client.counter(counter)) == ("selecting", 1)


def test_options_may_lie_in_the_fields_for_names_and_in_pieces() -> None:
    fields = BOOTP(op=2, xid=5, chaddr=NODE_MAC, sname=b"\x03\x02\x00\x09\xff".ljust(64, b"\0"))
    data = bytes(fields / Raw(b"\x63\x82\x53\x63\x35\x01\x02\x34\x01\x02\x03\x02\xc6\x12\xff"))
    message = parse(data)
    assert message is not None
    assert (message.kind(), message.numbers(3)) == (2, [0xC6120009])
    assert parse(data[:-1].replace(b"\x03\x02\xc6\x12", b"\x03\x20\xc6\x12")) is None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 400), st.randoms(use_true_random=False))
def test_whatever_a_server_says_is_counted(noise: bytes, at: int, chance: random.Random) -> None:
    client = Client()
    good = BOOTP(op=2, xid=client.client._xid, yiaddr=NODE, chaddr=NODE_MAC) / DHCP(
        options=[("message-type", "offer"), *LEASE, "end"]
    )
    data = bytes(good)
    data = data[:at] + noise + data[at + chance.randrange(len(noise) + 1) :]
    packet = IP(src=SERVER, dst="255.255.255.255") / UDP(sport=67, dport=68) / Raw(data)
    client.give(Ether(src=PEER_LINK, dst=BROADCAST_LINK) / packet)
    counted = client.dhcp.statistics()["0"]
    assert counted["received"] == sum(counted[name] for name in ("malformed", "not_ours", "unusable", "used")) == 1
