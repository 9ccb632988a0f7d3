"""Reading memcaslap: its per-second blocks and its final report, from outputs recorded of real runs."""

import os
from itertools import chain, repeat
from pathlib import Path

import pytest

from netlab.bench.memcaslap import BlockParser, Load, LoadError, LoadOutput, command, config_text, parse_final

DATA = Path(__file__).parent / "bench_data"
WHOLE = (DATA / "run-of-3s.txt").read_text()
DIED = (DATA / "server-died.txt").read_text()
EVICTED = (DATA / "server-evicted.txt").read_text()


def test_blocks_are_the_cumulative_totals() -> None:
    assert BlockParser().feed(WHOLE) == [(1, 169602), (2, 302641), (3, 434099)]


def test_blocks_do_not_depend_on_how_the_output_is_cut() -> None:
    parser = BlockParser()
    blocks = [block for character in WHOLE.replace("\n", "\r\n") for block in parser.feed(character)]
    assert blocks == [(1, 169602), (2, 302641), (3, 434099)]


def test_final_report() -> None:
    report = parse_final(WHOLE)
    assert (report.gets, report.sets, report.requests) == (390712, 43419, 434131)
    assert report.errors() == 0


def test_a_miss_is_an_error_although_get_misses_says_none() -> None:
    report = parse_final(EVICTED)
    assert report.misses == 0
    assert report.errors() == report.unequal == 178982


def test_a_dead_server_gives_a_plausible_report_but_no_more_blocks() -> None:
    assert parse_final(DIED).errors() == 0
    assert BlockParser().feed(DIED) == [(1, 188856)]


@pytest.mark.parametrize(
    "text", ["", "servers: 198.18.0.2:11211\nconcurrency: 16\n", WHOLE[: WHOLE.index("Run time")]]
)
def test_output_without_its_end_is_refused(text: str) -> None:
    with pytest.raises(LoadError, match="without its final report"):
        parse_final(text)


def reading(text: str, clock: list[float] | None = None) -> LoadOutput:
    """An output whose program has written `text` and ended."""
    read, write = os.pipe()
    os.write(write, text.encode())
    os.close(write)
    ticks = chain(clock or [], repeat((clock or [0.0])[-1]))
    return LoadOutput(read, lambda: next(ticks))


def test_blocks_from_a_running_program_then_its_end() -> None:
    output = reading(WHOLE)
    assert [output.next_block() for _ in range(3)] == [(1, 169602), (2, 302641), (3, 434099)]
    assert parse_final(output.read_to_end()).requests == 434131
    output.close()


def test_a_block_that_does_not_come_is_an_error() -> None:
    output = reading(DIED)
    output.next_block()
    with pytest.raises(LoadError, match=r"ended; its last words: .*verify_failed"):
        output.next_block()
    output.close()


def test_a_program_that_says_nothing_is_not_waited_for_longer_than_the_timeout() -> None:
    output = reading("", clock=[0.0, 100.0])
    with pytest.raises(LoadError, match="did not report for 10 s"):
        output.next_block()
    output.close()


def test_config_has_one_length_and_nine_gets_to_one_set() -> None:
    assert config_text(32) == "key\n64 64 1\nvalue\n32 32 1\ncmd\n0 0.1\n1 0.9\n"


def test_command_line() -> None:
    words = command(Load(64, 32), "198.18.0.3", 11211, 4, "/tmp/x.cfg")
    assert words[0] == "memcaslap"
    assert {"--servers=198.18.0.3:11211", "--binary", "--concurrency=64", "--time=4s", "--stat_freq=1s"} <= set(words)


@pytest.mark.parametrize(("concurrency", "payload"), [(0, 32), (1, 0), (1, (1 << 20) + 1)])
def test_senseless_loads_are_refused(concurrency: int, payload: int) -> None:
    with pytest.raises(LoadError):
        Load(concurrency, payload)
