"""The server on a network that is not there: bounds, expiry, flow control, zero copy."""

import gc
import struct

import pytest

from tests.memcached_requests import EPOCH, SECOND, Bench, count, replies, request, store

NOOP = request(0x0A)
MONTH = 60 * 60 * 24 * 30


@pytest.mark.parametrize("length", [0, 1, 32, 399, 400, 5000, 1 << 20])
def test_a_value_is_stored_and_served_without_a_copy(length: int) -> None:
    bench = Bench()
    value = bytes(index * 7 & 0xFF for index in range(length))
    assert bench.ask(store(1, b"key", value, 9))[0].status == 0
    reply = bench.ask(request(0, b"key"))[0]
    assert (reply.value, reply.extras) == (value, struct.pack(">I", 9))
    assert bench.memory.payload_bytes_copied == 0


def test_append_and_prepend_copy_nothing_and_leave_replies_in_flight_alone() -> None:
    bench = Bench()
    bench.ask(store(1, b"k", b"m" * 600))
    bench.connection.deliver(request(0, b"k"))
    bench.connection.deliver(request(0x0E, b"k", value=b"x" * 600) + request(0x0F, b"k", value=b"y" * 600))
    assert replies(bench.connection.take())[0].value == b"m" * 600
    assert bench.ask(request(0, b"k"))[0].value == b"y" * 600 + b"m" * 600 + b"x" * 600
    assert bench.memory.payload_bytes_copied == 0


def test_crumbs_do_not_pin_a_buffer_each() -> None:
    bench = Bench()
    before = bench.allocator.allocated_bytes
    stream = store(1, b"key", bytes(50_000))
    for at in range(len(stream) - 1):
        bench.connection.deliver(stream[at : at + 1])
        assert bench.allocator.allocated_bytes - before <= 2 * at + 10_000
    bench.connection.deliver(stream[-1:])
    assert replies(bench.connection.take())[0].status == 0
    assert bench.memory.payload_bytes_copied <= 2 * len(stream)
    assert bench.allocator.allocated_bytes - before <= 2 * 50_000 + 1024
    assert bench.ask(request(0, b"key"))[0].value == bytes(50_000)


def test_a_too_large_value_is_refused_at_once_and_its_body_is_not_kept() -> None:
    bench = Bench()
    before = bench.allocator.allocated_bytes
    stream = store(1, b"key", bytes(5 << 20))
    bench.connection.deliver(stream[:40])
    assert [reply.status for reply in replies(bench.connection.take())] == [3]
    for at in range(40, len(stream), 4000):
        bench.connection.deliver(stream[at : at + 4000])
        assert bench.allocator.allocated_bytes == before
    assert bench.ask(NOOP)[0].opcode == 0x0A
    assert bench.server.statistics()["problems"] == {"value too large": 1}


@pytest.mark.parametrize(("expiry", "lives"), [(10, 10), (MONTH, MONTH), (EPOCH + 100, 95)])
def test_expiry(expiry: int, lives: int) -> None:
    bench = Bench()
    bench.ask(
        store(1, b"key", b"v", expiry=expiry), store(1, b"ever", b"v"), store(1, b"past", b"v", expiry=MONTH + 1)
    )
    bench.clock.advance((lives - 1) * SECOND)
    assert bench.ask(request(0, b"key"))[0].status == 0
    bench.clock.advance(SECOND)
    got = bench.ask(request(0, b"key"), request(0, b"ever"), request(0, b"past"))
    assert [reply.status for reply in got] == [1, 0, 1]


def test_expired_items_nobody_asks_for_are_freed() -> None:
    bench = Bench()
    for number in range(3000):
        bench.ask(store(1, b"old%d" % number, b"v", expiry=1))
    for number in range(6000):  # a pass over the table a second at most; each leaves out some that moved meanwhile
        bench.clock.advance(SECOND if number % 1000 == 0 else 0)
        bench.ask(store(1, b"new", b"v"))
    assert bench.server.statistics()["items"] == 1


def test_flush_now_and_later() -> None:
    bench = Bench()
    bench.ask(store(1, b"a", b"v"), request(8), store(1, b"b", b"v"))
    assert [reply.status for reply in bench.ask(request(0, b"a"), request(0, b"b"))] == [1, 0]
    bench.ask(request(8, extras=struct.pack(">I", 10)))
    bench.clock.advance(9 * SECOND)
    assert bench.ask(request(0, b"b"))[0].status == 0
    bench.clock.advance(SECOND)
    assert [reply.status for reply in bench.ask(request(0, b"b"), store(1, b"c", b"v"), request(0, b"c"))] == [1, 0, 0]


def test_the_least_recently_used_are_given_up_when_memory_is_short() -> None:
    bench = Bench(limit=1 << 20)
    bench.ask(store(1, b"kept", b"v"))
    for number in range(4000):
        bench.clock.advance(SECOND)
        bench.ask(store(1, b"key%d" % number, bytes(300)))
        if number % 100 == 0:
            assert bench.ask(request(0, b"kept"))[0].status == 0
        assert bench.allocator.allocated_bytes <= 1 << 20
    statistics = bench.server.statistics()
    assert int(str(statistics["evictions"])) + int(str(statistics["items"])) == 4001
    assert [reply.status for reply in bench.ask(request(0, b"key3999"), request(0, b"key0"))] == [0, 1]


def test_values_without_bytes_are_bounded_too() -> None:
    bench = Bench(limit=1 << 20)
    for number in range(5000):
        bench.ask(store(1, b"key%d" % number, b""))
    assert int(str(bench.server.statistics()["items"])) <= (1 << 20) // 400


def test_memory_that_eviction_cannot_free_is_an_error_and_does_not_end_the_session() -> None:
    bench = Bench(limit=1 << 16)
    held = [bench.allocator.allocate(1 << 16)]
    assert [reply.status for reply in bench.ask(store(1, b"key", b"v"), NOOP)] == [0x82, 0]
    held.clear()
    assert bench.ask(store(1, b"key", b"v"))[0].status == 0


def test_a_client_that_does_not_read_is_not_answered_without_bound() -> None:
    bench = Bench()
    bench.ask(store(1, b"key", bytes(10_000)))
    bench.connection.window = 30_000
    bench.connection.deliver(request(0, b"key") * 50 + NOOP)
    assert bench.connection.is_paused
    got = replies(bench.connection.take())
    assert len(got) == 3
    bench.connection.deliver(NOOP)  # held back by the connection
    while bench.connection.is_paused:
        bench.connection.window = 30_000
        bench.connection.handler.send_window_opened()
        got += replies(bench.connection.take())
    assert [reply.opcode for reply in got] == [0] * 50 + [0x0A] * 2


def test_the_peers_end_is_answered_with_ours_after_the_replies() -> None:
    bench = Bench()
    bench.ask(store(1, b"key", bytes(1000)))
    bench.connection.window = 500
    bench.connection.deliver(request(0, b"key") * 2)
    bench.connection.handler.peer_closed()
    assert not bench.connection.is_closing
    bench.connection.window = 5000
    bench.connection.handler.send_window_opened()
    assert len(replies(bench.connection.take())) == 2
    assert bench.connection.is_closing


def test_a_bad_request_ends_its_own_connection_only() -> None:
    bench = Bench()
    other = bench.network.open()
    bench.connection.deliver(b"\x13" * 24 + NOOP)
    assert bench.connection.is_closing
    other.deliver(NOOP)
    assert len(replies(other.take())) == 1
    assert bench.server.statistics()["problems"] == {"bad magic": 1}


def test_an_unknown_command_leaves_the_stream_in_step() -> None:
    bench = Bench()
    got = bench.ask(request(0x77, b"key", b"eeee", bytes(900)), request(0x20), request(0x1B, extras=bytes(4)), NOOP)
    assert [reply.status for reply in got] == [0x81, 0x81, 0x81, 0]


@pytest.mark.parametrize("collects", [True, False])
def test_a_thousand_connections_leave_nothing(collects: bool) -> None:
    bench = Bench()
    bench.ask(store(1, b"key", bytes(100)))
    before = bench.allocator.allocated_bytes
    if not collects:
        gc.disable()
    try:
        for number in range(1000):
            connection = bench.network.open()
            connection.deliver(request(0, b"key") + store(1, b"half", bytes(5000))[:3000])
            connection.take()
            connection.finish(["closed", "reset", "timeout", "aborted"][number % 4])
            del connection
        assert bench.allocator.allocated_bytes == before
        assert bench.server.statistics()["sessions"] == {"open": 1, "opened": 1001, "closed": 1000}
    finally:
        gc.enable()


def test_stat() -> None:
    bench = Bench()
    bench.ask(store(1, b"key", b"v"), request(0, b"key"), request(0, b"none"), count(5, b"n", 1, 1))
    got = bench.ask(request(0x10))
    assert got[-1].key == got[-1].value == b""
    statistics = {reply.key: reply.value for reply in got[:-1]}
    assert (statistics[b"get_hits"], statistics[b"get_misses"], statistics[b"curr_items"]) == (b"1", b"1", b"2")
    assert int(statistics[b"time"]) == EPOCH + 5
    assert bench.ask(request(0x10, b"bogus"))[0].status == 1
    assert len(bench.ask(request(0x10, b"reset"))) == 1
    assert {reply.key: reply.value for reply in bench.ask(request(0x10))}[b"cmd_get"] == b"0"


def test_a_session_that_ends_behind_a_pause_lets_the_peers_end_through() -> None:
    bench = Bench()
    bench.ask(store(1, b"key", bytes(10_000)))
    bench.connection.window = 5000
    bench.connection.deliver(request(0, b"key") * 2 + request(0x07))
    assert bench.connection.is_paused
    before = bench.allocator.allocated_bytes
    bench.connection.deliver(bytes(4000))  # held back by the connection
    assert bench.allocator.allocated_bytes > before
    bench.connection.window = 1 << 20
    bench.connection.handler.send_window_opened()
    assert [reply.opcode for reply in replies(bench.connection.take())] == [0, 0, 7]
    assert bench.connection.is_closing
    assert not bench.connection.is_paused
    assert not bench.connection.held


def test_a_counter_of_thousands_of_zeros_is_a_number() -> None:
    bench = Bench()
    increment = request(0x05, b"n", struct.pack(">QQI", 2, 0, 0))
    replied = bench.ask(store(1, b"n", bytes(b"0" * 5000 + b"40")), increment, NOOP)
    assert [reply.status for reply in replied] == [0, 0, 0]
    assert replied[1].value == struct.pack(">Q", 42)


def test_items_are_given_up_when_node_memory_runs_out_below_the_limit() -> None:
    bench = Bench(memory=1 << 20, limit=1 << 30)
    for number in range(100):
        bench.ask(store(1, b"key%d" % number, bytes(5000)))
    assert bench.server.statistics()["items"] == 100
    held = []
    while (buffer := bench.allocator.allocate(512)) is not None:
        held.append(buffer)
    assert bench.allocator.reclaim()
    assert bench.allocator.allocate(512) is not None
    assert bench.server.statistics()["evictions"] == 32
    assert bench.ask(request(0, b"key99"))[0].status == 0
    while bench.allocator.reclaim():
        pass
    assert bench.server.statistics()["items"] == 0
