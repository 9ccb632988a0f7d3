"""IPv4's options as an answer returns them: Record Route and Timestamp (RFC 791 section 3.1, RFC 1122 3.2.2.6).

A message of ICMP that answers a packet has those of its two options that ask for it, each with our entries: one for
when the packet came, one for when the answer leaves, as Linux has it. So the route that ``ping -R`` shows is that of
the whole round trip. ``stack.wire.ipv4`` has looked at received options and refused bad ones; here what is not
understood ends the matter.
"""

RECORD_ROUTE = 7
TIMESTAMP = 68
END = 0
NOTHING = 1

POINTER = 2  # place in the option: which byte, counted from 1, the next entry begins with
FLAGS = 3  # of a timestamp: in the upper half, how many could not enter theirs
TIMES_ONLY = 0
TIMES_AND_ADDRESSES = 1
PRESCRIBED = 3  # the addresses whose times are wanted are there already
MAX_OVERFLOW = 15
MILLISECOND = 1_000_000
NOT_SINCE_MIDNIGHT = 0x80000000  # our clock is not that of the day: RFC 791 has a bit for that
TIME_MASK = 0x7FFFFFFF


def returned_options(received: bytes, address: int, now: int) -> bytes:
    """What an answer has behind the 20 bytes of its header, in whole words: up to 40 bytes, or none.

    received: the options of the packet that is answered. address: ours. now: nanoseconds of any clock.
    """
    own = address.to_bytes(4, "big")
    time = (NOT_SINCE_MIDNIGHT | now // MILLISECOND & TIME_MASK).to_bytes(4, "big")
    returned = b""
    at = 0
    while at < len(received) and received[at] != END:
        kind = received[at]
        if kind == NOTHING:
            at += 1
            continue
        length = received[at + 1] if at + 1 < len(received) else 0
        if length < 2 or at + length > len(received):
            break
        option = bytearray(received[at : at + length])
        if kind == RECORD_ROUTE and length > POINTER:
            for _ in range(2):
                _enter(option, own)
            returned += option
        elif kind == TIMESTAMP and length > FLAGS:
            if not _stamp(option, own, time):
                _count_overflow(option)
            _stamp(option, own, time)
            returned += option
        at += length
    return returned.ljust((len(returned) + 3) & ~3, bytes([END]))


def _enter(option: bytearray, entry: bytes) -> bool:
    """Put ``entry`` where the pointer points to, and point behind it; False when there is no room."""
    at = option[POINTER] - 1
    if at <= POINTER or at + len(entry) > len(option):
        return False
    option[at : at + len(entry)] = entry
    option[POINTER] += len(entry)
    return True


def _stamp(option: bytearray, own: bytes, time: bytes) -> bool:
    """Enter the time, if that is wanted of us; False when there is no room."""
    flag = option[FLAGS] & 0xF
    if flag == TIMES_ONLY:
        return _enter(option, time)
    if flag == TIMES_AND_ADDRESSES:
        return _enter(option, own + time)
    at = option[POINTER] - 1
    if flag == PRESCRIBED and option[at : at + 4] == own:
        return _enter(option, own + time)
    return True


def _count_overflow(option: bytearray) -> None:
    missed = option[FLAGS] >> 4
    if missed < MAX_OVERFLOW:
        option[FLAGS] += 1 << 4
