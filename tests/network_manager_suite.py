"""What a Network Manager promises (``ebbrt.network``), as tests that every form of it passes.

A test class inherits ``NetworkManagerSuite`` and has a fixture ``forms``: two ends that can reach each other, with
time that is virtual (a node's stack) or real (kernel sockets).
"""

import weakref
from collections.abc import Callable

import pytest

from ebbrt.events.event_manager import EventManager
from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import Buffer, MemoryAllocator
from ebbrt.network import AddressInUseError, NetworkManager, TcpConnection, TcpHandler, UdpHandler, UdpSocket
from ebbrt.tcp_settings import SECOND, SettingsError, TcpSettings
from tests.fakes import read_chain

PORT = 4711
UDP_PORT = 4712
POSTED = 64 << 10  # bytes of receive buffers that a manager may keep at hand
MOST_WINDOW = 64 << 20  # no send buffer takes more than this


class End:
    """One of the two: a Network Manager and what belongs to it."""

    network: NetworkManager
    allocator: MemoryAllocator
    events: EventManager
    address: str

    def buffer(self, data: bytes) -> IOBuf:
        """What an application sends."""
        iobuf = allocate(self.allocator, len(data), 128)
        assert iobuf is not None
        iobuf.write(0, data)
        return iobuf


class Forms:
    """The two ends, and their time."""

    client: End
    server: End

    def run(self, until: Callable[[], bool]) -> None:
        """Carry on until it holds; AssertionError when it does not come about."""
        raise NotImplementedError

    def settle(self) -> None:
        """Let happen what happens soon."""
        raise NotImplementedError


class Peer(TcpHandler):
    """Keeps what it is told, in order; ``on_receive`` and the like may act."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.data = bytearray()
        self.chains = 0
        self.actions: dict[str, Callable[[Peer], None]] = {}

    def _note(self, event: str) -> None:
        self.events.append(event)
        if event in self.actions:
            self.actions[event](self)

    def connected(self) -> None:
        self._note("connected")

    def receive(self, data: IOBuf) -> None:
        self.chains += 1
        self.data += read_chain(data)
        if not self.events or self.events[-1] != "data":
            self.events.append("data")
        if "data" in self.actions:
            self.actions["data"](self)

    def send_window_opened(self) -> None:
        self._note("window")

    def peer_closed(self) -> None:
        self._note("peer_closed")

    def closed(self, reason: str) -> None:
        self._note(f"closed: {reason}")

    def has_ended(self) -> bool:
        return bool(self.events) and self.events[-1].startswith("closed: ")


class Datagrams(UdpHandler):
    def __init__(self) -> None:
        self.received: list[tuple[bytes, str, int]] = []
        self.lost: list[tuple[str, str, int]] = []
        self.action: Callable[[], None] = lambda: None

    def receive(self, data: IOBuf, address: str, port: int) -> None:
        self.received.append((read_chain(data), address, port))
        self.action()

    def undelivered(self, reason: str, address: str, port: int) -> None:
        self.lost.append((reason, address, port))


def serve(forms: Forms, make: Callable[[], Peer] = Peer, port: int = PORT) -> list[Peer]:
    """Listen at the server; the handlers of accepted connections."""
    accepted: list[Peer] = []

    def accept(connection: TcpConnection) -> TcpHandler:
        accepted.append(make())
        return accepted[-1]

    forms.server.network.listen(port, accept)
    return accepted


def open_pair(forms: Forms, make: Callable[[], Peer] = Peer) -> tuple[Peer, Peer]:
    """Connect client to server."""
    accepted = serve(forms, make)
    client = Peer()
    forms.client.network.connect(forms.server.address, PORT, client)
    forms.run(lambda: bool(client.events) and bool(accepted) and bool(accepted[0].events))
    return client, accepted[0]


def acting(event: str, action: Callable[[Peer], None]) -> Callable[[], Peer]:
    """Makes peers that do ``action`` at ``event``."""

    def make() -> Peer:
        peer = Peer()
        peer.actions[event] = action
        return peer

    return make


def pattern(length: int) -> bytes:
    """Bytes that show where they were cut or swapped."""
    return b"".join(n.to_bytes(4, "big") for n in range(length // 4 + 1))[:length]


def take_all_memory(allocator: MemoryAllocator) -> list[Buffer]:
    """Leave nothing of a node's memory."""
    taken = []
    size = 1 << 20
    while size >= 128:
        buffer = allocator.allocate(size)
        if buffer is None:
            size //= 2
        else:
            taken.append(buffer)
    return taken


class NetworkManagerSuite:
    """The tests."""

    # Opening

    def test_both_are_told_and_know_each_other(self, forms: Forms) -> None:
        client, server = open_pair(forms)
        assert client.events == server.events == ["connected"]
        assert client.connection.remote() == (forms.server.address, PORT)
        assert server.connection.remote()[0] == forms.client.address
        assert client.connection.handler is client

    def test_a_closed_port_refuses(self, forms: Forms) -> None:
        client = Peer()
        forms.client.network.connect(forms.server.address, PORT, client)
        forms.run(client.has_ended)
        assert client.events == ["closed: refused"]

    def test_an_address_that_is_no_host_is_unreachable(self, forms: Forms) -> None:
        client = Peer()
        broadcast = forms.server.address.split(".")[0] + ".255.255.255"
        broadcast = broadcast if broadcast.startswith("127") else "198.18.0.255"
        forms.client.network.connect(broadcast, PORT, client)
        assert client.events == ["closed: unreachable"]

    @pytest.mark.parametrize("call", ["close", "abort"])
    def test_an_attempt_can_be_given_up(self, forms: Forms, call: str) -> None:
        serve(forms)
        client = Peer()
        connection = forms.client.network.connect(forms.server.address, PORT, client)
        getattr(connection, call)()
        assert client.events == ["closed: aborted"]
        forms.settle()
        assert client.events == ["closed: aborted"]

    def test_what_is_sent_before_the_handshake_arrives(self, forms: Forms) -> None:
        accepted = serve(forms)
        connection = forms.client.network.connect(forms.server.address, PORT, Peer())
        assert connection.send(forms.client.buffer(b"early"))
        forms.run(lambda: bool(accepted) and accepted[0].data == b"early")

    def test_many_at_once(self, forms: Forms) -> None:
        accepted = serve(forms)
        clients = [Peer() for _ in range(50)]
        for client in clients:
            forms.client.network.connect(forms.server.address, PORT, client)
        forms.run(lambda: all(client.events for client in clients) and len(accepted) == 50)
        assert all(peer.events == ["connected"] for peer in clients + accepted)

    def test_wrong_arguments(self, forms: Forms) -> None:
        network = forms.client.network
        for port in (0, 65536, -1):
            with pytest.raises((ValueError, OverflowError)):
                network.listen(port, lambda connection: Peer())
            with pytest.raises((ValueError, OverflowError)):
                network.connect(forms.server.address, port, Peer())
        for port in (65536, -1):
            with pytest.raises((ValueError, OverflowError)):
                network.bind_udp(port, Datagrams())
        with pytest.raises(ValueError, match="nowhere"):
            network.connect("nowhere", PORT, Peer())

    def test_a_port_has_one_listener(self, forms: Forms) -> None:
        serve(forms)
        with pytest.raises(AddressInUseError, match=str(PORT)):
            serve(forms)

    # Data

    def test_a_mebibyte_each_way(self, forms: Forms) -> None:
        def echo(peer: Peer) -> None:
            assert peer.connection.send(forms.server.buffer(bytes(peer.data[len(sent) :])))
            sent.extend(peer.data[len(sent) :])

        sent = bytearray()
        client, server = open_pair(forms, acting("data", echo))
        data = pattern(1 << 20)
        for start in range(0, len(data), 30_011):
            chain = forms.client.buffer(data[start : start + 11])
            chain.append(forms.client.buffer(data[start + 11 : start + 30_011]))
            assert client.connection.send(chain)
        forms.run(lambda: len(client.data) == len(data))
        assert client.data == server.data == data

    def test_a_chain_without_bytes(self, forms: Forms) -> None:
        client, server = open_pair(forms)
        chain = forms.client.buffer(b"x")
        chain.trim_end(1)
        chain.append(forms.client.buffer(b"rest"))
        assert client.connection.send(chain)
        forms.run(lambda: server.data == b"rest")

    def test_what_an_upcall_sends_leaves_together(self, forms: Forms) -> None:
        def answer(peer: Peer) -> None:
            peer.connection.disable_nagle()
            for part in (b"one", b"two", b"three"):
                assert peer.connection.send(forms.server.buffer(part))

        client, _ = open_pair(forms, acting("data", answer))
        client.connection.send(forms.client.buffer(b"?"))
        forms.run(lambda: client.data == b"onetwothree")
        assert client.chains == 1

    def test_the_send_window_closes_and_opens(self, forms: Forms) -> None:
        client, server = open_pair(forms)
        server.connection.pause()
        sent = 0
        while sent < MOST_WINDOW:
            forms.settle()
            window = client.connection.send_window()
            if window == 0:
                break
            assert client.connection.send(forms.client.buffer(bytes(min(window, 60_000))))
            sent += min(window, 60_000)
        assert 0 < sent < MOST_WINDOW
        assert "window" not in client.events
        assert client.connection.send(forms.client.buffer(b"beyond")), "everything is queued"
        server.connection.resume()
        forms.run(lambda: "window" in client.events)
        assert client.connection.send_window() > 0
        forms.run(lambda: len(server.data) == sent + 6)

    # Holding back

    def test_nothing_is_delivered_while_paused_and_at_once_afterwards(self, forms: Forms) -> None:
        client, server = open_pair(forms)
        server.connection.pause()
        client.connection.send(forms.client.buffer(b"held"))
        forms.settle()
        assert server.events == ["connected"]
        server.connection.resume()
        assert server.data == b"held"

    def test_pausing_in_an_upcall(self, forms: Forms) -> None:
        client, server = open_pair(forms, acting("data", lambda peer: peer.connection.pause()))
        client.connection.send(forms.client.buffer(b"one"))
        forms.run(lambda: server.data == b"one")
        client.connection.send(forms.client.buffer(b"two"))
        forms.settle()
        assert server.data == b"one"
        server.connection.resume()
        assert server.data == b"onetwo"

    def test_a_fin_waits_for_the_data_before_it(self, forms: Forms) -> None:
        client, server = open_pair(forms)
        server.connection.pause()
        client.connection.send(forms.client.buffer(b"last words"))
        client.connection.close()
        forms.settle()
        assert server.events == ["connected"]
        server.connection.resume()
        forms.run(lambda: "peer_closed" in server.events)
        assert server.events == ["connected", "data", "peer_closed"]

    def test_a_fin_with_nothing_before_it_waits_for_nobody(self, forms: Forms) -> None:
        client, server = open_pair(forms)
        server.connection.pause()
        client.connection.close()
        forms.run(lambda: server.events == ["connected", "peer_closed"])

    @pytest.mark.parametrize("data", [b"", b"lost"])
    def test_a_reset_does_not_wait(self, forms: Forms, data: bytes) -> None:
        client, server = open_pair(forms)
        server.connection.pause()
        if data:
            client.connection.send(forms.client.buffer(data))
            forms.settle()
        client.connection.abort()
        forms.run(server.has_ended)
        assert server.events == ["connected", "closed: reset"]

    def test_held_data_and_both_ends_then_all_in_order(self, forms: Forms) -> None:
        client, server = open_pair(forms)
        server.connection.pause()
        client.connection.send(forms.client.buffer(b"last words"))
        client.connection.close()
        server.connection.close()
        forms.settle()
        assert server.events == ["connected"]
        server.connection.resume()
        forms.run(lambda: client.has_ended() and server.has_ended())
        assert server.events == ["connected", "data", "peer_closed", "closed: closed"]

    # Closing

    def test_one_closes_then_the_other(self, forms: Forms) -> None:
        client, server = open_pair(forms)
        client.connection.send(forms.client.buffer(b"last words"))
        client.connection.close()
        forms.run(lambda: "peer_closed" in server.events)
        forms.settle()
        assert client.events == ["connected"]
        assert server.events == ["connected", "data", "peer_closed"]
        assert server.connection.send(forms.server.buffer(b"mine too"))
        server.connection.close()
        forms.run(lambda: client.has_ended() and server.has_ended())
        assert client.events == ["connected", "data", "peer_closed", "closed: closed"]
        assert server.events == ["connected", "data", "peer_closed", "closed: closed"]
        assert client.data == b"mine too"

    def test_both_close_at_once(self, forms: Forms) -> None:
        client, server = open_pair(forms)
        client.connection.close()
        server.connection.close()
        forms.run(lambda: client.has_ended() and server.has_ended())
        assert client.events == server.events == ["connected", "peer_closed", "closed: closed"]

    def test_sending_and_closing_in_an_upcall(self, forms: Forms) -> None:
        def answer(peer: Peer) -> None:
            peer.connection.send(forms.server.buffer(b"good bye"))
            peer.connection.close()
            assert not peer.connection.send(forms.server.buffer(b"too late"))

        client, server = open_pair(forms, acting("data", answer))
        client.actions["peer_closed"] = lambda peer: peer.connection.close()
        client.connection.send(forms.client.buffer(b"?"))
        forms.run(lambda: client.has_ended() and server.has_ended())
        assert client.events == ["connected", "data", "peer_closed", "closed: closed"]
        assert server.events == ["connected", "data", "peer_closed", "closed: closed"]
        assert client.data == b"good bye"

    def test_closing_twice_is_closing_once(self, forms: Forms) -> None:
        client, server = open_pair(forms)
        client.connection.close()
        client.connection.close()
        forms.run(lambda: "peer_closed" in server.events)

    def test_everything_queued_leaves_before_the_fin(self, forms: Forms) -> None:
        client, server = open_pair(forms)
        data = pattern(3_000_000)
        for start in range(0, len(data), 60_000):
            client.connection.send(forms.client.buffer(data[start : start + 60_000]))
        client.connection.close()
        forms.run(lambda: "peer_closed" in server.events)
        assert server.data == data

    def test_an_abort_is_told_at_once_and_resets_the_peer(self, forms: Forms) -> None:
        client, server = open_pair(forms)
        connection = client.connection
        connection.abort()
        assert client.events == ["connected", "closed: aborted"]
        forms.run(server.has_ended)
        assert server.events == ["connected", "closed: reset"]
        assert not connection.send(forms.client.buffer(b"too late"))
        for call in (connection.close, connection.abort, connection.pause, connection.resume):
            call()  # harmless on what is gone
        connection.disable_nagle()
        forms.settle()
        assert client.events == ["connected", "closed: aborted"]

    def test_a_reset_that_sending_runs_into_comes_behind_the_data_before_it(self, forms: Forms) -> None:
        client, server = open_pair(forms)
        server.connection.pause()
        client.connection.send(forms.client.buffer(b"last words"))
        forms.settle()
        client.connection.abort()
        assert server.connection.send(forms.server.buffer(b"in vain"))
        server.connection.resume()
        assert server.data == b"last words"
        forms.run(server.has_ended)
        assert server.events == ["connected", "data", "closed: reset"]

    @pytest.mark.parametrize("event", ["connected", "data", "peer_closed"])
    def test_aborting_in_an_upcall_is_the_last_of_it(self, forms: Forms, event: str) -> None:
        client, server = open_pair(forms, acting(event, lambda peer: peer.connection.abort()))
        client.connection.send(forms.client.buffer(b"one"))
        client.connection.close()
        forms.run(lambda: client.has_ended() and server.has_ended())
        assert server.events[-2:] == [event, "closed: aborted"]

    def test_nothing_keeps_a_handler_alive_after_its_end(self, forms: Forms) -> None:
        client, server = open_pair(forms)
        gone = weakref.ref(client)
        connection = client.connection
        connection.abort()
        assert connection.handler is not client
        forms.run(server.has_ended)
        del client
        assert gone() is None

    def test_memory_comes_back(self, forms: Forms) -> None:
        before = forms.client.allocator.allocated_bytes, forms.server.allocator.allocated_bytes
        client, server = open_pair(forms)
        client.connection.send(forms.client.buffer(pattern(100_000)))
        forms.run(lambda: len(server.data) == 100_000)
        client.connection.send(forms.client.buffer(pattern(100_000)))
        server.connection.abort()
        forms.run(client.has_ended)
        assert forms.client.allocator.allocated_bytes <= before[0] + POSTED
        assert forms.server.allocator.allocated_bytes <= before[1] + POSTED

    # Failures

    def test_an_exception_in_an_upcall_is_the_events_own(self, forms: Forms) -> None:
        def answer_then_fail(peer: Peer) -> None:
            peer.connection.send(forms.server.buffer(b"before"))
            if peer.chains == 1:
                raise RuntimeError("an application's mistake")

        client, _ = open_pair(forms, acting("data", answer_then_fail))
        failures = forms.server.events.failures
        client.connection.disable_nagle()
        client.connection.send(forms.client.buffer(b"?"))
        forms.run(lambda: client.data == b"before")
        assert forms.server.events.failures == failures + 1
        client.connection.send(forms.client.buffer(b"?"))
        forms.run(lambda: client.data == b"beforebefore")

    def test_an_exception_in_accept_resets_that_connection_only(self, forms: Forms) -> None:
        made: list[Peer] = []

        def make() -> Peer:
            made.append(Peer())
            if len(made) == 1:
                raise RuntimeError("an application's mistake")
            return made[-1]

        serve(forms, make)
        clients = [Peer(), Peer()]
        for client in clients:
            forms.client.network.connect(forms.server.address, PORT, client)
            forms.run(lambda client=client: bool(client.events))  # type: ignore[misc]
        forms.run(clients[0].has_ended)
        assert clients[0].events[-1] == "closed: reset"
        clients[1].connection.send(forms.client.buffer(b"here"))
        forms.run(lambda: made[-1].data == b"here")

    def test_a_connection_refused_in_accept_is_told_to_the_peer_alone(self, forms: Forms) -> None:
        refused: list[tuple[tuple[str, int], Peer]] = []

        def accept(connection: TcpConnection) -> TcpHandler:
            connection.abort()
            refused.append((connection.remote(), Peer()))
            return refused[-1][1]

        forms.server.network.listen(PORT, accept)
        client = Peer()
        forms.client.network.connect(forms.server.address, PORT, client)
        forms.run(client.has_ended)
        forms.settle()
        assert client.events[-1] == "closed: reset"
        (remote, never_told), *others = refused
        assert remote[0] == forms.client.address
        assert never_told.events == others == []

    def test_received_data_waits_for_memory(self, forms: Forms) -> None:
        client, server = open_pair(forms)
        client.connection.send(forms.client.buffer(b"one"))
        forms.run(lambda: server.data == b"one")
        taken = take_all_memory(forms.server.allocator)
        data = forms.client.buffer(b"two") if forms.client.allocator is not forms.server.allocator else None
        assert data is not None, "the ends must have a memory each"
        client.connection.send(data)
        forms.settle()
        taken.clear()
        forms.run(lambda: server.data == b"onetwo")

    # UDP

    def test_datagrams_there_and_back(self, forms: Forms) -> None:
        here, there = Datagrams(), Datagrams()
        sender = forms.client.network.bind_udp(0, here)
        receiver = forms.server.network.bind_udp(UDP_PORT, there)
        assert here.socket is sender
        assert receiver.local_port() == UDP_PORT
        assert sender.local_port() > 0
        chain = forms.client.buffer(b"ping")
        chain.append(forms.client.buffer(pattern(1000)))
        assert sender.send(chain, forms.server.address, UDP_PORT)
        forms.run(lambda: bool(there.received))
        assert there.received == [(b"ping" + pattern(1000), forms.client.address, sender.local_port())]
        assert receiver.send(forms.server.buffer(b"pong"), *there.received[0][1:])
        forms.run(lambda: bool(here.received))
        assert here.received == [(b"pong", forms.server.address, UDP_PORT)]

    def test_an_empty_datagram(self, forms: Forms) -> None:
        there = Datagrams()
        forms.server.network.bind_udp(UDP_PORT, there)
        empty = forms.client.buffer(b"x")
        empty.trim_end(1)
        assert forms.client.network.bind_udp(0, Datagrams()).send(empty, forms.server.address, UDP_PORT)
        forms.run(lambda: bool(there.received))
        assert there.received[0][0] == b""

    def test_a_datagram_that_is_too_long(self, forms: Forms) -> None:
        socket = forms.client.network.bind_udp(0, Datagrams())
        chain = forms.client.buffer(bytes(40_000))
        chain.append(forms.client.buffer(bytes(40_000)))
        assert not socket.send(chain, forms.server.address, UDP_PORT)
        assert socket.send(forms.client.buffer(b"short"), forms.server.address, UDP_PORT)

    def test_a_datagram_to_nobody_is_known_to_be_lost(self, forms: Forms) -> None:
        here = Datagrams()
        socket = forms.client.network.bind_udp(0, here)
        assert socket.send(forms.client.buffer(b"?"), forms.server.address, UDP_PORT)
        forms.run(lambda: bool(here.lost))
        assert here.lost == [("refused", forms.server.address, UDP_PORT)]

    def test_a_lost_datagram_does_not_take_the_next_along(self, forms: Forms) -> None:
        here, there = Datagrams(), Datagrams()
        socket = forms.client.network.bind_udp(0, here)
        forms.server.network.bind_udp(UDP_PORT, there)
        assert socket.send(forms.client.buffer(b"?"), forms.server.address, UDP_PORT + 1)
        assert socket.send(forms.client.buffer(b"!"), forms.server.address, UDP_PORT)
        forms.run(lambda: bool(here.lost) and bool(there.received))
        assert here.lost == [("refused", forms.server.address, UDP_PORT + 1)]
        assert there.received[0][0] == b"!"

    def test_a_udp_port_is_bound_once_until_it_is_closed(self, forms: Forms) -> None:
        network = forms.server.network
        first = network.bind_udp(UDP_PORT, Datagrams())
        with pytest.raises(AddressInUseError, match=str(UDP_PORT)):
            network.bind_udp(UDP_PORT, Datagrams())
        first.close()
        first.close()
        assert not first.send(forms.server.buffer(b"too late"), forms.client.address, UDP_PORT)
        assert network.bind_udp(UDP_PORT, Datagrams()).local_port() == UDP_PORT

    def test_a_udp_socket_closed_in_an_upcall_hears_no_more(self, forms: Forms) -> None:
        there = Datagrams()
        receiver = forms.server.network.bind_udp(UDP_PORT, there)
        there.action = receiver.close
        sender = forms.client.network.bind_udp(0, Datagrams())
        for _ in range(3):
            assert sender.send(forms.client.buffer(b"x"), forms.server.address, UDP_PORT)
        forms.run(lambda: bool(there.received))
        forms.settle()
        assert len(there.received) == 1

    def test_an_exception_with_a_datagram_is_the_events_own(self, forms: Forms) -> None:
        def fail() -> None:
            if len(there.received) == 1:
                raise RuntimeError("an application's mistake")

        there = Datagrams()
        there.action = fail
        forms.server.network.bind_udp(UDP_PORT, there)
        sender: UdpSocket = forms.client.network.bind_udp(0, Datagrams())
        failures = forms.server.events.failures
        for _ in range(2):
            sender.send(forms.client.buffer(b"x"), forms.server.address, UDP_PORT)
        forms.run(lambda: len(there.received) == 2)
        assert forms.server.events.failures == failures + 1

    # Settings

    def test_settings_are_the_defaults_until_changed(self, forms):
        client, server = open_pair(forms)
        assert client.connection.settings() == server.connection.settings() == TcpSettings()
        settings = TcpSettings(
            keepalive=True,
            keepalive_idle=5 * SECOND,
            keepalive_interval=2 * SECOND,
            keepalive_probes=3,
            user_timeout=9 * SECOND,
            congestion_control="reno",
            send_buffer=100_000,
            receive_buffer=100_000,
            most_unsent=50_000,
            diffserv=10,
            pacing=True,
            most_rate=10_000_000,
        )
        client.connection.configure(settings)
        assert client.connection.settings() == settings
        client.connection.send(forms.client.buffer(pattern(30_000)))
        forms.run(lambda: len(server.data) == 30_000)
        assert server.data == pattern(30_000)

    def test_a_congestion_control_that_there_is_not_changes_nothing(self, forms):
        client, _ = open_pair(forms)
        with pytest.raises(SettingsError, match="vegas-of-old"):
            client.connection.configure(TcpSettings(congestion_control="vegas-of-old"))
        assert client.connection.settings() == TcpSettings()

    def test_nagle_off_shows_in_the_settings(self, forms):
        client, _ = open_pair(forms)
        client.connection.disable_nagle()
        assert client.connection.settings() == TcpSettings(nagle=False)

    def test_a_corked_segment_waits_for_the_cork_to_be_drawn(self, forms):
        client, server = open_pair(forms)
        client.connection.configure(TcpSettings(cork=True))
        client.connection.send(forms.client.buffer(b"first "))
        client.connection.send(forms.client.buffer(b"second"))
        client.connection.configure(TcpSettings())
        forms.run(lambda: server.data == b"first second")
        assert server.chains == 1

    def test_reset_on_close(self, forms):
        client, server = open_pair(forms)
        client.connection.configure(TcpSettings(reset_on_close=True))
        client.connection.close()
        assert client.events[-1] == "closed: aborted"
        forms.run(server.has_ended)
        assert server.events[-1] == "closed: reset"

    def test_settings_of_a_connection_that_has_ended_can_be_given_in_vain(self, forms):
        client, _ = open_pair(forms)
        connection = client.connection
        connection.abort()
        connection.configure(TcpSettings(nagle=False))
        assert connection.info() == {}

    def test_info_tells_how_the_connection_is_doing(self, forms):
        client, server = open_pair(forms)
        client.connection.send(forms.client.buffer(pattern(5000)))
        forms.run(lambda: len(server.data) == 5000)
        forms.settle()
        info = client.connection.info()
        assert info["tcpi_state"] == 1
        assert info["tcpi_unacked"] == info["tcpi_notsent_bytes"] == info["tcpi_total_retrans"] == 0
        assert info["tcpi_bytes_acked"] in (5000, 5001)  # Linux counts the SYN of the side that opened
        assert info["tcpi_snd_cwnd"] >= 10
        assert info["tcpi_options"] & 7 == 7
        received = server.connection.info()
        assert received["tcpi_bytes_received"] == 5000
        assert received["tcpi_data_segs_in"] >= 1
