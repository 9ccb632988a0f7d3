"""At most once, in order: whatever byte a connection breaks at."""

import random

import pytest

from ebbrt.messages import to_message
from tests.fakes import read_chain
from tests.messenger_nodes import EBB, PipeWorld
from tests.node_pair import SECOND

MESSAGES = [b"", b"one", b"two" * 20, b"three" * 150]


def exchange(world: PipeWorld) -> None:
    """Messages and calls both ways, some before there is a connection, some after."""
    calls = []
    for index in (0, 1):
        for message in MESSAGES[:2]:
            world.send(index, message)
    world.pipes.settle()
    for index in (0, 1):
        to = world.nodes[1 - index]
        calls.append(world.messengers[index].call(to, EBB, to_message(world.allocator, MESSAGES[2]), 20 * SECOND))
        world.send(index, MESSAGES[3])
    world.pipes.run(lambda: all(call.done() for call in calls), 20)
    world.pipes.run(lambda: all(len(echo.received) >= 4 for echo in world.echoes), 20)
    for call in calls:
        assert read_chain(call.result()) == MESSAGES[2]


def bytes_of_an_exchange() -> int:
    world = PipeWorld()
    exchange(world)
    world.close()
    return world.pipes.crossed


@pytest.mark.parametrize("part", range(8))
def test_a_connection_cut_at_every_byte_loses_nothing_and_doubles_nothing(part: int) -> None:
    total = bytes_of_an_exchange()
    assert total > 2000
    resent = 0
    for cut in range(part + 1, total, 8):
        world = PipeWorld(seed=cut)
        world.pipes.bytes_left = cut
        exchange(world)
        assert [echo.received for echo in world.echoes] == [MESSAGES, MESSAGES], f"cut after {cut} bytes"
        resent += sum(messenger.statistics()["resent"] for messenger in world.messengers)
        world.close()
    assert resent > 0


@pytest.mark.parametrize("seed", range(20))
def test_many_cuts(seed: int) -> None:
    chance = random.Random(seed)
    world = PipeWorld(seed, piece=chance.choice([1, 7, 400]))
    messages = [b"%d" % number * chance.randrange(1, 50) for number in range(200)]
    for start in range(0, 200, 10):
        for message in messages[start : start + 10]:
            world.send(0, message)
            world.send(1, message)
        if chance.random() < 0.7:
            world.pipes.bytes_left = chance.randrange(1, 3000)
        if chance.random() < 0.7:
            world.pipes.settle()
    world.pipes.run(lambda: all(len(echo.received) >= 200 for echo in world.echoes))
    assert [echo.received for echo in world.echoes] == [messages, messages]
    world.close()
