"""Hostile bytes against a Messenger: random ones, mutated handshakes, mutated frames of a peer that has proved itself.

Each is survived and counted, memory comes back, and a peer beside it is served.
"""

import random

import pytest

from ebbrt.iobuf import IOBuf
from ebbrt.messages import NodeId, to_message
from ebbrt.messenger.frames import put_header
from ebbrt.messenger.handshake import Handshake, Identity
from ebbrt.messenger.protocol import CALL, HANDSHAKE_TIME, HELLO_LENGTH, MESSAGE, MOST_HANDSHAKES, START
from ebbrt.network import TcpHandler
from tests.fakes import read_chain
from tests.messenger_nodes import EBB, SECRET, PipeWorld
from tests.node_pair import SECOND
from tests.pipe_network import PipeNetwork

FOE = NodeId(3, "198.18.0.3", 9100)


class Foe(TcpHandler):
    """A raw connection to the Messenger of node 1."""

    def __init__(self, world: PipeWorld) -> None:
        self.world = world
        self.data = b""
        self.is_open = True
        node = world.nodes[0]
        PipeNetwork(world.pipes, FOE.address, world.allocator).connect(node.address, node.port, self)
        world.pipes.settle()

    def receive(self, data: IOBuf) -> None:
        self.data += read_chain(data)

    def closed(self, reason: str) -> None:
        self.is_open = False

    def say(self, data: bytes) -> None:
        if self.is_open and data:
            self.connection.send(to_message(self.world.allocator, data))
            self.world.pipes.settle()

    def leave(self) -> None:
        if self.is_open:
            self.connection.abort()
            self.world.pipes.settle()


def prove(foe: Foe, seed: int) -> None:
    """The handshake of a real peer."""
    handshake = Handshake(Identity(FOE, seed + 1), SECRET, 1, random.Random(seed))
    foe.say(handshake.begin())
    answer, foe.data = foe.data[: handshake.needed], b""
    foe.say(handshake.receive(answer))
    assert handshake.done


def frame(world: PipeWorld, kind: int, sequence: int, data: bytes) -> bytes:
    """One frame as bytes."""
    made = put_header(world.allocator, kind, EBB, sequence, 5, to_message(world.allocator, data), len(data))
    assert made is not None
    return read_chain(made)


def check_served(world: PipeWorld) -> None:
    """The peer beside the foe is served, over the connection it always had."""
    call = world.messengers[1].call(world.nodes[0], EBB, to_message(world.allocator, b"still there?"), SECOND)
    world.pipes.run(call.done, 2)
    assert read_chain(call.result()) == b"still there?"
    assert world.pipes.events.failures == 0


@pytest.fixture
def world() -> PipeWorld:
    world = PipeWorld()
    check_served(world)
    return world


def mutate(chance: random.Random, data: bytes) -> bytes:
    """``data`` with bytes changed, dropped, doubled or cut off."""
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(changed)) if changed else 0
        what = chance.randrange(5)
        if what == 0:
            changed[at:at] = chance.randbytes(chance.randrange(1, 20))
        elif what == 1:
            del changed[at : at + chance.randrange(1, 20)]
        elif what == 2:
            del changed[at:]
        elif changed:
            changed[at] = chance.randrange(256)
    return bytes(changed)


def test_random_bytes(world: PipeWorld) -> None:
    before = world.allocator.allocated_bytes
    for seed in range(200):
        chance = random.Random(seed)
        foe = Foe(world)
        for _ in range(chance.randrange(1, 4)):
            foe.say(chance.randbytes(chance.randrange(1, 300)))
        foe.leave()
        foe.data = b""
    statistics = world.messengers[0].statistics()
    assert statistics["problems"]["not a Messenger"] > 50
    assert statistics["handshakes"] == 0
    check_served(world)
    assert world.allocator.allocated_bytes <= before
    world.close()


def test_mutated_handshakes(world: PipeWorld) -> None:
    refused = 0
    for seed in range(300):
        chance = random.Random(seed)
        foe = Foe(world)
        handshake = Handshake(Identity(FOE, seed + 1), SECRET, 1, chance)
        mangle_first = chance.random() < 0.5
        hello = handshake.begin()
        foe.say(mutate(chance, hello) if mangle_first else hello)
        if len(foe.data) == handshake.needed:
            proof = handshake.receive(foe.data)
            changed = mutate(chance, proof) if proof else b""
            foe.say(changed)
            assert proof[:32] == changed[:32] or not foe.is_open or len(changed) < 32
        refused += not foe.is_open
        foe.leave()
    assert refused > 100
    assert sum(world.messengers[0].statistics()["problems"].values()) > 100
    assert world.messengers[0].statistics()["handshakes"] == 0
    check_served(world)
    world.close()


def test_mutated_frames_of_a_peer_that_has_proved_itself(world: PipeWorld) -> None:
    closed = 0
    for seed in range(200):
        chance = random.Random(seed)
        foe = Foe(world)
        prove(foe, seed)
        frames = [frame(world, START, 1, b"")]
        frames += [frame(world, chance.choice([MESSAGE, CALL]), n, chance.randbytes(30)) for n in range(1, 5)]
        stream = b"".join(frames)
        foe.say(mutate(chance, stream))
        foe.say(chance.randbytes(chance.randrange(200)))
        closed += not foe.is_open
        foe.leave()
    assert closed > 100
    assert world.messengers[0].statistics()["connections"] == 1
    check_served(world)
    world.close()


def test_who_does_not_prove_itself_in_time_is_refused(world: PipeWorld) -> None:
    silent, half = Foe(world), Foe(world)
    half.say(bytes(HELLO_LENGTH - 1))
    world.pipes.run(lambda: not silent.is_open and not half.is_open, HANDSHAKE_TIME / SECOND + 1)
    assert world.messengers[0].statistics()["problems"] == {"handshake took too long": 2}
    check_served(world)
    world.close()


def test_who_speaks_before_its_proof_is_refused(world: PipeWorld) -> None:
    foe = Foe(world)
    handshake = Handshake(Identity(FOE, 1), SECRET, 1, random.Random(1))
    foe.say(handshake.begin() + bytes(1000))
    assert not foe.is_open
    assert world.messengers[0].statistics()["problems"] == {"speaks too early": 1}
    world.close()


def test_unproved_connections_are_bounded(world: PipeWorld) -> None:
    foes = [Foe(world) for _ in range(MOST_HANDSHAKES + 10)]
    assert sum(foe.is_open for foe in foes) == MOST_HANDSHAKES
    assert world.messengers[0].statistics()["problems"] == {"too many handshakes": 10}
    check_served(world)
    world.close()


def test_a_frame_that_claims_too_much_closes_the_connection(world: PipeWorld) -> None:
    foe = Foe(world)
    prove(foe, 1)
    foe.say(frame(world, START, 1, b""))
    large = bytearray(frame(world, MESSAGE, 1, b""))
    large[4:8] = (1 << 20 | 1).to_bytes(4, "big")
    foe.say(bytes(large))
    assert not foe.is_open
    assert world.messengers[0].statistics()["problems"] == {"frame too large": 1}
    world.close()
