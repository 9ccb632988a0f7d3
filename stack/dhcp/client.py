"""The client's half of DHCP (RFC 2131 section 4.4): a state machine that is given messages and the time.

    INIT        waits until it may begin, then -> SELECTING
    SELECTING   has asked everybody (DISCOVER); the first usable offer -> REQUESTING
    REQUESTING  has asked that server for its offer; ACK -> CHECKING, NAK -> INIT
    CHECKING    the address is probed for (RFC 5227); free -> BOUND, else DECLINE -> INIT, ten seconds later
    BOUND       until T1, then -> RENEWING
    RENEWING    asks its server alone, until T2; ACK -> BOUND, NAK -> INIT
    REBINDING   asks everybody, until the lease is over; ACK -> BOUND, NAK -> INIT

What it sends leaves by ``DhcpUser.send``; the address is taken, probed for and given back by the same user.
``configure`` is the user that joins it to a stack. Anyone on the link can answer, so an answer must fit in with
what was asked (transaction, link address, server), and however often one refuses us, we ask at a bounded rate.

Servers leave out of an ACK what they have said before. So what was offered or acknowledged holds for as long as there
is a lease, or hope of one, until a later message says otherwise.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface

from ebbrt.constants import FOREVER
from stack.constants import MASK32
from stack.dhcp.message import (
    ACK,
    BOOT_REPLY,
    BOOT_REQUEST,
    BROADCAST,
    CLIENT,
    DECLINE,
    DISCOVER,
    DNS,
    ETHERNET,
    LEASE_TIME,
    LONGEST,
    MESSAGE_TYPE,
    MOST_BYTES,
    MTU,
    NAK,
    OFFER,
    PARAMETERS,
    REBINDING_TIME,
    RENEWAL_TIME,
    REQUEST,
    REQUESTED_ADDRESS,
    ROUTER,
    SERVER,
    SUBNET_MASK,
    Message,
    parse,
)
from stack.timed import Timed

SECOND = 1_000_000_000  # nanoseconds
FIRST_RETRY = 4 * SECOND  # doubled each time, up to ...
LAST_RETRY = 64 * SECOND  # ... this, and each one a second more or less (section 4.1)
MOST_REQUESTS = 4  # of one offer: a minute (section 3.1, 5)
SHORTEST_RENEWAL_RETRY = 60 * SECOND  # section 4.4.5
AFTER_REFUSAL = 10 * SECOND  # after a DECLINE (section 3.1, 5), and from the second NAK in a row on
SHORTEST_LEASE = 10  # seconds: no server means less, and a hostile one must not keep us busy
INFINITE = 0xFFFFFFFF  # seconds
TIMES = (LEASE_TIME, RENEWAL_TIME, REBINDING_TIME)  # they belong together
HELD = (SUBNET_MASK, ROUTER, DNS, MTU)  # what holds until a message says otherwise
WANTED = bytes([SUBNET_MASK, ROUTER, DNS, MTU, LEASE_TIME, RENEWAL_TIME, REBINDING_TIME])

INIT = "init"
SELECTING = "selecting"
REQUESTING = "requesting"
CHECKING = "checking"
BOUND = "bound"
RENEWING = "renewing"
REBINDING = "rebinding"


@dataclass(frozen=True)
class Lease:
    """What a server has given us: times in nanoseconds of our clock, FOREVER when there is none.

    routers: in the address's network, or beside a network of one address anywhere: reached on the link all the same
    (as clients do since RFC 3442). dns and mtu (0: not said) are kept for whoever asks; the stack does not use them.
    """

    address: IPv4Interface
    server: int
    routers: tuple[IPv4Address, ...]
    dns: tuple[IPv4Address, ...]
    mtu: int
    renew_at: int
    rebind_at: int
    expires_at: int


class DhcpUser:
    """Whom a client acts for."""

    def send(self, data: bytes, server: int | None) -> None:
        """Send a message: to ``server`` from our address, or to everybody, from 0.0.0.0 when we have none."""
        raise NotImplementedError

    def check(self, lease: Lease) -> None:
        """Find out whether anybody has the address: ``address_free`` or ``address_taken`` is called later."""
        raise NotImplementedError

    def bound(self, lease: Lease) -> None:
        """The lease is ours, or has been renewed."""
        raise NotImplementedError

    def unbound(self) -> None:
        """The address must not be used any more."""
        raise NotImplementedError


class DhcpClient(Timed):
    """The client of one interface. ``lease``: what is held, or being checked; None: nothing."""

    def __init__(self, mac: bytes, user: DhcpUser, random: random.Random) -> None:
        Timed.__init__(self)
        self.mac = mac
        self.user = user
        self.random = random
        self.state = INIT
        self.lease: Lease | None = None
        self._offer: Message | None = None
        self._held: dict[int, bytes] = {}  # options of the offer and the ACKs up to now
        self._xid = 0
        self._began_at = 0  # when this transaction began
        self._sent_at = 0  # the last message: a lease counts from there (section 4.4.1)
        self._sent = 0  # messages in this state
        self._refusals = 0  # NAKs in a row
        self.sent = 0
        # Each received message is counted in ``received`` and in one of the next four.
        self.received = 0
        self.malformed = 0
        self.not_ours = 0
        self.unusable = 0
        self.used = 0
        self.naks = 0
        self.declined = 0
        self.renewed = 0
        self.expired = 0

    def start(self, now: int) -> None:
        """Begin at once."""
        self._begin(now, 0)

    def receive(self, data: bytes, now: int) -> None:
        """Take what came to port 68."""
        self.received += 1
        message = parse(data)
        if message is None:
            self.malformed += 1
        elif message.op != BOOT_REPLY or message.xid != self._xid or message.chaddr != self.mac:
            self.not_ours += 1
        elif self._answer(message, now):
            self.used += 1
        else:
            self.unusable += 1

    def address_free(self, now: int) -> None:
        """Nobody else has the address of ``lease``: it is ours."""
        assert self.lease is not None
        self.state = BOUND
        self.wait_until(self.lease.renew_at)
        self.user.bound(self.lease)

    def address_taken(self, now: int) -> None:
        """Another host has the address, now or already when we asked (section 3.1, 5; RFC 5227 section 2.4)."""
        assert self.lease is not None
        self.declined += 1
        address, server = int(self.lease.address.ip), self.lease.server
        self._drop()
        self._start_transaction(now)
        self._send(DECLINE, {REQUESTED_ADDRESS: _packed(address), SERVER: _packed(server)}, now)
        self._begin(now, AFTER_REFUSAL)

    def poll(self, now: int) -> None:
        """See Timed."""
        lease = self.lease
        if self.state == INIT:
            self.state = SELECTING
            self._sent = 0
            self._start_transaction(now)
            self._discover(now)
        elif self.state == SELECTING:
            self._discover(now)
        elif self.state == REQUESTING:
            self._request_offer(now)
        elif lease is not None and now >= lease.expires_at:
            self.expired += 1
            self._drop()
            self.start(now)
        elif lease is not None:
            self._prolong(lease, now)

    def statistics(self) -> dict[str, int | str]:
        """Its state; messages sent, and received by what became of them; what happened to leases."""
        return {
            "state": self.state,
            "sent": self.sent,
            "received": self.received,
            "malformed": self.malformed,
            "not_ours": self.not_ours,
            "unusable": self.unusable,
            "used": self.used,
            "naks": self.naks,
            "declined": self.declined,
            "renewed": self.renewed,
            "expired": self.expired,
        }

    # What is sent

    def _begin(self, now: int, delay: int) -> None:
        self.state = INIT
        self._offer = None
        self._held = {}
        self.wait_until(now + delay)

    def _start_transaction(self, now: int) -> None:
        self._xid = self.random.getrandbits(32)
        self._began_at = now

    def _discover(self, now: int) -> None:
        self._send(DISCOVER, {PARAMETERS: WANTED}, now)
        self._retry_later(now)

    def _request_offer(self, now: int) -> None:
        if self._sent >= MOST_REQUESTS:
            self.start(now)
            return
        offer = self._offer
        assert offer is not None
        wanted = {REQUESTED_ADDRESS: _packed(offer.yiaddr), SERVER: offer.options[SERVER], PARAMETERS: WANTED}
        self._send(REQUEST, wanted, now)
        self._retry_later(now)

    def _prolong(self, lease: Lease, now: int) -> None:
        """Ask for more time: its server from T1 on, everybody from T2 on (section 4.4.5)."""
        if self.state == BOUND:
            self._start_transaction(now)
        rebind = now >= lease.rebind_at
        self.state = REBINDING if rebind else RENEWING
        server = None if rebind else lease.server
        self._send(REQUEST, {PARAMETERS: WANTED}, now, int(lease.address.ip), server)
        limit = lease.expires_at if rebind else lease.rebind_at
        self.wait_until(min(limit, now + max((limit - now) // 2, SHORTEST_RENEWAL_RETRY)))

    def _retry_later(self, now: int) -> None:
        """Exponential backoff with a random part (section 4.1)."""
        wait = min(FIRST_RETRY << self._sent, LAST_RETRY)
        self._sent += 1
        self.wait_until(now + wait + self.random.randrange(-SECOND, SECOND))

    def _send(
        self, kind: int, options: dict[int, bytes], now: int, ciaddr: int = 0, server: int | None = None
    ) -> None:
        self.sent += 1
        self._sent_at = now
        secs = min((now - self._began_at) // SECOND, 0xFFFF)
        common = {
            MESSAGE_TYPE: bytes([kind]),
            CLIENT: bytes([ETHERNET]) + self.mac,
            MOST_BYTES: LONGEST.to_bytes(2, "big"),
        }
        flags = 0 if ciaddr else BROADCAST
        message = Message(BOOT_REQUEST, self._xid, self.mac, secs, flags, ciaddr, options={**common, **options})
        self.user.send(message.encode(), server)

    # What is received

    def _answer(self, message: Message, now: int) -> bool:
        """Act on an answer to what we asked; False when it is of no use."""
        kind = message.kind()
        if kind == OFFER and self.state == SELECTING:
            return self._take_offer(message, now)
        asked = self.state in (REQUESTING, RENEWING, REBINDING)
        if not asked or not self._is_from_our_server(message):
            return False
        if kind == NAK:
            self._refused(now)
            return True
        return kind == ACK and self._take_lease(message, now)

    def _is_from_our_server(self, message: Message) -> bool:
        """Whether the one that was asked has answered; everybody was asked in REBINDING."""
        server = message.number(SERVER)
        if self.state == REQUESTING:
            assert self._offer is not None
            return server == self._offer.number(SERVER)
        assert self.lease is not None
        return server is not None and (self.state == REBINDING or server == self.lease.server)

    def _take_offer(self, offer: Message, now: int) -> bool:
        if self._lease_in(offer, now) is None:
            return False
        self._offer = offer
        self._held = offer.options
        self.state = REQUESTING
        self._sent = 0
        self._request_offer(now)
        return True

    def _take_lease(self, ack: Message, now: int) -> bool:
        ack = self._completed(ack)
        lease = self._lease_in(ack, self._sent_at)
        if lease is None or lease.expires_at <= now:
            return False
        if self.state == REQUESTING:
            self._held = ack.options
            self._refusals = 0
            self.lease = lease
            self.state = CHECKING
            self.wait_until(FOREVER)
            self.user.check(lease)
            return True
        assert self.lease is not None
        if lease.address.ip != self.lease.address.ip:
            return False  # nobody may move us while we talk: the lease runs out, and we ask anew
        self._held = ack.options
        self.lease = lease
        self.renewed += 1
        self.address_free(now)
        return True

    def _refused(self, now: int) -> None:
        """NAK: what we have, or want, is not for us."""
        self.naks += 1
        self._refusals += 1
        self._drop()
        self._begin(now, AFTER_REFUSAL if self._refusals > 1 else 0)

    def _drop(self) -> None:
        if self.lease is not None:
            self.lease = None
            self.user.unbound()

    def _completed(self, message: Message) -> Message:
        """The message with what it leaves out of what was said before."""
        names = HELD if message.options.get(LEASE_TIME) else HELD + TIMES
        held = {name: self._held[name] for name in names if name in self._held and not message.options.get(name)}
        return replace(message, options={**message.options, **held})

    def _lease_in(self, message: Message, since: int) -> Lease | None:
        """The lease that a message offers or gives, counted from ``since``; None when we cannot use it."""
        seconds = message.number(LEASE_TIME)
        server = message.number(SERVER)
        address = _usable_interface(message.yiaddr, message.number(SUBNET_MASK))
        if seconds is None or seconds < SHORTEST_LEASE or server is None or address is None:
            return None
        routers = [router for router in message.numbers(ROUTER) if _can_be_host(router)]
        renew, rebind = message.number(RENEWAL_TIME), message.number(REBINDING_TIME)
        if renew is None or rebind is None or not 0 < renew < rebind < seconds:
            renew, rebind = seconds // 2, seconds * 7 // 8  # section 4.4.5
        endless = seconds == INFINITE
        return Lease(
            address=address,
            server=server,
            routers=tuple(_reachable(map(IPv4Address, routers), address)),
            dns=tuple(map(IPv4Address, message.numbers(DNS))),
            mtu=message.number(MTU, 2) or 0,
            renew_at=FOREVER if endless else since + renew * SECOND,
            rebind_at=FOREVER if endless else since + rebind * SECOND,
            expires_at=FOREVER if endless else since + seconds * SECOND,
        )


def _can_be_host(address: int) -> bool:
    return address >> 24 not in (0, 127) and address >> 28 < 0xE


def _reachable(routers: Iterable[IPv4Address], address: IPv4Interface) -> list[IPv4Address]:
    """Those of the routers that somebody with this address can reach on the link."""
    alone = address.network.prefixlen == 32
    return [router for router in routers if router != address.ip and (alone or router in address.network)]


def _classful_length(address: int) -> int:
    """Bits of the network that an address is in by its class: what holds without a mask (RFC 950), as clients do."""
    return 8 if address >> 31 == 0 else 16 if address >> 30 == 2 else 24


def _usable_interface(address: int, mask: int | None) -> IPv4Interface | None:
    """The address with its network; None when no host can have it."""
    if not _can_be_host(address):
        return None
    length = _classful_length(address) if mask is None else mask.bit_count()
    if length == 0 or (mask is not None and mask != MASK32 << (32 - length) & MASK32):
        return None
    interface = IPv4Interface((address, length))
    network = interface.network
    if network.prefixlen < 31 and interface.ip in (network.network_address, network.broadcast_address):
        return None
    return interface


def _packed(address: int) -> bytes:
    return address.to_bytes(4, "big")
