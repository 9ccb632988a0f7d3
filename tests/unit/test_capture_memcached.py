import pytest

from captures.memcached_binary import (
    REPLY_MAGIC,
    REQUEST_MAGIC,
    ProtocolError,
    continues,
    match,
    opcode_name,
    split,
    status_name,
)
from tests.conversation import GET, GETQ, NOOP, SET, STAT, reply, request


def exchanges(requests: bytes, replies: bytes) -> list[tuple[int, int]]:
    """(opaque of the request, number of its replies)."""
    matched = match(split(requests, REQUEST_MAGIC), split(replies, REPLY_MAGIC))
    return [(exchange.request.opaque, len(exchange.replies)) for exchange in matched]


def test_a_stream_is_split_into_messages() -> None:
    stream = request(SET, b"key", b"value", opaque=7, cas=9) + request(GET, b"key", opaque=8)
    first, second = split(stream, REQUEST_MAGIC)
    assert (first.offset, first.end, first.opcode, first.opaque, first.cas) == (0, 24 + 8 + 3 + 5, SET, 7, 9)
    assert (second.offset, second.length, second.key_length) == (first.end, 27, 3)


@pytest.mark.parametrize("missing", range(1, 28))
def test_an_incomplete_last_message_is_left_out(missing: int) -> None:
    stream = request(NOOP) + request(GET, b"key")
    assert len(split(stream[:-missing], REQUEST_MAGIC)) == (1 if missing < 28 else 0)


def test_a_wrong_magic_is_refused_with_its_place() -> None:
    with pytest.raises(ProtocolError, match="0x67") as caught:
        split(request(NOOP) + b"get key\r\n", REQUEST_MAGIC)
    assert caught.value.offset == 24


def test_lengths_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ProtocolError, match="200 of key and extras"):
        split(request(NOOP)[:2] + b"\0\xc8" + request(NOOP)[4:], REQUEST_MAGIC)


def test_pipelined_requests_are_matched_by_order() -> None:
    requests = request(SET, b"k", b"v", opaque=1) + request(GET, b"k", opaque=2) + request(GET, b"k", opaque=3)
    replies = reply(SET, opaque=1) + reply(GET, b"v", opaque=2)
    assert exchanges(requests, replies) == [(1, 1), (2, 1), (3, 0)]


def test_quiet_requests_may_be_passed_over() -> None:
    requests = b"".join(request(GETQ, b"k", opaque=n) for n in (1, 2, 3)) + request(NOOP, opaque=4)
    assert exchanges(requests, reply(GETQ, b"v", opaque=2) + reply(NOOP, opaque=4)) == [(1, 0), (2, 1), (3, 0), (4, 1)]


def test_loud_requests_may_not() -> None:
    with pytest.raises(ProtocolError, match="answers no request") as caught:
        exchanges(request(GET, b"k", opaque=1) + request(NOOP, opaque=2), reply(NOOP, opaque=2))
    assert caught.value.offset == 0


def test_stat_has_many_replies() -> None:
    replies = reply(STAT, b"1", key=b"pid", opaque=5) + reply(STAT, b"2", key=b"uptime", opaque=5)
    end = reply(STAT, opaque=5)
    assert exchanges(request(STAT, opaque=5) + request(NOOP), replies + end + reply(NOOP)) == [(5, 3), (0, 1)]
    assert continues(split(replies, REPLY_MAGIC)[0])
    assert not continues(split(end, REPLY_MAGIC)[0])


def test_names() -> None:
    assert (opcode_name(GET), opcode_name(0x7F)) == ("GET", "0x7f")
    assert (status_name(1), status_name(0x55)) == ("not found", "0x0055")
