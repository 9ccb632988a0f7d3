"""The health check against a scripted server on the other end of a socket pair."""

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from netlab.bench.health import HealthError, check, flush, wait_until_healthy

HEADER = struct.Struct("!BBHBBHIIQ")


def reply(opcode: int, body: bytes = b"", status: int = 0, magic: int = 0x81, opaque: int = 0x6E65746C) -> bytes:
    return HEADER.pack(magic, opcode, 0, 0, 0, status, len(body), opaque, 0) + body


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_version_is_told_when_both_replies_are_right(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(reply(0x0A) + reply(0x0B, b"1.6.18"))
    assert check(ours) == "1.6.18"
    sent = theirs.recv(4096)
    assert [HEADER.unpack_from(sent, offset)[:2] for offset in (0, 24)] == [(0x80, 0x0A), (0x80, 0x0B)]


def test_a_reply_in_pieces(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    data = reply(0x0A) + reply(0x0B, b"1.6.18")

    def trickle() -> None:
        for byte in data:
            theirs.sendall(bytes([byte]))

    thread = threading.Thread(target=trickle)
    thread.start()
    assert check(ours) == "1.6.18"
    thread.join()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reply(0x08, magic=0x80), "not a reply"),
        (reply(0x0A), "not a reply"),
        (reply(0x08, opaque=1), "not a reply"),
        (reply(0x08, status=0x81), "status 0x0081"),
        (HEADER.pack(0x81, 0x08, 0, 0, 0, 0, 1 << 30, 0x6E65746C, 0), "not a reply"),
        (b"ERROR\r\n", "closed the connection after 7 of 24"),
    ],
)
def test_wrong_replies(pair: tuple[socket.socket, socket.socket], answer: bytes, reason: str) -> None:
    ours, theirs = pair
    theirs.sendall(answer)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(HealthError, match=reason):
        flush(ours)


def test_waiting_ends_with_the_last_reason() -> None:
    def refuse() -> socket.socket:
        raise ConnectionRefusedError("nobody there")

    with pytest.raises(HealthError, match="node does not answer after 0 s: nobody there"):
        wait_until_healthy(refuse, "node", timeout=0.0)
