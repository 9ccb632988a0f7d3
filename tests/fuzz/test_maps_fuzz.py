"""Requests of hostile nodes to the Global Id Map and the File System: each gets an answer, and does nothing else."""

import os
import random
from pathlib import Path
from typing import Any

import msgpack

from ebbrt.ebb import FILE_SYSTEM, GLOBAL_ID_MAP
from ebbrt.files.file_system import FileSystem, LocalChannel
from ebbrt.files.server import MOST_HANDLES, FileServer
from ebbrt.id_map.global_id_map import GlobalIdMap
from ebbrt.id_map.remote import IdMapServer
from ebbrt.id_map.table import TableStore
from ebbrt.messages import to_message, unpack
from tests.fake_messenger import FakeNetwork

SECOND = 1_000_000_000
LIKELY = [0, 1, 2, SECOND, b"f", b"g", b"d", b"d/f", b"..", "r", "w", "a", "r+"]
VALUES: list[Any] = [
    None, True, -1, 0, 1, 2, 3, 1000, 1 << 31, 1 << 62, -(1 << 63), (1 << 64) - 1, 1.5, "", "r", "w", "a", "x", "r+",
    "text", b"", b"f", b"g", b"d", b"d/f", b"..", b"../x", b"/", b"/etc/passwd", b".", b"a\0b", b"x" * 5000, [], {},
    [1], {1: 2}, SECOND,
]  # fmt: skip


def requests(chance: random.Random, count: int) -> list[bytes]:
    made = []
    for _ in range(count):
        values = VALUES if chance.random() < 0.3 else LIKELY
        arguments = [chance.choice(values) for _ in range(chance.choice([0, 1, 1, 2, 2, 3, 3, 4, 5]))]
        data = bytearray(msgpack.packb([chance.randrange(11), *arguments]))
        if chance.random() < 0.2:
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.1:
            del data[chance.randrange(len(data)) :]
        made.append(bytes(data))
    return made


def test_every_request_gets_an_answer(tmp_path: Path) -> None:
    (tmp_path / "shared" / "d").mkdir(parents=True)
    (tmp_path / "outside").write_bytes(b"untouched")
    network = FakeNetwork()
    front, back = network.add(0), network.add(1)
    server = FileServer(str(tmp_path / "shared"))
    store = TableStore(network.events, 1 << 20)
    front.install(GLOBAL_ID_MAP, GlobalIdMap(network.events, store, IdMapServer(store, network.allocator)))
    front.install(FILE_SYSTEM, FileSystem(LocalChannel(server), network.allocator, server))
    descriptors = len(os.listdir("/proc/self/fd"))
    answers = {GLOBAL_ID_MAP: 0, FILE_SYSTEM: 0}
    for request in requests(random.Random(7), 6000):
        for ebb_id in answers:
            data = to_message(network.allocator, request)
            code, *result = unpack(network.wait(back.call(front.local(), ebb_id, data, 100 * SECOND), 200))
            assert isinstance(code, int)
            assert result
            answers[ebb_id] += code == 0
    assert all(count > 10 for count in answers.values()), answers  # some made sense
    assert len(os.listdir("/proc/self/fd")) <= descriptors + MOST_HANDLES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "shared"]
    assert (tmp_path / "outside").read_bytes() == b"untouched"
    server.node_lost(1)
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert network.events.statistics()["failures"] == 0
    server.close()
    network.close()
