"""Busy time of a core out of /proc/stat."""

import os

import pytest

from netlab.bench.cpu import CpuStatError, busy_seconds, busy_share, core_times, sample

BEFORE = """cpu  300 0 60 1000 9 0 5 7 0 0
cpu0 100 1 20 500 4 2 3 5 30 0
cpu1 200 0 40 500 5 0 2 2 0 0
cpu10 1 1 1 1 1 1 1 1 1 1
intr 12345
"""
AFTER = """cpu  300 0 60 1000 9 0 5 7 0 0
cpu0 150 2 40 520 4 3 10 8 60 0
cpu1 200 0 40 602 5 0 2 2 0 0
cpu10 1 1 1 1 1 1 1 1 1 1
intr 12345
"""


def test_busy_is_all_that_is_not_idle_iowait_or_steal() -> None:
    assert core_times(BEFORE, 0).busy == 100 + 1 + 20 + 2 + 3
    assert core_times(BEFORE, 0).total == 126 + 500 + 4 + 5  # guest is part of user


def test_interval() -> None:
    before, after = core_times(BEFORE, 0), core_times(AFTER, 0)
    assert busy_seconds(before, after) == pytest.approx((50 + 1 + 20 + 1 + 7) / os.sysconf("SC_CLK_TCK"))
    assert busy_share(before, after) == pytest.approx(79 / 102)


def test_idle_core_and_empty_interval() -> None:
    assert busy_share(core_times(BEFORE, 1), core_times(AFTER, 1)) == 0.0
    assert busy_share(core_times(BEFORE, 0), core_times(BEFORE, 0)) == 0.0


def test_core_1_is_not_core_10_and_core_7_is_refused() -> None:
    assert core_times(BEFORE, 1).busy == 242
    assert core_times(BEFORE, 10).busy == 5
    with pytest.raises(CpuStatError, match="no core 7"):
        core_times(BEFORE, 7)


def test_the_kernel_s_own_file() -> None:
    assert core_times(sample(), 0).total > 0
