"""A port in memory: what a device behind it sends goes to a link in this process, and what the link carries is read.

It is a wire's end, as a network card has it: a checksum that the driver left to the device is completed, and a large
segment cut, before anything goes to the link (``offload``). A link between two machines of one host needs none of that
and may ask for frames ``whole``, each behind the header that says what is left to do, as the kernel carries them from
TAP to TAP.
"""

from collections import deque
from errno import EAGAIN

from drivers.virtio.constants import NET_HEADER_LENGTH
from drivers.virtio.offload import OffloadError, wire_frames
from drivers.virtio.port import Port
from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import InterruptHandler
from ebbrt.syscalls import IoVector

MOST_WAITING = 500  # frames to be read, as a TAP's queue has it
NO_HEADER = bytes(NET_HEADER_LENGTH)  # of a frame off a wire: complete, of one segment, its checksum to be verified


class Cable:
    """What a port is connected to."""

    def carry(self, frame: bytes, header: bytes) -> None:
        """Take a frame that the machine sends.

        header: its virtio-net header when the port sends frames whole, else ``NO_HEADER``.
        """
        raise NotImplementedError


class MemoryPort(Port):
    """Sends to ``cable``, which gives what it carries to ``deliver``; the core must then run."""

    def __init__(self, cable: Cable, whole: bool = False) -> None:
        self.vnet_header = True
        self.cable = cable
        self.whole = whole
        self._waiting: deque[bytes] = deque()
        self._events: EventManager | None = None
        self._vector = 0
        self.overruns = 0  # frames that found MOST_WAITING others
        self.bad_offloads = 0  # frames with a header that asks for what cannot be done

    def start(self, events: EventManager, handler: InterruptHandler) -> None:
        """See Port."""
        self._events = events
        self._vector = events.allocate_vector(handler)
        if self._waiting:
            events.raise_interrupt(self._vector)

    def stop(self, events: EventManager) -> None:
        """See Port."""
        self._events = None
        events.free_vector(self._vector)

    def deliver(self, frame: bytes, header: bytes = NO_HEADER) -> None:
        """A frame has come for this machine."""
        if len(self._waiting) >= MOST_WAITING:
            self.overruns += 1
            return
        self._waiting.append(header + frame)
        if self._events is not None and len(self._waiting) == 1:  # for more, a driver polls until there are none
            self._events.raise_interrupt(self._vector)

    def read(self, vector: IoVector, count: int) -> int:
        """See Port."""
        if not self._waiting:
            return -EAGAIN
        return vector.fill(self._waiting.popleft(), count)

    def write(self, vector: IoVector, count: int) -> int:
        """See Port: the frames are with the cable when this returns."""
        data = vector.collect(count)
        if self.whole:
            self.cable.carry(data[NET_HEADER_LENGTH:], data[:NET_HEADER_LENGTH])
            return len(data)
        try:
            frames = wire_frames(data)
        except OffloadError:
            self.bad_offloads += 1
            return len(data)
        for frame in frames:
            self.cable.carry(frame, NO_HEADER)
        return len(data)
