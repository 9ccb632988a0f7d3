"""TCP Fast Open (RFC 7413): data in the SYN, for a peer that has proved before that it has its address.

A server gives whoever asks a cookie, which only it can make: a keyed hash of both addresses. A SYN that brings it back
may carry data, which reaches the application at once, and is answered before the handshake is complete. That spares a
round trip, and has a price: a SYN that is repeated on the way may reach the application twice. So a listener must
ask for it, and says how many such connections may be half open; beyond, a SYN is taken as any other, its data ignored.

A client that wants it gives ``connect`` its first data. Without a cookie of that server they wait for the handshake,
in which one is asked for. When a SYN with the option is not answered, it is repeated without, and the option is not
tried with that server for an hour: something on the way may drop what it does not know (section 4.1.3.1).
"""

from stack.address import is_mapped
from stack.tcp.constants import DEFAULT_MSS, SECOND, SYN_OPTIONS_MOST, TIME_WAIT_TIME
from stack.tcp.siphash import siphash
from stack.transport import Path

LONGEST_USED = 12  # a longer cookie of another server leaves no room for the other options of a SYN
MOST_SERVERS = 256
DISABLED_TIME = 3600 * SECOND


class FastOpen:
    """What a connection needs for it while it is being opened.

    cookie: what the option in our SYN or SYN-ACK says, b"" asks for a cookie; None: no option.
    room: how much data may go into the SYN. early: the peer's SYN had a cookie and data, and the application has it.
    """

    def __init__(self, cookie: bytes | None, room: int, early: bool) -> None:
        self.cookie = cookie
        self.room = room
        self.early = early


class FastOpenQueue:
    """A listener's connections that an application has, and whose handshake is not complete; at most ``limit``.

    A limit of 0: the listener does not know the option, and gives no cookies.
    One that the peer resets stays counted for a while: else a flood of SYNs, each followed by a reset from the host
    whose address is abused, would never fill it (section 5.1).
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.pending = 0
        self._resets: list[int] = []  # when they are forgotten, in order

    def set_limit(self, limit: int) -> None:
        """From now on; connections beyond it that have begun go on."""
        self.limit = limit

    def has_room(self, now: int) -> bool:
        """Whether another one may begin."""
        while self._resets and self._resets[0] <= now:
            self._resets.pop(0)
        return self.pending + len(self._resets) < self.limit

    def was_reset(self, now: int) -> None:
        """One that was pending has been reset by the peer."""
        self._resets.append(now + TIME_WAIT_TIME)


class FastOpenServers:
    """What a client knows of servers, by their address: cookies, and where the option did harm. The oldest goes."""

    def __init__(self) -> None:
        self._servers: dict[tuple[int, int], tuple[bytes, int, int]] = {}  # cookie, MSS, disabled until

    def begin(self, path: Path, our_mss: int, now: int, blindly: bool = False) -> FastOpen | None:
        """What to do in the SYN that goes along ``path``; None: as if there were no such thing.

        blindly: send data without a cookie, and without asking for one (FAST_OPEN_BLINDLY).
        """
        cookie, mss, disabled_until = self._servers.get((path.destination_high, path.destination_low), (b"", 0, 0))
        if now < disabled_until:
            return None
        if blindly:
            return FastOpen(None, min(mss or DEFAULT_MSS, our_mss) - SYN_OPTIONS_MOST, False)
        return FastOpen(cookie, min(mss, our_mss) - SYN_OPTIONS_MOST if cookie else 0, False)

    def remember(self, path: Path, cookie: bytes, mss: int) -> None:
        """The server has given us a cookie, and takes segments of ``mss`` bytes."""
        if len(cookie) <= LONGEST_USED:
            self._put(path, (cookie, max(mss, SYN_OPTIONS_MOST), 0))

    def disable(self, path: Path, now: int) -> None:
        """A SYN with the option was lost."""
        self._put(path, (b"", 0, now + DISABLED_TIME))

    def _put(self, path: Path, entry: tuple[bytes, int, int]) -> None:
        key = path.destination_high, path.destination_low
        self._servers.pop(key, None)
        self._servers[key] = entry
        if len(self._servers) > MOST_SERVERS:
            del self._servers[next(iter(self._servers))]


def server_cookie(key: bytes, path: Path) -> bytes:
    """The cookie of the host at the other end of ``path``, 8 bytes, as Linux's server makes it from a key of 16.

    It is SipHash of the addresses in the host's SYN: servers with one key take each other's cookies (section 6.3.4).
    """
    return siphash(
        key, _address(path.destination_high, path.destination_low) + _address(path.source_high, path.source_low)
    )


def _address(high: int, low: int) -> bytes:
    """4 bytes of an IPv4 address, 16 of another."""
    whole = high.to_bytes(8, "big") + low.to_bytes(8, "big")
    return whole[12:] if is_mapped(high, low) else whole
