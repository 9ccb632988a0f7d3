"""How many queues of a TAP are attached: the kernel tells by netlink, in the network namespace of the caller.

There is no ioctl for it, and /sys shows the namespace in which it was mounted. One request and its answer are all that
is needed (``linux/rtnetlink.h``, ``linux/if_link.h``), so they are made by hand here.
"""

import os
import socket
import struct
from collections.abc import Iterator

_RTM_GETLINK = 18
_NLM_F_REQUEST = 1
_NLMSG_ERROR = 2
_IFLA_IFNAME = 3
_IFLA_LINKINFO = 18
_IFLA_INFO_DATA = 2
_IFLA_TUN_NUM_QUEUES = 8
_MESSAGE = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # struct ifinfomsg
_ATTRIBUTE = struct.Struct("=HH")  # struct rtattr: length with its own header, type


def attached_queues(name: str) -> int:
    """How many queues of the TAP ``name`` are attached, by whomever; 0 when it is made for one. Raises OSError."""
    wanted = name.encode() + b"\0"
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(wanted), _IFLA_IFNAME)
    attribute += wanted.ljust(_aligned(len(wanted)), b"\0")
    body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + attribute
    request = _MESSAGE.pack(_MESSAGE.size + len(body), _RTM_GETLINK, _NLM_F_REQUEST, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.send(request)
        answer = netlink.recv(1 << 16)
    length, kind, *_ = _MESSAGE.unpack_from(answer)
    if kind == _NLMSG_ERROR:
        (error,) = struct.unpack_from("=i", answer, _MESSAGE.size)
        raise OSError(-error, os.strerror(-error), name)
    data = answer[_MESSAGE.size + _LINK.size : length]
    for kind in (_IFLA_LINKINFO, _IFLA_INFO_DATA, _IFLA_TUN_NUM_QUEUES):
        data = dict(_attributes(data)).get(kind, b"")
    return int.from_bytes(data, "little")


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value of each attribute in ``data``."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, data[at + _ATTRIBUTE.size : at + length]  # without the flags of nesting and byte order
        at += _aligned(length)


def _aligned(length: int) -> int:
    return (length + 3) // 4 * 4
