"""Futures and promises, without an event loop."""

import logging
from typing import Any

import pytest

from ebbrt.future import BrokenPromiseError, Future, NotReadyError, Promise, failed, ready, when_all


def test_a_result_is_there_once_given_and_only_once() -> None:
    promise: Promise[int] = Promise()
    with pytest.raises(NotReadyError):
        promise.future.result()
    promise.set_value(1)
    assert promise.future.result() == 1
    with pytest.raises(RuntimeError, match="kept already"):
        promise.set_value(2)


def test_continuations_run_in_order_at_once_when_it_is_ready_and_each_despite_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log: list[object] = []
    promise: Promise[int] = Promise()
    promise.future.when_done(lambda _: log.append("first"))
    promise.future.when_done(lambda _: 1 / 0)
    doubled = promise.future.then(lambda value: 2 * value)
    promise.future.when_done(lambda done: log.append(done.result()))
    promise.set_value(4)
    promise.future.when_done(lambda _: log.append("late"))
    assert log == ["first", 4, "late"]
    assert doubled.result() == 8
    assert "ZeroDivisionError" in caplog.text


def test_errors_pass_through_a_chain() -> None:
    promise: Promise[int] = Promise()
    end = promise.future.then(lambda value: 1 // value).then(lambda value: value + 1)
    promise.set_value(0)
    assert isinstance(end.error(), ZeroDivisionError)
    assert isinstance(failed(ValueError()).then(lambda _: 1).error(), ValueError)


def test_a_dropped_promise_fails_and_an_error_nobody_sees_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    promise: Promise[int] = Promise()
    end = promise.future.then(lambda value: value)
    del promise
    assert isinstance(end.error(), BrokenPromiseError)
    unseen = failed(ValueError("unseen"))
    with caplog.at_level(logging.ERROR):
        del unseen
    assert "unseen" in caplog.text


def test_chains_of_ten_thousand_need_no_deep_stack() -> None:
    promise: Promise[int] = Promise()
    end: Future[int] = promise.future
    for _ in range(10_000):
        end = end.then(lambda value: value + 1)
    promise.set_value(0)
    assert end.result() == 10_000
    broken: Promise[int] = Promise()
    end = broken.future
    for _ in range(10_000):
        end = end.then(lambda value: value + 1)
    del broken
    assert isinstance(end.error(), BrokenPromiseError)
    nested: Any = 7
    outer: Promise[Any] = Promise()
    end = outer.future
    for _ in range(10_000):
        nested = ready(nested)
        end = end.flatten()
    outer.set_value(nested)
    assert end.result() == 7


def test_flatten_waits_for_the_inner_future() -> None:
    outer: Promise[Future[int]] = Promise()
    inner: Promise[int] = Promise()
    flat = outer.future.flatten()
    outer.set_value(inner.future)
    assert not flat.done()
    inner.set_value(3)
    assert flat.result() == 3
    assert isinstance(ready(3).flatten().error(), TypeError)
    assert isinstance(ready(failed(ValueError())).flatten().error(), ValueError)


def test_when_all_keeps_the_order_and_fails_with_the_first_error_in_it() -> None:
    promises: list[Promise[int]] = [Promise() for _ in range(3)]
    everything = when_all(promise.future for promise in promises)
    for value in (2, 0, 1):
        assert not everything.done()
        promises[value].set_value(value)
    assert everything.result() == [0, 1, 2]
    assert when_all([]).result() == []
    assert str(when_all([ready(1), failed(ValueError("a")), failed(ValueError("b"))]).error()) == "a"
