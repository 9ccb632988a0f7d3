"""What an application may set for a TCP connection, or for all connections of a listener.

One immutable value: read it from a connection, ``replace`` what is to change, and give it back to ``configure``.

    connection.configure(replace(connection.settings(), keepalive=True, keepalive_idle=60 * SECOND))

It means the same over a node's own stack (``stack.tcp.settings``) and over kernel sockets (``ebbrt.sockets.options``);
the socket option that Linux has for each is named in brackets. Connections share the value, so that what ten thousand
of them have in common is in memory once.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

SECOND = 1_000_000_000


class SettingsError(ValueError):
    """A setting has no such value."""


@dataclass(frozen=True, slots=True)
class TcpSettings:
    """Times are nanoseconds, sizes bytes.

    nagle: hold short segments back while others are unacknowledged (the opposite of TCP_NODELAY). Turning it off sends
    what is queued, even under a cork.
    cork: hold them back until there is a full one, or for one retransmission timeout (TCP_CORK).
    delayed_ack: acknowledge every second segment, or after a while; else each at once (TCP_QUICKACK, from which Linux
    returns by itself).
    congestion_control: the controller's name (TCP_CONGESTION); "": the default.
    pacing: spread segments over the round trip instead of sending them in bursts.
    most_rate: bytes per second that pacing never exceeds; 0: no limit of its own (SO_MAX_PACING_RATE).
    keepalive: ask a peer that says nothing whether it is there (SO_KEEPALIVE): after ``keepalive_idle``, then every
    ``keepalive_interval``, and give up after ``keepalive_probes`` questions (TCP_KEEPIDLE, _KEEPINTVL, _KEEPCNT).
    user_timeout: how long data may remain unacknowledged, or a window closed, before the connection is given up;
    0: as the number of retransmissions says (TCP_USER_TIMEOUT, RFC 9293 section 3.8.3).
    syn_retransmissions: of our SYN, before connecting fails; 0: the default (TCP_SYNCNT).
    fin_wait_2_time: how long to wait, closed, for a peer that neither sends nor closes (TCP_LINGER2).
    receive_buffer, send_buffer: how much the peer may send unread, and what ``send_window`` counts from (SO_RCVBUF,
    SO_SNDBUF); 0: it follows what the connection can use.
    window_clamp: the largest window offered; 0: the buffer alone decides (TCP_WINDOW_CLAMP).
    most_unsent: how much may be queued and not yet sent before ``send_window`` is nothing; 0: as much as the buffer
    takes (TCP_NOTSENT_LOWAT).
    most_segment: the longest segment, options not counted, that is asked for and sent; 0: what the path takes
    (TCP_MAXSEG).
    diffserv: the differentiated services code point of what is sent (RFC 2474; IP_TOS without the bits of ECN).
    reset_on_close: ``close`` throws away what is queued and resets the connection (SO_LINGER with no time).
    """

    nagle: bool = True
    cork: bool = False
    delayed_ack: bool = True
    congestion_control: str = ""
    pacing: bool = False
    most_rate: int = 0
    keepalive: bool = False
    keepalive_idle: int = 7200 * SECOND
    keepalive_interval: int = 75 * SECOND
    keepalive_probes: int = 9
    user_timeout: int = 0
    syn_retransmissions: int = 0
    fin_wait_2_time: int = 60 * SECOND
    receive_buffer: int = 0
    send_buffer: int = 0
    window_clamp: int = 0
    most_unsent: int = 0
    most_segment: int = 0
    diffserv: int = 0
    reset_on_close: bool = False

    def __post_init__(self) -> None:
        """Raises SettingsError for what no connection could do."""
        for name, least, most in LIMITS:
            value = getattr(self, name)
            if value and not least <= value <= most:
                raise SettingsError(f"{name} is {value}: it must be {least} to {most}, or 0 for the default")
        for name in ("keepalive_idle", "keepalive_interval", "keepalive_probes", "fin_wait_2_time"):
            if not getattr(self, name):
                raise SettingsError(f"{name} cannot be 0")


MOST_TIME = 32767 * SECOND
MOST_BUFFER = 1 << 30  # what window scaling can express (RFC 7323 section 2.3)
# Settings that are numbers: the least and the most that they may be. The bounds are Linux's where it has some.
LIMITS = (
    ("most_rate", 1, 1 << 62),
    ("keepalive_idle", SECOND, MOST_TIME),
    ("keepalive_interval", SECOND, MOST_TIME),
    ("keepalive_probes", 1, 127),
    ("user_timeout", 1_000_000, 1 << 61),
    ("syn_retransmissions", 1, 127),
    ("fin_wait_2_time", SECOND, 120 * SECOND),
    ("receive_buffer", 1152, MOST_BUFFER),
    ("send_buffer", 2304, MOST_BUFFER),
    ("window_clamp", 1152, MOST_BUFFER),
    ("most_unsent", 1, MOST_BUFFER),
    ("most_segment", 88, 32767),
    ("diffserv", 1, 63),
)

DEFAULT_SETTINGS = TcpSettings()


@lru_cache(16)
def without_nagle(settings: TcpSettings) -> TcpSettings:
    """The same with short segments sent at once: one value for all connections that had one before."""
    return replace(settings, nagle=False)
