"""Probing for the path MTU upward (RFC 4821 section 7, RFC 8899): what is tried, what its loss does, its end."""

import pytest

from ebbrt.constants import FOREVER
from stack.constants import ERROR_TOO_BIG
from stack.path_search import PathSearch
from stack.tcp.constants import LOSS, OPEN
from tests.tcplink import Host, Wire, open_pair

ETHERNET = 14
MICROSECOND = 1000
STEP = 8  # how near the search comes


class Narrowed:
    """A transfer over a wire that drops frames with packets longer than ``width``, without a word.

    To send a frame takes a microsecond: RACK tells by the time what was sent later.
    """

    def __init__(self, width: int, sack: bool = True, address: str | None = None, **options: float) -> None:
        self.wire = Wire(**options)
        self.wire.a.tcp.engine.sack = sack
        self.connection, _, _, self.server = open_pair(self.wire, address=address)
        self.width = width
        self.wire.drop = self.drop
        self.sent = 0

    def drop(self, frame: bytes, sender: Host) -> bool:
        self.wire.clock.advance(MICROSECOND)
        return len(frame) > ETHERNET + self.width

    def begin(self, size: int) -> bytes:
        """Send ``size`` bytes."""
        data = bytes(index * 7 & 0xFF for index in range(size))
        self.connection.send(self.wire.a.buffer(data))
        self.sent += size
        return data

    def send(self, size: int = 30_000) -> None:
        """Send ``size`` bytes, and see them arrive."""
        data = self.begin(size)
        self.wire.run(lambda: len(self.server.data) >= self.sent, seconds=200)
        assert self.server.data[-size:] == data
        assert len(self.server.data) == self.sent

    def send_often(self, times: int) -> None:
        """Transfer after transfer, with time enough between them that any may probe."""
        for _ in range(times):
            self.send()
            self.wire.run(seconds=6)

    def counters(self) -> dict[str, int]:
        return self.wire.a.tcp.statistics()["segments"]

    def longest(self) -> int:
        """The longest packet of those sent since this was last asked."""
        longest = max(len(frame) for frame in self.wire.a.frames) - ETHERNET
        self.wire.a.frames.clear()
        return longest


OFFLOAD = {"checksum_offload": True, "largest_segment": 60_000}


@pytest.mark.parametrize("options", [{}, OFFLOAD, {"sack": False}], ids=["plain", "offload", "no sack"])
@pytest.mark.parametrize(("width", "found"), [(1400, 1400), (1492, 1492), (1300, 1295), (1000, 995)])
def test_what_passes_is_found(width, found, options):
    transfer = Narrowed(width, **options)
    transfer.send_often(14)
    transfer.longest()
    transfer.send()
    assert transfer.longest() == found
    assert transfer.counters()["black_holes"] == (1 if width > 1280 else 2)
    assert transfer.counters()["path_mtu_raised"] >= 1


@pytest.mark.parametrize(("width", "found"), [(1400, 1400), (1300, 1295), (1280, 1280)])
def test_what_passes_is_found_with_ipv6(width, found):
    transfer = Narrowed(width, ipv6=True, address="fd00::2")
    transfer.send_often(14)
    transfer.longest()
    transfer.send()
    assert transfer.longest() == found
    assert transfer.counters()["black_holes"] == 1
    assert transfer.counters()["path_mtu_raised"] == (found > 1280)


@pytest.mark.parametrize("options", [{}, OFFLOAD], ids=["plain", "offload"])
def test_a_path_that_widens_again_is_used_in_full(options):
    transfer = Narrowed(1500, **options)
    transfer.send()
    transfer.width = 1300  # in silence
    transfer.send_often(14)
    transfer.width = 1500
    transfer.send_often(3)
    transfer.longest()
    transfer.send()
    assert transfer.longest() < 1300  # not before what was found is old
    transfer.wire.run(seconds=600)
    transfer.send_often(10)
    transfer.longest()
    transfer.send()
    assert transfer.longest() == 1500
    assert transfer.connection.path.search is None
    assert transfer.counters()["black_holes"] == 1


@pytest.mark.parametrize("sack", [True, False])
def test_a_lost_probe_is_no_sign_of_congestion(sack):
    transfer = Narrowed(1300, sack=sack)
    transfer.send()
    congestion = transfer.connection.congestion
    before = transfer.counters()
    for _ in range(10):
        if transfer.counters()["path_probes_lost"]:
            break
        window = congestion.cwnd
        transfer.wire.run(seconds=2)
        transfer.send()
    after = transfer.counters()
    assert after["path_probes"] > before["path_probes"]
    assert after["retransmitted"] > before["retransmitted"]
    assert after["fast_retransmits"] == before["fast_retransmits"]
    assert after["retransmission_timeouts"] == before["retransmission_timeouts"]
    assert congestion.cwnd >= window


def test_a_probe_that_is_lost_beside_others_says_nothing():
    transfer = Narrowed(1280)
    transfer.send()
    narrow = transfer.wire.drop
    after_probe: list[bytes] = []

    def drop(frame: bytes, sender: Host) -> bool:
        probe = narrow(frame, sender)
        if probe or after_probe:
            after_probe.append(frame)
        return probe or 0 < len(after_probe) < 4

    transfer.wire.drop = drop
    while not after_probe:
        transfer.wire.run(seconds=2)
        transfer.send()
    transfer.wire.run(seconds=1)  # what was sent again in place of the probe is acknowledged
    assert transfer.counters()["path_probes"] == 1
    assert transfer.counters()["path_probes_lost"] == 0
    assert transfer.counters()["path_mtu_raised"] == 0
    assert transfer.counters()["fast_retransmits"] == 1
    assert transfer.connection.path.search.ceiling == 1500


@pytest.mark.parametrize(("pause", "lost"), [(0.1, 1), (0, 0)], ids=["probe first", "behind another"])
def test_a_timeout_is_the_probes_fault_if_that_is_what_is_missing(pause, lost):
    transfer = Narrowed(1280)
    transfer.send()
    transfer.wire.run(seconds=6)
    narrow = transfer.wire.drop
    before = transfer.counters()
    congestion = transfer.connection.congestion
    windows = []

    def drop(frame: bytes, sender: Host) -> bool:
        """From the probe on nothing arrives, in either direction, until the timeout."""
        if transfer.counters()["retransmission_timeouts"] == before["retransmission_timeouts"]:
            return True
        windows.append(congestion.cwnd)
        return narrow(frame, sender)

    if pause == 0:
        transfer.wire.drop = drop
    transfer.begin(100)
    transfer.wire.run(seconds=pause)
    transfer.wire.drop = drop
    transfer.send()
    transfer.wire.run(seconds=1)
    assert windows[0] == transfer.connection.snd_mss  # a timeout is congestion, whatever was lost
    assert transfer.counters()["path_probes"] == 1
    assert transfer.counters()["path_probes_lost"] == lost
    assert transfer.counters()["path_mtu_raised"] == 0
    assert transfer.connection.path.search.ceiling == (1399 if lost else 1500)


@pytest.mark.parametrize("missing", ["out of order", "sent again"])
def test_no_probe_leaves_while_something_is_missing(missing):
    transfer = Narrowed(1280)
    transfer.send()
    connection = transfer.connection
    search = connection.path.search
    search.next_at = FOREVER
    transfer.send(300_000)  # opens the window
    narrow = transfer.wire.drop
    timeouts = transfer.counters()["retransmission_timeouts"]
    first = len(transfer.wire.a.frames)

    def drop(frame: bytes, sender: Host) -> bool:
        """The first frame is lost, or all before the timeout."""
        if missing == "out of order":
            return len(transfer.wire.a.frames) == first + 1 and sender is transfer.wire.a
        return transfer.counters()["retransmission_timeouts"] == timeouts

    def is_missing() -> bool:
        if missing == "out of order":
            return connection.recovery_state == OPEN and connection.sent.sacked_bytes > 0
        sent_again = connection.recovery_state == LOSS and connection.sent.lost_bytes == 0
        return sent_again and connection.congestion.cwnd - connection.flight() > 1400

    transfer.wire.drop = drop
    transfer.begin(12 * connection.snd_mss)
    transfer.wire.run(is_missing)
    transfer.wire.drop = narrow
    search.next_at = 0
    transfer.begin(30_000)
    assert transfer.counters()["path_probes"] == 0
    transfer.send()
    assert transfer.counters()["path_probes"] == 1


def test_no_probe_leaves_from_where_a_closed_window_was_probed():
    transfer = Narrowed(1280)
    transfer.send()
    connection = transfer.connection
    connection.path.search.next_at = FOREVER
    transfer.send(300_000)  # opens the window
    transfer.server.connection.pause()
    transfer.begin(1_000_000)
    transfer.wire.run(lambda: connection.snd_max == connection.snd_nxt + 1)
    connection.path.search.next_at = 0
    sent = len(transfer.wire.a.frames)
    transfer.server.connection.resume()
    transfer.wire.run(lambda: len(transfer.wire.a.frames) > sent + 1)
    assert transfer.counters()["path_probes"] == 0
    transfer.wire.run(lambda: len(transfer.server.data) == transfer.sent)
    assert transfer.counters()["path_probes"] == 1


def test_a_probe_is_not_the_first_to_leave_after_idling():
    transfer = Narrowed(1280)
    transfer.send()
    transfer.wire.run(seconds=6)
    transfer.begin(300_000)
    assert transfer.counters()["path_probes"] == 0
    transfer.send()
    assert transfer.counters()["path_probes"] == 1


def test_the_search_ends_until_what_was_found_is_old():
    transfer = Narrowed(1450)
    transfer.send_often(14)
    probes = transfer.counters()["path_probes"]
    assert 0 < probes < 12
    transfer.send_often(60)
    assert transfer.counters()["path_probes"] == probes
    transfer.wire.run(seconds=200)
    transfer.send_often(14)
    assert probes < transfer.counters()["path_probes"] < 2 * probes + 2
    assert transfer.counters()["path_mtu_restored"] == 0


def test_a_message_about_a_probe_says_where_the_search_ends():
    transfer = Narrowed(1340)
    narrow = transfer.wire.drop

    def report(frame: bytes, sender: Host) -> bool:
        if not narrow(frame, sender):
            return False
        if transfer.connection.path.search is not None:
            error = transfer.wire.a.stack.internet.error
            error.kind, error.mtu = ERROR_TOO_BIG, 1340
            error.local_low = 0xFFFF << 32 | int.from_bytes(frame[26:30], "big")
            error.remote_low = 0xFFFF << 32 | int.from_bytes(frame[30:34], "big")
            error.local_port = int.from_bytes(frame[34:36], "big")
            error.remote_port = int.from_bytes(frame[36:38], "big")
            error.sequence = int.from_bytes(frame[38:42], "big")
            errors.append(error)
        return True

    errors: list[object] = []
    transfer.wire.drop = report
    while not errors:
        transfer.wire.run(seconds=2)
        transfer.begin(30_000)
        transfer.wire.run(lambda: bool(errors) or len(transfer.server.data) == transfer.sent, seconds=200)
    transfer.wire.a.tcp.icmp_error(errors[0], transfer.wire.clock.now())
    assert transfer.connection.path.mtu == 1280  # as before
    assert transfer.connection.path.search.ceiling == 1340
    transfer.wire.drop = narrow
    transfer.wire.run(seconds=20)
    transfer.send_often(8)
    transfer.longest()
    transfer.send()
    assert 1340 - STEP < transfer.longest() <= 1340
    assert transfer.counters()["path_probes_lost"] == 1


@pytest.mark.parametrize(("size", "probes"), [(1348 + 3 * 1228 - 1, 0), (1348 + 3 * 1228, 1)])
def test_three_full_segments_must_follow_a_probe(size, probes):
    transfer = Narrowed(1280)
    transfer.send()
    transfer.wire.run(seconds=6)
    transfer.begin(100)  # so that what follows is no start from idle
    transfer.send(size)
    assert transfer.connection.snd_mss == 1228
    assert transfer.counters()["path_probes"] == probes


@pytest.mark.parametrize("link", [1500, 9000, 65535])
@pytest.mark.parametrize("floor", [552, 1280])
def test_any_width_is_found_with_few_probes(floor, link):
    for width in range(floor, link + 1, 397):
        search = PathSearch(link, 0)
        found = floor
        probes = 0
        while size := search.next_size(found, 65535, link):
            assert found < size <= search.ceiling
            probes += 1
            if size <= width:
                found = size
                search.passed(0)
            else:
                search.failed(size, 0)
        assert found <= width < found + STEP
        assert probes <= 20
