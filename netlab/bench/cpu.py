"""Busy time of one core, from ``/proc/stat``.

What a server costs is the whole time its core was not idle: its own instructions, the kernel's on its behalf, and the
interrupts that brought its packets. Nothing else runs there during a measurement, so nothing has to be told apart.
The kernel counts in ticks of 1/100 s (proc(5)), so an interval of two seconds is known to half a percent.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from netlab.errors import NetlabError

PROC_STAT = Path("/proc/stat")


class CpuStatError(NetlabError):
    """``/proc/stat`` does not tell what was asked."""


@dataclass(frozen=True)
class CoreTimes:
    """One core's counters since boot, in ticks.

    `busy` is user, nice, system, irq and softirq. Idle and iowait are not work; steal was spent by another machine.
    Guest time is already part of user (proc(5)).
    """

    busy: int
    total: int


def core_times(text: str, cpu: int) -> CoreTimes:
    """The counters of `cpu` in the `text` of ``/proc/stat``. Raises CpuStatError when it has no such core."""
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        if name == f"cpu{cpu}":
            user, nice, system, idle, iowait, irq, softirq, steal = (int(field) for field in rest.split()[:8])
            busy = user + nice + system + irq + softirq
            return CoreTimes(busy, busy + idle + iowait + steal)
    raise CpuStatError(f"/proc/stat has no core {cpu}: this machine has {os.cpu_count()}")


def busy_seconds(before: CoreTimes, after: CoreTimes) -> float:
    """Seconds the core worked between two samples."""
    return (after.busy - before.busy) / os.sysconf("SC_CLK_TCK")


def busy_share(before: CoreTimes, after: CoreTimes) -> float:
    """The part of the time between two samples that the core worked: 0 to 1."""
    total = after.total - before.total
    return (after.busy - before.busy) / total if total > 0 else 0.0


def sample() -> str:
    """``/proc/stat`` as it is now: one read, so that all cores are of one moment."""
    return PROC_STAT.read_text()
