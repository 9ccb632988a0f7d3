"""Where a device's frames come from and go to: the far side of the "hardware".

``NetDevice`` moves frames between the rings and a ``Port``, and does not know what lies behind it: here it is a TAP,
in ``memory_port`` a link in the memory of this process.
"""

import os

from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import InterruptHandler
from ebbrt.syscalls import IoVector


class Port:
    """vnet_header: each frame is behind a virtio-net header of 12 bytes, little-endian, in both directions."""

    vnet_header: bool

    def start(self, events: EventManager, handler: InterruptHandler) -> None:
        """Run ``handler.interrupt`` whenever there are frames to be read."""
        raise NotImplementedError

    def stop(self, events: EventManager) -> None:
        """Run it no more."""
        raise NotImplementedError

    def read(self, vector: IoVector, count: int) -> int:
        """Read the next frame into the first ``count`` pieces of ``vector``: its length, or -errno; EAGAIN: none."""
        raise NotImplementedError

    def write(self, vector: IoVector, count: int) -> int:
        """Send the frame in the first ``count`` pieces: its length, or -errno; EAGAIN: no room, it is lost."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back what the port holds."""


class TapPort(Port):
    """One queue of an open, non-blocking TAP: ``fd``."""

    def __init__(self, fd: int, vnet_header: bool) -> None:
        self.fd = fd
        self.vnet_header = vnet_header

    def start(self, events: EventManager, handler: InterruptHandler) -> None:
        """See Port."""
        events.watch(self.fd, handler)

    def stop(self, events: EventManager) -> None:
        """See Port."""
        events.unwatch(self.fd)

    def read(self, vector: IoVector, count: int) -> int:
        """See Port: one ``readv``."""
        return vector.read(self.fd, count)

    def write(self, vector: IoVector, count: int) -> int:
        """See Port: one ``writev``."""
        return vector.write(self.fd, count)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)
