"""What the STAT command answers, under the names memcached uses; only what means something here is there."""

import os
from typing import TYPE_CHECKING

from apps.memcached.protocol import LONGEST_VALUE, VERSION_TEXT
from apps.memcached.store import Counters

if TYPE_CHECKING:
    from apps.memcached.session import Core

COUNTER_NAMES = (
    "cmd_get", "cmd_set", "cmd_flush", "cmd_touch", "get_hits", "get_misses", "get_expired", "get_flushed",
    "delete_misses", "delete_hits", "incr_misses", "incr_hits", "decr_misses", "decr_hits", "cas_misses", "cas_hits",
    "cas_badval", "touch_hits", "touch_misses", "store_too_large", "store_no_memory", "total_items", "evictions",
    "reclaimed",
)  # fmt: skip


def stat_group(group: bytes, core: "Core") -> list[tuple[str, str]] | None:
    """Names and values of a group of statistics; None when there is no such group. ``reset`` resets."""
    if group == b"":
        return [(name, str(value)) for name, value in general(core).items()]
    if group == b"settings":
        return [(name, str(value)) for name, value in settings(core).items()]
    if group == b"items":
        return [("items:1:number", str(core.store.size()))] if core.store.size() else []
    if group == b"reset":
        core.store.counters = Counters()
        core.opened = 0
        return []
    return None


def general(core: "Core") -> dict[str, int | str]:
    """The statistics of a STAT request without a key."""
    store = core.store
    now = store.now()
    return {
        "pid": os.getpid(),
        "uptime": now - core.started,
        "time": now,
        "version": VERSION_TEXT.decode(),
        "pointer_size": 64,
        "curr_connections": len(core.sessions),
        "total_connections": core.opened,
        **counters(core),
        "limit_maxbytes": store.memory_limit,
        "threads": 1,
        "bytes": store.bytes,
        "curr_items": store.size(),
    }


def counters(core: "Core") -> dict[str, int]:
    """What has been counted since the start, or the last reset."""
    return {name: getattr(core.store.counters, name) for name in COUNTER_NAMES}


def settings(core: "Core") -> dict[str, int | str]:
    """The statistics of ``STAT settings``."""
    return {
        "maxbytes": core.store.memory_limit,
        "evictions": "on",
        "num_threads": 1,
        "cas_enabled": "yes",
        "binding_protocol": "binary",
        "auth_enabled_sasl": "no",
        "item_size_max": LONGEST_VALUE,
        "flush_enabled": "yes",
    }
