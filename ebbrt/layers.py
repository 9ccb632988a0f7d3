"""Where a request's time goes: a stopwatch at the seams between layers (paper section 4.1.2, Figure 5).

Device, driver, stack and application call each other through a handful of base classes. To measure, a node puts the
wrappers below between them; each switches the stopwatch to the layer that is entered, and back. Without them nothing
is added to any call: an unused instrument costs nothing. Used, it costs two clock readings a crossing, which are part
of what it shows.

Times are exclusive: while a layer calls another, its own time stands still.
"""

from collections.abc import Callable

from ebbrt.clock import Clock
from ebbrt.constants import APPLICATION, DRIVER, LOOP, STACK
from ebbrt.iobuf import IOBuf
from ebbrt.netdevice import EthernetDevice, FrameHandler
from ebbrt.network import NetworkManager, TcpConnection, TcpHandler, UdpHandler, UdpSocket
from ebbrt.tcp_settings import TcpSettings

NAMES = ("loop", "device", "driver", "stack", "application")


class Stopwatch:
    """Nanoseconds spent in each layer, and how often it was entered."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._layer = LOOP
        self._since = clock.now()
        self._nanoseconds = memoryview(bytearray(8 * len(NAMES))).cast("Q")
        self._entries = memoryview(bytearray(8 * len(NAMES))).cast("Q")

    def enter(self, layer: int) -> int:
        """Time goes to ``layer`` from now on; the layer it went to before, for ``leave``."""
        previous = self._layer
        self.leave(layer)
        self._entries[layer] += 1
        return previous

    def leave(self, layer: int) -> None:
        """Time goes back to ``layer``."""
        now = self.clock.now()
        self._nanoseconds[self._layer] += now - self._since
        self._since = now
        self._layer = layer

    def statistics(self) -> dict[str, dict[str, int]]:
        """Per layer, ``ns`` and ``entries``. The loop's include waiting for interrupts."""
        self.leave(self._layer)
        return {
            name: {"ns": self._nanoseconds[layer], "entries": self._entries[layer]} for layer, name in enumerate(NAMES)
        }


class TimedFrameHandler(FrameHandler):
    """Driver to stack."""

    def __init__(self, handler: FrameHandler, stopwatch: Stopwatch) -> None:
        self._handler = handler
        self._stopwatch = stopwatch

    def receive_frame(self, frame: IOBuf, checksum_valid: bool) -> None:
        """See FrameHandler."""
        previous = self._stopwatch.enter(STACK)
        self._handler.receive_frame(frame, checksum_valid)
        self._stopwatch.leave(previous)


class TimedDevice(EthernetDevice):
    """Stack to driver."""

    def __init__(self, device: EthernetDevice, stopwatch: Stopwatch) -> None:
        self._device = device
        self._stopwatch = stopwatch
        self.mac = device.mac
        self.mtu = device.mtu
        self.headroom = device.headroom
        self.checksum_offload = device.checksum_offload
        self.largest_segment = device.largest_segment
        self.segments_ipv6 = device.segments_ipv6

    def transmit(self, frame: IOBuf, checksum_start: int, checksum_offset: int, segment_size: int) -> bool:
        """See EthernetDevice."""
        previous = self._stopwatch.enter(DRIVER)
        sent = self._device.transmit(frame, checksum_start, checksum_offset, segment_size)
        self._stopwatch.leave(previous)
        return sent


class TimedConnection(TcpConnection):
    """Application to stack: one connection's downcalls."""

    def __init__(self, connection: TcpConnection, stopwatch: Stopwatch) -> None:
        self._connection = connection
        self._stopwatch = stopwatch

    def send(self, data: IOBuf) -> bool:
        """See TcpConnection."""
        previous = self._stopwatch.enter(STACK)
        queued = self._connection.send(data)
        self._stopwatch.leave(previous)
        return queued

    def send_window(self) -> int:
        """See TcpConnection; too short to be worth a clock reading."""
        return self._connection.send_window()

    def disable_nagle(self) -> None:
        """See TcpConnection."""
        self._connection.disable_nagle()

    def settings(self) -> TcpSettings:
        """See TcpConnection."""
        return self._connection.settings()

    def configure(self, settings: TcpSettings) -> None:
        """See TcpConnection."""
        self._connection.configure(settings)

    def info(self) -> dict[str, int]:
        """See TcpConnection."""
        return self._connection.info()

    def pause(self) -> None:
        """See TcpConnection."""
        self._connection.pause()

    def resume(self) -> None:
        """See TcpConnection."""
        previous = self._stopwatch.enter(STACK)
        self._connection.resume()
        self._stopwatch.leave(previous)

    def close(self) -> None:
        """See TcpConnection."""
        previous = self._stopwatch.enter(STACK)
        self._connection.close()
        self._stopwatch.leave(previous)

    def abort(self) -> None:
        """See TcpConnection."""
        previous = self._stopwatch.enter(STACK)
        self._connection.abort()
        self._stopwatch.leave(previous)

    def remote(self) -> tuple[str, int]:
        """See TcpConnection."""
        return self._connection.remote()


class TimedHandler(TcpHandler):
    """Stack to application: one connection's upcalls."""

    def __init__(self, handler: TcpHandler, stopwatch: Stopwatch) -> None:
        self._handler = handler
        self._stopwatch = stopwatch

    def connected(self) -> None:
        """See TcpHandler."""
        self._handler.connection = TimedConnection(self.connection, self._stopwatch)
        previous = self._stopwatch.enter(APPLICATION)
        self._handler.connected()
        self._stopwatch.leave(previous)

    def receive(self, data: IOBuf) -> None:
        """See TcpHandler."""
        previous = self._stopwatch.enter(APPLICATION)
        self._handler.receive(data)
        self._stopwatch.leave(previous)

    def send_window_opened(self) -> None:
        """See TcpHandler."""
        previous = self._stopwatch.enter(APPLICATION)
        self._handler.send_window_opened()
        self._stopwatch.leave(previous)

    def peer_closed(self) -> None:
        """See TcpHandler."""
        previous = self._stopwatch.enter(APPLICATION)
        self._handler.peer_closed()
        self._stopwatch.leave(previous)

    def closed(self, reason: str) -> None:
        """See TcpHandler."""
        previous = self._stopwatch.enter(APPLICATION)
        self._handler.closed(reason)
        self._stopwatch.leave(previous)


class TimedAccept:
    """An application's ``accept`` whose connections are timed."""

    def __init__(self, accept: Callable[[TcpConnection], TcpHandler], stopwatch: Stopwatch) -> None:
        self._accept = accept
        self._stopwatch = stopwatch

    def __call__(self, connection: TcpConnection) -> TcpHandler:
        """Both directions get their wrapper."""
        return TimedHandler(self._accept(TimedConnection(connection, self._stopwatch)), self._stopwatch)


class TimedNetwork(NetworkManager):
    """Application to stack: the Network Manager, whose connections are timed."""

    def __init__(self, network: NetworkManager, stopwatch: Stopwatch) -> None:
        self._network = network
        self._stopwatch = stopwatch

    def listen(self, port: int, accept: Callable[[TcpConnection], TcpHandler], backlog: int = 1024) -> None:
        """See NetworkManager."""
        self._network.listen(port, TimedAccept(accept, self._stopwatch), backlog)

    def connect(self, address: str, port: int, handler: TcpHandler) -> TcpConnection:
        """See NetworkManager."""
        connection = self._network.connect(address, port, TimedHandler(handler, self._stopwatch))
        return TimedConnection(connection, self._stopwatch)

    def bind_udp(self, port: int, handler: UdpHandler) -> UdpSocket:
        """See NetworkManager; datagrams are not timed."""
        return self._network.bind_udp(port, handler)
