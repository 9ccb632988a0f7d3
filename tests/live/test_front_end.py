"""A front-end of its own: ``run``, what it makes, and that nothing of it stays behind; on loopback, without nodes."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.examples.deadline_events import DeadlineEventManager
from ebbrt import ebb
from ebbrt.configuration import Configuration
from ebbrt.ebb_ids import EbbError
from ebbrt.files.file_system import FileSystemError
from ebbrt.front_end import FIRST_PORT, FrontEnd, run
from ebbrt.future import Future, Promise
from ebbrt.messages import FRONT_END, pack, unpack
from ebbrt.node_provider import ADDRESS_VARIABLE, SOCKET_VARIABLE, NodeAllocationError
from ebbrt.runtime import Runtime
from tests.command_line_suite import Boot, CommandLineSuite
from tests.live.iaas_applications import ECHO, Echo

pytestmark = pytest.mark.live
MILLISECOND = 1_000_000


def descriptors() -> dict[str, str]:
    """What this process has open."""
    opened = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            opened[name] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # what the directory was listed through
            continue
    return opened


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(ADDRESS_VARIABLE, raising=False)
    monkeypatch.delenv(SOCKET_VARIABLE, raising=False)
    core, before = ebb.current_core(), descriptors()
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    core.enter()
    assert descriptors() == before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


class TestFrontEnd(CommandLineSuite):
    @pytest.fixture
    def boot(self) -> Iterator[Boot]:
        front_ends: list[FrontEnd] = []

        def boot(argv: list[str]) -> Runtime:
            front_ends.append(FrontEnd(argv=tuple(argv)))
            return front_ends[-1].runtime

        yield boot
        for front_end in front_ends:
            front_end.close()


def after(runtime: Runtime, time: int) -> Future[str]:
    """Ready in ``time`` ns."""
    promise: Promise[str] = Promise()
    runtime.events.set_timer(time, lambda: promise.set_value("later"))
    return promise.future


# What main does


async def answer(runtime: Runtime) -> str:
    return await after(runtime, MILLISECOND)


@pytest.mark.parametrize(
    ("main", "result"),
    [
        (lambda runtime: 42, 42),
        (lambda runtime: None, None),
        (lambda runtime: after(runtime, MILLISECOND).block(), "later"),
        (lambda runtime: after(runtime, MILLISECOND), "later"),
        (answer, "later"),
    ],
)
def test_run_returns_what_main_returns(main: Callable[[Runtime], Any], result: object) -> None:
    assert run(main) == result


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("waits", [False, True])
def test_run_raises_what_main_raises(error: BaseException, waits: bool) -> None:
    async def fail_async(runtime: Runtime) -> None:
        await after(runtime, MILLISECOND)
        raise error

    def fail(runtime: Runtime) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        run(fail_async if waits else fail)
    assert caught.value is error


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)])
@pytest.mark.parametrize("blocks", [False, True])
def test_a_signal_ends_it(number: signal.Signals, raised: type[BaseException], blocks: bool) -> None:
    never: Promise[None] = Promise()

    def main(runtime: Runtime) -> Future[None]:
        runtime.events.set_timer(MILLISECOND, lambda: os.kill(os.getpid(), number))
        if blocks:
            never.future.block()
        return never.future

    with pytest.raises(raised) as caught:
        run(main)
    if number == signal.SIGTERM:
        assert caught.value.code == 128 + signal.SIGTERM  # type: ignore[attr-defined]
    never.set_value(None)


def test_what_main_leaves_behind_does_not_keep_it() -> None:
    def main(runtime: Runtime) -> str:
        runtime.events.set_timer(3600 * 1000 * MILLISECOND, lambda: None)
        runtime.events.spawn(lambda: runtime.events.stop(), True)
        runtime.messenger.send(runtime.messenger.local(), 99999, pack(runtime.allocator, "nobody"))
        runtime.global_id_map.watch(99999, lambda data: None)
        return "done"

    assert run(main) == "done"


# What there is


def test_the_references_reach_what_the_runtime_has() -> None:
    async def main(runtime: Runtime) -> list[Any]:
        runtime.core.install(ECHO, Echo(runtime.allocator, 0))
        assert runtime.messenger.local() == ebb.messenger.local() == runtime.identity.local
        call = ebb.messenger.call(
            runtime.messenger.local(), ECHO, pack(runtime.allocator, "hello"), 1000 * MILLISECOND
        )
        await runtime.global_id_map.set(99999, b"data")
        return [unpack(await call), await ebb.global_id_map.get(99999), runtime.messenger.local().number]

    assert run(main) == [[0, "hello"], b"data", FRONT_END]


def test_two_front_ends_of_one_host_have_ports_of_their_own() -> None:
    def main(runtime: Runtime) -> tuple[int, int]:
        inner = FrontEnd()
        port = inner.runtime.messenger.local().port
        inner.close()
        runtime.core.enter()
        return runtime.messenger.local().port, port

    outer, inner = run(main)
    assert outer >= FIRST_PORT
    assert inner > outer


def test_it_listens_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ADDRESS_VARIABLE, "127.0.0.9")
    assert run(lambda runtime: runtime.messenger.local().address) == "127.0.0.9"
    assert run(lambda runtime: runtime.messenger.local().address, address="127.0.0.8") == "127.0.0.8"


def test_without_a_provider_it_says_how_to_have_nodes() -> None:
    def main(runtime: Runtime) -> None:
        with pytest.raises(EbbError, match="netlab run"):
            _ = runtime.node_allocator
        with pytest.raises(EbbError, match="netlab run"):
            ebb.node_allocator.allocate(1, "package.app:main")

    run(main)


def test_an_application_brings_its_own_event_manager() -> None:
    configuration = Configuration({"event_manager": "apps.examples.deadline_events:DeadlineEventManager"})

    async def main(runtime: Runtime) -> list[str]:
        order: list[str] = []
        assert isinstance(runtime.events, DeadlineEventManager)
        now = runtime.events.clock.now()
        runtime.events.spawn_by(now + 2000 * MILLISECOND, lambda: order.append("late"))
        runtime.events.spawn_by(now + 1000 * MILLISECOND, lambda: order.append("early"))
        await after(runtime, 10 * MILLISECOND)
        return order

    assert run(main, configuration=configuration) == ["early", "late"]


def test_files_are_those_of_the_directory_that_was_named(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"from outside")

    async def main(runtime: Runtime) -> bytes:
        files = runtime.file_system
        handle = await files.open("out", "w")
        await files.write(handle, b"from inside")
        await files.close(handle)
        handle = await files.open("in")
        return await files.read(handle, 100)  # and is left open

    assert run(main, files=tmp_path) == b"from outside"
    assert (tmp_path / "out").read_bytes() == b"from inside"


def test_without_a_directory_files_are_refused_with_advice() -> None:
    async def main(runtime: Runtime) -> None:
        await runtime.file_system.open("in")

    with pytest.raises(FileSystemError, match="name one"):
        run(main)


# What cannot be begun


def test_a_daemon_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NodeAllocationError):
        run(lambda runtime: None, iaas=str(tmp_path / "nothing"))


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nothing"):
        run(lambda runtime: None, files=tmp_path / "nothing")


def test_an_address_that_is_not_here() -> None:
    with pytest.raises(OSError, match=r"192\.0\.2\.1"):
        run(lambda runtime: None, address="192.0.2.1")
