"""IGMP (RFC 3376, the host's half): the groups that an interface listens to, and the routers' questions about them.

We listen to every source of a group (in version 3's words, EXCLUDE mode with no source), so a group is all there is
to report: at once and again when it is joined or left, and after a random part of the time that a query allows. While
a querier of version 2 or 1 is heard we speak its version (RFC 3376 section 7.2): then a report of another host for
the same group saves ours (RFC 2236 section 3).

On a node of several cores membership is each core's own, as sockets are.
"""

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ebbrt.constants import FOREVER
from ebbrt.iobuf import IOBuf, allocate
from stack.constants import ALL_SYSTEMS, ETHERNET_HEADER, ETHERTYPE_IPV4, GROUP_MAC, PROTOCOL_IGMP
from stack.timed import Timed
from stack.transport import IcmpError, Received, Transport
from stack.wire.checksum import chain_sum, memory_sum
from stack.wire.ethernet import EthernetHeader

if TYPE_CHECKING:
    from stack.interface import Interface
    from stack.ipv4.ipv4 import IPv4

ALL_ROUTERS = 0xE0000002
IGMPV3_ROUTERS = 0xE0000016
MOST_GROUPS = 64  # of an interface
MOST_SOURCES = 64  # of a query that are answered one by one

QUERY = 0x11
V1_REPORT = 0x12
V2_REPORT = 0x16
V2_LEAVE = 0x17
V3_REPORT = 0x22

MODE_IS_INCLUDE = 1
MODE_IS_EXCLUDE = 2
CHANGE_TO_INCLUDE = 3
CHANGE_TO_EXCLUDE = 4

SECOND = 1_000_000_000
TENTH = SECOND // 10  # the unit of response times
ROBUSTNESS = 2  # times that a change is reported, unless a querier says otherwise (section 8.1)
UNSOLICITED_INTERVAL = {3: SECOND, 2: 10 * SECOND, 1: 10 * SECOND}  # section 8.11, RFC 2236 section 8.10
OLD_QUERIER_TIME = 260 * SECOND  # sections 8.2, 8.3, 8.12: how long an old querier is remembered
V1_RESPONSE_TIME = 10 * SECOND

ROUTER_ALERT = b"\x94\x04\0\0"  # RFC 2113; section 4 wants it in every message
_IPV4 = struct.Struct("!BBHHHBBHII")
HEADER = _IPV4.size + len(ROUTER_ALERT)


@dataclass
class Change:
    """A report of a change that is still to be repeated, ``left`` times."""

    group: int
    kind: int
    left: int
    due: int


class Membership(Timed):
    """The groups of one interface, and what is to be reported of them."""

    def __init__(self, ip: "IPv4", interface: "Interface", random: random.Random) -> None:
        Timed.__init__(self)
        self.ip = ip
        self.interface = interface
        self.random = random
        self.robustness = ROBUSTNESS
        self._members: dict[int, int] = {}  # how many have joined each group
        self._changes: list[Change] = []
        self._answer_at: dict[int, int] = {}  # when each queried group is reported; all at 0
        self._answer_sources: dict[int, set[int]] = {}  # what was asked of it, unless all was
        self._old_until = {1: -FOREVER, 2: -FOREVER}  # until when queriers of these versions are remembered
        self.reports_sent = 0

    def join(self, group: int, now: int) -> None:
        """Listen to ``group``, once more. Raises OSError when there are too many."""
        if group not in self._members:
            if len(self._members) >= MOST_GROUPS:
                raise OSError(f"an interface listens to {MOST_GROUPS} groups at most")
            self._members[group] = 0
            self.interface.ipv4_groups.add(group)
            self._change(group, CHANGE_TO_EXCLUDE, now)
        self._members[group] += 1

    def leave(self, group: int, now: int) -> None:
        """Undo one ``join``; the last ends it."""
        self._members[group] -= 1
        if self._members[group] == 0:
            del self._members[group]
            self.interface.ipv4_groups.discard(group)
            self._answer_at.pop(group, None)
            self._change(group, CHANGE_TO_INCLUDE, now)

    def queried(self, group: int, sources: set[int], version: int, response_time: int, now: int) -> None:
        """A router has asked; group 0: for all. Report within ``response_time`` (section 5.2)."""
        if version < 3:
            self._old_until[version] = now + OLD_QUERIER_TIME
            for one in list(self._members) if not group else [group]:
                self._ask_for(one, set(), response_time, now)  # each at its own time, so that others may be first
        else:
            self._ask_for(group, sources, response_time, now)
        self._settle()

    def _ask_for(self, group: int, sources: set[int], response_time: int, now: int) -> None:
        """Let ``group`` be reported within ``response_time``, unless it is to be sooner anyway (section 5.2)."""
        if group and group not in self._members:
            return
        due = now + self.random.randrange(max(response_time, 1))
        if self._answer_at.get(0, FOREVER) <= due:
            return
        if not sources or (group in self._answer_at and group not in self._answer_sources):
            self._answer_sources.pop(group, None)
        else:
            self._answer_sources.setdefault(group, set()).update(sources)
        self._answer_at[group] = min(due, self._answer_at.get(group, FOREVER))

    def reported(self, group: int, now: int) -> None:
        """Another host has reported a group: in the old versions once is enough."""
        if self.version(now) < 3:
            self._answer_at.pop(group, None)
            self._settle()

    def version(self, now: int) -> int:
        """The version that the oldest querier speaks which is remembered (section 7.2.1)."""
        return next((version for version in (1, 2) if now < self._old_until[version]), 3)

    def poll(self, now: int) -> None:
        """See Timed."""
        for group in [group for group, due in self._answer_at.items() if due <= now]:
            del self._answer_at[group]
            self._answer(group, now)
        for change in [change for change in self._changes if change.due <= now]:
            self._report_change(change, now)
        self._settle()

    def _answer(self, group: int, now: int) -> None:
        sources = self._answer_sources.pop(group, None)
        groups = [group] if group else list(self._members)
        kind, listed = (
            (MODE_IS_INCLUDE, sources) if sources and len(sources) <= MOST_SOURCES else (MODE_IS_EXCLUDE, ())
        )
        if self.version(now) == 3:
            self._send_v3([(kind, one, sorted(listed)) for one in groups])
            return
        for one in groups:
            self._send_old_report(one, now)

    def _change(self, group: int, kind: int, now: int) -> None:
        self._changes = [change for change in self._changes if change.group != group]
        if group != ALL_SYSTEMS:  # which nobody reports
            change = Change(group, kind, self.robustness, now)
            self._changes.append(change)
            self._report_change(change, now)
        self._settle()

    def _report_change(self, change: Change, now: int) -> None:
        """Report it, and set the time of the next report (section 5.1)."""
        version = self.version(now)
        if version == 3:
            self._send_v3([(change.kind, change.group, [])])
        elif change.kind == CHANGE_TO_EXCLUDE:
            self._send_old_report(change.group, now)
        else:
            change.left = 1  # once; in version 1 not even that
            if version == 2:
                self._send(ALL_ROUTERS, struct.pack("!BBHI", V2_LEAVE, 0, 0, change.group))
        change.left -= 1
        change.due = now + self.random.randrange(1, UNSOLICITED_INTERVAL[version])
        if change.left <= 0:
            self._changes.remove(change)

    def _settle(self) -> None:
        self.wait_until(min([FOREVER, *self._answer_at.values(), *(change.due for change in self._changes)]))

    def _send_v3(self, records: list[tuple[int, int, list[int]]]) -> None:
        if not records:
            return
        body = struct.pack("!BBHHH", V3_REPORT, 0, 0, 0, len(records))
        for kind, group, sources in records:
            body += struct.pack(f"!BBHI{len(sources)}I", kind, 0, len(sources), group, *sources)
        self._send(IGMPV3_ROUTERS, body)

    def _send_old_report(self, group: int, now: int) -> None:
        kind = V1_REPORT if self.version(now) == 1 else V2_REPORT
        self._send(group, struct.pack("!BBHI", kind, 0, 0, group))

    def _send(self, destination: int, message: bytes) -> None:
        """One message in a packet of its own: hop limit 1, control class, router alert (section 4)."""
        interface, ip = self.interface, self.ip
        headroom = interface.device.headroom + ETHERNET_HEADER
        packet = allocate(ip.internet.allocator, HEADER + len(message), headroom)
        if packet is None:
            return  # as if it had been lost
        total = HEADER + len(message)
        header = _IPV4.pack(0x46, 0xC0, total, 0, 0x4000, 1, PROTOCOL_IGMP, 0, interface.ipv4_address, destination)
        packet.write(0, header + ROUTER_ALERT + message)
        memory = packet.memory
        packet.write(10, (0xFFFF ^ memory_sum(memory, packet.start, HEADER)).to_bytes(2, "big"))
        packet.write(HEADER + 2, (0xFFFF ^ memory_sum(memory, packet.start + HEADER, len(message))).to_bytes(2, "big"))
        packet.retreat(ETHERNET_HEADER)
        link = GROUP_MAC | destination & 0x7FFFFF
        EthernetHeader(memory).at(packet.start).write(link, interface.mac, ETHERTYPE_IPV4)
        self.reports_sent += 1
        interface.device.transmit(packet, 0, 0, 0)


class Igmp(Transport):
    """IGMP of a stack: hears what routers ask and hosts report, and tells the interface's ``Membership``."""

    def __init__(self, ip: "IPv4", random: random.Random, watch: Callable[[Timed], None]) -> None:
        self.ip = ip
        self.random = random
        self._watch = watch
        self._memberships: dict[int, Membership] = {}
        # Each received message is counted in ``received`` and in one of the next five.
        self.received = 0
        self.malformed = 0
        self.bad_checksum = 0
        self.queries = 0
        self.reports = 0
        self.unknown_type = 0
        ip.igmp = self
        ip.internet.register(PROTOCOL_IGMP, self)

    def membership(self, interface: "Interface") -> Membership:
        """The groups of an interface."""
        membership = self._memberships.get(interface.index)
        if membership is None:
            membership = self._memberships[interface.index] = Membership(self.ip, interface, self.random)
            self._watch(membership)
        return membership

    def receive_segment(self, packet: IOBuf, length: int, received: Received, now: int) -> None:
        """See Transport."""
        self.received += 1
        if packet.length < 8:
            self.malformed += 1
            return
        if chain_sum(packet, length) != 0xFFFF:
            self.bad_checksum += 1
            return
        kind, code, _, group = struct.unpack("!BBHI", packet.peek(0, 8))
        membership = self._memberships.get(received.interface.index)
        if kind == QUERY:
            self.queries += 1
            if membership is not None:
                self._query(membership, packet, code, group, now)
        elif kind in (V1_REPORT, V2_REPORT):
            self.reports += 1
            if membership is not None:
                membership.reported(group, now)
        else:
            self.unknown_type += 1  # among them the reports of version 3, which are for routers

    def icmp_error(self, error: IcmpError, now: int) -> None:
        """Nothing waits for an answer."""

    def statistics(self) -> dict[str, int]:
        """Received messages by outcome; reports sent, and groups listened to."""
        memberships = self._memberships.values()
        return {
            "received": self.received,
            "malformed": self.malformed,
            "bad_checksum": self.bad_checksum,
            "queries": self.queries,
            "reports": self.reports,
            "unknown_type": self.unknown_type,
            "reports_sent": sum([membership.reports_sent for membership in memberships]),
            "groups": sum([len(membership.interface.ipv4_groups) - 1 for membership in memberships]),
        }

    def _query(self, membership: Membership, packet: IOBuf, code: int, group: int, now: int) -> None:
        """What version it is of, its length says (section 7.1)."""
        if packet.length < 12:
            version = 2 if code else 1
            membership.queried(group, set(), version, code * TENTH or V1_RESPONSE_TIME, now)
            return
        robustness, count = packet.peek(8, 1)[0] & 7, int.from_bytes(packet.peek(10, 2), "big")
        if 12 + 4 * count > packet.length:
            return
        membership.robustness = robustness or ROBUSTNESS
        sources = set(struct.unpack(f"!{count}I", packet.peek(12, 4 * count)))
        membership.queried(group, sources, 3, response_time(code), now)


def response_time(code: int) -> int:
    """Nanoseconds that version 3's code means: from 128 on a floating-point number (section 4.1.1)."""
    return TENTH * (code if code < 128 else (code & 0xF | 0x10) << ((code >> 4 & 7) + 3))
