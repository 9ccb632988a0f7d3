"""Opening a TAP device: a plain one through pytap2, one with a virtio-net header and offloads ourselves.

pytap2 knows TAPs without a header only; the ioctls for IFF_VNET_HDR, the 12-byte little-endian header and the offloads
are in ``linux/if_tun.h``. Works in the network namespace of the calling process.
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

CLONE_DEVICE = "/dev/net/tun"
_TUNSETIFF = 0x400454CA
_TUNSETOFFLOAD = 0x400454D0
_TUNSETVNETHDRSZ = 0x400454D8
_TUNSETVNETLE = 0x400454DC
_SIOCGIFMTU = 0x8921
_IFNAMSIZ = 16
_IFF_TAP = 0x0002
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000
_TUN_F_CSUM = 0x01
_TUN_F_TSO4 = 0x02


class TapError(OSError):
    """A TAP could not be opened: ``strerror`` says why, ``advice`` what to do."""

    def __init__(self, number: int, reason: str, name: str, advice: str) -> None:
        super().__init__(number, reason, name)
        self.advice = advice


@dataclass(frozen=True)
class Tap:
    """An open, non-blocking TAP: its file descriptor, name, and whether frames carry a virtio-net header."""

    fd: int
    name: str
    vnet_header: bool


def open_tap(name: str) -> Tap:
    """Attach to the TAP ``name`` with header and offloads; it is made if it does not exist. Raises TapError."""
    if not 0 < len(name.encode()) < _IFNAMSIZ:  # the kernel would cut it off
        raise TapError(errno.EINVAL, "that is no name of an interface", name, "Use 1 to 15 characters.")
    try:
        fd = os.open(CLONE_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _explained(name, error) from error
    try:
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        fcntl.ioctl(fd, _TUNSETVNETHDRSZ, struct.pack("i", NET_HEADER_LENGTH))
        fcntl.ioctl(fd, _TUNSETVNETLE, struct.pack("i", 1))
        fcntl.ioctl(fd, _TUNSETOFFLOAD, _TUN_F_CSUM | _TUN_F_TSO4)
    except OSError as error:
        os.close(fd)
        raise _explained(name, error) from error
    return Tap(fd, name, True)


def open_plain_tap(prefix: str) -> Tap:
    """Make a TAP without header and offloads, named ``prefix`` and the first free number. Raises TapError."""
    try:
        device = TapDevice(mode=TapMode.Tap, name=prefix, enable_packet_info=False)
    except OSError as error:
        raise _explained(prefix, error) from error
    fd = os.dup(device.fileno())  # ours; pytap2 closes its own, now and not once more at exit
    atexit.unregister(device.close)
    device.close()
    os.set_blocking(fd, False)
    return Tap(fd, device.name, False)


def _explained(name: str, error: OSError) -> TapError:
    """Say what to do about it."""
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError):
        advice = f"{CLONE_DEVICE} does not exist. Load the kernel module: modprobe tun"
    elif isinstance(error, PermissionError):
        advice = "Run it with sudo, or as root of a user namespace that may open /dev/net/tun."
    elif error.errno == errno.EBUSY:
        advice = "Another process is attached to it: end that one first."
    elif error.errno == errno.EINVAL:
        advice = "It exists with other flags: it is not a TAP, or has several queues."
    else:
        advice = "`netlab doctor` says what this machine lacks."
    return TapError(error.errno or 0, reason, name, advice)


def mtu(name: str) -> int:
    """The MTU of interface ``name`` in bytes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        answer = fcntl.ioctl(probe.fileno(), _SIOCGIFMTU, struct.pack("16s24x", name.encode()))
    return int(struct.unpack("16si20x", answer)[1])
