"""The calendar of expiries against a plain model; and that a flush frees everything, a little at a time."""

import random

from apps.memcached.calendar import Calendar
from tests.memcached_requests import Bench, request, store


def test_the_calendar_gives_what_is_due_and_keeps_nothing_stale() -> None:
    chance = random.Random(3)
    calendar = Calendar()
    model: dict[bytes, int] = {}
    now = 0
    for _ in range(20_000):
        key = b"%d" % chance.randrange(200)
        if key in model:
            calendar.remove(model.pop(key), key)
        if chance.random() < 0.8:
            model[key] = now + chance.randrange(1, 1 << chance.randrange(1, 20))
            calendar.add(model[key], key)
        if chance.random() < 0.05:
            now += chance.randrange(50)
            while (due := calendar.take_due(now)) is not None:
                assert model.pop(due) <= now
            assert all(second > now for second in model.values())
        assert len(calendar._keys) <= len(model)
        assert len(calendar._seconds) <= 2 * 200 + 65, "200 keys are in at most 200 seconds"


def test_a_flushed_table_is_freed_a_few_items_at_a_time() -> None:
    bench = Bench()
    before = bench.allocator.statistics()["allocated_bytes"]
    for number in range(1000):
        bench.ask(store(1, b"key%d" % number, bytes(300)))
    full = bench.allocator.statistics()["allocated_bytes"]
    assert bench.ask(request(8))[0].status == 0
    assert full - bench.allocator.statistics()["allocated_bytes"] < 10_000, "a flush must not stop the world"
    assert bench.server.statistics()["items"] == 0
    assert bench.ask(request(0, b"key7"))[0].status == 1
    assert bench.server.statistics()["get_flushed"] == 1
    for _ in range(300):
        bench.ask(store(1, b"other", b"v"))
    assert bench.allocator.statistics()["allocated_bytes"] < before + 5000
