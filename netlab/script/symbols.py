"""Linux's numbers for the names in a script, and the system calls there are.

Python's modules have most of them, on Linux with Linux's values; the rest are here, from ``linux/tcp.h``,
``linux/sockios.h`` and ``asm-generic/socket.h``.
"""

import errno
import fcntl
import os
import select
import socket

PREFIXES = ("AF_", "SOCK_", "SOL_", "SO_", "IPPROTO_", "IP_", "IPV6_", "TCP_", "MSG_", "SHUT_", "INADDR_", "SCM_")
EXTRA = {
    "FIONREAD": 0x541B,
    "SIOCINQ": 0x541B,
    "SIOCOUTQ": 0x5411,
    "FIONBIO": 0x5421,
    "IP_MTU": 14,
    "IP_MTU_DISCOVER": 10,
    "IP_PMTUDISC_DONT": 0,
    "IP_PMTUDISC_WANT": 1,
    "IP_PMTUDISC_DO": 2,
    "IP_PMTUDISC_PROBE": 3,
    "IPV6_MTU": 24,
    "SO_BUSY_POLL": 46,
    "SO_MAX_PACING_RATE": 47,
    "SO_ZEROCOPY": 60,
    "SOL_IPV6": 41,
    "TCP_THIN_LINEAR_TIMEOUTS": 16,
    "TCP_THIN_DUPACK": 17,
    "TCP_USER_TIMEOUT": 18,
    "TCP_REPAIR": 19,
    "TCP_FASTOPEN": 23,
    "TCP_TIMESTAMP": 24,
    "TCP_NOTSENT_LOWAT": 25,
    "TCP_CC_INFO": 26,
    "TCP_SAVE_SYN": 27,
    "TCP_SAVED_SYN": 28,
    "TCP_FASTOPEN_CONNECT": 30,
    "TCP_ULP": 31,
    "TCP_FASTOPEN_KEY": 33,
    "TCP_FASTOPEN_NO_COOKIE": 34,
    "TCP_INQ": 36,
    "TCP_CM_INQ": 36,
    "TCP_TX_DELAY": 37,
    "MSG_FASTOPEN": 0x20000000,
    "MSG_ZEROCOPY": 0x4000000,
    "TIME_WAIT": 6,
}

# How many arguments each call takes.
KNOWN_CALLS: dict[str, tuple[int, ...]] = {
    "socket": (3,),
    "bind": (3,),
    "listen": (2,),
    "accept": (3,),
    "connect": (3,),
    "read": (3,),
    "readv": (3,),
    "recv": (4,),
    "recvfrom": (6,),
    "recvmsg": (3,),
    "write": (3,),
    "writev": (3,),
    "send": (4,),
    "sendto": (6,),
    "sendmsg": (3,),
    "fcntl": (2, 3),
    "ioctl": (2, 3),
    "close": (1,),
    "shutdown": (2,),
    "getsockopt": (5,),
    "setsockopt": (5,),
    "poll": (3,),
}


def _collect() -> dict[str, int]:
    found: dict[str, int] = {}
    for module, prefixes in (
        (socket, PREFIXES),
        (select, ("POLL", "EPOLL")),
        (fcntl, ("F_", "FD_")),
        (os, ("O_",)),
        (errno, ("E",)),
    ):
        for name in dir(module):
            value = getattr(module, name)
            if name.startswith(prefixes) and isinstance(value, int):
                found[name] = int(value)
    return found | EXTRA


SYMBOLS = _collect()


def errno_name(number: int) -> str:
    """As ``EAGAIN``."""
    return errno.errorcode.get(number, str(number))


def errno_text(number: int) -> str:
    """As ``Resource temporarily unavailable``."""
    return os.strerror(number)
