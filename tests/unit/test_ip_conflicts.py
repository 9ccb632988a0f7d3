"""Address conflict detection (RFC 5227): probing, announcing, defending, giving up. scapy plays the other host."""

import random
from ipaddress import IPv4Interface

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from ebbrt.clock import ManualClock
from ebbrt.constants import FOREVER
from stack.ipv4.address_claim import AddressClaim, AddressUser
from stack.stack import Stack
from tests.fakes import FakeDevice, make_allocator, make_frame
from tests.stack_harness import BROADCAST_LINK, NODE, NODE_LINK, PEER, PEER_LINK, SECOND
from tests.unit.test_ip_packets import Recorder

ADDRESS = IPv4Interface(f"{NODE}/15")


class User(AddressUser):
    def __init__(self) -> None:
        self.told: list[str] = []

    def address_ready(self) -> None:
        self.told.append("ready")

    def address_lost(self, mac: int) -> None:
        self.told.append(f"lost to {mac:012x}")

    def address_conflict(self, mac: int) -> None:
        self.told.append(f"conflict with {mac:012x}")


class Machine:
    """A stack whose interface has no address yet."""

    def __init__(self, seed: int = 1) -> None:
        self.allocator = make_allocator()
        self.device = FakeDevice()
        self.clock = ManualClock(SECOND)
        self.stack = Stack(self.allocator, self.clock, random.Random(seed), b"sixteen byte key")
        self.interface = self.stack.add_interface(self.device, None)
        self.claim: AddressClaim = self.stack.claim(self.interface)
        self.user = User()

    def start(self, probe: bool = True, keep: bool = False) -> None:
        self.claim.claim(ADDRESS, self.user, self.clock.now(), probe=probe, keep=keep)

    def give(self, **fields: object) -> None:
        packet = Ether(src=PEER_LINK, dst=BROADCAST_LINK) / ARP(**{"hwsrc": PEER_LINK, **fields})
        self.interface.receive_frame(make_frame(self.allocator, bytes(packet)), False)

    def take(self) -> list[ARP]:
        frames = [Ether(frame) for frame in self.device.frames()]
        assert all(frame.dst == BROADCAST_LINK and frame.src == NODE_LINK for frame in frames)
        return [frame[ARP] for frame in frames]

    def next(self) -> float:
        """Jump to the next deadline; seconds that passed."""
        before = self.clock.now()
        self.clock.advance(self.stack.next_deadline() - before)
        self.stack.poll(self.clock.now())
        return (self.clock.now() - before) / SECOND


def test_three_probes_then_two_announcements() -> None:
    machine = Machine()
    machine.start()
    assert 0 <= machine.next() < 1
    for last in (False, False, True):
        (probe,) = machine.take()
        assert (probe.op, probe.psrc, probe.pdst, probe.hwdst) == (1, "0.0.0.0", NODE, "00:00:00:00:00:00")
        assert machine.interface.ipv4_address == 0
        waited = machine.next()
        assert waited == 2 if last else 1 <= waited <= 2
    assert machine.user.told == ["ready"]
    machine.next()
    announcements = machine.take()
    assert [(one.op, one.psrc, one.pdst) for one in announcements] == [(1, NODE, NODE)] * 2
    assert machine.stack.next_deadline() == FOREVER
    assert machine.stack.statistics()["addresses"]["0"]["state"] == "kept"


def test_probes_are_at_random_times() -> None:
    times = set()
    for seed in range(5):
        machine = Machine(seed)
        machine.start()
        times |= {machine.next(), machine.next()}
    assert len(times) == 10


@pytest.mark.parametrize(
    "fields",
    [{"op": 2, "psrc": NODE, "pdst": PEER}, {"op": 1, "psrc": NODE, "pdst": PEER}, {"op": 1, "psrc": "0.0.0.0"}],
    ids=["answer", "use", "probe of another"],
)
def test_a_conflict_ends_probing(fields: dict[str, object]) -> None:
    machine = Machine()
    machine.start()
    machine.next()
    machine.give(**{"pdst": NODE, **fields})
    assert machine.user.told == ["lost to 020000000002"]
    assert machine.interface.ipv4_address == 0
    assert machine.stack.next_deadline() == FOREVER


def test_our_own_probe_coming_back_is_no_conflict() -> None:
    machine = Machine()
    machine.start()
    machine.next()
    machine.give(op=1, hwsrc=NODE_LINK, psrc="0.0.0.0", pdst=NODE)
    assert machine.user.told == []


def test_after_ten_conflicts_a_minute_passes_before_the_next_probe() -> None:
    machine = Machine()
    for _ in range(10):
        machine.start()
        assert machine.next() < 1
        machine.give(op=2, psrc=NODE, pdst=PEER)
    machine.start()
    assert 60 <= machine.next() < 61


def test_a_static_address_serves_at_once_and_is_kept_whatever_happens() -> None:
    machine = Machine()
    machine.start(probe=False, keep=True)
    assert machine.user.told == ["ready"]
    assert [one.psrc for one in machine.take()] == [NODE]
    machine.next()
    machine.take()
    for _ in range(5):
        machine.give(op=1, psrc=NODE, pdst=PEER)
    assert len(machine.take()) == 1, "more than one defence in ten seconds"
    machine.clock.advance(10 * SECOND)
    machine.give(op=1, psrc=NODE, pdst=PEER)
    assert len(machine.take()) == 1
    assert machine.interface.ipv4_address == int(ADDRESS.ip)
    assert machine.user.told == ["ready", "conflict with 020000000002", "conflict with 020000000002"]
    counted = machine.stack.statistics()["addresses"]["0"]
    assert (counted["conflicts"], counted["announcements_sent"], counted["given_up"]) == (6, 4, 0)


def test_another_address_is_defended_once_and_then_given_up() -> None:
    machine = Machine()
    machine.start(probe=False)
    path = machine.stack.internet.path(None, (0, 0xFFFF << 32 | 0xC6120003))
    machine.give(op=1, psrc=NODE, pdst=PEER)
    assert machine.user.told == ["ready", "conflict with 020000000002"]
    machine.give(op=1, psrc=NODE, pdst=PEER)
    assert machine.user.told == ["ready", "conflict with 020000000002", "lost to 020000000002"]
    assert machine.interface.ipv4_address == 0
    assert not path.leads_to_host(), "a connection would go on with the address"


def test_a_static_address_can_be_asked_for_before_anybody_hears_of_it() -> None:
    machine = Machine()
    machine.claim.claim(ADDRESS, machine.user, machine.clock.now(), probe=False, keep=True, ask=True)
    assert machine.interface.ipv4_address == int(ADDRESS.ip), "it serves meanwhile"
    assert [(one.psrc, one.pdst) for one in machine.take()] == [("0.0.0.0", NODE)]
    assert machine.next() == 0.2
    assert machine.user.told == ["ready"]
    assert [(one.psrc, one.pdst) for one in machine.take()] == [(NODE, NODE)]


def test_who_has_a_static_address_is_told_of_and_not_answered_before_it_is_announced() -> None:
    machine = Machine()
    machine.claim.claim(ADDRESS, machine.user, machine.clock.now(), probe=False, keep=True, ask=True)
    machine.take()
    machine.give(op=2, psrc=NODE, pdst="0.0.0.0", hwdst=NODE_LINK)
    assert machine.user.told == ["conflict with 020000000002"]
    assert machine.take() == [], "the caches of others would lead to us"
    machine.claim.release()
    assert machine.interface.ipv4_address == 0


def test_nothing_more_is_sent_from_an_address_that_was_changed() -> None:
    machine = Machine()
    machine.start(probe=False)
    path = machine.stack.internet.path(None, (0, 0xFFFF << 32 | 0xC6120003))
    assert path.leads_to_host()
    machine.stack.ipv4.set_address(machine.interface, IPv4Interface("198.18.0.77/15"))
    assert not path.leads_to_host()


def test_without_an_address_nothing_is_answered_or_sent() -> None:
    machine = Machine()
    recorder = Recorder()
    socket = machine.stack.udp.bind(7, recorder)
    for target in (NODE, "0.0.0.0"):
        machine.give(op=1, psrc=PEER, pdst=target)
        packet = Ether(src=PEER_LINK, dst=NODE_LINK) / IP(src=PEER, dst=target) / UDP(dport=9) / Raw(b"x")
        machine.interface.receive_frame(make_frame(machine.allocator, bytes(packet)), False)
    assert not socket.send(make_frame(machine.allocator, b"x"), PEER, 9)
    assert machine.take() == []
