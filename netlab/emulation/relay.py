"""The relay: a process between a machine's port and the bridge, which makes of the way there an emulated link.

::

    machine -- its port -- wire.N -- near.N [relay] far.N -- bridge

Both its TAPs offer no offloads, so the kernel cuts large segments into frames as long as on a wire, and fills in their
checksums, before the relay sees them: it carries what an Ethernet would carry, of Linux hosts and nodes alike. Each
frame that it reads it shows the direction's `Link` with the time, holds it in a heap until it is due, and writes it to
the other side. ``wire.N`` is a bridge of two ports that makes the port's frames leave through ``near.N``.

Everything it has goes with the process: TAPs that nobody has open, and a control socket in the abstract namespace,
which is the switch's own. ``insertion.py`` puts it there and speaks to it: one datagram of JSON each way, whose
requests say ``to`` and ``from`` (settings, for that direction from now on), ``end``, or nothing.

Read first: ``link.py``.
"""

import argparse
import contextlib
import ctypes
import fcntl
import gc
import heapq
import json
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from netlab.emulation.link import Link, flip
from netlab.emulation.settings import LinkSettings, LinkSettingsError
from netlab.wiring import IFF_NO_PI, IFF_TAP, TUNSETIFF

READY = "ready"
OUTLIVES = "--outlives"
PR_SET_PDEATHSIG = 1  # linux/prctl.h
DIRECTIONS = ("to", "from")  # towards the machine, and what it sends
LARGEST_FRAME = 65536 + 18
BATCH = 64  # frames read of one side before what is due is sent
MOST_HELD = 256 << 20  # bytes on their way; more is dropped and counted
NICENESS = -10  # a frame should not wait for the machines it goes between
_REQUEST_BYTES = 4096


def control_address(machine: str) -> str:
    """Where the relay of a machine is spoken to, in the switch's namespace: an abstract Unix address."""
    return f"\0netlab.link.{machine}"


class Relay:
    """Carries frames between two file descriptors, each read and write of which is a frame; both do not block.

    ``towards`` is the link from ``far`` to ``near``, ``away`` the other direction's. ``clock`` gives nanoseconds.
    """

    def __init__(
        self, near: int, far: int, towards: Link, away: Link, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.ends = near, far
        self.links = dict(zip(DIRECTIONS, (towards, away), strict=True))
        self.missed = dict.fromkeys(DIRECTIONS, 0)  # frames there was no memory for, or that the kernel did not take
        self._ways = {far: ("to", towards, near), near: ("from", away, far)}
        self._clock = clock
        self._flying: list[tuple[int, int, int, bytes, str]] = []  # a heap: due, number, to where, frame, direction
        self._number = 0
        self._held = 0

    def take(self, end: int) -> None:
        """Read the frames that have come to this end."""
        direction, link, other = self._ways[end]
        for _ in range(BATCH):
            try:
                frame = os.read(end, LARGEST_FRAME)
            except BlockingIOError:
                return
            for due, flipped_bit in link.transmit(len(frame), self._clock()):
                if self._held + len(frame) > MOST_HELD:
                    self.missed[direction] += 1
                    continue
                self._held += len(frame)
                self._number += 1  # frames that are due at once leave in their order
                carried = _flipped(frame, flipped_bit) if flipped_bit >= 0 else frame
                heapq.heappush(self._flying, (due, self._number, other, carried, direction))

    def deliver(self) -> float | None:
        """Write the frames that are due; the seconds until the next one is, or None when none is on its way."""
        flying = self._flying
        while flying:
            early = flying[0][0] - self._clock()
            if early > 0:
                return early / 1e9
            _, _, end, frame, direction = heapq.heappop(flying)
            self._held -= len(frame)
            try:
                os.write(end, frame)
            except OSError:  # the interface is down
                self.missed[direction] += 1
        return None

    def change(self, settings: dict[str, LinkSettings]) -> None:
        """Let the directions be like this from now on."""
        for direction, wanted in settings.items():
            self.links[direction].change(wanted)


def _flipped(frame: bytes, bit: int) -> bytes:
    changed = bytearray(frame)
    flip(changed, bit)
    return bytes(changed)


class Control:
    """Answers requests on the control socket."""

    def __init__(self, relay: Relay, machine: str, taps: tuple[str, str]) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(control_address(machine))
        self.ended = False
        self._relay = relay
        self._read_by = dict(zip(DIRECTIONS, reversed(taps), strict=True))  # the TAP a direction's frames come from

    def answer(self) -> None:
        """Take one request, and answer it."""
        data, sender = self.socket.recvfrom(_REQUEST_BYTES)
        try:
            answer = self._answer(json.loads(data))
        except (ValueError, AttributeError, LinkSettingsError) as error:
            answer = {"error": str(error)}
        with contextlib.suppress(OSError):  # who asked is gone
            self.socket.sendto(json.dumps(answer).encode(), socket.MSG_DONTWAIT, sender)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        self._relay.change(
            {direction: LinkSettings.parse(request[direction]) for direction in DIRECTIONS if direction in request}
        )
        answer = {direction: self._described(direction) for direction in DIRECTIONS}
        if request.get("end"):
            self.ended = True
            for end in self._relay.ends:  # whoever asked finds the TAPs gone
                os.close(end)
        return answer

    def _described(self, direction: str) -> dict[str, Any]:
        link = self._relay.links[direction]
        dropped = Path(f"/sys/class/net/{self._read_by[direction]}/statistics/tx_dropped").read_text()
        missed = self._relay.missed[direction] + int(dropped)
        return {"settings": str(link.settings), "statistics": {**link.statistics(), "missed": missed}}


def run(relay: Relay, control: Control) -> None:
    """Carry frames until told to end."""
    ends = relay.ends
    watched = [*ends, control.socket.fileno()]
    timeout: float | None = None
    while not control.ended:
        # select(2) keeps microseconds, where epoll_wait(2) rounds up to the next millisecond.
        ready = select.select(watched, [], [], timeout)[0]
        for end in ends:
            if end in ready:
                relay.take(end)
        timeout = relay.deliver()
        if watched[-1] in ready:
            control.answer()


def open_tap(name: str) -> int:
    """Make the TAP ``name`` without header and offloads; it goes when it is closed. Raises OSError."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return descriptor


def main() -> int:
    """The relay's program: it says that it is ready, and carries frames until it is told to end or killed."""
    parser = argparse.ArgumentParser(description="The relay of one machine's emulated link; started by a lab.")
    parser.add_argument("machine")
    parser.add_argument("near", help="the TAP towards the machine")
    parser.add_argument("far", help="the TAP towards the bridge")
    parser.add_argument("seed", help="of what happens to frames")
    parser.add_argument(OUTLIVES, action="store_true", help="once it is ready, it no more dies with its parent")
    arguments = parser.parse_args()
    near, far = open_tap(arguments.near), open_tap(arguments.far)
    towards, away = (Link(LinkSettings(), f"{arguments.seed}/{arguments.machine}/{way}") for way in DIRECTIONS)
    relay = Relay(near, far, towards, away)
    control = Control(relay, arguments.machine, (arguments.near, arguments.far))
    with contextlib.suppress(PermissionError):  # it may not in a user namespace
        os.nice(NICENESS)
    gc.disable()  # it makes no cycles, and a collection would hold frames up
    if arguments.outlives:  # not before: until here nobody but the parent knew of it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, 0)
    print(READY, flush=True)
    run(relay, control)
    return 0


if __name__ == "__main__":
    sys.exit(main())
