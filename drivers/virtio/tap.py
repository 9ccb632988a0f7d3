"""Opening a TAP device, with a virtio-net header and offloads or without.

The ioctls for IFF_VNET_HDR, the 12-byte little-endian header and the offloads are in ``linux/if_tun.h``. Works in the
network namespace of the calling process. A TAP that stays when nobody has it open keeps two things for whoever opens
it next: whether it is for several queues, for ever, and the offloads, until somebody sets others.

A TAP of several queues has a file descriptor for each (IFF_MULTI_QUEUE). The kernel spreads the frames it sends us
over the queues that are attached, by a hash of the flow that is the same in both directions; a flow that we have sent
a frame of comes through the queue we sent it by, until 3 seconds have passed without one.
"""

import contextlib
import errno
import fcntl
import os
import re
import socket
import struct
from dataclasses import dataclass

from drivers.virtio.constants import NET_HEADER_LENGTH
from drivers.virtio.tap_queues import attached_queues

CLONE_DEVICE = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_TUNSETOFFLOAD = 0x400454D0
_TUNSETVNETHDRSZ = 0x400454D8
_TUNSETVNETLE = 0x400454DC
_TUNSETQUEUE = 0x400454D9
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_SIOCGIFMTU = 0x8921
_SIOCGIFHWADDR = 0x8927
_IFF_UP = 0x1
_IFF_TAP = 0x0002
_IFF_MULTI_QUEUE = 0x0100
_IFF_ATTACH_QUEUE = 0x0200
_IFF_DETACH_QUEUE = 0x0400
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000
_TUN_F_CSUM = 0x01
_TUN_F_TSO4 = 0x02
_TUN_F_TSO6 = 0x04
_NAME = re.compile(r"[^\s/:%]+")  # as the kernel's dev_valid_name(); it makes a number of a %d
_LONGEST_NAME = 15  # bytes: IFNAMSIZ without the zero at the end; the kernel would cut off the rest


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


def open_tap(name: str, queues: int = 1, *, vnet_header: bool = True, make: bool = False) -> Tap:
    """Attach ``queues`` queues to the TAP ``name``, with header and offloads or without.

    make: where there is none of that name, make one, which is down at first and goes when it is closed. Raises
    TapError.
    """
    _check_name(name)
    if not make and not exists(name):
        kind = f"{name} mode tap{' multi_queue' if queues > 1 else ''}"
        raise TapError(errno.ENODEV, "there is no such interface here", name, f"Make it: ip tuntap add {kind}")
    fds: list[int] = []
    try:
        for _ in range(queues):
            fds.append(os.open(CLONE_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
        flags = _attach_first(fds[0], name, queues, _IFF_TAP | _IFF_NO_PI | (_IFF_VNET_HDR if vnet_header else 0))
        for fd in fds[1:]:
            _attach(fd, name, flags)
        if vnet_header:
            fcntl.ioctl(fds[0], _TUNSETVNETHDRSZ, struct.pack("i", NET_HEADER_LENGTH))
            fcntl.ioctl(fds[0], _TUNSETVNETLE, struct.pack("i", 1))
        _set_offloads(fds[0], _TUN_F_CSUM | _TUN_F_TSO4 | _TUN_F_TSO6 if vnet_header else 0)
    except OSError as error:
        for fd in fds:
            os.close(fd)
        raise _explained(name, error, queues) from error
    return Tap(tuple(fds), name, vnet_header, queues)


def close_tap(tap: Tap) -> None:
    """Give the TAP back without offloads: who opens it next may want whole frames, and not know to ask for them."""
    if tap.vnet_header:
        with contextlib.suppress(OSError):  # it was deleted
            _set_offloads(tap.fds[0], 0)
    for fd in tap.fds:
        os.close(fd)


def exists(name: str) -> bool:
    """Whether there is an interface of that name."""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name.encode()) > _LONGEST_NAME or name in (".", ".."):
        advice = f"Use 1 to {_LONGEST_NAME} bytes, without spaces and / : %."
        raise TapError(errno.EINVAL, "that is no name of an interface", name, advice)


def _set_offloads(fd: int, offloads: int) -> None:
    fcntl.ioctl(fd, _TUNSETOFFLOAD, offloads)


def _attach_first(fd: int, name: str, queues: int, flags: int) -> int:
    """Attach the first queue; the flags that went through.

    A TAP is made for one queue or for several, and the kernel lets in only who asks for what it was made for (EINVAL).
    One queue of a TAP for several is as good as the only one, so for one queue both are tried. Where several may
    attach the kernel does not say that another process has: we look.
    """
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


def _explained(name: str, error: OSError, queues: int) -> TapError:
    """Say what to do about it."""
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError):
        advice = f"{CLONE_DEVICE} does not exist. Load the kernel module: modprobe tun"
    elif isinstance(error, PermissionError):
        advice = "Run it with sudo, or as root of a user namespace that may open /dev/net/tun."
    elif error.errno == errno.EBUSY:
        advice = "Another process is attached to it: end that one first."
    elif error.errno == errno.EINVAL and queues > 1 and _has_one_queue(name):
        reason = "it is made for one queue"
        advice = f"Delete it, then: ip tuntap add {name} mode tap multi_queue"
    elif error.errno == errno.EINVAL:
        reason = "it is no TAP"
        advice = "Name a TAP: `ip -details link` says what each interface is."
    elif error.errno == errno.E2BIG:
        advice = "It has no more queues: use fewer cores."
    else:
        advice = "`netlab doctor` says what this machine lacks."
    return TapError(error.errno or 0, reason, name, advice)


def _has_one_queue(name: str) -> bool:
    """Whether it is a TAP that lets in who does not ask for several queues."""
    fd = os.open(CLONE_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _attach(fd, name, _IFF_TAP | _IFF_NO_PI)
    except OSError as error:
        return error.errno == errno.EBUSY
    finally:
        os.close(fd)
    return True


def mtu(name: str) -> int:
    """The MTU of interface ``name`` in bytes."""
    return int(struct.unpack("16si20x", _ask(_SIOCGIFMTU, name))[1])


def hardware_address(name: str) -> bytes:
    """The link address of the kernel's side of a TAP, which the kernel draws at random unless told."""
    return bytes(struct.unpack("16sH6s16x", _ask(_SIOCGIFHWADDR, name))[2])


def set_up(name: str) -> None:
    """Let interface ``name`` carry frames. Raises OSError."""
    flags = int(struct.unpack("16sh22x", _ask(_SIOCGIFFLAGS, name))[1])
    _ask(_SIOCSIFFLAGS, name, struct.pack("h", flags | _IFF_UP))


def _ask(request: int, name: str, value: bytes = b"") -> bytes:
    """One ioctl of netdevice(7): a ``struct ifreq`` of 40 bytes, there and back."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        return fcntl.ioctl(any_socket.fileno(), request, struct.pack("16s24s", name.encode(), value))
