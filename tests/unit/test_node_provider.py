"""The client of the IaaS daemon, against a daemon that says what the test wants, on a real Unix socket."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ebbrt.clock import ManualClock
from ebbrt.events.event_manager import EventManager
from ebbrt.future import TimedOutError
from ebbrt.lines import LONGEST_LINE, LineError, LineReader, encode
from ebbrt.messages import NodeId
from ebbrt.node_provider import (
    Boot,
    IaasProvider,
    NodeAllocationError,
    NodeFailedError,
    NodeLimitError,
    ProviderListener,
    ProviderLostError,
)

BOOT = Boot(3, "app:main", ("x",), "/here", b"\1\2", NodeId(0, "198.18.0.1", 9100), 2, 1 << 20)


class Listener(ProviderListener):
    def __init__(self) -> None:
        self.told: list[tuple[int | None, str]] = []

    def node_lost(self, number: int, reason: str) -> None:
        self.told.append((number, reason))

    def provider_lost(self, reason: str) -> None:
        self.told.append((None, reason))


class Daemon:
    """The other end, moved by hand."""

    def __init__(self, path: Path) -> None:
        self.clock = ManualClock(1000)
        self.events = EventManager(self.clock)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        self.listener = Listener()
        self.provider = IaasProvider(self.events, str(path))
        self.provider.listener = self.listener
        self.connection = listener.accept()[0]
        listener.close()
        self._lines = self.connection.makefile("rb")

    def asked(self) -> dict[str, Any]:
        return json.loads(self._lines.readline())  # type: ignore[no-any-return]

    def say(self, document: dict[str, Any]) -> None:
        self.connection.sendall(encode(document))
        self.events.turn()

    def hang_up(self) -> None:
        self._lines.close()
        self.connection.close()
        self.events.turn()

    def close(self) -> None:
        self._lines.close()
        self.connection.close()
        self.provider.close()
        self.events.close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path / "socket")
    yield daemon
    daemon.close()


def test_a_boot_is_asked_for_in_full(daemon: Daemon) -> None:
    future = daemon.provider.boot(BOOT, 1000)
    assert daemon.asked() == {
        "id": 1,
        "do": "allocate",
        "number": 3,
        "application": "app:main",
        "argv": ["x"],
        "path": "/here",
        "secret": "0102",
        "front_end": "0@198.18.0.1:9100",
        "cores": 2,
        "memory": 1 << 20,
    }
    daemon.say({"id": 1, "address": "198.18.0.9", "port": 9100})
    assert future.result() == NodeId(3, "198.18.0.9", 9100)


@pytest.mark.parametrize(
    ("error", "kind"),
    [("limit", NodeLimitError), ("failed", NodeFailedError), ("refused", NodeAllocationError)],
)
def test_each_error_has_its_type_and_text(daemon: Daemon, error: str, kind: type[Exception]) -> None:
    future = daemon.provider.boot(BOOT, 1000)
    daemon.say({"id": 1, "error": error, "message": "because"})
    assert type(future.error()) is kind
    assert str(future.error()) == "because"


def test_a_boot_that_takes_too_long_is_given_up_and_freed(daemon: Daemon) -> None:
    future = daemon.provider.boot(BOOT, 1000)
    daemon.asked()
    daemon.clock.advance(1000)
    daemon.events.turn()
    assert isinstance(future.error(), TimedOutError)
    assert daemon.asked() == {"id": 2, "do": "free", "number": 3}
    daemon.say({"id": 1, "address": "198.18.0.9", "port": 9100})  # too late: nobody is told
    daemon.say({"id": 2})
    assert daemon.provider.statistics()["pending"] == 0


def test_free_is_done_when_it_is_answered(daemon: Daemon) -> None:
    future = daemon.provider.free(3, 1000)
    assert not future.done()
    daemon.say({"id": 1})
    assert future.result() is None


def test_a_lost_node_is_told(daemon: Daemon) -> None:
    daemon.say({"lost": 3, "reason": "killed"})
    assert daemon.listener.told == [(3, "killed")]


def test_with_the_daemon_goes_all_that_was_asked_of_it(daemon: Daemon) -> None:
    boot = daemon.provider.boot(BOOT, 1000)
    free = daemon.provider.free(2, 1000)
    daemon.hang_up()
    assert isinstance(boot.error(), ProviderLostError)
    assert isinstance(free.error(), ProviderLostError)
    assert [number for number, _ in daemon.listener.told] == [None]
    later = daemon.provider.boot(BOOT, 1000)
    assert isinstance(later.error(), ProviderLostError)
    assert daemon.provider.free(2, 1000).done()


@pytest.mark.parametrize("line", [b"\xff\n", b"[]\n", b"x" * (LONGEST_LINE + 1)])
def test_a_daemon_that_talks_nonsense_is_left(daemon: Daemon, line: bytes) -> None:
    future = daemon.provider.boot(BOOT, 1000)
    daemon.connection.sendall(line)
    while not future.done():
        daemon.events.turn()
    assert isinstance(future.error(), ProviderLostError)


def test_a_daemon_that_refuses_us_says_why(daemon: Daemon) -> None:
    future = daemon.provider.boot(BOOT, 1000)
    daemon.say({"error": "refused", "message": "user 7 is not served"})
    assert "user 7 is not served" in str(future.error())


def test_requests_that_find_no_room_go_later_and_whole(daemon: Daemon) -> None:
    count = 500
    futures = [daemon.provider.boot(BOOT._replace(argv=("y" * 1000,)), 1000) for _ in range(count)]
    for number in range(1, count + 1):
        assert daemon.asked()["id"] == number
        daemon.events.turn()
        daemon.say({"id": number, "error": "failed", "message": "no"})
    assert all(isinstance(future.error(), NodeFailedError) for future in futures)


def test_a_request_that_is_too_long_is_not_sent(daemon: Daemon) -> None:
    future = daemon.provider.boot(BOOT._replace(argv=("y" * LONGEST_LINE,)), 1000)
    assert isinstance(future.error(), NodeAllocationError)


def test_no_daemon_is_said_at_once(tmp_path: Path) -> None:
    events = EventManager(ManualClock(1000))
    with pytest.raises(NodeAllocationError, match="no IaaS daemon answers"):
        IaasProvider(events, str(tmp_path / "nothing"))
    events.close()


def test_lines_are_put_together_from_any_pieces() -> None:
    whole = encode({"a": 1}) + encode({"b": [2]})
    for cut in range(len(whole) + 1):
        reader = LineReader()
        assert reader.feed(whole[:cut]) + reader.feed(whole[cut:]) == [{"a": 1}, {"b": [2]}]


@pytest.mark.parametrize("line", [b"{", b"1", b'"a"', b"[" * 5000, b"\xff\xfe"])
def test_what_is_not_a_json_object_is_no_line(line: bytes) -> None:
    with pytest.raises(LineError):
        LineReader().feed(line + b"\n")
