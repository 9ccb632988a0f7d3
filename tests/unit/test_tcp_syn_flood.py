"""A flood of SYNs from sources that do not exist: what it leaves, what it costs, and that others do not notice."""

import gc
import random
from ipaddress import IPv4Address, IPv4Interface

from ebbrt.build import mode
from ebbrt.iobuf import allocate
from tests.tcplink import SECOND, Host
from tests.tcppeer import Peer

FLOOD = 100_000 if mode() == "compiled" else 3_000  # SYNs, in a second of virtual time
PACE = SECOND // FLOOD
ROUNDS = 10
BACKLOG = 128


class Flood:
    """Spoofed SYNs to port 80 of 198.18.0.1, every second one from its own link, the others from behind a router."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.frame = bytearray.fromhex(
            "020000000001 0200000000fe 0800"
            "4500002c 00004000 40060000 00000000 c6120001"
            "00000050 00000000 00000000 60022000 00000000 020405b4"
        )
        self.base = sum(int.from_bytes(self.frame[at : at + 2], "big") for at in range(14, 34, 2))

    def next(self) -> bytes:
        chance = self.random.getrandbits(96).to_bytes(12, "big")
        source = 0xC6130000 if chance[0] & 1 else 0x0A000000
        source |= int.from_bytes(chance[1:3], "big") % 0xFFFE + 1
        total = self.base + (source >> 16) + (source & 0xFFFF)
        total = (total & 0xFFFF) + (total >> 16)
        self.frame[24:26] = (0xFFFF ^ ((total & 0xFFFF) + (total >> 16))).to_bytes(2, "big")
        self.frame[26:30] = source.to_bytes(4, "big")
        self.frame[34:36] = chance[3:5]
        self.frame[38:42] = chance[5:9]
        return bytes(self.frame)


class Victim(Peer):
    """A node that echoes, on a link of 2**17 addresses with a router; what the flood is answered is thrown away."""

    def __init__(self) -> None:
        Peer.__init__(self)
        self.node.interface.set_ipv4(IPv4Interface("198.18.0.1/15"))
        self.node.stack.add_gateway(IPv4Address("198.18.0.254"))
        self.node.knows(254)
        self.flood = Flood(1)
        self.listen(BACKLOG, on_receive=lambda handler, data: handler.connection.send(self.node.buffer(data)))

    def endure(self, count: int) -> None:
        carry = self.node.device.carry
        self.node.device.carry = lambda frame: None
        for _ in range(count):
            self.clock.advance(PACE)
            give_verified(self.node, self.flood.next())
            if self.node.stack.next_deadline() <= self.clock.now():
                self.node.stack.poll(self.clock.now())
        self.node.device.carry = carry

    def open(self, port: int, timestamps: bool) -> None:
        """Open a connection like an honest host, and see that it works."""
        self.port, self.seq, self.ack, self.timestamps = port, 1000, 0, timestamps
        answer = self.send("S", options=self.syn_options())[0]
        echo = dict(answer.options).get("Timestamp", (0,))[0]
        options = [("Timestamp", (self.tsval, echo))] if timestamps else []
        answers = self.send("PA", b"hello", options=options)
        assert [bytes(segment.payload) for segment in answers] == [b"hello"]


def give_verified(host: Host, frame: bytes) -> None:
    """Receive a frame whose checksum the device vouches for."""
    iobuf = allocate(host.allocator, len(frame), 12)
    assert iobuf is not None
    iobuf.owns_headroom = False
    iobuf.write(0, frame)
    host.interface.receive_frame(iobuf, True)


def test_others_do_not_notice_a_flood_and_it_leaves_nothing():
    victim = Victim()
    victim.open(40000, False)
    conversation = victim.seq, victim.ack
    objects = memory = 0
    for number in range(ROUNDS):
        victim.endure(FLOOD // ROUNDS)
        victim.port, (victim.seq, victim.ack), victim.timestamps = 40000, conversation, False
        answer = victim.send("PA", b"still here")
        assert [bytes(segment.payload) for segment in answer] == [b"still here"]
        conversation = victim.seq, victim.ack
        victim.open(50000 + number, number % 2 == 0)
        gc.collect()
        if number == 1:  # the backlog is full now, and whatever grows with the flood would go on growing
            objects = len(gc.get_objects())
            memory = victim.node.allocator.statistics()["allocated_bytes"]
    assert len(gc.get_objects()) - objects < 100 * ROUNDS
    assert victim.node.allocator.statistics()["allocated_bytes"] - memory < 2048 * ROUNDS
    statistics = victim.node.stack.statistics()
    assert statistics["tcp"]["connections"]["handshakes"] <= BACKLOG
    assert statistics["tcp"]["syn_cookies"]["sent"] >= FLOOD - 10 * BACKLOG
    assert statistics["tcp"]["syn_cookies"]["accepted"] >= ROUNDS - 1
    assert statistics["arp"]["requests_sent"] < 1000
    assert statistics["arp"]["neighbours"] <= 300


def test_after_the_flood_all_is_as_it_was():
    victim = Victim()
    victim.endure(1000)
    victim.node.device.carry = lambda frame: None
    for _ in range(200):
        victim.clock.advance(SECOND)
        victim.node.stack.poll(victim.clock.now())
    statistics = victim.node.stack.statistics()
    assert statistics["tcp"]["connections"]["now"] == 0
    assert statistics["tcp"]["connections"]["handshakes"] == 0
    assert statistics["arp"]["resolving"] == 0
    assert victim.node.allocator.statistics()["allocated_bytes"] == 0


def test_a_spoofed_syn_costs_one_small_packet():
    victim = Victim()
    victim.endure(1000)
    before = victim.node.allocator.statistics()["allocations"]
    sent = victim.node.tcp.statistics()["segments"]["sent"]
    victim.endure(1000)
    sent = victim.node.tcp.statistics()["segments"]["sent"] - sent
    assert 900 < sent < 1100
    assert victim.node.allocator.statistics()["allocations"] - before < 1000 + sent + 200  # the frame, and the answer


def test_a_flood_of_acknowledgments_opens_nothing():
    victim = Victim()
    victim.endure(500)
    chance = random.Random(3)
    for _ in range(100):
        victim.port = chance.randrange(1, 65536)
        victim.send("A", seq=chance.getrandbits(32), ack=chance.getrandbits(32), advance=False)
    assert victim.node.tcp.statistics()["syn_cookies"]["accepted"] == 0
    assert victim.node.tcp.statistics()["connections"]["now"] <= BACKLOG
