"""Numbers of the TCP engine: flags, states, timers, limits, and the reasons a segment is dropped for.

A compiled module imports what it needs by name and declares it in its ``.pxd`` as a C variable. Times are nanoseconds.
"""

# Sequence arithmetic. By name, because the compiler takes a literal this large for a Python object.
MASK32 = 0xFFFFFFFF
HALF32 = 0x80000000

# Control bits, RFC 9293 section 3.1.
FIN = 0x01
SYN = 0x02
RST = 0x04
PSH = 0x08
ACK = 0x10
ECE = 0x40  # RFC 3168 section 6.1
CWR = 0x80

# The two bits of ECN in the traffic class of an IP packet, RFC 3168 section 5.
ECN_MASK = 3
ECT_0 = 2
CE = 3
# Whether to use it: as Linux's sysctl tcp_ecn.
ECN_OFF = 0
ECN_REQUEST = 1
ECN_ACCEPT = 2  # when the peer asks

# What of fast open (RFC 7413) is done: the bits of Linux's sysctl tcp_fastopen.
FAST_OPEN_CLIENT = 0x1
FAST_OPEN_SERVER = 0x2
FAST_OPEN_BLINDLY = 0x4  # a client sends data to a server that has given it no cookie
FAST_OPEN_TRUSTING = 0x200  # a server takes data without a cookie
FAST_OPEN_ALL = 0x400  # for every listening socket, if it does not say otherwise

PROTOCOL_TCP = 6
CHECKSUM_OFFSET = 16  # of the checksum field in the header
HEADER_LENGTH = 20
TIMESTAMPS_LENGTH = 12  # two NOPs and the option
SYN_OPTIONS_MOST = 40  # MSS, SACK-permitted, timestamps, window scale; fast open with a cookie of up to 12 bytes
SACK_HEAD_LENGTH = 4  # two NOPs, kind and length
SACK_BLOCK_LENGTH = 8
OPTIONS_MOST = 40  # bytes of options in a header

# States, RFC 9293 section 3.3.2; see stack/tcp/state.py.
CLOSED = 0
LISTEN = 1
SYN_SENT = 2
SYN_RECEIVED = 3
ESTABLISHED = 4
FIN_WAIT_1 = 5
FIN_WAIT_2 = 6
CLOSE_WAIT = 7
CLOSING = 8
LAST_ACK = 9
TIME_WAIT = 10
STATE_NAMES = (
    "closed",
    "listen",
    "syn_sent",
    "syn_received",
    "established",
    "fin_wait_1",
    "fin_wait_2",
    "close_wait",
    "closing",
    "last_ack",
    "time_wait",
)

# What the one main timer of a connection is waiting for; see stack/tcp/timers.py.
TIMER_NONE = 0
TIMER_HANDSHAKE = 1  # our SYN or SYN-ACK to be acknowledged
TIMER_RETRANSMIT = 2
TIMER_REORDER = 3  # what was sent before something that has arrived; see stack/tcp/rack.py
TIMER_PROBE = 4  # an acknowledgment of the end of a flight
TIMER_PERSIST = 5
TIMER_FIN_WAIT_2 = 6
TIMER_TIME_WAIT = 7
TIMER_KEEPALIVE = 8  # nothing is in flight: to ask the peer whether it is there

# How recovering from loss stands; see stack/tcp/recovery.py.
OPEN = 0
RECOVERY = 1
LOSS = 2
REDUCED = 3

# What became of a part of the flight: bits of a record in stack/tcp/sent.py. In flight is neither of the first two.
SACKED = 1
LOST = 2
RESENT = 4  # it was sent more than once
FOLLOWS = 8  # ... and at the same instant as what had not been sent before, but after that

MILLISECOND = 1_000_000
SECOND = 1_000_000_000

INITIAL_RTO = SECOND  # RFC 6298 (2.1)
MIN_DEVIATION = 200 * MILLISECOND  # what a timeout is longer than a round trip, at least: tcp_rto_min of Linux
MOST_RTO = 60 * SECOND  # RFC 6298 (2.5)
LEAST_PROBE_TIME = 10 * MILLISECOND  # of a loss probe: a busy peer answers late
MOST_ACK_DELAY = 200 * MILLISECOND  # of a peer that waits for a second segment (TLP.max_ack_delay, RFC 8985)
LEAST_RTT_TIME = 300 * SECOND  # for how long the shortest round trip counts, as Linux
DELAYED_ACK_TIME = 40 * MILLISECOND  # at most 500 ms, RFC 9293 section 3.8.6.3
MOST_QUICK_ACKS = 16  # segments that are acknowledged at once, as Linux (stack/tcp/quick_acks.py)
LEAST_QUICK_ACKS = 2  # when the window holds not even that many
MOST_RETRANSMISSIONS = 12  # with the backoff at least 280 s: RFC 9293's R2 is 100 s or more (section 3.8.3)
MOST_SYN_RETRANSMISSIONS = 7  # 183 s: R2 of a SYN is 3 minutes or more
MOST_SYN_ACK_RETRANSMISSIONS = 5  # 63 s, as Linux
TIME_WAIT_TIME = 60 * SECOND  # twice a maximum segment lifetime of 30 s
MOST_TIME_WAIT = 4096  # the oldest goes before its time when there are more
SPARE_TIMERS = 64  # entries in the heap of timers, beyond two for each connection, before stale ones are dropped
CHALLENGE_INTERVAL = 500 * MILLISECOND  # least time between two ACKs that answer unacceptable segments
COOKIE_PERIOD = 64 * SECOND  # of a SYN cookie, which is good for one to two of them
PAWS_IDLE = 24 * 24 * 3600 * SECOND  # ts_recent is worth nothing when older, RFC 7323 section 5.5

BLACK_HOLE_RETRIES = 3  # timeouts in a row of a full segment, RFC 8899 section 5.1.2 MAX_PROBES
PROBE_FOLLOWERS = 3  # full segments that must follow a probe of the path's MTU, so that its loss is seen
DEFAULT_MSS = 536  # of a peer that sends no MSS option, RFC 9293 section 3.7.1
LEAST_MSS = 88  # 76 after timestamps: below it headers cost more than they carry, and a peer is humoured no further
# Both buffers grow with what the connection can use (stack/tcp/autotune.py), from the first size to the second.
RECEIVE_BUFFER = 256 * 1024  # bytes of sequence space a peer may fill
MOST_RECEIVE_BUFFER = 6 * 1024 * 1024
SEGMENTS_AHEAD = 16  # the window is to be larger by these than twice a round trip's worth, as Linux's
SEND_BUFFER = 256 * 1024  # what send_window() counts from
MOST_SEND_BUFFER = 4 * 1024 * 1024
MEMORY_PER_WINDOW = 2  # bytes of node memory a byte of receive window may pin
MOST_WINDOW = 1 << 30  # the largest that window scaling can express; a slow start threshold that was never set
INITIAL_WINDOW = 14600  # bytes, RFC 6928 section 2
DUPLICATE_THRESHOLD = 3  # DupThresh of RFC 5681, 6675 and 8985
REORDER_PERSIST = 16  # recoveries for which a longer reordering window is kept, RFC 8985 section 6.2
LEAST_RECORDS = 32  # of what is in flight, where there are any
MOST_RECORDS = 4096  # about 6 MB of full segments; 52 KiB of memory
SPARE_RECORDS = 64  # sets of them kept for connections to come, of at most:
MOST_SPARE_RECORDS = 256
MOST_PIECES = 64  # IOBufs in one transmitted segment: a descriptor each
MOST_HOLES = 256  # separate ranges kept out of order

FIRST_EPHEMERAL_PORT = 49152  # RFC 6335
LAST_EPHEMERAL_PORT = 65535

# Why a received segment, or a part of it, was not used. The order is that of DROP_NAMES.
DROP_TOO_SHORT = 0
DROP_BAD_DATA_OFFSET = 1
DROP_SPLIT_HEADER = 2
DROP_BAD_CHECKSUM = 3
DROP_BAD_OPTIONS = 4
DROP_BAD_ADDRESS = 5
DROP_NO_CONNECTION = 6
DROP_BAD_COOKIE = 7
DROP_OUT_OF_WINDOW = 8
DROP_OLD_TIMESTAMP = 9
DROP_NO_TIMESTAMP = 10
DROP_BLIND_RESET = 11
DROP_UNEXPECTED_SYN = 12
DROP_NO_ACK = 13
DROP_ACK_OUT_OF_RANGE = 14
DROP_DUPLICATE = 15
DROP_REASSEMBLY_FULL = 16
DROP_RECEIVE_MEMORY = 17
DROP_AFTER_FIN = 18
DROP_UNACCEPTABLE_HANDSHAKE = 19
DROP_AFTER_END = 20  # only on a node of several cores: stack.tcp.ended
DROP_NAMES = (
    "too_short",
    "bad_data_offset",
    "split_header",
    "bad_checksum",
    "bad_options",
    "bad_address",
    "no_connection",
    "bad_cookie",
    "out_of_window",
    "old_timestamp",
    "no_timestamp",
    "blind_reset",
    "unexpected_syn",
    "no_ack",
    "ack_out_of_range",
    "duplicate",
    "reassembly_full",
    "receive_memory",
    "after_fin",
    "unacceptable_handshake",
    "after_end",
)
