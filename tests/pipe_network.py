"""Network Managers joined by pipes of bytes under virtual time, which break where a test says: no stack, no packets.

One event loop turns all nodes. What is sent arrives in a later event, in pieces of ``piece`` bytes in receive buffers.
"""

from collections.abc import Callable

from ebbrt.clock import ManualClock
from ebbrt.constants import FOREVER
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator
from ebbrt.network import NetworkManager, TcpConnection, TcpHandler
from tests.fake_network import received
from tests.fakes import read_chain
from tests.node_pair import SECOND, VirtualEvents

WINDOW = 256 << 10


class Pipes:
    """The world: ``listeners`` by address and port. When ``bytes_left`` more bytes have crossed, all pipes break."""

    def __init__(self, piece: int = 400) -> None:
        self.clock = ManualClock(SECOND)
        self.events = VirtualEvents(self.clock)
        self.piece = piece
        self.listeners: dict[tuple[str, int], Callable[[TcpConnection], TcpHandler]] = {}
        self.allocators: dict[str, MemoryAllocator] = {}  # of the nodes, by address
        self.ends: list[PipeEnd] = []
        self.bytes_left = FOREVER
        self.crossed = 0

    def settle(self) -> None:
        """Turn the loop until nothing is left to do at this time."""
        done: list[None] = []
        self.events.spawn(lambda: self.events.spawn(lambda: done.append(None), True), True)
        quiet = 0
        while quiet < 2:
            before = self.crossed, self.events.events
            done.clear()
            self.events.spawn(lambda: done.append(None), True)
            while not done:
                self.events.turn()
            quiet = quiet + 1 if (self.crossed, self.events.events - before[1]) == (before[0], 1) else 0

    def run(self, until: Callable[[], bool], seconds: float = 60) -> None:
        """Let time pass until ``until()`` holds."""
        end = self.clock.now() + int(seconds * SECOND)
        self.settle()
        while not until():
            due = self.events.next_due()
            assert due <= end, f"it did not come about within {seconds} s of virtual time"
            self.clock.time = max(self.clock.time, due)
            self.settle()

    def break_all(self) -> None:
        """Every connection breaks; what is under way is lost."""
        for end in list(self.ends):
            end.finish("reset")


class PipeEnd(TcpConnection):
    """One end of a connection."""

    def __init__(self, pipes: Pipes, allocator: MemoryAllocator) -> None:
        self.pipes = pipes
        self.allocator = allocator
        self.other: PipeEnd | None = None
        self.under_way = 0
        self.is_open = True
        pipes.ends.append(self)

    def send(self, data: IOBuf) -> bool:
        if not self.is_open:
            return False
        sent = read_chain(data)
        self.under_way += len(sent)
        self.pipes.events.spawn(lambda: self.arrive(sent), True)
        return True

    def arrive(self, sent: bytes) -> None:
        if not self.is_open:
            return
        pipes = self.pipes
        was_full = self.under_way >= WINDOW
        self.under_way -= len(sent)
        part = sent[: pipes.bytes_left]
        pipes.bytes_left -= len(part) if pipes.bytes_left < FOREVER else 0
        pipes.crossed += len(part)
        if part and self.other is not None:
            self.other.handler.receive(received(self.other.allocator, part, pipes.piece))
        if pipes.bytes_left == 0:
            pipes.bytes_left = FOREVER
            pipes.break_all()
        if was_full and self.is_open and self.under_way < WINDOW:
            self.handler.send_window_opened()

    def send_window(self) -> int:
        return max(0, WINDOW - self.under_way)

    def disable_nagle(self) -> None:
        """Nothing here waits."""

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        other = self.other
        self.finish("aborted")
        if other is not None:
            self.pipes.events.spawn(lambda: other.finish("reset"), True)

    def finish(self, reason: str) -> None:
        if self.is_open:
            self.is_open = False
            self.pipes.ends.remove(self)
            self.handler.closed(reason)


class PipeNetwork(NetworkManager):
    """The Network Manager of one node."""

    def __init__(self, pipes: Pipes, address: str, allocator: MemoryAllocator) -> None:
        self.pipes = pipes
        self.address = address
        self.allocator = allocator
        pipes.allocators[address] = allocator

    def listen(self, port: int, accept: Callable[[TcpConnection], TcpHandler], backlog: int = 1024) -> None:
        self.pipes.listeners[self.address, port] = accept

    def connect(self, address: str, port: int, handler: TcpHandler) -> TcpConnection:
        end = PipeEnd(self.pipes, self.allocator)
        end.handler = handler
        handler.connection = end
        self.pipes.events.spawn(lambda: self.open(address, port, end), True)
        return end

    def open(self, address: str, port: int, end: PipeEnd) -> None:
        accept = self.pipes.listeners.get((address, port))
        if not end.is_open:
            return
        if accept is None:
            end.finish("refused")
            return
        end.other = PipeEnd(self.pipes, self.pipes.allocators[address])
        end.other.other = end
        end.other.handler = accept(end.other)
        end.other.handler.connection = end.other
        end.other.handler.connected()
        end.handler.connected()
