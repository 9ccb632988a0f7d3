"""The Global Id Map and the File System over the real Messenger and the nodes' own stacks, whose wires are cut."""

import errno
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ebbrt.ebb import FILE_SYSTEM
from ebbrt.files.file_system import FileSystem, FileSystemError, LocalChannel, RemoteChannel
from ebbrt.files.server import FileServer
from ebbrt.future import Future
from ebbrt.id_map.global_id_map import IdMapUnavailableError
from ebbrt.id_map.table import TableStore
from ebbrt.messages import MessageHandler, NodeId
from ebbrt.messenger.tcp_messenger import TcpMessenger
from tests.id_map_suite import BACK, FRONT, SECOND, IdMapSuite, World
from tests.node_pair import VirtualNetwork, VirtualNode


class Node:
    """One of the network's, as the suite uses it."""

    def __init__(self, machine: VirtualNode, number: int) -> None:
        self.machine = machine
        self.events = machine.events
        self.allocator = machine.allocator
        local = NodeId(number, machine.address, 9100)
        self.messenger = TcpMessenger(
            machine.network, machine.events, machine.allocator, machine.core, local, b"the same everywhere",
            machine.clock, random.Random(number),
        )  # fmt: skip
        self.local = self.messenger.local

    def install(self, ebb_id: int, handler: MessageHandler) -> None:
        self.machine.core.install(ebb_id, handler)


class MessengerNetwork:
    """Used like FakeNetwork; a cut is a cable that is out."""

    virtual = True

    def __init__(self) -> None:
        self.wire = VirtualNetwork(3, memory=32 << 20)
        self.clock = self.wire.clock
        self.nodes: list[Node] = []

    def add(self, number: int) -> Node:
        self.nodes.append(Node(self.wire.nodes[number], number))
        return self.nodes[-1]

    def cut(self, number: int) -> None:
        self.wire.nodes[number].connected = False

    def mend(self, number: int) -> None:
        self.wire.nodes[number].connected = True

    def until(self, condition: Callable[[], object], seconds: float = 30) -> None:
        self.wire.run(lambda: bool(condition()), seconds)

    def wait(self, future: Future[Any], seconds: float = 30) -> Any:
        self.until(future.done, seconds)
        return future.result()

    def pass_time(self, seconds: float) -> None:
        self.wire.advance(seconds)

    def close(self) -> None:
        for node in self.nodes:
            node.messenger.close()
        self.wire.close()


@pytest.fixture
def world() -> Iterator[World]:
    world = World(MessengerNetwork(), lambda node: TableStore(node.events))
    yield world
    world.close()


class TestTableOverMessenger(IdMapSuite):
    @pytest.fixture
    def side(self) -> int:
        return BACK

    @pytest.fixture
    def lossy_side(self) -> int:
        return BACK


def test_a_front_end_that_is_gone_fails_what_waits_for_it(world: World) -> None:
    world.wait(world.maps[BACK].set(1, b"x"))
    world.network.cut(FRONT)
    pending = world.maps[BACK].get(1, 2 * SECOND)
    world.until(pending.done, 2.1)
    assert isinstance(pending.error(), IdMapUnavailableError)


def test_files_over_a_wire_that_is_cut_for_a_while(world: World, tmp_path: Path) -> None:
    front, back = world.nodes[FRONT], world.nodes[BACK]
    server = FileServer(str(tmp_path))
    front.install(FILE_SYSTEM, FileSystem(LocalChannel(server), front.allocator, server))
    files = FileSystem(RemoteChannel(back.messenger, front.local(), back.allocator), back.allocator)
    back.install(FILE_SYSTEM, files)
    data = random.Random(1).randbytes(3_000_000)
    handle = world.wait(files.open("f", "w"))
    written = files.write(handle, data)
    world.until(lambda: server.bytes_written)
    world.network.cut(BACK)
    back.events.set_timer(SECOND // 2, world.restore)
    world.wait(written)
    world.wait(files.close(handle))
    assert (tmp_path / "f").read_bytes() == data
    handle = world.wait(files.open("f", cached=True))
    assert world.wait(files.read(handle, len(data))) == data
    world.network.cut(BACK)
    with pytest.raises(FileSystemError) as caught:
        world.wait(files.stat("f"), 10.1)
    assert caught.value.errno == errno.ETIMEDOUT
    server.close()
