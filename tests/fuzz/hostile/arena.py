"""A victim, an honest peer and an attacker on one switch, and a check that the first two do not suffer.

    python -m tests.fuzz.hostile --seed 1 --frames 10000000

The victim serves transfers, which the peer asks for one after the other, and an echo for the attacker to play with.
Frames of the attacker come at regular times; a seed fixes everything. At the end, and at every checkpoint: no event
has failed, every transfer ended with equal digests, and what the victim keeps is within its bounds.
"""

import gc
import random
import resource
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from apps.transfer.client import Outcome, TransferClient
from apps.transfer.protocol import GET, PORT, PUT, Request
from apps.transfer.server import TransferServer
from captures.files import read_packets
from ebbrt.iobuf import IOBuf
from ebbrt.network import TcpConnection, TcpHandler, UdpHandler
from ebbrt.tcp_settings import TcpSettings
from netlab.sim import Simulation
from netlab.sim.node import SimulatedNode
from netlab.sim.wire import End
from stack.tcp.connection import Connection
from tests.fuzz.hostile import packets
from tests.fuzz.hostile.peer import HostilePeer
from tests.fuzz.hostile.sources import Address, Knowledge, MutatedFrames, NearMisses, RandomFrames

REFERENCE = Path(__file__).parents[3] / "captures" / "reference" / "memcached-linux.pcapng"
ECHO = 7
SECONDS_BETWEEN_FRAMES = 50e-6  # 20,000 a second: the peer's link of 20 Mbit/s is a tenth of that
TRANSFER = 300_000  # bytes
MEMORY = 32 << 20
FIN_WAIT = 2 * 60  # seconds after which nothing of an ended connection may be left
# The victim asks a peer that says nothing whether it is there: else what an attacker leaves behind stays for ever.
SECOND = 1_000_000_000
PATIENCE = TcpSettings(keepalive=True, keepalive_idle=10 * SECOND, keepalive_interval=SECOND, keepalive_probes=3)
ESTABLISHED = 4  # as in stack.tcp.constants


class Echo(TcpHandler):
    """Sends back what comes, as far as there is room for it."""

    def receive(self, data: IOBuf) -> None:
        if self.connection.send_window() >= data.chain_length():
            self.connection.send(data)

    def peer_closed(self) -> None:
        self.connection.close()


class UdpEcho(UdpHandler):
    """The same over UDP."""

    def receive(self, data: IOBuf, address: str, port: int) -> None:
        if port:
            self.socket.send(data, address, port)


class Attacker(End):
    """Sends the next frame of one of its sources, and shows what comes to the hostile peer."""

    def __init__(
        self,
        chance: random.Random,
        address: Address,
        sources: list[Callable[[], bytes | None]],
        peer: HostilePeer,
    ) -> None:
        super().__init__("attacker")
        self._address = address
        self._chance = chance
        self._sources = sources
        self._peer = peer
        self.sent = 0

    def receive(self, frame: bytes, header: bytes) -> None:
        """See End. It is found by ARP, or else no answer would ever come."""
        if frame[12:14] == b"\x08\x06":
            if frame[38:42] == self._address.ip:
                self.carry(packets.arp_reply(self._address.mac, self._address.ip, frame[22:28], frame[28:32]))
        else:
            self._peer.receive(frame)

    def attack(self) -> None:
        """Send one frame."""
        frame = None
        while frame is None:
            frame = self._chance.choice(self._sources)()
        self.sent += 1
        self.carry(frame[: 14 + 1500])


@dataclass
class Arena:
    """One run. ``outcomes``: of the peer's transfers so far."""

    seed: int
    outcomes: list[Outcome] = field(default_factory=list)
    _stopped: bool = False

    def __post_init__(self) -> None:
        self.simulation = Simulation(self.seed)
        switch = self.simulation.add_switch("switch")
        self.victim = self.simulation.add_node("victim", application=_serve, memory=MEMORY, tcp=PATIENCE)
        self.peer = self.simulation.add_node("peer", application=lambda node: self._next_transfer())
        chance = random.Random(f"{self.seed}/attacker")
        address = Address(bytes.fromhex("02006e5ec0de"), bytes((198, 18, 7, 7)))
        victim, self._peer_address = _address(self.victim), _address(self.peer)
        hostile = HostilePeer(chance, address, victim, (PORT, ECHO))
        recorded = [packet.frame for packet in read_packets(REFERENCE)][:2000]
        self.attacker = Attacker(
            chance,
            address,
            [
                RandomFrames(chance, address, victim),
                MutatedFrames(chance, address, victim, recorded),
                NearMisses(chance, address, victim, self._look),
                hostile,
            ],
            hostile,
        )
        self.simulation.link(self.victim, switch)
        self.simulation.link(self.peer, switch, "delay=1ms,rate=20mbit,limit=100")
        self.simulation.link(self.attacker, switch)
        self._end = 0

    def run(self, frames: int) -> None:
        """Send so many more frames of the attacker, and go on with all that follows from them."""
        self._end = self.attacker.sent + frames
        self._attack()
        self.simulation.run(lambda: self.attacker.sent >= self._end, seconds=2 * frames * SECONDS_BETWEEN_FRAMES + 60)

    def settle(self) -> None:
        """Let the peer complete what it has begun, and what was left of the attack time out."""
        done = len(self.outcomes)
        self.simulation.run(lambda: len(self.outcomes) > done + 1, seconds=600)
        self._stopped = True
        self.simulation.run(seconds=FIN_WAIT + 600)

    def problems(self) -> list[str]:
        """What is not as it should be; nothing, one hopes."""
        found = []
        for node in (self.victim, self.peer):
            if failures := node.events.statistics()["failures"]:
                found.append(f"{failures} events of {node.name} failed: the log has the traceback")
        found += [f"a transfer ended badly: {outcome}" for outcome in self.outcomes if not outcome.equal()]
        used = self.victim.allocator.statistics()["used_bytes"]
        if used > MEMORY * 3 // 4:
            found.append(f"the victim uses {used} bytes of its node memory")
        if self._stopped and (left := self.victim.stack.tcp.engine.connections.count):
            found.append(f"the victim still has {left} connections")
        return found

    def sizes(self) -> dict[str, int]:
        """What must not grow with the number of frames."""
        return {
            "node memory": int(self.victim.allocator.statistics()["used_bytes"]),
            "connections": self.victim.stack.tcp.engine.connections.count,
            "timers": len(self.victim.stack.tcp.engine.timers),
            "objects": len(gc.get_objects()),
            "resident MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        }

    def _attack(self) -> None:
        self.attacker.attack()
        if self.attacker.sent < self._end:
            self.simulation.at(SECONDS_BETWEEN_FRAMES, self._attack)

    def _next_transfer(self) -> TransferClient:
        """A put and a get by turns, each of other bytes."""
        number = len(self.outcomes)
        request = Request(GET if number % 2 else PUT, TRANSFER, seed=number)
        client = TransferClient(self.peer.network, self.peer.allocator, self.peer.clock, request, self._finished)
        client.start(self.victim.address)
        return client

    def _finished(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        if not self._stopped:
            self.peer.events.spawn(self._next_transfer, force_async=True)

    def _look(self) -> Knowledge | None:
        """The victim's end of the peer's connection."""
        high_low = int.from_bytes(self._peer_address.ip, "big") | 0xFFFF << 32
        for flow in self.victim.stack.tcp.engine.connections:
            if flow.path.destination_low == high_low:
                assert isinstance(flow, Connection)
                if flow.state == ESTABLISHED:
                    return _knowledge(flow, self._peer_address)
        return None


def _knowledge(flow: Connection, peer: Address) -> Knowledge:
    return Knowledge(
        peer,
        flow.remote_port,
        flow.local_port,
        flow.rcv_nxt,
        flow.rcv_adv,
        flow.snd_una,
        flow.snd_max,
        flow.max_snd_wnd,
        bool(flow.timestamps),
        flow.ts_recent,
    )


def _address(node: SimulatedNode) -> Address:
    mac = node.ports[0].device.mac
    return Address(mac, bytes(int(part) for part in node.address.split(".")))


def _serve(node: SimulatedNode) -> TransferServer:
    def accept(connection: TcpConnection) -> TcpHandler:
        return Echo()

    node.network.listen(ECHO, accept, 64)
    node.network.bind_udp(ECHO, UdpEcho())
    server = TransferServer(node.network, node.allocator)
    server.start()
    return server
