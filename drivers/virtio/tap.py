"""Opening a TAP device: a plain one through pytap2, one with a virtio-net header and offloads ourselves.

pytap2 knows TAPs without a header only; the ioctls for IFF_VNET_HDR, the 12-byte little-endian header and the offloads
are in ``linux/if_tun.h``. Works in the network namespace of the calling process.

A TAP of several queues has a file descriptor for each (IFF_MULTI_QUEUE). The kernel spreads the frames it sends us
over the queues that are attached, by a hash of the flow that is the same in both directions; a flow that we have sent
a frame of comes through the queue we sent it by, until 3 seconds have passed without one.
"""

import atexit
import errno
import fcntl
import os
import socket
import struct
from dataclasses import dataclass

from pytap2 import TapDevice, TapMode

from drivers.virtio.constants import NET_HEADER_LENGTH
from drivers.virtio.tap_queues import attached_queues

CLONE_DEVICE = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_TUNSETOFFLOAD = 0x400454D0
_TUNSETVNETHDRSZ = 0x400454D8
_TUNSETVNETLE = 0x400454DC
_TUNSETQUEUE = 0x400454D9
_SIOCGIFMTU = 0x8921
_IFNAMSIZ = 16
_IFF_TAP = 0x0002
_IFF_MULTI_QUEUE = 0x0100
_IFF_ATTACH_QUEUE = 0x0200
_IFF_DETACH_QUEUE = 0x0400
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000
_TUN_F_CSUM = 0x01
_TUN_F_TSO4 = 0x02
_TUN_F_TSO6 = 0x04


class TapError(OSError):
    """A TAP could not be opened: ``strerror`` says why, ``advice`` what to do."""

    def __init__(self, number: int, reason: str, name: str, advice: str) -> None:
        super().__init__(number, reason, name)
        self.advice = advice


@dataclass
class Tap:
    """An open, non-blocking TAP: a file descriptor for each queue, its name, whether frames carry a virtio-net header.

    attached: so many of the queues receive, from the first on; ``attach_queues`` changes that.
    """

    fds: tuple[int, ...]
    name: str
    vnet_header: bool
    attached: int


def open_tap(name: str, queues: int = 1) -> Tap:
    """Attach ``queues`` queues to the TAP ``name``, with header and offloads; it is made if it does not exist.

    Raises TapError.
    """
    if not 0 < len(name.encode()) < _IFNAMSIZ:  # the kernel would cut it off
        raise TapError(errno.EINVAL, "that is no name of an interface", name, "Use 1 to 15 characters.")
    fds: list[int] = []
    try:
        for _ in range(queues):
            fds.append(os.open(CLONE_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
        flags = _attach_first(fds[0], name, queues)
        for fd in fds[1:]:
            _attach(fd, name, flags)
        fcntl.ioctl(fds[0], _TUNSETVNETHDRSZ, struct.pack("i", NET_HEADER_LENGTH))
        fcntl.ioctl(fds[0], _TUNSETVNETLE, struct.pack("i", 1))
        fcntl.ioctl(fds[0], _TUNSETOFFLOAD, _TUN_F_CSUM | _TUN_F_TSO4 | _TUN_F_TSO6)
    except OSError as error:
        for fd in fds:
            os.close(fd)
        raise _explained(name, error, queues) from error
    return Tap(tuple(fds), name, True, queues)


def _attach_first(fd: int, name: str, queues: int) -> int:
    """Attach the first queue; the flags that went through.

    A TAP is made for one queue or for several, and the kernel lets in only who asks for what it was made for (EINVAL).
    One queue of a TAP for several is as good as the only one, so for one queue both are tried. Where several may
    attach the kernel does not say that another process has: we look.
    """
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
    if queues == 1:
        try:
            _attach(fd, name, flags)
            return flags
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
    flags |= _IFF_MULTI_QUEUE
    _attach(fd, name, flags)
    if attached_queues(name) > 1:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
    return flags


def _attach(fd: int, name: str, flags: int) -> None:
    fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))


def attach_queues(tap: Tap, count: int) -> None:
    """Let the first ``count`` queues receive, and the others no more. Raises OSError."""
    while tap.attached < count:
        fcntl.ioctl(tap.fds[tap.attached], _TUNSETQUEUE, struct.pack("16xH22x", _IFF_ATTACH_QUEUE))
        tap.attached += 1
    while tap.attached > count:  # the last first: the kernel fills the gap of another with it
        fcntl.ioctl(tap.fds[tap.attached - 1], _TUNSETQUEUE, struct.pack("16xH22x", _IFF_DETACH_QUEUE))
        tap.attached -= 1


def open_plain_tap(prefix: str) -> Tap:
    """Make a TAP without header and offloads, named ``prefix`` and the first free number. Raises TapError."""
    try:
        device = TapDevice(mode=TapMode.Tap, name=prefix, enable_packet_info=False)
    except OSError as error:
        raise _explained(prefix, error, 1) from error
    fd = os.dup(device.fileno())  # ours; pytap2 closes its own, now and not once more at exit
    atexit.unregister(device.close)
    device.close()
    os.set_blocking(fd, False)
    return Tap((fd,), device.name, False, 1)


def _explained(name: str, error: OSError, queues: int) -> TapError:
    """Say what to do about it."""
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError):
        advice = f"{CLONE_DEVICE} does not exist. Load the kernel module: modprobe tun"
    elif isinstance(error, PermissionError):
        advice = "Run it with sudo, or as root of a user namespace that may open /dev/net/tun."
    elif error.errno == errno.EBUSY:
        advice = "Another process is attached to it: end that one first."
    elif error.errno == errno.EINVAL and queues > 1:
        advice = (
            "It exists with other flags: it is not a TAP, or is made for one queue. "
            f"Delete it, then: ip tuntap add {name} mode tap multi_queue vnet_hdr"
        )
    elif error.errno == errno.EINVAL:
        advice = "It exists with other flags: it is not a TAP."
    elif error.errno == errno.E2BIG:
        advice = "It has no more queues: use fewer cores."
    else:
        advice = "`netlab doctor` says what this machine lacks."
    return TapError(error.errno or 0, reason, name, advice)


def mtu(name: str) -> int:
    """The MTU of interface ``name`` in bytes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        answer = fcntl.ioctl(probe.fileno(), _SIOCGIFMTU, struct.pack("16s24x", name.encode()))
    return int(struct.unpack("16si20x", answer)[1])
