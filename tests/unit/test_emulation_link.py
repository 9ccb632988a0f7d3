"""The model of a link: its text, its promises for any settings, and shares within what chance allows for a seed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netlab.emulation.link import INTACT, Arrival, Link, flip
from netlab.emulation.settings import DEFAULT_LIMIT, Gilbert, LinkSettings, LinkSettingsError, Reorder

MS = 1_000_000
FRAMES = 20_000

shares = st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)
times = st.integers(0, 60_000 * MS)


@st.composite
def any_settings(draw: st.DrawFn) -> LinkSettings:
    rate = draw(st.integers(0, 10**11))
    limits = st.none() | st.integers(0, 10_000)
    delay = draw(times)
    return LinkSettings(
        delay=delay,
        jitter=draw(st.integers(0, delay)),
        rate=rate,
        limit=draw(limits) if rate else None,
        limit_bytes=draw(limits) if rate else None,
        loss=draw(shares),
        gilbert=draw(st.none() | st.builds(Gilbert, shares, shares, shares, shares)),
        reorder=draw(st.none() | st.builds(Reorder, shares, times)),
        duplicate=draw(shares),
        corrupt=draw(shares),
    )


def run(settings: str, frames: int = FRAMES, length: int = 1000, gap: int = MS, seed: int | str = 7):
    """Send frames ``gap`` apart: the link, and each frame's arrivals."""
    link = Link(LinkSettings.parse(settings), seed)
    return link, [link.transmit(length, number * gap) for number in range(frames)]


def is_probable(count: int, frames: int, share: float) -> bool:
    """Within five standard deviations of the binomial distribution."""
    return abs(count - frames * share) <= 5 * math.sqrt(frames * share * (1 - share))


# The text


@given(any_settings())
def test_the_text_of_settings_says_them(settings: LinkSettings):
    assert LinkSettings.parse(str(settings)) == settings


def test_every_key_is_understood():
    text = (
        "delay=25ms,jitter=500us,rate=100mbit,limit=100,limit_bytes=150kb,loss=1%,gilbert=1%/30%/90%/0.1%,"
        "reorder=1%:5ms,duplicate=0.1%,corrupt=0.01%"
    )
    assert LinkSettings.parse(text) == LinkSettings(
        delay=25 * MS,
        jitter=MS // 2,
        rate=100_000_000,
        limit=100,
        limit_bytes=150_000,
        loss=0.01,
        gilbert=Gilbert(0.01, 0.3, 0.9, 0.001),
        reorder=Reorder(0.01, 5 * MS),
        duplicate=0.001,
        corrupt=0.0001,
    )


@pytest.mark.parametrize(
    "text",
    [
        "delay",
        "delay=25",
        "delay=-1ms",
        "delay=2h",
        "delay=1ms,delay=2ms",
        "speed=1",
        "loss=101%",
        "loss=x",
        "jitter=2ms,delay=1ms",
        "rate=100",
        "rate=0.1gb",
        "limit=10",
        "rate=1mbit,limit=1.5",
        "reorder=1%",
        "reorder=1%:2",
        "gilbert=1%",
        "gilbert=1/2/3/4/5",
        "gilbert=1%/200%",
    ],
)
def test_a_text_that_cannot_be_says_what_is_wrong(text: str):
    with pytest.raises(LinkSettingsError) as caught:
        LinkSettings.parse(text)
    assert caught.value.message


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("loss=1", "loss=1"),
        ("loss=0.01", "loss=0.01"),
        ("delay=5ms,duplicate=1", "duplicate=1"),
        ("corrupt=1", "corrupt=1"),
        ("reorder=1:5ms", "reorder=1:5ms"),
        ("gilbert=1%/30", "gilbert=1%/30"),
        ("delay=25", "delay=25"),
        ("delay=25ms,jitter=1", "jitter=1"),
        ("reorder=1%:5", "reorder=1%:5"),
        ("rate=100", "rate=100"),
    ],
)
def test_a_number_without_its_unit_is_refused(text: str, part: str):
    """``loss=1`` was taken for a loss of everything."""
    with pytest.raises(LinkSettingsError) as caught:
        LinkSettings.parse(text)
    assert repr(part) in caught.value.message
    assert "unit" in caught.value.message or "without %" in caught.value.message
    assert "Write" in caught.value.remedy


def test_what_a_bare_share_may_mean_is_said_both_ways():
    with pytest.raises(LinkSettingsError, match=r"Write 1% .* or 100% if"):
        LinkSettings.parse("loss=1")
    with pytest.raises(LinkSettingsError, match=r"Write 0\.01% .* or 1% if"):
        LinkSettings.parse("loss=0.01")


def test_nothing_needs_no_unit():
    assert LinkSettings.parse("loss=0,delay=0,jitter=0,rate=0,corrupt=0%") == LinkSettings()


@given(st.floats(0, 1))
def test_any_share_is_written_in_percent_and_read_back(share: float):
    text = str(LinkSettings(loss=share))
    assert LinkSettings.parse(text).loss == share
    assert not share or text.endswith("%")


# Promises for any settings


@given(
    any_settings(), st.lists(st.tuples(st.integers(14, 65_000), st.integers(0, 50 * MS)), max_size=60), st.integers()
)
def test_every_frame_is_accounted_for_and_none_arrives_before_it_could(settings, sent, seed):
    link = Link(settings, seed)
    now = arrivals = 0
    for length, gap in sent:
        now += gap
        became = link.transmit(length, now)
        arrivals += len(became)
        for arrival in became:
            assert arrival.at >= now + settings.delay - settings.jitter + (
                length * 8 * 1_000_000_000 // settings.rate if settings.rate else 0
            )
            assert arrival.flipped_bit == INTACT or 0 <= arrival.flipped_bit < length * 8
    counted = link.statistics()
    gone = counted["lost"] + counted["lost_in_bursts"] + counted["queue_drops"]
    assert counted["frames"] == len(sent)
    assert counted["bytes"] == sum(length for length, _ in sent)
    assert counted["arrivals"] == arrivals == len(sent) - gone + counted["duplicated"]


@given(any_settings(), st.integers(), st.lists(st.integers(0, MS), max_size=40))
def test_a_seed_fixes_everything(settings, seed, gaps):
    one, other = Link(settings, seed), Link(settings, seed)
    now = 0
    for gap in gaps:
        now += gap
        assert one.transmit(500, now) == other.transmit(500, now)
    assert one.statistics() == other.statistics()


@given(times.flatmap(lambda delay: st.tuples(st.just(delay), st.integers(0, delay))), st.lists(st.integers(0, MS)))
def test_without_reorder_frames_keep_their_order(course, gaps):
    link = Link(LinkSettings(delay=course[0], jitter=course[1], loss=0.1, duplicate=0.1))
    now, times = 0, []
    for gap in gaps:
        now += gap
        times += [arrival.at for arrival in link.transmit(500, now)]
    assert times == sorted(times)


# Each thing it does


def test_a_clear_link_carries_a_frame_at_once():
    link, became = run("", frames=3)
    assert became == [[Arrival(number * MS, INTACT)] for number in range(3)]
    assert sum(link.statistics().values()) == 3 + 3000 + 3


def test_delay_is_one_way():
    assert run("delay=25ms", frames=1)[1] == [[Arrival(25 * MS, INTACT)]]


def test_jitter_spreads_arrivals_evenly_around_the_delay():
    late = [
        became[0].at - number * 20 * MS for number, became in enumerate(run("delay=10ms,jitter=5ms", gap=20 * MS)[1])
    ]
    assert min(late) >= 5 * MS
    assert max(late) <= 15 * MS
    assert all(
        is_probable(sum(each < 5 * MS + tenth * MS for each in late), FRAMES, tenth / 10) for tenth in range(1, 10)
    )


def test_frames_leave_one_after_the_other_at_the_rate():
    became = run("rate=8mbit,delay=3ms", frames=4, gap=0)[1]
    assert [arrivals[0].at for arrivals in became] == [4 * MS, 5 * MS, 6 * MS, 7 * MS]


def test_the_queue_holds_so_many_frames_behind_the_one_that_is_being_sent():
    link, became = run("rate=8mbit,limit=2", frames=5, gap=0)
    assert [len(arrivals) for arrivals in became] == [1, 1, 1, 0, 0]
    assert len(link.transmit(1000, MS)) == 1  # one has begun: there is room again
    assert link.transmit(1000, MS) == []
    assert link.statistics()["queue_drops"] == 3
    assert link.statistics()["most_queued"] == 2


def test_the_queue_holds_so_many_bytes():
    link, became = run("rate=8mbit,limit_bytes=2500", frames=4, gap=0)
    assert [len(arrivals) for arrivals in became] == [1, 1, 1, 0]
    assert len(link.transmit(500, 0)) == 1


def test_a_queue_without_limit_has_the_usual_one():
    link, _ = run("rate=1kbit", frames=DEFAULT_LIMIT + 10, gap=0)
    assert link.statistics()["queue_drops"] == 9


@pytest.mark.parametrize("share", [0.001, 0.01, 0.5])
def test_the_shares_are_kept(share: float):
    link, became = run(f"loss={share:%},duplicate={share:%},corrupt={share:%},delay=10ms,reorder={share:%}:5ms")
    counted = link.statistics()
    arrived = FRAMES - counted["lost"]
    assert is_probable(counted["lost"], FRAMES, share)
    for fault in ("duplicated", "corrupted", "reordered"):
        assert is_probable(counted[fault], arrived, share), fault
    assert counted["lost"] == sum(not arrivals for arrivals in became)
    assert counted["duplicated"] == sum(len(arrivals) == 2 for arrivals in became)
    assert counted["corrupted"] == sum(arrivals[0].flipped_bit != INTACT for arrivals in became if arrivals)


def test_loss_comes_in_bursts_of_the_length_that_gilbert_and_elliott_say():
    _, became = run("gilbert=1%/25%")
    pattern = "".join(".x"[not arrivals] for arrivals in became)
    bursts = [burst for burst in pattern.split(".") if burst]
    good = FRAMES - pattern.count("x")
    assert is_probable(len(bursts), good, 0.01)  # from good to bad
    assert is_probable(len(bursts), pattern.count("x"), 0.25)  # and from bad to good


def test_loss_in_the_long_run_is_that_of_both_states():
    gilbert = Gilbert(0.05, 0.2, 0.8, 0.02)
    link, _ = run("gilbert=5%/20%/80%/2%")
    spread = (2 - gilbert.p - gilbert.r) / (gilbert.p + gilbert.r)  # of a share whose samples depend on each other
    off = abs(link.statistics()["lost_in_bursts"] / FRAMES - gilbert.mean_loss())
    assert off <= 5 * math.sqrt(gilbert.mean_loss() * (1 - gilbert.mean_loss()) * spread / FRAMES)


def test_a_reordered_frame_is_overtaken_and_holds_up_nobody():
    _, became = run("delay=10ms,reorder=10%:5ms", frames=1000)
    late = [arrivals[0].at - number * MS for number, arrivals in enumerate(became)]
    assert set(late) == {10 * MS, 15 * MS}


def test_a_flipped_bit_lies_anywhere_in_the_frame():
    _, became = run("corrupt=100%", length=64)
    bits = [arrivals[0].flipped_bit for arrivals in became]
    assert set(bits) == set(range(512))


def test_flip_turns_over_the_bit_an_arrival_names():
    frame = bytearray(4)
    flip(frame, 8)
    flip(frame, 31)
    assert frame == b"\0\x80\0\x01"
    flip(frame, INTACT)
    assert frame == b"\0\x80\0\x01"


def test_one_kind_of_fault_does_not_move_what_another_hits():
    alone = run("loss=5%")[1]
    together = run("loss=5%,duplicate=20%,corrupt=10%,gilbert=0%/100%")[1]
    assert [bool(arrivals) for arrivals in alone] == [bool(arrivals) for arrivals in together]


def test_kinds_of_fault_hit_different_frames():
    _, became = run("duplicate=50%,corrupt=50%", frames=100)
    both = sum(len(arrivals) == 2 and arrivals[0].flipped_bit != INTACT for arrivals in became)
    assert 5 < both < 45


def test_other_seeds_hit_other_frames():
    patterns = {
        tuple(map(bool, run("loss=50%", frames=64, seed=seed)[1])) for seed in ("a/to", "a/from", "b/to", 1, 2)
    }
    assert len(patterns) == 5


# Changed while it runs


def test_a_change_holds_for_frames_that_enter_after_it():
    link = Link(LinkSettings.parse("delay=50ms"))
    assert link.transmit(100, 0)[0].at == 50 * MS
    link.change(LinkSettings.parse("delay=1ms"))
    assert link.transmit(100, 0)[0].at == MS
    link.clear()
    assert link.transmit(100, 2 * MS) == [Arrival(2 * MS, INTACT)]
    assert link.statistics()["frames"] == 3


def test_a_change_of_loss_alone_leaves_the_queue_as_it_is():
    link, _ = run("rate=8mbit,limit=1", frames=2, gap=0)
    link.change(LinkSettings.parse("rate=8mbit,limit=1,loss=1%"))
    assert link.transmit(1000, 0) == []
    assert link.statistics()["queue_drops"] == 1


def test_a_link_that_was_far_too_slow_is_quick_again_once_cleared():
    link, _ = run("rate=1bit", frames=500, gap=0)
    link.clear()
    assert link.transmit(1000, MS)[0].at == MS
