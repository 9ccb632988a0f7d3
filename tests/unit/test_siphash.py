"""SipHash-2-4, by its authors' vectors; and the cookie that Linux makes of it."""

import pytest

from stack.tcp.siphash import siphash

KEY = bytes(range(16))


@pytest.mark.parametrize(
    ("length", "expected"),  # of the reference implementation's vectors: inputs 00, 00 01, ...
    [(0, "310e0edd47db6f72"), (1, "fd67dc93c539f874"), (8, "6224939a79f5f593"), (15, "e545be4961ca29a1")],
)
def test_the_reference_vectors(length, expected):
    assert siphash(KEY, bytes(range(length))).hex() == expected


def test_the_cookie_of_linux():
    """Linux 6.18, net.ipv4.tcp_fastopen_key a1a1a1a1-b2b2b2b2-c3c3c3c3-01020304, a SYN of 127.0.0.1 to 192.0.2.9."""
    key = bytes.fromhex("a1a1a1a1b2b2b2b2c3c3c3c304030201")
    assert siphash(key, bytes([127, 0, 0, 1, 192, 0, 2, 9])).hex() == "6c3dc520de430e0e"
