"""Stateless address autoconfiguration (RFC 4862): how an interface comes by its addresses, and how they end.

Every address, however it came about, is tentative until duplicate address detection is over (section 5.4): after a
random while we ask for it, as nobody, and if somebody has it or asks for it too, it is not taken. The link-local
address comes first; those of prefixes that routers advertise follow, and have lifetimes. The second halves of
automatic addresses tell nothing: they are a keyed hash of the prefix, so they stay on one link and differ on any two
(RFC 7217), and those of temporary addresses change with time (RFC 8981).

On a node of several cores each does this by itself; the key is the same, so they come to the same addresses.
"""

import hashlib
import random
from ipaddress import IPv6Interface

from ebbrt.constants import FOREVER
from stack.address import MASK64, halves
from stack.ipv6.constants import DEPRECATED, LINK_LOCAL, PREFERRED, TENTATIVE
from stack.ipv6.link import (
    MOST_ADDRESSES,
    MOST_PREFIXES,
    Ipv6Address,
    Ipv6Link,
    Prefix,
    group_mac,
    solicited_node,
)
from stack.ipv6.ndp import UNSPECIFIED, Ndp
from stack.ipv6.settings import Ipv6Settings
from stack.wire.discovery import PrefixInformation, solicitation

SECOND = 1_000_000_000
INFINITE = 0xFFFFFFFF  # of a lifetime in seconds
TWO_HOURS = 7200 * SECOND
LONGEST_DELAY = SECOND  # before the first probe (RFC 4861 section 10, MAX_RTR_SOLICITATION_DELAY)
MOST_ATTEMPTS = 3  # at an address that is not taken (RFC 7217 section 7 and RFC 8981 section 3.8, IDGEN_RETRIES)
TEMPORARY_VALID = 2 * 86400 * SECOND  # RFC 8981 section 3.8
TEMPORARY_PREFERRED = 86400 * SECOND
MOST_DESYNC = TEMPORARY_PREFERRED * 2 // 5
IDENTIFIER_BITS = 64  # of an interface (RFC 4291 section 2.5.1)
FIRST_RESERVED = 0xFDFFFFFFFFFFFF80  # RFC 5453: anycast, from here to the 128th


class Ipv6AddressWatcher:
    """Who is told of addresses that somebody else has. mac: whose, or 0 where the message does not say."""

    def address_duplicate(self, address: Ipv6Address, mac: int) -> None:
        """One that we asked for: it is not taken."""

    def address_conflict(self, address: Ipv6Address, mac: int) -> None:
        """One that we have; it is kept (RFC 4862 section 5.4.4)."""


class Autoconfiguration:
    """The addresses of one link. watcher: is told of conflicts.

    key: secret; the same for all cores of a node. random: draws delays.
    """

    def __init__(
        self, link: Ipv6Link, neighbours: Ndp, settings: Ipv6Settings, random: random.Random, key: bytes
    ) -> None:
        self.link = link
        self.neighbours = neighbours
        self.settings = settings
        self.random = random
        self.key = hashlib.sha256(b"interface identifiers" + key).digest()
        self.watcher = Ipv6AddressWatcher()
        self._started = False
        self._temporaries = 0  # temporary addresses made so far
        self.duplicates = 0
        self.given_up = 0
        self.refused = 0
        self.expired = 0

    def start(self, now: int) -> None:
        """Take the link-local address, and those of the settings."""
        self._started = True
        self._generate(LINK_LOCAL, 64, 0, FOREVER, FOREVER, now)
        for interface in self.settings.addresses:
            self._add_static(interface, now)

    def is_settled(self) -> bool:
        """Whether there are the addresses to begin with, and none is tentative."""
        return self._started and all(address.state != TENTATIVE for address in self.link.addresses)

    def take_prefix(self, said: PrefixInformation, now: int) -> None:
        """A router says what to make addresses of (section 5.5.3)."""
        if said.preferred > said.valid or said.length != 128 - IDENTIFIER_BITS:
            self.refused += 1
            return
        preferred_until = FOREVER if said.preferred == INFINITE else now + said.preferred * SECOND
        valid_until = FOREVER if said.valid == INFINITE else now + said.valid * SECOND
        known = False
        for address in self.link.addresses:
            if address.automatic and address.high == said.high:
                known = known or not address.temporary
                self._prolong(address, preferred_until, valid_until, now)
        if known or said.valid == 0:
            return
        stable = self._generate(said.high, said.length, 0, preferred_until, valid_until, now)
        if stable is not None and self.settings.temporary:
            self._make_temporary(stable, 0, now)

    def duplicated(self, address: Ipv6Address, mac: int, now: int) -> None:
        """Somebody else has a tentative address: it is not taken, but perhaps another (section 5.4.5)."""
        self.duplicates += 1
        self.watcher.address_duplicate(address, mac)
        self._remove(address, now)
        if not address.automatic or address.attempt + 1 >= MOST_ATTEMPTS:
            self.given_up += 1
        elif address.temporary:
            stable = self._stable(address.high)
            if stable is not None:
                self._make_temporary(stable, address.attempt + 1, now)
        else:
            self._generate(
                address.high,
                address.prefix_length,
                address.attempt + 1,
                address.preferred_until,
                address.valid_until,
                now,
            )

    def poll(self, now: int) -> None:
        """Probe, take, renew, deprecate and drop addresses whose time has come."""
        for address in list(self.link.addresses):
            if address.valid_until <= now:
                self.expired += 1
                self._remove(address, now)
            elif address.state == TENTATIVE:
                if address.probe_at <= now:
                    self._probe(address, now)
            else:
                self._age(address, now)

    def next_deadline(self) -> int:
        """When ``poll`` is due."""
        deadline = FOREVER
        for address in self.link.addresses:
            if address.state == TENTATIVE:
                deadline = min(deadline, address.probe_at)
            elif address.state == PREFERRED:
                deadline = min(deadline, address.preferred_until, self._renew_at(address))
            deadline = min(deadline, address.valid_until)
        return deadline

    def statistics(self) -> dict[str, int]:
        """Addresses there are and that could not be had."""
        return {
            "addresses": len(self.link.addresses),
            "tentative": sum(address.state == TENTATIVE for address in self.link.addresses),
            "addresses_duplicate": self.duplicates,
            "addresses_given_up": self.given_up,
            "addresses_expired": self.expired,
            "prefixes_not_used": self.refused,
        }

    # Addresses come

    def _add_static(self, interface: IPv6Interface, now: int) -> None:
        high, low = halves(int(interface.ip))
        length = interface.network.prefixlen
        if len(self.link.prefixes) < MOST_PREFIXES:
            self.link.prefixes.append(Prefix(high, low, length, FOREVER, True))
        self._take(Ipv6Address(high, low, length), now)

    def _generate(
        self, high: int, length: int, attempt: int, preferred_until: int, valid_until: int, now: int
    ) -> Ipv6Address | None:
        """A stable address in the prefix ``high`` (RFC 7217 section 5); None when there are too many."""
        address = Ipv6Address(high, self._identifier(b"stable", high, 0, attempt), length)
        address.automatic = True
        address.attempt = attempt
        address.preferred_until = preferred_until
        address.valid_until = valid_until
        return address if self._take(address, now) else None

    def _make_temporary(self, stable: Ipv6Address, attempt: int, now: int) -> None:
        """A temporary address beside a stable one (RFC 8981 section 3.4)."""
        self._temporaries += 1
        address = Ipv6Address(
            stable.high, self._identifier(b"temporary", stable.high, self._temporaries, attempt), stable.prefix_length
        )
        address.automatic = True
        address.temporary = True
        address.attempt = attempt
        address.created_at = now
        address.valid_until = min(stable.valid_until, now + TEMPORARY_VALID)
        address.preferred_until = min(stable.preferred_until, now + TEMPORARY_PREFERRED - self._desync(address))
        if address.preferred_until - now > self._advance():
            self._take(address, now)

    def _take(self, address: Ipv6Address, now: int) -> bool:
        """Begin with an address: listen to its group, find out whether anybody has it; False: there are too many."""
        group = solicited_node(address.low)
        if len(self.link.addresses) >= MOST_ADDRESSES or not self.link.join(*group, now):
            self.refused += 1
            return False
        self.link.addresses.append(address)
        address.probes_left = self.settings.probes
        if address.probes_left:
            address.probe_at = now + self.random.randrange(LONGEST_DELAY)
            self.link.wait_until(address.probe_at)
        else:
            self._assign(address)
        self.link.wait_until(address.valid_until)
        return True

    def _probe(self, address: Ipv6Address, now: int) -> None:
        """Ask for it as nobody, or take it when the last question was asked long enough ago (section 5.4.2)."""
        if address.probes_left == 0:
            self._assign(address)
            return
        address.probes_left -= 1
        address.probe_at = now + self.neighbours.retransmit_time
        group = solicited_node(address.low)
        self.link.send_control(UNSPECIFIED, group, group_mac(group[1]), solicitation(address.pair(), 0))

    def _assign(self, address: Ipv6Address) -> None:
        address.state = PREFERRED
        address.probe_at = FOREVER
        self.link.generation += 1
        self.link.wait_until(min(address.preferred_until, address.valid_until, self._renew_at(address)))

    # They grow old

    def _prolong(self, address: Ipv6Address, preferred_until: int, valid_until: int, now: int) -> None:
        """New lifetimes; section 5.5.3 (e): nobody may end an address within two hours who does not also give it long.

        Those of temporary addresses do not grow beyond what they began with (RFC 8981 section 3.4).
        """
        if valid_until > now + TWO_HOURS or valid_until > address.valid_until:
            address.valid_until = valid_until
        elif address.valid_until > now + TWO_HOURS:
            address.valid_until = now + TWO_HOURS
        address.preferred_until = preferred_until
        if address.temporary:
            address.valid_until = min(address.valid_until, address.created_at + TEMPORARY_VALID)
            end = address.created_at + TEMPORARY_PREFERRED - self._desync(address)
            address.preferred_until = min(address.preferred_until, end)
        if address.state == DEPRECATED and address.preferred_until > now:
            address.state = PREFERRED
            self.link.generation += 1
        self.link.wait_until(min(address.valid_until, address.preferred_until, self._renew_at(address)))

    def _age(self, address: Ipv6Address, now: int) -> None:
        """Make the next temporary address in time, and let no new connection begin from an old one."""
        if address.state != PREFERRED:
            return
        if self._renew_at(address) <= now:
            stable = self._stable(address.high)
            address.renewed = True
            if stable is not None:
                self._make_temporary(stable, 0, now)
        if address.preferred_until <= now:
            address.state = DEPRECATED
            self.link.generation += 1

    def _renew_at(self, address: Ipv6Address) -> int:
        """When the next temporary address is to be made (RFC 8981 section 3.5)."""
        if not address.temporary or address.renewed:
            return FOREVER
        return address.preferred_until - self._advance()

    def _advance(self) -> int:
        """REGEN_ADVANCE (RFC 8981 section 3.8)."""
        return 2 * SECOND + MOST_ATTEMPTS * self.settings.probes * self.neighbours.retransmit_time

    def _remove(self, address: Ipv6Address, now: int) -> None:
        self.link.addresses.remove(address)
        self.link.leave(*solicited_node(address.low), now)
        self.link.generation += 1

    def _stable(self, high: int) -> Ipv6Address | None:
        """The automatic address that stays, in the prefix ``high``."""
        for address in self.link.addresses:
            if address.high == high and address.automatic and not address.temporary:
                return address
        return None

    # Identifiers

    def _identifier(self, purpose: bytes, high: int, count: int, attempt: int) -> int:
        """An interface identifier (RFC 7217 section 5, RFC 8981 section 3.3.2); none of those of RFC 5453."""
        while True:
            identifier = self._hash(purpose, high, self.link.mac, self.link.index, count, attempt)
            if identifier != 0 and not FIRST_RESERVED <= identifier < FIRST_RESERVED + 128:
                return identifier
            attempt += MOST_ATTEMPTS

    def _desync(self, address: Ipv6Address) -> int:
        """By how much a temporary address ends earlier than others' (RFC 8981 section 3.8, DESYNC_FACTOR)."""
        return self._hash(b"desync", address.high, address.low) % MOST_DESYNC

    def _hash(self, purpose: bytes, *numbers: int) -> int:
        data = purpose + b"".join(number.to_bytes(8, "big") for number in numbers)
        return int.from_bytes(hashlib.blake2b(data, key=self.key).digest()[:8], "big") & MASK64
