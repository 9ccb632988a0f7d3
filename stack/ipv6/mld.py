"""Multicast Listener Discovery, a host's part (RFC 3810): routers and switches are told which groups we listen to.

A change is reported at once and, as a report may get lost, once more after a random while (section 6.1); queries are
answered after a random part of the time that they give (section 6.2). We listen to groups from any source, so every
record is of an EXCLUDE mode without sources. After a query of version 1 we speak that, for as long as section 9.12
says. The group of all nodes and those of lesser scope are never reported (section 6).
"""

import random
import struct
from collections.abc import Iterable

from ebbrt.constants import FOREVER
from stack.ipv6.constants import (
    ALL_MLD_ROUTERS,
    ALL_NODES_HIGH,
    ALL_ROUTERS,
    LINK_LOCAL,
    LISTENER_DONE,
    LISTENER_REPORT,
    LISTENER_REPORT_V2,
)
from stack.ipv6.link import ROUTER_ALERT, Ipv6Link, group_mac
from stack.transport import Received

MODE_IS_EXCLUDE = 2  # types of a record (section 5.2.12)
CHANGE_TO_INCLUDE = 3
CHANGE_TO_EXCLUDE = 4

MILLISECOND = 1_000_000
SECOND = 1_000_000_000
ROBUSTNESS = 2  # section 9.1: how often a change is reported
REPORT_INTERVAL = SECOND  # section 9.11
OLD_QUERIER_TIME = 260 * SECOND  # section 9.12: robustness * query interval + query response interval
QUERY_V1_LENGTH = 24
QUERY_LENGTH = 28
MOST_CHANGES = 128  # that are still to be reported

_QUERY = struct.Struct("!BBHHHQQ")
_REPORT = struct.Struct("!BBHHH")
_RECORD = struct.Struct("!BBHQQ")
Address = tuple[int, int]


class Mld:
    """Which groups of one link are to be reported, and when. random: draws delays."""

    def __init__(self, link: Ipv6Link, random: random.Random) -> None:
        self.link = link
        self.random = random
        self._answer_all_at = FOREVER
        self._answer_at: dict[Address, int] = {}
        self._changes: dict[Address, tuple[int, int, int]] = {}  # record type, reports to come, when the next is due
        self._version_1_until = 0
        self.queries = 0
        self.invalid = 0
        self.reports_sent = 0

    def changed(self, group: Address, joined: bool, now: int) -> None:
        """Report that we have begun, or stopped, to listen to a group."""
        if not is_reported(group):
            return
        if len(self._changes) >= MOST_CHANGES:
            del self._changes[next(iter(self._changes))]
        if not joined:
            self._answer_at.pop(group, None)
        self._report_change(group, CHANGE_TO_EXCLUDE if joined else CHANGE_TO_INCLUDE, ROBUSTNESS, now)

    def receive_query(self, message: bytes, received: Received, router_alert: bool, now: int) -> bool:
        """Take a query (section 6.2); whether it was in order (section 5.1.14)."""
        version_1 = len(message) == QUERY_V1_LENGTH
        valid = received.source_high == LINK_LOCAL and received.hop_limit == 1 and router_alert
        if not valid or not (version_1 or len(message) >= QUERY_LENGTH):
            self.invalid += 1
            return False
        self.queries += 1
        _, _, _, code, _, *group = _QUERY.unpack_from(message)
        if version_1:
            self._version_1_until = now + OLD_QUERIER_TIME
        delay = (code if version_1 else response_delay(code)) * MILLISECOND
        at = now + self.random.randrange(delay + 1)
        if group == [0, 0]:
            self._answer_all_at = min(self._answer_all_at, at)
        elif self.link.listens_to(group[0], group[1]) and is_reported((group[0], group[1])):
            key = group[0], group[1]
            self._answer_at[key] = min(self._answer_at.get(key, FOREVER), at)
        self.link.wait_until(at)
        return True

    def receive_report(self, message: bytes) -> None:
        """Another host has reported a group in version 1: nobody else needs to (RFC 2710 section 4)."""
        if len(message) >= QUERY_V1_LENGTH:
            _, _, _, _, _, high, low = _QUERY.unpack_from(message)
            self._answer_at.pop((high, low), None)

    def poll(self, now: int) -> None:
        """Send the answers and reports that are due."""
        if self._answer_all_at <= now:
            self._answer_all_at = FOREVER
            self._answer_at.clear()
            self._send(MODE_IS_EXCLUDE, [(group.high, group.low) for group in self.link.groups], now)
        due = [group for group, at in self._answer_at.items() if at <= now]
        for group in due:
            del self._answer_at[group]
        self._send(MODE_IS_EXCLUDE, due, now)
        for group, (kind, left, at) in list(self._changes.items()):
            if at <= now:
                self._report_change(group, kind, left, now)

    def next_deadline(self) -> int:
        """When ``poll`` is due."""
        return min([self._answer_all_at, *self._answer_at.values(), *(at for _, _, at in self._changes.values())])

    def statistics(self) -> dict[str, int]:
        """Queries heard and reports sent."""
        return {"mld_queries": self.queries, "mld_invalid": self.invalid, "mld_reports_sent": self.reports_sent}

    def _report_change(self, group: Address, kind: int, left: int, now: int) -> None:
        """Send one of the reports of a change, and set the time of the next."""
        self._changes.pop(group, None)
        if left > 1:
            at = now + 1 + self.random.randrange(REPORT_INTERVAL)
            self._changes[group] = kind, left - 1, at
            self.link.wait_until(at)
        self._send(kind, [group], now)

    def _send(self, kind: int, groups: Iterable[Address], now: int) -> None:
        """Send records of one kind, in as few reports as they fit into."""
        reported = [group for group in groups if is_reported(group)]
        if now < self._version_1_until:
            for group in reported:
                self._send_version_1(kind, group)
            return
        most = (self.link.mtu - 40 - len(ROUTER_ALERT) - _REPORT.size) // _RECORD.size
        while reported:
            part, reported = reported[:most], reported[most:]
            records = b"".join(_RECORD.pack(kind, 0, 0, *group) for group in part)
            message = _REPORT.pack(LISTENER_REPORT_V2, 0, 0, 0, len(part)) + records
            self._transmit((ALL_NODES_HIGH, ALL_MLD_ROUTERS), message)

    def _send_version_1(self, kind: int, group: Address) -> None:
        """RFC 2710: a report to the group itself, or that we are done to all routers."""
        done = kind == CHANGE_TO_INCLUDE
        message = _QUERY.pack(LISTENER_DONE if done else LISTENER_REPORT, 0, 0, 0, 0, *group)
        self._transmit((ALL_NODES_HIGH, ALL_ROUTERS) if done else group, message)

    def _transmit(self, destination: Address, message: bytes) -> None:
        local = self.link.link_local()
        self.reports_sent += 1
        self.link.send_control(
            local.pair() if local is not None else (0, 0),  # section 5.2.13
            destination,
            group_mac(destination[1]),
            message,
            ROUTER_ALERT,
            hop_limit=1,
        )


def is_reported(group: Address) -> bool:
    """Whether anybody is to know that we listen to it (section 6)."""
    return group != (ALL_NODES_HIGH, 1) and group[0] >> 48 & 0xF > 1


def response_delay(code: int) -> int:
    """Milliseconds that a Maximum Response Code stands for (section 5.1.3)."""
    if code < 0x8000:
        return code
    return (code & 0xFFF | 0x1000) << ((code >> 12 & 7) + 3)
