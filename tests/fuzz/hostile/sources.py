"""What an attacker sends: random bytes, frames of a real capture with something changed, and aimed segments.

Each class makes frames for one victim from a seeded generator. ``NearMisses`` knows everything about a connection of
others (``Knowledge``), and sends what comes as close as can be to being taken: the reset beside the exact number, the
segment with yesterday's timestamp, the acknowledgment of what was not sent yet. By the RFCs none of it may do harm. A
segment that is acceptable in all respects is not among them: nobody could tell it from the peer's.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.fuzz.hostile import packets
from tests.fuzz.hostile.packets import ACK, FIN, PSH, RST, SYN, icmp, ipv4, tcp, timestamps


@dataclass(frozen=True)
class Address:
    """A machine: its link address (6 bytes) and its IPv4 address (4 bytes)."""

    mac: bytes
    ip: bytes


class RandomFrames:
    """Bytes without sense, most of them addressed to the victim, some with a header that leads them further in."""

    def __init__(self, chance: random.Random, attacker: Address, victim: Address) -> None:
        self._chance = chance
        self._attacker = attacker
        self._victim = victim

    def __call__(self) -> bytes:
        """One frame."""
        chance = self._chance
        data = chance.randbytes(chance.randrange(100) if chance.random() < 0.95 else chance.randrange(1500))
        depth = chance.randrange(5)
        if depth == 0:
            return data
        if depth >= 2:
            protocol = chance.choice((1, 2, 6, 17, chance.randrange(256)))
            data = ipv4(self._attacker.ip, self._victim.ip, protocol, data, *_rarely_fragment(chance))
        ethertype = chance.choice((0x0800, 0x0800, 0x0806, 0x86DD, chance.randrange(1 << 16)))
        if depth == 4:
            ethertype = 0x0800
        return packets.ethernet(self._victim.mac, self._attacker.mac, data, ethertype)


def _rarely_fragment(chance: random.Random) -> tuple[int, int]:
    """Flags and offset of a fragment, and a number that other fragments have too."""
    if chance.random() < 0.8:
        return 0, 0
    return chance.randrange(1 << 14), chance.randrange(8)


class MutatedFrames:
    """Frames of real captures, sent as the attacker's own, with bytes changed, cut or added, and often mended."""

    def __init__(self, chance: random.Random, attacker: Address, victim: Address, frames: Sequence[bytes]) -> None:
        self._chance = chance
        self._attacker = attacker
        self._victim = victim
        self._frames = [frame for frame in frames if len(frame) >= packets.ETHERNET + packets.IPV4]

    def __call__(self) -> bytes:
        """One frame."""
        chance = self._chance
        frame = bytearray(chance.choice(self._frames))
        for _ in range(chance.choice((0, 1, 1, 2, 8))):
            frame[chance.randrange(packets.ETHERNET, len(frame))] = chance.randrange(256)
        if chance.random() < 0.1:
            del frame[chance.randrange(packets.ETHERNET, len(frame)) :]
        elif chance.random() < 0.1:
            frame += chance.randbytes(chance.randrange(40))
        if frame[12:14] == b"\x08\0" and len(frame) >= packets.ETHERNET + packets.IPV4:
            self._mend(frame)
        return packets.ethernet(self._victim.mac, self._attacker.mac, bytes(frame[14:]), frame[12] << 8 | frame[13])

    def _mend(self, frame: bytearray) -> None:
        """The attacker's and the victim's addresses; most often right checksums."""
        start = packets.ETHERNET
        frame[start + 12 : start + 16] = self._attacker.ip
        frame[start + 16 : start + 20] = self._victim.ip
        if self._chance.random() < 0.1:
            return
        frame[start + 10 : start + 12] = b"\0\0"
        header = (frame[start] & 0x0F) * 4
        frame[start + 10 : start + 12] = packets.checksum(bytes(frame[start : start + header])).to_bytes(2, "big")
        protocol, segment = frame[start + 9], start + header
        at = {packets.PROTOCOL_TCP: 16, packets.PROTOCOL_UDP: 6}.get(protocol)
        if at is None or segment + at + 2 > len(frame):
            return
        frame[segment + at : segment + at + 2] = b"\0\0"
        pseudo = bytes(frame[start + 12 : start + 20]) + bytes((0, protocol))
        data = pseudo + (len(frame) - segment).to_bytes(2, "big") + bytes(frame[segment:])
        frame[segment + at : segment + at + 2] = packets.checksum(data).to_bytes(2, "big")


@dataclass(frozen=True)
class Knowledge:
    """All about the victim's end of a connection with ``peer``."""

    peer: Address
    peer_port: int
    port: int
    rcv_nxt: int
    rcv_edge: int
    snd_una: int
    snd_max: int
    most_window: int
    timestamps: bool
    ts_recent: int


class NearMisses:
    """Segments that pretend to be of a connection of others; ``look`` tells about one, or None."""

    def __init__(
        self,
        chance: random.Random,
        attacker: Address,
        victim: Address,
        look: Callable[[], Knowledge | None],
    ) -> None:
        self._chance = chance
        self._attacker = attacker
        self._victim = victim
        self._look = look
        self._moves = (
            self._reset_beside,
            self._syn,
            self._old_data,
            self._data_beyond,
            self._wrong_acknowledgment,
            self._old_timestamp,
            self._no_timestamp,
            self._no_ack,
            self._icmp_error,
        )

    def __call__(self) -> bytes | None:
        """One frame; None while there is no connection."""
        known = self._look()
        if known is None:
            return None
        packet = self._chance.choice(self._moves)(known)
        return None if packet is None else packets.ethernet(self._victim.mac, self._attacker.mac, packet)

    def _segment(
        self, known: Knowledge, sequence: int, acknowledgment: int, flags: int, payload: bytes = b"", late: int = 0
    ) -> bytes:
        options = timestamps(known.ts_recent - late, 0) if known.timestamps and late >= 0 else b""
        ports = known.peer_port, known.port
        segment = tcp(
            known.peer.ip, self._victim.ip, ports, sequence, acknowledgment, flags, options=options, payload=payload
        )
        return ipv4(known.peer.ip, self._victim.ip, packets.PROTOCOL_TCP, segment)

    def _reset_beside(self, known: Knowledge) -> bytes:
        """RFC 5961 section 3: in the window, but not the next number."""
        beside = self._chance.choice((1, -1, 2, self._chance.randrange(1, 1 << 31)))
        return self._segment(known, known.rcv_nxt + beside, known.snd_una, RST | self._chance.choice((0, ACK)))

    def _syn(self, known: Knowledge) -> bytes:
        """RFC 5961 section 4: wherever."""
        sequence = known.rcv_nxt + self._chance.choice((0, 1, self._chance.randrange(1 << 32)))
        return self._segment(known, sequence, known.snd_una, SYN | self._chance.choice((0, ACK)))

    def _old_data(self, known: Knowledge) -> bytes:
        """Other bytes for what has arrived already."""
        length = self._chance.randrange(1, 1400)
        before = length + self._chance.randrange(4000)
        return self._segment(known, known.rcv_nxt - before, known.snd_una, ACK | PSH, self._chance.randbytes(length))

    def _data_beyond(self, known: Knowledge) -> bytes:
        """Behind the window."""
        sequence = known.rcv_edge + self._chance.choice((0, 1, self._chance.randrange(1 << 20)))
        return self._segment(known, sequence, known.snd_una, ACK, self._chance.randbytes(100))

    def _wrong_acknowledgment(self, known: Knowledge) -> bytes:
        """RFC 5961 section 5: of what was never sent, or of what is too old."""
        beyond = known.snd_max + self._chance.choice((1, self._chance.randrange(1, 1 << 30)))
        before = known.snd_una - known.most_window - self._chance.randrange(1, 1 << 29)
        flags = ACK | self._chance.choice((0, FIN, PSH))
        return self._segment(known, known.rcv_nxt, self._chance.choice((beyond, before)), flags, b"forged")

    def _old_timestamp(self, known: Knowledge) -> bytes | None:
        """PAWS, RFC 7323 section 5."""
        if not known.timestamps:
            return None
        late = self._chance.choice((1, 2, self._chance.randrange(1, 1 << 31)))
        return self._segment(known, known.rcv_nxt, known.snd_una, ACK, b"from yesterday", late)

    def _no_timestamp(self, known: Knowledge) -> bytes | None:
        """RFC 7323 section 3.2: dropped when they were agreed."""
        if not known.timestamps:
            return None
        return self._segment(known, known.rcv_nxt, known.snd_una, ACK, b"without a time", -1)

    def _no_ack(self, known: Knowledge) -> bytes:
        """RFC 9293 section 3.10.7.4, fifth: without ACK nothing is taken."""
        return self._segment(known, known.rcv_nxt, 0, self._chance.choice((0, PSH, FIN)), b"no acknowledgment")

    def _icmp_error(self, known: Knowledge) -> bytes:
        """RFC 5927: about a packet that was really sent, so it is believed, and must still end nothing."""
        quoted = tcp(self._victim.ip, known.peer.ip, (known.port, known.peer_port), known.snd_una, 0, ACK)
        kind, code = self._chance.choice(((3, 0), (3, 1), (3, 2), (3, 3), (3, 13), (4, 0), (11, 0), (12, 0)))
        packet = ipv4(self._victim.ip, known.peer.ip, packets.PROTOCOL_TCP, quoted)
        return ipv4(self._attacker.ip, self._victim.ip, packets.PROTOCOL_ICMP, icmp(kind, code, 0, packet))
