"""Both ways of finding a segment's connection find the same; the list keeps the last used in front."""

import random

import pytest

from stack.tcp.connection_list import ConnectionList
from stack.tcp.connections import Connections, ConnectionTable, Flow
from stack.tcp.lookups import LOOKUPS, connection_lookup
from stack.transport import Path
from tests.stack_harness import Harness

SEED = b"sixteen byte key"


@pytest.fixture
def paths() -> list[Path]:
    internet = Harness().stack.internet
    return [internet.path(None, (0, 0xFFFF << 32 | 0xC6120000 | host)) for host in range(3, 23)]


def find(connections: Connections, flow: Flow) -> Flow | None:
    local_high, local_low, local_port, remote_high, remote_low, remote_port = flow.key()
    return connections.find(local_high, local_low, local_port, remote_high, remote_low, remote_port)


@pytest.mark.parametrize("name", LOOKUPS)
def test_what_is_inserted_is_found_until_it_is_removed(name, paths):
    chance = random.Random(name)
    connections = connection_lookup(name, SEED)
    flows = [Flow(path, remote, local) for path in paths for remote in range(40000, 40010) for local in (80, 81)]
    present: set[int] = set()
    for _ in range(3000):
        index = chance.randrange(len(flows))
        action = chance.randrange(3)
        if action == 0 and index not in present:
            connections.insert(flows[index])
            present.add(index)
        elif action == 1:
            connections.remove(flows[index])
            present.discard(index)
        assert find(connections, flows[index]) is (flows[index] if index in present else None)
        assert connections.count == len(present)
    assert sorted(map(id, connections)) == sorted(id(flows[index]) for index in present)


def test_the_list_moves_what_is_found_to_the_front(paths):
    connections = ConnectionList(SEED)
    flows = [Flow(path, 40000, 80) for path in paths]
    for flow in flows:
        connections.insert(flow)
    assert list(connections) == flows[::-1]
    assert find(connections, flows[3]) is flows[3]
    assert list(connections) == [flows[3]] + [flow for flow in flows[::-1] if flow is not flows[3]]


def test_a_long_list_is_freed_without_recursion(paths):
    connections = ConnectionList(SEED)
    for number in range(100_000):
        connections.insert(Flow(paths[0], number & 0xFFFF, number >> 16))
    assert connections.count == 100_000
    del connections


def test_a_look_up_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="no connection look-up 'tree'"):
        connection_lookup("tree", SEED)
    assert isinstance(connection_lookup("table", SEED), ConnectionTable)
