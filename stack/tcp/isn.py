"""Secrets on the wire: initial sequence numbers (RFC 6528) and the offset of a connection's timestamps (RFC 7323 5.4).

Both are a keyed hash of the four-tuple, so that nobody without the secret can guess one connection's from another's.
The sequence number adds a clock of 4 microseconds, so that it grows from one connection to the next between the same
ports, and TIME-WAIT can tell a new SYN from an old one.
"""

from hashlib import blake2b

TICK = 4_000  # nanoseconds for each step of the initial sequence number


def flow_bytes(
    local_high: int, local_low: int, local_port: int, remote_high: int, remote_low: int, remote_port: int
) -> bytes:
    """The four-tuple as what is hashed: 36 bytes."""
    return (
        local_high.to_bytes(8, "big")
        + local_low.to_bytes(8, "big")
        + local_port.to_bytes(2, "big")
        + remote_high.to_bytes(8, "big")
        + remote_low.to_bytes(8, "big")
        + remote_port.to_bytes(2, "big")
    )


def initial_numbers(secret: bytes, flow: bytes, now: int) -> tuple[int, int]:
    """(initial sequence number, offset of the timestamp clock) of a connection that is opened at ``now``."""
    digest = blake2b(flow, digest_size=8, key=secret).digest()
    sequence = (int.from_bytes(digest[:4], "big") + now // TICK) & 0xFFFFFFFF
    return sequence, int.from_bytes(digest[4:], "big")
