"""Local ports (RFC 6056): hard to guess, used again late, all of them used before none is left; and odd addresses."""

import random
from itertools import islice, pairwise

import pytest

from ebbrt.network import AddressInUseError
from stack.address import mapped
from stack.tcp.ports import MOST_STEP, EphemeralPorts
from tests.tcplink import Recorder
from tests.tcppeer import Peer

SECRET = b"sixteen byte key"


def next_port(ports: EphemeralPorts, peer: bytes) -> int:
    return next(iter(ports.candidates(peer)))


def test_towards_one_peer_ports_follow_each_other_in_small_random_steps():
    ports = EphemeralPorts(49152, 65535, SECRET, random.Random(1))
    used = [next_port(ports, b"peer") for _ in range(1000)]
    steps = {(after - before) % 16384 for before, after in pairwise(used)}
    assert steps == set(range(1, MOST_STEP + 1))
    assert len(set(used)) == len(used)


def test_towards_other_peers_they_begin_elsewhere():
    ports = EphemeralPorts(49152, 65535, SECRET, random.Random(1))
    first = [next_port(ports, str(number).encode()) for number in range(1000)]
    assert len(set(first)) > 900
    assert len({port // 64 for port in first}) > 200  # of 256: peers that share a counter are far apart as well
    differences = [abs(after - before) for before, after in pairwise(first)]
    assert sum(difference < 100 for difference in differences) < 50
    stranger = EphemeralPorts(49152, 65535, b"another key here", random.Random(1))
    assert [next_port(stranger, str(number).encode()) for number in range(1000)] != first


def test_every_port_is_tried_once():
    ports = EphemeralPorts(50000, 50009, SECRET, random.Random(1))
    for _ in range(5):
        assert sorted(ports.candidates(b"peer")) == list(range(50000, 50010))
        assert len(list(islice(ports.candidates(b"peer"), 3))) == 3


def test_when_all_are_used_connecting_says_so():
    peer = Peer()
    peer.node.tcp.ports = EphemeralPorts(50000, 50003, SECRET, random.Random(1))
    address = mapped(peer.node.address + 1)
    for _ in range(4):
        peer.node.tcp.connect(address, 80, Recorder())
    assert sorted(segment.sport for segment in peer.take()) == [50000, 50001, 50002, 50003]
    with pytest.raises(AddressInUseError, match="towards port 80"):
        peer.node.tcp.connect(address, 80, Recorder())
    peer.node.tcp.connect(address, 81, Recorder())
    assert len(peer.take()) == 1


def test_a_port_that_listens_is_not_used():
    peer = Peer()
    peer.node.tcp.ports = EphemeralPorts(50000, 50001, SECRET, random.Random(1))
    peer.node.tcp.listen(50000, lambda connection: Recorder())
    peer.node.tcp.connect(mapped(peer.node.address + 1), 80, Recorder())
    assert peer.take()[0].sport == 50001


@pytest.mark.parametrize("address", ["own", "broadcast", "everybody", "group"])
def test_connecting_to_no_other_host_is_in_vain(address):
    peer = Peer()
    number = {
        "own": peer.node.address,
        "broadcast": peer.node.address | 255,
        "everybody": 0xFFFFFFFF,
        "group": 0xE0000001,
    }[address]
    handler = Recorder()
    peer.node.tcp.connect(mapped(number), 80, handler)
    assert handler.reason == "unreachable"
    assert peer.take() == []


@pytest.mark.parametrize("flags", ["S", "A", "FA"])
def test_a_source_port_of_zero_is_never_answered(flags):
    peer = Peer()
    peer.port = 0
    assert peer.send(flags) == []
    peer.listen()
    assert peer.send(flags) == []
    assert peer.drops() == {"bad_address": 2}
