"""How many instructions the compiled node takes for a GET: ``python -m tests.instructions``; needs valgrind.

A node (driver, device, event loop, stack and memcached) serves sixteen connections, whose requests come in rounds of
one from each, through a socket pair that plays the TAP. callgrind counts the instructions of the process, for some
rounds and for twice as many, and the same without a node; the differences give what a GET costs. The clock stands
still during a round, and all that is random has a seed, so that the figure comes out the same again to a few
instructions. The kernel's are not in it, and a real node waits more often than after sixteen requests: compare the
figure with others of this program only.
"""

import gc
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
from ipaddress import IPv4Interface
from pathlib import Path

from apps.memcached.server import Memcached
from drivers.virtio.constants import LONGEST_FRAME, NET_HEADER_LENGTH
from drivers.virtio.device import NetDevice
from drivers.virtio.driver import VirtioNet
from drivers.virtio.port import TapPort
from ebbrt import build
from ebbrt.clock import ManualClock
from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import TimerSource
from ebbrt.memory import MemoryAllocator, NodeMemory
from stack.network_manager import StackNetworkManager
from stack.stack import Stack
from tests.fakes import ones_complement_sum
from tests.memcached_requests import request, store

CONNECTIONS = 16
ROUNDS = 200  # and twice as many
WARM_UP = 50  # rounds of either run that both have, so that growing buffers and caches are no part of the difference
ROUND_TIME = 100_000  # ns
KEY = b"k" * 32
VALUE = b"v" * 200
NODE_LINK, CLIENT_LINK = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
NODE, CLIENT = bytes([198, 18, 0, 1]), bytes([198, 18, 0, 2])
NODE_PORT, CLIENT_PORT = 11211, 40000
VALID = bytes([2]) + bytes(NET_HEADER_LENGTH - 1)  # the virtio header's flag DATA_VALID: no checksum to be looked at
SYN, PUSH, ACK = 2, 8, 16


class ShortHalt(TimerSource):
    """Lets no halt last."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def next_deadline(self) -> int:
        return self._clock.now() + 1


class Node:
    """The node; ``wire`` is the other end of its TAP."""

    def __init__(self) -> None:
        self._tap, self.wire = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._tap.setblocking(False)
        self.wire.setblocking(False)
        self.clock = ManualClock(1_000_000_000)
        self.events = EventManager(self.clock)
        allocator = MemoryAllocator(NodeMemory(16 << 20))
        spill = allocator.allocate(LONGEST_FRAME + NET_HEADER_LENGTH)
        assert spill is not None
        self._spill = spill
        port = TapPort(self._tap.fileno(), True)
        self._device = NetDevice(allocator.memory, port, self.events, spill.offset, NODE_LINK, 1500)
        self._driver = VirtioNet(self._device, allocator, self.events, 512)
        stack = Stack(allocator, self.clock, random.Random(1), b"sixteen byte key")
        interface = stack.add_interface(self._driver, IPv4Interface("198.18.0.1/15"))
        self._driver.start(interface)
        self.turns = 0  # of the last round that came to rest by itself
        Memcached(StackNetworkManager(stack, self.events), allocator, self.clock, 8 << 20, 0).start()

    def close(self) -> None:
        """End it."""
        self._driver.stop()
        self.events.close()
        self._tap.close()
        self.wire.close()

    def rest(self) -> int:
        """Turn the event loop until it waits for nothing but frames; how many turns that took."""
        turns = 0
        while True:
            before = self.events.statistics()
            self.events.turn()
            after = self.events.statistics()
            if after["halts"] > before["halts"] and after["interrupts"] == before["interrupts"]:
                return turns
            turns += 1

    def round(self, frames: list[bytes], turns: int = 0) -> list[bytes]:
        """Let these frames come in, and the node take so many turns; what it sends. 0: as many as it needs."""
        wire = self.wire
        for frame in frames:
            wire.send(frame)
        if turns == 0:
            self.turns = self.rest()
        turn = self.events.turn
        for _ in range(turns):
            turn()
        sent = []
        try:
            while True:
                sent.append(wire.recv(1 << 12))
        except BlockingIOError:
            pass
        self.clock.advance(ROUND_TIME)
        return sent


class Echo:
    """In place of a node: what comes in is taken, and as much sent as the node would."""

    def __init__(self) -> None:
        self._far, self.wire = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._far.setblocking(False)
        self.wire.setblocking(False)

    def round(self, frames: list[bytes], turns: int) -> list[bytes]:
        """Send and take each frame twice: half of that is the client's part."""
        for one, other in ((self.wire, self._far), (self._far, self.wire)):
            for frame in frames:
                one.send(frame)
            sent = []
            try:
                while True:
                    sent.append(other.recv(1 << 12))
            except BlockingIOError:
                pass
        return sent


class Connection:
    """The client's end of one, which makes the frames that a node is to get."""

    def __init__(self, number: int) -> None:
        self._port = CLIENT_PORT + number
        self._sequence = 1000
        self._acknowledged = 0

    def frame(self, flags: int, data: bytes = b"") -> bytes:
        """The next segment."""
        options = struct.pack(">BBHBBBB", 2, 4, 1460, 1, 1, 4, 2) if flags & SYN else b""
        tcp = struct.pack(
            ">HHIIBBHHH", self._port, NODE_PORT, self._sequence, self._acknowledged, (20 + len(options)) << 2,
            flags, 65535, 0, 0,
        )  # fmt: skip
        self._sequence += len(data) + (flags & SYN != 0)
        length = 20 + len(tcp) + len(options) + len(data)
        header = struct.pack(">BBHIBBH4s4s", 0x45, 0, length, 0, 64, 6, 0, CLIENT, NODE)
        header = header[:10] + struct.pack(">H", 0xFFFF ^ ones_complement_sum(header)) + header[12:]
        return VALID + NODE_LINK + CLIENT_LINK + b"\x08\x00" + header + tcp + options + data

    def take(self, frames: list[bytes]) -> int:
        """Follow what the node has sent to this connection; how many bytes of data."""
        count = 0
        for frame in frames:
            packet = frame[NET_HEADER_LENGTH + 14 :]
            if struct.unpack_from(">H", packet, 22)[0] == self._port:
                data = len(packet) - 20 - (packet[32] >> 4) * 4
                sequence = struct.unpack_from(">I", packet, 24)[0]
                self._acknowledged = (sequence + data + (packet[33] & SYN != 0)) & 0xFFFFFFFF
                count += data
        return count


def record() -> list[tuple[list[bytes], int]]:
    """What the client sends, round by round, in answer to what a node does; and how many turns the node needs."""
    node = Node()
    node.events.add_timer_source(ShortHalt(node.clock))
    connections = [Connection(number) for number in range(CONNECTIONS)]
    arp = b"\x08\x06" + struct.pack(">HHBBH", 1, 0x800, 6, 4, 1) + CLIENT_LINK + CLIENT + bytes(6) + NODE
    frames = [VALID + NODE_LINK + CLIENT_LINK + arp]
    node.round(frames)
    rounds = [(frames, node.turns)]
    for flags, data in [
        (SYN, b""), (ACK, b""), (PUSH | ACK, store(1, KEY, VALUE)),
        *[(PUSH | ACK, request(0, KEY))] * (WARM_UP + 2 * ROUNDS),
    ]:  # fmt: skip
        frames = [connection.frame(flags, data) for connection in connections]
        sent = node.round(frames)
        rounds.append((frames, node.turns))
        counts = {connection.take(sent) for connection in connections}
        assert counts == {28 + len(VALUE) if data == request(0, KEY) else 24 if data else 0}, counts
    node.close()
    return rounds


def play(what: str, rounds: int, path: Path) -> None:
    """What callgrind looks at: so many rounds of those recorded."""
    recorded = [([bytes.fromhex(frame) for frame in frames], turns) for frames, turns in json.loads(path.read_text())]
    machine = Node() if what == "node" else Echo()
    gc.collect()
    gc.freeze()
    gc.disable()
    for frames, turns in recorded[: len(recorded) - 2 * ROUNDS + rounds]:
        machine.round(frames, turns)


def count(what: str, rounds: int, path: Path) -> int:
    """Instructions of the whole process that plays."""
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={path.parent}/{what}.{rounds}"]
    command += [sys.executable, "-m", "tests.instructions", what, str(rounds), str(path)]
    result = subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", result.stderr)
    if result.returncode or found is None:
        sys.exit(result.stderr)
    return int(found[1])


def per_request(what: str, path: Path) -> float:
    """What one more request costs the whole process."""
    return (count(what, 2 * ROUNDS, path) - count(what, ROUNDS, path)) / (ROUNDS * CONNECTIONS)


def main() -> None:
    if build.mode() == "pure":
        sys.exit("the figure is of the compiled build: unset NETLAB_PURE")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rounds.json")
        path.write_text(json.dumps([([frame.hex() for frame in frames], turns) for frames, turns in record()]))
        print(f"{per_request('node', path) - per_request('client', path) / 2:.0f} instructions for each GET")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        play(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
