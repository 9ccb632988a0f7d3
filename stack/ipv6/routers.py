"""Router discovery (RFC 4861 section 6.3): who the routers are, and what they say of the link.

A host asks for advertisements when it starts (section 6.3.7), and from then on listens. Routers, prefixes and what is
asked of the network are bounded. Of the routers that answer one is kept to until it does not (section 6.3.6); then the
next is taken. Redirects are not followed: all of them come from a router that could forward, and anyone on the link
may forge one.
"""

import random

from ebbrt.constants import FOREVER
from stack.constants import RESOLVING
from stack.ipv6.constants import ALL_NODES_HIGH, ALL_ROUTERS, LEAST_MTU, LINK_LOCAL
from stack.ipv6.link import MOST_PREFIXES, Ipv6Link, Prefix, group_mac
from stack.ipv6.ndp import UNSPECIFIED, Ndp
from stack.transport import Received
from stack.wire import discovery
from stack.wire.discovery import ROUTER_ADVERTISEMENT_LENGTH, Options, PrefixInformation, RouterAdvertisement

MOST_ROUTERS = 8  # RFC 4861 section 6.3.4 asks for two at least
MOST_SOLICITATIONS = 3
SOLICITATION_INTERVAL = 4_000_000_000
LONGEST_DELAY = 1_000_000_000  # before the first one
LONGEST_REACHABLE_TIME = 3_600_000  # milliseconds (section 6.2.1)
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
INFINITE = 0xFFFFFFFF  # of a lifetime in seconds
ALL_ROUTERS_ADDRESS = (ALL_NODES_HIGH, ALL_ROUTERS)


class DefaultRouter:
    """A router that forwards for us until ``expires_at``. failed: it did not answer when we last asked for it."""

    def __init__(self, high: int, low: int, expires_at: int) -> None:
        self.high = high
        self.low = low
        self.expires_at = expires_at
        self.failed = False


class Routers:
    """The routers of one link, and what they say.

    automatic: whether advertisements are asked for and heeded.
    """

    def __init__(self, link: Ipv6Link, neighbours: Ndp, random: random.Random, automatic: bool) -> None:
        self.link = link
        self.neighbours = neighbours
        self.random = random
        self.automatic = automatic
        self._routers: list[DefaultRouter] = []
        self._solicitations_left = 0
        self._solicit_at = FOREVER
        self.solicitations_sent = 0
        self.advertisements_used = 0
        self.advertisements_ignored = 0
        self.advertisements_invalid = 0
        self.redirects_ignored = 0
        self.routers_refused = 0
        self.prefixes_refused = 0

    def start(self, now: int) -> None:
        """Ask for routers, after a random while (section 6.3.7)."""
        if self.automatic:
            self._solicitations_left = MOST_SOLICITATIONS
            self._solicit_at = now + self.random.randrange(LONGEST_DELAY)
            self.link.wait_until(self._solicit_at)

    def add(self, high: int, low: int, expires_at: int) -> None:
        """Take a default router, or a new time for one that is known."""
        for router in self._routers:
            if (router.high, router.low) == (high, low):
                router.expires_at = expires_at
                router.failed = False
                self.link.wait_until(expires_at)
                return
        if len(self._routers) >= MOST_ROUTERS:
            self.routers_refused += 1
            return
        self._routers.append(DefaultRouter(high, low, expires_at))
        self.link.wait_until(expires_at)
        self.link.generation += 1

    def remove(self, high: int, low: int) -> None:
        """That one is a default router no more."""
        self._routers = [router for router in self._routers if (router.high, router.low) != (high, low)]
        self.link.generation += 1

    def unreachable(self, high: int, low: int) -> None:
        """A neighbour did not answer; if it was a router, another is tried next."""
        for router in self._routers:
            if (router.high, router.low) == (high, low):
                router.failed = True
                self._routers.remove(router)  # behind the others, which are tried before it comes round again
                self._routers.append(router)
                self.link.generation += 1
                return

    def choose(self) -> tuple[int, int] | None:
        """The router to use (section 6.3.6): one that did not fail, else the one that failed longest ago."""
        if not self._routers:
            return None
        best = next((router for router in self._routers if not router.failed), self._routers[0])
        return best.high, best.low

    def receive_advertisement(self, message: bytes, received: Received, now: int) -> bool:
        """Take a router advertisement (sections 6.1.2, 6.3.4); whether it was in order."""
        source = received.source_high, received.source_low
        long_enough = len(message) >= ROUTER_ADVERTISEMENT_LENGTH
        options = discovery.options(message[ROUTER_ADVERTISEMENT_LENGTH:]) if long_enough else None
        if options is None or received.hop_limit != 255 or message[1] != 0 or source[0] != LINK_LOCAL:
            self.advertisements_invalid += 1
            return False
        if not self.automatic:
            self.advertisements_ignored += 1
            return True
        self.advertisements_used += 1
        self._solicit_at = FOREVER  # section 6.3.7: one is enough
        said = discovery.router(message)
        self._take_parameters(said, options)
        if options.source_mac and not options.source_mac >> 40 & 1:
            self._take_link_address(source, options.source_mac, now)
        if said.lifetime:
            self.add(*source, now + said.lifetime * SECOND)
        else:
            self.remove(*source)
        for prefix in options.prefixes:
            self._take_prefix(prefix, now)
        return True

    def poll(self, now: int) -> None:
        """Ask again, and forget what has had its time."""
        if now >= self._solicit_at:
            self._solicit(now)
        if any(router.expires_at <= now for router in self._routers):
            self._routers = [router for router in self._routers if router.expires_at > now]
            self.link.generation += 1
        for prefix in [prefix for prefix in self.link.prefixes if prefix.valid_until <= now]:
            self.link.prefixes.remove(prefix)
            self.link.generation += 1

    def next_deadline(self) -> int:
        """When ``poll`` is due."""
        times = [router.expires_at for router in self._routers]
        times += [prefix.valid_until for prefix in self.link.prefixes]
        return min([self._solicit_at, *times])

    def statistics(self) -> dict[str, int]:
        """Solicitations sent, advertisements by what became of them, routers and prefixes known."""
        return {
            "router_solicitations_sent": self.solicitations_sent,
            "router_advertisements_used": self.advertisements_used,
            "router_advertisements_ignored": self.advertisements_ignored,
            "router_advertisements_invalid": self.advertisements_invalid,
            "redirects_ignored": self.redirects_ignored,
            "routers": len(self._routers),
            "routers_refused": self.routers_refused,
            "prefixes": len(self.link.prefixes),
            "prefixes_refused": self.prefixes_refused,
        }

    def _solicit(self, now: int) -> None:
        """Send a router solicitation, and set the time of the next."""
        local = self.link.link_local()
        self._solicitations_left -= 1
        self._solicit_at = now + SOLICITATION_INTERVAL if self._solicitations_left else FOREVER
        self.solicitations_sent += 1
        source = UNSPECIFIED if local is None else local.pair()
        message = discovery.router_solicitation(0 if local is None else self.link.mac)
        self.link.send_control(source, ALL_ROUTERS_ADDRESS, group_mac(ALL_ROUTERS), message)

    def _take_parameters(self, said: RouterAdvertisement, options: Options) -> None:
        """Section 6.3.4: what is not 0 is meant."""
        if said.hop_limit:
            self.link.hop_limit = said.hop_limit
        if 0 < said.reachable_time <= LONGEST_REACHABLE_TIME:
            self.neighbours.set_reachable_time(said.reachable_time)
        if said.retransmit_time:
            self.neighbours.retransmit_time = min(said.retransmit_time, LONGEST_REACHABLE_TIME) * MILLISECOND
        if LEAST_MTU <= options.mtu <= self.link.device.mtu and options.mtu != self.link.mtu:
            self.link.mtu = options.mtu
            self.link.generation += 1

    def _take_link_address(self, source: tuple[int, int], mac: int, now: int) -> None:
        """The router told its link address along."""
        neighbour = self.neighbours.lookup(*source)
        neighbour.is_router = True
        if neighbour.state == RESOLVING or neighbour.mac != mac:
            self.neighbours.learn(neighbour, mac, False, now)

    def _take_prefix(self, said: PrefixInformation, now: int) -> None:
        """A prefix: what is on the link (section 6.3.4), and what to make addresses of (RFC 4862 section 5.5.3)."""
        if said.high >> 54 == LINK_LOCAL >> 54 or said.high >> 56 == 0xFF:
            return
        if said.on_link:
            self._take_on_link(said, now)
        if said.autonomous:
            self.link.autoconfiguration.take_prefix(said, now)

    def _take_on_link(self, said: PrefixInformation, now: int) -> None:
        valid_until = FOREVER if said.valid == INFINITE else now + said.valid * SECOND
        known = Prefix(said.high, said.low, said.length, valid_until)
        for prefix in self.link.prefixes:
            if (prefix.high, prefix.low, prefix.length) == (known.high, known.low, known.length):
                if not prefix.fixed:
                    prefix.valid_until = valid_until
                self.link.wait_until(valid_until)
                return
        if said.valid == 0:
            return
        if len(self.link.prefixes) >= MOST_PREFIXES:
            self.prefixes_refused += 1
            return
        self.link.prefixes.append(known)
        self.link.generation += 1
        self.link.wait_until(valid_until)
