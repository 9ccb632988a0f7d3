"""A hostile peer: connections of its own with the victim, on which it breaks every rule it knows.

It listens to what the victim answers, so its segments are of the connection, in the window, with right checksums and
timestamps, and get as far in as any can. What it sends as data is its own to spoil; the rest must survive it.
"""

import random
from collections import OrderedDict

from tests.fuzz.hostile import packets
from tests.fuzz.hostile.packets import (
    ACK,
    CWR,
    ECE,
    ETHERNET,
    FIN,
    IPV4,
    PSH,
    RST,
    SYN,
    TCP,
    URG,
    ipv4,
    tcp,
    timestamps,
)
from tests.fuzz.hostile.sources import Address

MOST_CONNECTIONS = 64
MF = 0x2000  # more fragments (RFC 791)


class Flow:
    """What the attacker knows of one of its connections."""

    def __init__(self, sequence: int, timestamps: bool) -> None:
        self.sequence = sequence  # of what it sends next
        self.acknowledgment = 0  # up to where it has received
        self.established = False
        self.timestamps = timestamps
        self.clock = 0
        self.echo = 0


class HostilePeer:
    """Makes the next frame of one of its connections with the victim's ``ports``; ``receive`` is told the answers."""

    def __init__(self, chance: random.Random, attacker: Address, victim: Address, ports: tuple[int, ...]) -> None:
        self._chance = chance
        self._attacker = attacker
        self._victim = victim
        self._ports = ports
        self._flows: OrderedDict[tuple[int, int], Flow] = OrderedDict()
        self._moves = (
            *[self._data] * 6,
            self._overlap,
            self._ahead,
            self._acknowledge,
            self._sack,
            self._window,
            self._urgent,
            self._finish,
            self._reset,
            self._syn_again,
            self._any_flags,
            self._any_options,
            self._in_fragments,
        )

    def __call__(self) -> bytes:
        """One frame: of a new connection, or of one that is open."""
        chance = self._chance
        if (len(self._flows) < MOST_CONNECTIONS and chance.random() < 0.05) or not self._flows:
            packet = self._open()
        else:
            ports = chance.choice(tuple(self._flows))
            flow = self._flows[ports]
            if not flow.established:
                packet = self._segment(ports, flow, flow.sequence - 1, SYN)
            else:
                packet = chance.choice(self._moves)(ports, flow)
            if chance.random() < 0.001:
                del self._flows[ports]  # and say nothing of it
        return packets.ethernet(self._victim.mac, self._attacker.mac, packet)

    def receive(self, frame: bytes) -> None:
        """A frame from the victim: where its connection stands now."""
        if len(frame) < ETHERNET + IPV4 + TCP or frame[12:14] != b"\x08\0" or frame[23] != packets.PROTOCOL_TCP:
            return
        start = ETHERNET + (frame[14] & 0x0F) * 4
        ports = int.from_bytes(frame[start + 2 : start + 4], "big"), int.from_bytes(frame[start : start + 2], "big")
        flow = self._flows.get(ports)
        if flow is None:
            return
        flags = frame[start + 13]
        if flags & RST:
            del self._flows[ports]
            return
        length = int.from_bytes(frame[16:18], "big") - (frame[14] & 0x0F) * 4 - (frame[start + 12] >> 4) * 4
        sequence = int.from_bytes(frame[start + 4 : start + 8], "big")
        flow.acknowledgment = (sequence + length + bool(flags & SYN) + bool(flags & FIN)) & 0xFFFFFFFF
        if flags & ACK:
            flow.established = True
        at = frame.find(b"\x08\x0a", start + TCP)
        if at >= 0:
            flow.echo = int.from_bytes(frame[at + 2 : at + 6], "big")

    def _open(self) -> bytes:
        chance = self._chance
        ports = chance.randrange(1024, 1 << 16), chance.choice(self._ports)
        flow = self._flows[ports] = Flow(chance.randrange(1 << 32), chance.random() < 0.7)
        mss = bytes((2, 4)) + chance.choice((0, 1, 64, 536, 1460, 65535)).to_bytes(2, "big")
        options = chance.choice((b"", mss))
        options += chance.choice((b"", bytes((3, 3, chance.choice((0, 7, 14, 255))))))
        options += chance.choice((b"", bytes((4, 2))))
        options += chance.choice((b"", bytes((34, 10)) + chance.randbytes(8), bytes((34, 2))))
        flags = SYN | chance.choice((0, 0, ECE | CWR, PSH, URG))
        payload = chance.randbytes(chance.choice((0, 0, 0, 100)))
        packet = self._segment(ports, flow, flow.sequence, flags, payload=payload, options=options)
        flow.sequence += 1
        return packet

    def _segment(
        self,
        ports: tuple[int, int],
        flow: Flow,
        sequence: int,
        flags: int,
        acknowledgment: int | None = None,
        payload: bytes = b"",
        options: bytes = b"",
        window: int = 0xFFFF,
        urgent: int = 0,
    ) -> bytes:
        return ipv4(
            self._attacker.ip,
            self._victim.ip,
            packets.PROTOCOL_TCP,
            self._tcp(ports, flow, sequence, flags, acknowledgment, payload, options, window, urgent),
        )

    def _tcp(
        self,
        ports: tuple[int, int],
        flow: Flow,
        sequence: int,
        flags: int,
        acknowledgment: int | None,
        payload: bytes,
        options: bytes,
        window: int,
        urgent: int,
    ) -> bytes:
        flow.clock += 1
        if flow.timestamps:
            options = timestamps(flow.clock, flow.echo) + options
        return tcp(
            self._attacker.ip,
            self._victim.ip,
            ports,
            sequence,
            (flow.acknowledgment if acknowledgment is None else acknowledgment) if flags & ACK else 0,
            flags,
            window,
            options[:40],
            payload,
            urgent,
        )

    def _bytes(self) -> bytes:
        return self._chance.randbytes(self._chance.choice((1, 1, 10, 100, 1400)))

    def _data(self, ports: tuple[int, int], flow: Flow) -> bytes:
        """What is next, in order."""
        payload = self._bytes()
        packet = self._segment(ports, flow, flow.sequence, ACK | PSH, payload=payload)
        flow.sequence += len(payload)
        return packet

    def _overlap(self, ports: tuple[int, int], flow: Flow) -> bytes:
        """Other bytes for some that were sent, and for some that were not."""
        sequence = flow.sequence - self._chance.randrange(2000)
        return self._segment(ports, flow, sequence, ACK, payload=self._chance.randbytes(self._chance.randrange(1400)))

    def _ahead(self, ports: tuple[int, int], flow: Flow) -> bytes:
        """Behind a hole that is never filled, or filled late: as many holes as there is room for."""
        sequence = flow.sequence + self._chance.choice((2, 1000, self._chance.randrange(1 << 18)))
        return self._segment(ports, flow, sequence, ACK, payload=self._bytes())

    def _acknowledge(self, ports: tuple[int, int], flow: Flow) -> bytes:
        """The same again, too much, too little, or a byte at a time."""
        around = self._chance.choice((0, 0, 0, 1, -1, self._chance.randrange(-(1 << 20), 1 << 20), 1 << 31))
        return self._segment(ports, flow, flow.sequence, ACK, flow.acknowledgment + around)

    def _sack(self, ports: tuple[int, int], flow: Flow) -> bytes:
        """Blocks without sense: beyond, before, backwards, of one byte each."""
        count = self._chance.randrange(1, 4 if flow.timestamps else 5)
        blocks = b""
        for _ in range(count):
            left = flow.acknowledgment + self._chance.choice((0, 1, 1448, self._chance.randrange(-(1 << 17), 1 << 17)))
            right = left + self._chance.choice((0, 1, 1, 1448, -1, 1 << 31))
            blocks += (left & 0xFFFFFFFF).to_bytes(4, "big") + (right & 0xFFFFFFFF).to_bytes(4, "big")
        behind = self._chance.choice((0, self._chance.randrange(1 << 16)))
        options = bytes((1, 1, 5, 2 + 8 * count)) + blocks
        return self._segment(ports, flow, flow.sequence, ACK, flow.acknowledgment - behind, options=options)

    def _window(self, ports: tuple[int, int], flow: Flow) -> bytes:
        """Closed, tiny, or withdrawn."""
        window = self._chance.choice((0, 1, 2, self._chance.randrange(1 << 16)))
        return self._segment(ports, flow, flow.sequence, ACK, window=window)

    def _urgent(self, ports: tuple[int, int], flow: Flow) -> bytes:
        payload = self._bytes()
        urgent = self._chance.randrange(1 << 16)
        packet = self._segment(ports, flow, flow.sequence, ACK | URG, payload=payload, urgent=urgent)
        flow.sequence += len(payload)
        return packet

    def _finish(self, ports: tuple[int, int], flow: Flow) -> bytes:
        """A FIN; now, or beyond a hole. It may go on sending afterwards."""
        ahead = self._chance.choice((0, 0, 1, 1000))
        return self._segment(ports, flow, flow.sequence + ahead, ACK | FIN, payload=self._chance.choice((b"", b"end")))

    def _reset(self, ports: tuple[int, int], flow: Flow) -> bytes:
        return self._segment(ports, flow, flow.sequence + self._chance.choice((0, 1, -1, 1000)), RST)

    def _syn_again(self, ports: tuple[int, int], flow: Flow) -> bytes:
        return self._segment(ports, flow, flow.sequence + self._chance.randrange(-2, 1000), SYN | ACK)

    def _any_flags(self, ports: tuple[int, int], flow: Flow) -> bytes:
        return self._segment(ports, flow, flow.sequence, self._chance.randrange(256), payload=self._bytes())

    def _any_options(self, ports: tuple[int, int], flow: Flow) -> bytes:
        """Of any kind and length."""
        options = bytes((self._chance.choice((0, 2, 3, 4, 5, 8, 28, 30, 34, 254)), self._chance.randrange(41)))
        options += self._chance.randbytes(self._chance.randrange(38))
        return self._segment(ports, flow, flow.sequence, ACK, options=options)

    def _in_fragments(self, ports: tuple[int, int], flow: Flow) -> bytes:
        """One of the fragments of a segment; the others come another time, overlap, or never do."""
        segment = self._tcp(ports, flow, flow.sequence, ACK, None, self._chance.randbytes(400), b"", 0xFFFF, 0)
        start = self._chance.choice((0, 8, 200, 208, 400))
        more = MF if self._chance.random() < 0.7 else 0
        part = segment[start : start + 208]
        word = more | start >> 3
        number = self._chance.randrange(64)
        return ipv4(self._attacker.ip, self._victim.ip, packets.PROTOCOL_TCP, part, word, number)
