"""An interface's IPv4 address from the wish for it to its defence: address conflict detection (RFC 5227).

    PROBING      asks three times whether anybody has the address; who answers, or asks the same, ends it
    ASKING       has the address, and has asked once: who answers is told of, before anybody hears that it is ours
    ANNOUNCING   it is ours: two announcements let the others forget who had it before
    KEPT         a conflict is answered with one announcement; a second one within DEFEND_INTERVAL ends it, unless the
                 address is to be kept whatever happens, as a server's (RFC 5227 section 2.4 (b) and (c))
    NONE         no address

Who configures the address is told how it went, and of every conflict that is answered. One of DHCP is probed for; a
static one is not, so that a node serves soon: it is announced at once, or after having asked for a moment.
``stack.ipv4.arp`` sees the conflicts. On a node of several cores core 0 has this.
"""

import random
from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

from ebbrt.constants import FOREVER
from stack.timed import Timed

if TYPE_CHECKING:
    from stack.interface import Interface
    from stack.ipv4.ipv4 import IPv4

SECOND = 1_000_000_000  # nanoseconds; the names below are RFC 5227's, section 1.1
PROBE_WAIT = SECOND
PROBE_NUM = 3
PROBE_MIN = SECOND
PROBE_MAX = 2 * SECOND
ANNOUNCE_WAIT = 2 * SECOND
ANNOUNCE_NUM = 2
ANNOUNCE_INTERVAL = 2 * SECOND
MAX_CONFLICTS = 10
RATE_LIMIT_INTERVAL = 60 * SECOND
DEFEND_INTERVAL = 10 * SECOND
ASK_WAIT = SECOND // 5  # ours: a link that is slower lets the conflict be seen a little later

NONE = "none"
PROBING = "probing"
ASKING = "asking"
ANNOUNCING = "announcing"
KEPT = "kept"


class AddressUser:
    """Whoever asked for an address; it may claim another from within each call."""

    def address_ready(self) -> None:
        """The address is the interface's."""

    def address_lost(self, mac: int) -> None:
        """Somebody at ``mac`` has the address; the interface has none now."""

    def address_conflict(self, mac: int) -> None:
        """Somebody at ``mac`` has the address too; the interface keeps it. Told once in DEFEND_INTERVAL."""


class AddressClaim(Timed):
    """The address of one interface. ``state`` is one of the words above."""

    def __init__(self, ip: "IPv4", interface: "Interface", random: random.Random) -> None:
        Timed.__init__(self)
        self.ip = ip
        self.interface = interface
        self.random = random
        self.state = NONE
        self._address: IPv4Interface | None = None
        self._user = AddressUser()
        self._keep = False
        self._sent = 0  # probes, or announcements, of this address
        self._failures = 0  # claims in a row that ended in a conflict
        self._conflict_at = -DEFEND_INTERVAL
        self.probes_sent = 0
        self.announcements_sent = 0
        self.conflicts = 0
        self.given_up = 0

    def claim(
        self, address: IPv4Interface, user: AddressUser, now: int, *, probe: bool, keep: bool, ask: bool = False
    ) -> None:
        """Take an address: at once, or after probing for it. keep: defend it for ever.

        ask: taken at once, but announced after ASK_WAIT only; who has it is told of meanwhile.
        """
        self.release()
        self._address = address
        self._user = user
        self._keep = keep
        self._sent = 0
        if ask:
            self.state = ASKING
            self.ip.set_address(self.interface, address)
            self._probe()
            self.wait_until(now + ASK_WAIT)
            return
        if not probe:
            self._take(now)
            return
        self.state = PROBING
        self.interface.arp.candidate = int(address.ip)
        limited = RATE_LIMIT_INTERVAL if self._failures >= MAX_CONFLICTS else 0
        self.wait_until(now + limited + self.random.randrange(PROBE_WAIT))

    def change_network(self, address: IPv4Interface) -> None:
        """Be in another network with the address that we have: what uses it goes on."""
        if address != self._address:
            self._address = address
            self.ip.set_address(self.interface, address)

    def release(self) -> None:
        """Have no address any more; nobody is told."""
        if self.state in (ASKING, ANNOUNCING, KEPT):
            self.ip.set_address(self.interface, None)
        self.interface.arp.candidate = 0
        self.state = NONE
        self.wait_until(FOREVER)

    def conflict(self, mac: int, now: int) -> None:
        """ARP has seen that ``mac`` has, or wants, the same address."""
        self.conflicts += 1
        if self.state == PROBING:
            self._failures += 1
            self._give_up(mac)
            return
        if self.state == ASKING:
            self._user.address_conflict(mac)
            return
        recent = now - self._conflict_at < DEFEND_INTERVAL
        if recent and self._keep:
            return
        if recent:
            self._give_up(mac)
            return
        self._conflict_at = now
        self._announce()
        self._user.address_conflict(mac)

    def poll(self, now: int) -> None:
        """See Timed."""
        if self.state == PROBING and self._sent < PROBE_NUM:
            self._sent += 1
            self._probe()
            last = self._sent == PROBE_NUM
            self.wait_until(now + (ANNOUNCE_WAIT if last else self.random.randrange(PROBE_MIN, PROBE_MAX)))
        elif self.state in (PROBING, ASKING):
            self._take(now)
        else:
            self._go_on_announcing(now)

    def statistics(self) -> dict[str, int | str]:
        """Its state; probes and announcements sent, defences among them; conflicts seen; addresses given up."""
        return {
            "state": self.state,
            "probes_sent": self.probes_sent,
            "announcements_sent": self.announcements_sent,
            "conflicts": self.conflicts,
            "given_up": self.given_up,
        }

    def _probe(self) -> None:
        assert self._address is not None
        self.probes_sent += 1
        self.interface.arp.probe(int(self._address.ip))

    def _take(self, now: int) -> None:
        self.interface.arp.candidate = 0
        self.ip.set_address(self.interface, self._address)
        self.state = ANNOUNCING
        self._failures = 0
        self._sent = 0
        self._conflict_at = now - DEFEND_INTERVAL
        self._go_on_announcing(now)
        self._user.address_ready()

    def _go_on_announcing(self, now: int) -> None:
        self._sent += 1
        self._announce()
        if self._sent < ANNOUNCE_NUM:
            self.wait_until(now + ANNOUNCE_INTERVAL)
        else:
            self.state = KEPT
            self.wait_until(FOREVER)

    def _announce(self) -> None:
        self.announcements_sent += 1
        self.interface.arp.announce()

    def _give_up(self, mac: int) -> None:
        self.given_up += 1
        self.release()
        self._user.address_lost(mac)
