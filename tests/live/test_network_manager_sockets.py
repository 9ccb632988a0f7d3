"""The Network Manager over kernel sockets keeps what the interface promises; on loopback, in real time."""

import array
import fcntl
import os
import resource
import termios
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ebbrt.clock import Clock
from ebbrt.ebb import EVENT_MANAGER, Core
from ebbrt.events.event_manager import EventManager
from ebbrt.future import Promise
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator, NodeMemory
from ebbrt.network import UdpHandler
from ebbrt.sockets.buffers import SIZES
from ebbrt.sockets.socket_network import SocketNetworkManager
from ebbrt.sockets.tcp import SEND_BUFFER
from ebbrt.tcp_settings import DEFAULT_SETTINGS
from tests.network_manager_suite import (
    PORT,
    UDP_PORT,
    Datagrams,
    End,
    Forms,
    NetworkManagerSuite,
    Peer,
    acting,
    open_pair,
    serve,
    take_all_memory,
)

pytestmark = pytest.mark.live
MILLISECOND = 1_000_000
PATIENCE = 5.0  # seconds
SOON = 0.02  # seconds: what happens on loopback at all has happened by then


class SocketsEnd(End):
    def __init__(self, events: EventManager, address: str) -> None:
        self.allocator = MemoryAllocator(NodeMemory(16 << 20))
        self.events = events
        self.address = address
        self.sockets = SocketNetworkManager(events, self.allocator, address)
        self.network = self.sockets


class SkippingClock(Clock):
    """The monotonic clock, which a test can move on."""

    def __init__(self) -> None:
        self.skipped = 0

    def now(self) -> int:
        return time.monotonic_ns() + self.skipped


class SocketsForms(Forms):
    """Both ends on one loop, each with an address of its own on loopback, which no other test run has."""

    def __init__(self) -> None:
        self.clock = SkippingClock()
        self.events = EventManager(self.clock)
        network = f"127.{64 + (os.getpid() >> 8) % 64}.{os.getpid() % 256}"
        self.client = SocketsEnd(self.events, f"{network}.1")
        self.server = SocketsEnd(self.events, f"{network}.2")

    def server_udp(self) -> tuple[str, int]:
        return self.server.address, UDP_PORT

    def run(self, until: Callable[[], bool]) -> None:
        assert self._turn(until, PATIENCE), f"it did not come about within {PATIENCE} s"

    def settle(self) -> None:
        self._turn(lambda: False, SOON)

    def _turn(self, until: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                return False
            timer = self.events.set_timer(MILLISECOND, lambda: None)  # ends a halt
            self.events.turn()
            timer.stop()
        return True

    def interrupts_when_idle(self) -> int:
        """How often something wakes the loop although nothing happens: once it has settled, nothing may."""
        self.settle()
        before = self.events.interrupts
        self.settle()
        return self.events.interrupts - before

    def close(self) -> None:
        for end in (self.client, self.server):
            end.sockets.close()
        self.events.close()


@pytest.fixture
def forms() -> Iterator[SocketsForms]:
    forms = SocketsForms()
    yield forms
    try:
        assert forms.interrupts_when_idle() == 0, "a socket wakes the loop for ever"
    finally:
        forms.close()


class TestSockets(NetworkManagerSuite):
    """The suite, with the fixture above."""


def tcp_statistics(end: SocketsEnd) -> dict[str, Any]:
    return end.sockets.statistics()["tcp"]


def test_a_paused_connection_that_has_ended_leaves_the_loop_alone(forms: SocketsForms) -> None:
    client, server = open_pair(forms)
    server.connection.pause()
    client.connection.send(forms.client.buffer(b"held"))
    client.connection.close()
    server.connection.close()
    assert forms.interrupts_when_idle() == 0
    assert server.events == ["connected"]


def test_the_end_is_told_when_the_peer_has_taken_everything(forms: SocketsForms) -> None:
    client, server = open_pair(forms)
    client.connection.close()
    client.connection.pause()
    forms.run(lambda: "peer_closed" in server.events)
    server.connection.disable_nagle()
    sent = 0
    while unacknowledged(server) < 300_000:  # more than the client's receive window holds
        server.connection.send(forms.server.buffer(bytes(10_000)))
        sent += 10_000
    assert server.connection.send_window() == SEND_BUFFER, "the kernel has taken it all"
    server.connection.close()
    assert forms.interrupts_when_idle() == 0
    assert server.events == ["connected", "peer_closed"]
    client.connection.resume()
    forms.run(lambda: client.has_ended() and server.has_ended())
    assert server.events == ["connected", "peer_closed", "closed: closed"]
    assert client.events == ["connected", "data", "peer_closed", "closed: closed"]
    assert len(client.data) == sent


def unacknowledged(peer: Peer) -> int:
    """Bytes the kernel has not got through to the other side."""
    count = array.array("i", [0])
    fcntl.ioctl(peer.connection._fd, termios.TIOCOUTQ, count)  # type: ignore[attr-defined]
    return count[0]


def test_a_peer_that_takes_our_fin_and_says_no_more_times_out(forms: SocketsForms) -> None:
    client, server = open_pair(forms)
    client.connection.close()
    forms.run(lambda: "peer_closed" in server.events)
    forms.clock.skipped += DEFAULT_SETTINGS.fin_wait_2_time - 2 * 1000 * MILLISECOND
    server.connection.send(forms.server.buffer(b"still here"))
    forms.run(lambda: client.data == b"still here")
    forms.clock.skipped += DEFAULT_SETTINGS.fin_wait_2_time - 2 * 1000 * MILLISECOND
    forms.settle()
    assert client.events == ["connected", "data"]
    forms.clock.skipped += 4 * 1000 * MILLISECOND
    forms.run(client.has_ended)
    assert client.events[-1] == "closed: timeout"


def test_connections_wait_while_there_are_no_descriptors(forms: SocketsForms) -> None:
    accepted = serve(forms)
    clients = [Peer() for _ in range(5)]
    for client in clients:
        forms.client.network.connect(forms.server.address, PORT, client)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = os.open("/dev/null", os.O_RDONLY)  # the lowest that is free
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            forms.client.network.connect(forms.server.address, PORT, Peer())
        forms.run(lambda: tcp_statistics(forms.server)["accept_failures"] > 0)
        assert forms.interrupts_when_idle() == 0
        assert not accepted
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        os.close(taken)
    forms.run(lambda: len(accepted) == 5 and all(client.events for client in clients))


def test_without_memory_an_application_is_asked_to_give_some_up(forms: SocketsForms) -> None:
    client, server = open_pair(forms)
    there = Datagrams()
    forms.server.network.bind_udp(UDP_PORT, there)
    taken = take_all_memory(forms.server.allocator)

    def reclaim() -> bool:
        calls.append(len(taken))
        taken.clear()
        return True

    calls: list[int] = []
    client.connection.send(forms.client.buffer(b"stream"))
    forms.client.network.bind_udp(0, Datagrams()).send(forms.client.buffer(b"datagram"), *forms.server_udp())
    assert forms.interrupts_when_idle() == 0
    assert server.events == ["connected"]
    forms.server.allocator.reclaimer = reclaim
    forms.run(lambda: bool(server.data) and bool(there.received))
    assert len(calls) == 1
    assert forms.server.sockets.statistics()["memory"]["reads_put_off"] == 2


def test_a_datagram_that_finds_too_little_memory_is_dropped_and_counted(forms: SocketsForms) -> None:
    there = Datagrams()
    forms.server.network.bind_udp(UDP_PORT, there)
    room = forms.server.allocator.allocate(SIZES[0])
    taken = take_all_memory(forms.server.allocator)
    del room
    sender = forms.client.network.bind_udp(0, Datagrams())
    sender.send(forms.client.buffer(bytes(60_000)), *forms.server_udp())
    sender.send(forms.client.buffer(b"short"), *forms.server_udp())
    forms.run(lambda: bool(there.received))
    assert [data for data, _, _ in there.received] == [b"short"]
    assert forms.server.sockets.statistics()["udp"]["truncated"] == 1
    taken.clear()


def test_all_waits_for_an_upcall_that_blocks(forms: SocketsForms) -> None:
    """The loop turns before the upcall has returned."""

    def pause() -> None:
        promise: Promise[None] = Promise()
        forms.events.set_timer(20 * MILLISECOND, lambda: promise.set_value(None))
        promise.future.block()

    def block(peer: Peer) -> None:
        if peer.chains == 1:
            client.connection.send(forms.client.buffer(b"two"))
            client.connection.close()
            before = forms.events.interrupts
            pause()
            assert forms.events.interrupts <= before + 2
            assert peer.connection.send(forms.server.buffer(b"later"))
            pause()
            seen.append((bytes(peer.data), bytes(client.data)))

    core = Core()
    core.install(EVENT_MANAGER, forms.events)
    core.enter()
    seen: list[tuple[bytes, bytes]] = []
    client, server = open_pair(forms, acting("data", block))
    client.connection.send(forms.client.buffer(b"one"))
    forms.run(lambda: "peer_closed" in server.events and client.data == b"later")
    assert seen == [(b"one", b"")]
    assert server.data == b"onetwo"


def test_closing_the_manager_ends_everything(forms: SocketsForms) -> None:
    client, server = open_pair(forms)
    forms.server.network.bind_udp(UDP_PORT, Datagrams())
    server.actions["closed: aborted"] = lambda peer: forms.server.network.listen(PORT, lambda connection: Peer())
    failures = forms.events.failures
    forms.server.sockets.close()
    assert server.events == ["connected", "closed: aborted"]
    assert forms.events.failures == failures + 1, "it cannot be opened again"
    forms.run(client.has_ended)
    assert client.events[-1] == "closed: reset"
    assert tcp_statistics(forms.server)["now"] == 0
    late = Peer()
    forms.client.network.connect(forms.server.address, PORT, late)
    forms.run(late.has_ended)
    assert late.events == ["closed: refused"]


def test_what_comes_in_bursts_is_taken_in_bounded_events(forms: SocketsForms) -> None:
    accepted = serve(forms)
    for _ in range(40):
        forms.client.network.connect(forms.server.address, PORT, Peer())
    forms.events.turn()
    assert 0 < len(accepted) <= 16
    forms.run(lambda: len(accepted) == 40)


def test_received_bytes_pin_at_most_twice_their_number(forms: SocketsForms) -> None:
    for length in (1, 511, 512, 513, 1024, 4097, 40_000, 65_000):
        there = Chains()
        receiver = forms.server.network.bind_udp(0, there)
        forms.client.network.bind_udp(0, Datagrams()).send(
            forms.client.buffer(bytes(length)), forms.server.address, receiver.local_port()
        )
        forms.run(lambda: bool(there.pinned))  # noqa: B023
        assert there.pinned == [there.pinned[0]]
        assert length <= there.pinned[0] <= 2 * length + 512
        receiver.close()


class Chains(UdpHandler):
    """How many bytes of node memory each datagram holds."""

    def __init__(self) -> None:
        self.pinned: list[int] = []

    def receive(self, data: IOBuf, address: str, port: int) -> None:
        total = 0
        piece: IOBuf | None = data
        while piece is not None:
            total += piece.buffer.size()
            piece = piece.next
        self.pinned.append(total)
