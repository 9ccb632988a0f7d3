"""The controllers and PRR by themselves: windows as the RFCs' formulas give them."""

from stack.tcp.constants import MOST_WINDOW
from stack.tcp.controllers import CONTROLLERS, congestion_controller
from stack.tcp.cubic import Cubic, cube_root
from stack.tcp.hystart import HyStart
from stack.tcp.new_reno import NewReno
from stack.tcp.prr import ProportionalRateReduction
from tests.tcplink import MILLISECOND, SECOND

MSS = 1000


def test_initial_window():
    for mss, segments in ((1460, 10), (1000, 10), (8960, 2), (4000, 3.65)):
        for name in CONTROLLERS:
            controller = congestion_controller(name, 536)
            controller.start(mss, False)
            assert controller.cwnd == segments * mss
            controller.start(mss, True)
            assert controller.cwnd == mss


def test_slow_start_grows_by_what_is_acknowledged_until_ssthresh():
    reno = NewReno(MSS)
    reno.acknowledged(10 * MSS, 10 * MSS, 0, 0)
    assert reno.cwnd == 20 * MSS
    reno.ssthresh = 25 * MSS
    reno.acknowledged(20 * MSS, 20 * MSS, 0, 0)
    assert reno.cwnd == 25 * MSS
    for _ in range(25):
        reno.acknowledged(MSS, 25 * MSS, 0, 0)
    assert reno.cwnd == 26 * MSS


def test_a_window_that_is_not_used_does_not_grow():
    for name in CONTROLLERS:
        controller = congestion_controller(name, MSS)
        controller.acknowledged(4 * MSS, 4 * MSS, 0, 0)
        assert controller.cwnd == 10 * MSS


def test_a_loss_halves_reno_and_takes_three_tenths_of_cubic():
    for name, tenths in (("reno", 5), ("cubic", 7)):
        controller = congestion_controller(name, MSS)
        controller.reduce(20 * MSS, 0)
        assert controller.ssthresh == tenths * MSS  # of the window: limited transmit does not count
        controller.leave_recovery(0)
        assert controller.cwnd == tenths * MSS
        controller.undo(0)
        assert (controller.cwnd, controller.ssthresh) == (10 * MSS, MOST_WINDOW)
        controller.reduce(2 * MSS, 0)
        assert controller.ssthresh == 2 * MSS


def test_a_timeout_begins_again_with_one_segment_and_reduces_once():
    for name, tenths in (("reno", 5), ("cubic", 7)):
        controller = congestion_controller(name, MSS)
        controller.timeout(10 * MSS, True, 0)
        assert (controller.cwnd, controller.ssthresh) == (MSS, tenths * MSS)
        controller.timeout(MSS, False, 0)
        assert (controller.cwnd, controller.ssthresh) == (MSS, tenths * MSS)


def test_an_idle_connection_restarts_with_the_initial_window():
    for name in CONTROLLERS:
        controller = congestion_controller(name, MSS)
        controller.cwnd = 100 * MSS
        controller.restart(SECOND, 2 * SECOND)
        assert controller.cwnd == 10 * MSS


def grow(cubic: Cubic, seconds: float, rtt: int = 100 * MILLISECOND) -> None:
    """Acknowledge a window for each round trip over that time."""
    end = grow.now + int(seconds * SECOND)
    while grow.now < end:
        grow.now += rtt
        cubic.acknowledged(cubic.cwnd, cubic.cwnd, rtt, grow.now)


def test_cubic_is_back_at_the_old_window_after_k_and_then_leaves_it_behind():
    grow.now = SECOND
    cubic = Cubic(MSS)
    cubic.cwnd = 1000 * MSS
    cubic.reduce(1000 * MSS, grow.now)
    cubic.leave_recovery(grow.now)
    assert cubic.cwnd == 700 * MSS
    grow(cubic, 0.2)
    k = (300 / 0.4) ** (1 / 3)  # RFC 9438 equation 2: about 9.09 s
    assert abs(cubic.k / 1000 - k) < 0.01
    grow(cubic, k / 2)
    halfway = cubic.cwnd / MSS
    assert 950 < halfway < 975  # (1/2)^3 of the way is missing: concave
    grow(cubic, k / 2)
    assert abs(cubic.cwnd / MSS - 1000) < 2
    grow(cubic, k)
    assert 1280 < cubic.cwnd / MSS < 1340  # convex, and as steep as it came


def test_cubic_is_no_slower_than_reno_on_short_round_trips():
    grow.now = SECOND
    cubic = Cubic(MSS)
    cubic.cwnd = 20 * MSS
    cubic.reduce(20 * MSS, grow.now)
    cubic.leave_recovery(grow.now)
    grow(cubic, 0.1, MILLISECOND)
    assert cubic.cwnd > 14 * MSS + 40 * MSS  # nine seventeenths of a segment in each of 100 round trips


def test_cubic_gives_room_when_it_did_not_come_back():
    cubic = Cubic(MSS)
    cubic.cwnd = 100 * MSS
    cubic.reduce(100 * MSS, 0)
    cubic.leave_recovery(0)
    cubic.cwnd = 80 * MSS
    cubic.reduce(80 * MSS, 0)
    assert cubic.w_max == 80 * MSS * 17 // 20


def test_cube_root():
    for value in (0, 1, 7, 8, 26, 27, 10**18, 2**62):
        root = cube_root(value)
        assert root**3 <= value < (root + 1) ** 3


def begun() -> HyStart:
    """Its first round has begun, with an acknowledgment of ten segments in flight."""
    hystart = HyStart()
    hystart.growth(MSS, 10 * MSS, 50 * MILLISECOND)
    return hystart


def rounds(hystart: HyStart, rtts: list[int]) -> None:
    """For each of these round trips, in milliseconds, a round: what is in flight behind its first acknowledgment."""
    for rtt in rtts:
        for _ in range(9):
            hystart.growth(MSS, 10 * MSS, rtt * MILLISECOND)


def test_hystart_slows_down_when_the_round_trip_grows_and_ends_slow_start_after_five_rounds():
    hystart = begun()
    rounds(hystart, [50, 50])
    assert hystart.css_rounds == 0
    rounds(hystart, [60])
    assert hystart.css_rounds > 0
    assert hystart.growth(MSS, 10 * MSS, 60 * MILLISECOND) == MSS // 4
    rounds(hystart, [60] * 5)
    assert hystart.finished()


def test_hystart_resumes_when_it_was_only_jitter():
    hystart = begun()
    rounds(hystart, [50, 50, 60])
    assert hystart.css_rounds > 0
    rounds(hystart, [51])
    assert hystart.css_rounds == 0


def metered(prr: ProportionalRateReduction, in_flight: int, acks: int) -> list[int]:
    """How many segments go out for each of so many acknowledgments of one segment."""
    sent = []
    for _ in range(acks):
        in_flight -= MSS if sent else 0
        window = prr.window(MSS, in_flight, MSS, False)
        count = (window - in_flight) // MSS
        prr.sent(count * MSS)
        in_flight += count * MSS
        sent.append(count)
    return sent


def test_prr_example_one_of_twenty_is_lost():
    prr = ProportionalRateReduction()
    prr.start(20 * MSS, 10 * MSS)
    # The retransmission is a whole segment, though half of one would be its share; then one goes out for every second.
    assert metered(prr, 18 * MSS, 14) == [1, 0] + [0, 1] * 6


def test_prr_example_the_first_fifteen_of_twenty_are_lost():
    prr = ProportionalRateReduction()
    prr.start(20 * MSS, 10 * MSS)
    assert metered(prr, 4 * MSS, 4) == [1, 1, 1, 1]  # as much as arrives, and no burst


def test_prr_catches_up_by_a_segment_for_an_acknowledgment_that_is_safe():
    prr = ProportionalRateReduction()
    prr.start(20 * MSS, 10 * MSS)
    assert prr.window(MSS, 4 * MSS, MSS, True) == 6 * MSS
    assert prr.window(MSS, 9 * MSS, MSS, True) == 10 * MSS  # never beyond ssthresh
