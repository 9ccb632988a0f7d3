"""The relay's loop between two ends that are sockets, with a clock of the test's: who gets which frame, and when."""

import socket

import pytest

from netlab.emulation import relay as relay_module
from netlab.emulation.link import Link
from netlab.emulation.relay import Relay
from netlab.emulation.settings import LinkSettings

MS = 1_000_000
FRAME = bytes(range(60))


class Wire:
    """A relay, and the ends of whoever it goes between."""

    def __init__(self, to: str = "", from_: str = "") -> None:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
        self.sockets = [end for pair in pairs for end in pair]
        for end in self.sockets:
            end.setblocking(False)
        (self.machine, near), (self.bridge, far) = pairs
        self.now = 0
        links = [Link(LinkSettings.parse(text), text) for text in (to, from_)]
        self.relay = Relay(near.fileno(), far.fileno(), links[0], links[1], lambda: self.now)

    def turn(self) -> float | None:
        for end in self.relay.ends:
            self.relay.take(end)
        return self.relay.deliver()

    @staticmethod
    def received(end: socket.socket) -> list[bytes]:
        frames = []
        while True:
            try:
                frames.append(end.recv(65536))
            except BlockingIOError:
                return frames


@pytest.fixture
def wire(request: pytest.FixtureRequest):
    made = Wire(*getattr(request, "param", ()))
    yield made
    for end in made.sockets:
        end.close()


def test_a_clear_relay_carries_frames_both_ways_at_once(wire: Wire):
    wire.machine.send(FRAME)
    wire.bridge.send(FRAME[::-1])
    assert wire.turn() is None
    assert wire.received(wire.bridge) == [FRAME]
    assert wire.received(wire.machine) == [FRAME[::-1]]


@pytest.mark.parametrize("wire", [("delay=50ms", "")], indirect=True)
def test_a_frame_waits_until_it_is_due_and_the_other_way_does_not(wire: Wire):
    wire.bridge.send(FRAME)
    wire.machine.send(FRAME)
    assert wire.turn() == pytest.approx(0.05)
    assert wire.received(wire.bridge) == [FRAME]
    wire.now = 50 * MS - 1
    assert wire.turn() == pytest.approx(1e-9)
    assert wire.received(wire.machine) == []
    wire.now = 50 * MS
    assert wire.turn() is None
    assert wire.received(wire.machine) == [FRAME]


@pytest.mark.parametrize("wire", [("delay=1ms", "")], indirect=True)
def test_frames_that_are_due_at_once_keep_their_order(wire: Wire):
    frames = [bytes([number]) * 60 for number in range(40, 0, -1)]
    for frame in frames:
        wire.bridge.send(frame)
    wire.turn()
    wire.now = MS
    wire.turn()
    assert wire.received(wire.machine) == frames


@pytest.mark.parametrize("wire", [("corrupt=100%,duplicate=100%", "loss=100%")], indirect=True)
def test_faults_happen_to_the_frames_themselves(wire: Wire):
    wire.bridge.send(FRAME)
    wire.machine.send(FRAME)
    wire.turn()
    assert wire.received(wire.bridge) == []
    one, other = wire.received(wire.machine)
    assert one == other
    assert sum((a ^ b).bit_count() for a, b in zip(one, FRAME, strict=True)) == 1


@pytest.mark.parametrize("wire", [("delay=1ms", "")], indirect=True)
def test_what_is_on_its_way_is_bounded(wire: Wire, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(relay_module, "MOST_HELD", 3 * len(FRAME))
    for _ in range(5):
        wire.bridge.send(FRAME)
    wire.turn()
    wire.now = MS
    wire.turn()
    assert len(wire.received(wire.machine)) == 3
    assert wire.relay.missed == {"to": 2, "from": 0}
    wire.bridge.send(FRAME)
    wire.turn()
    wire.now = 2 * MS
    wire.turn()
    assert len(wire.received(wire.machine)) == 1
