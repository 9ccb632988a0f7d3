"""The Messenger over TCP: one connection for each pair of nodes, and what happens when there is none.

``TcpMessenger`` listens, connects to a node when something is sent to it, decides which connection stays, connects
again when one breaks, and gives up what cannot be delivered. Its parts: ``messenger.protocol`` (what crosses, and what
is promised: read it first), ``messenger.handshake``, ``messenger.frames``, ``messenger.link`` (one connection),
``messenger.peer`` (one other node), ``messenger.delivery`` (to the Ebbs). It runs on core 0 of a node; the other cores
have ``messenger.core_messenger``.

Paper section 3.1.2, without what the original lacked: close, reconnect, simultaneous connects, sends before the
connection is up.
"""

from random import Random
from typing import Any

from ebbrt.clock import Clock
from ebbrt.ebb import Core
from ebbrt.events.event_manager import EventManager
from ebbrt.future import Future, failed
from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator
from ebbrt.messages import Messenger, NodeId, NodeLostError
from ebbrt.messenger.delivery import Deliveries, LocalPeer
from ebbrt.messenger.frames import FrameReader
from ebbrt.messenger.handshake import Handshake, Identity
from ebbrt.messenger.link import Link, LinkOwner
from ebbrt.messenger.peer import Alarm, Counters, Owner, Peer
from ebbrt.messenger.protocol import (
    FIRST_RETRY,
    FRAME_HEADER,
    HANDSHAKE_TIME,
    LAST_RETRY,
    LONGEST_ADDRESS,
    LOST_TIME,
    MESSAGE,
    MOST_HANDSHAKES,
)
from ebbrt.network import NetworkManager, TcpConnection, TcpHandler

SHORTEST_SECRET = 16


class Route:
    """How a peer is reached: the connection there is, or what is done to get one."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.link: Link | None = None  # carries frames
        self.attempt: Link | None = None  # ours, not proved yet
        self.retry_at = 0
        self.retry_delay = FIRST_RETRY
        self.missing_since = 0  # no connection since then, though one is wanted; 0 when there is one, or none wanted
        self.problem = "no connection was made"  # the last


class Refused(TcpHandler):
    """A connection that is not wanted."""

    def connected(self) -> None:
        """Reset it."""
        self.connection.abort()

    def closed(self, reason: str) -> None:
        """Nothing may keep it alive."""
        self.connection = None  # type: ignore[assignment]


class TcpMessenger(Messenger, Owner, LinkOwner):
    """The Messenger of a node that others reach as ``local``; it listens on ``local.port``.

    secret: at least 16 bytes, the same on all nodes of the application.
    random: draws nonces and the incarnation, so a node gives a cryptographic one (``random.SystemRandom``).
    Raises AddressInUseError, MemoryError, and ValueError for what cannot be a node id or a secret.
    """

    def __init__(
        self,
        network: NetworkManager,
        events: EventManager,
        allocator: MemoryAllocator,
        core: Core,
        local: NodeId,
        secret: bytes,
        clock: Clock,
        random: Random,
    ) -> None:
        if len(secret) < SHORTEST_SECRET:
            raise ValueError(f"a secret of {len(secret)} bytes can be guessed: give at least {SHORTEST_SECRET}")
        if not local.address.isascii() or len(local.address) > LONGEST_ADDRESS or not 0 <= local.number < 1 << 32:
            raise ValueError(f"{local} cannot be the id of a node")
        scratch = allocate(allocator, FRAME_HEADER)
        if scratch is None:
            raise MemoryError("no node memory for the Messenger")
        self._network = network
        self._events = events
        self._allocator = allocator
        self._clock = clock
        self._random = random
        self._secret = secret
        self._scratch = scratch
        self._own = Identity(local, random.getrandbits(63) + 1)
        self._counters = Counters()
        self._deliveries = Deliveries(events, core, allocator, self._counters)
        self._alarm = Alarm(events, clock, self._sweep)
        self._routes: dict[int, Route] = {}
        self._lost: dict[int, str] = {}  # nodes that are gone for good: why
        self._handshakes: dict[Link, None] = {}  # in the order of their deadlines
        self._closed = False
        self._local = LocalPeer(local, allocator, clock, self._counters, self)
        self._local.incarnation = self._own.incarnation
        self._local.use(events, self._deliveries)
        network.listen(local.port, self._accept)

    # What Ebbs call

    def local(self) -> NodeId:
        """This node."""
        return self._own.node

    def send(self, node: NodeId, ebb_id: int, data: IOBuf) -> None:
        """See Messenger. Raises MemoryError too, when there is none for a header."""
        self._peer(node).send(MESSAGE, ebb_id, 0, data)

    def call(self, node: NodeId, ebb_id: int, data: IOBuf, timeout: int) -> Future[IOBuf]:
        """See Messenger. The time-out may come up to 10 ms late: expired calls are looked for in batches."""
        try:
            peer = self._peer(node)
        except NodeLostError as error:
            return failed(error)
        return peer.call(ebb_id, data, timeout)

    def when_sendable(self, node: NodeId) -> Future[None]:
        """See Messenger."""
        try:
            peer = self._peer(node)
        except NodeLostError as error:
            return failed(error)
        return peer.when_sendable()

    def node_lost(self, number: int, reason: str) -> None:
        """See Messenger."""
        self._lost[number] = reason
        route = self._routes.pop(number, None)
        if route is not None:
            self._drop_links(route)
            route.peer.incarnation = 0  # answers to its calls are not sent any more
            route.peer.give_up(NodeLostError(f"node {route.peer.node} is lost: {reason}"))

    def close(self) -> None:
        """Drop every connection and fail whatever waits; later sends raise NodeLostError."""
        self._closed = True
        for number in list(self._routes):
            self.node_lost(number, "this node's Messenger is closed")
        for link in list(self._handshakes):
            link.fail("")
        self._local.give_up(NodeLostError("this node's Messenger is closed"))
        self._alarm.stop()

    def statistics(self) -> dict[str, Any]:
        """Messages, connections, bytes that wait, and what was refused or dropped by reason."""
        counters = self._counters
        routes = self._routes.values()
        return {
            "peers": len(routes),
            "connections": sum(route.link is not None for route in routes),
            "handshakes": len(self._handshakes),
            "messages_sent": counters.messages_sent,
            "messages_received": counters.messages_received,
            "resent": counters.resent,
            "duplicates": counters.duplicates,
            "acknowledgments_sent": counters.acknowledgments_sent,
            "given_up": counters.given_up,
            "queued_bytes": sum(route.peer.queued for route in routes),
            "pending_calls": sum(len(route.peer.pending) for route in routes) + len(self._local.pending),
            "problems": dict(counters.problems),
        }

    def _peer(self, node: NodeId) -> Peer:
        route = self._routes.get(node.number)
        if route is not None:
            return route.peer
        if node.number == self._own.node.number and not self._closed:
            return self._local
        return self._route(node).peer

    def _route(self, node: NodeId) -> Route:
        """The route to a node, made when it is new. Raises NodeLostError."""
        route = self._routes.get(node.number)
        if route is None:
            if self._closed:
                raise NodeLostError("this node's Messenger is closed")
            if node.number in self._lost:
                raise NodeLostError(f"node {node} is lost: {self._lost[node.number]}")
            route = Route(Peer(node, self._allocator, self._clock, self._counters, self))
            self._routes[node.number] = route
        return route

    # Making connections

    def want_connection(self, peer: Peer) -> None:
        """Something waits for a peer without a connection: make one, if that is not being tried already."""
        route = self._routes.get(peer.node.number)
        if route is not None and route.missing_since == 0:
            self._missing(route)
            self._connect(route)

    def _missing(self, route: Route) -> None:
        """A connection is wanted from now on."""
        route.missing_since = self._clock.now()
        self.arm(route.missing_since + LOST_TIME)

    def _connect(self, route: Route) -> None:
        """Try once; the next attempt is due when this one has failed and a pause has passed."""
        node = route.peer.node
        link = self._link(node.number)
        route.attempt = link
        route.retry_at = 0
        try:
            self._network.connect(node.address, node.port, link)
        except (OSError, ValueError) as error:
            route.problem = str(error)
            if route.attempt is link:
                self.link_ended(link, "")

    def _accept(self, connection: TcpConnection) -> TcpHandler:
        if self._closed:
            return Refused()
        if len(self._handshakes) >= MOST_HANDSHAKES:
            self._counters.count("too many handshakes")
            return Refused()
        return self._link(None)

    def _link(self, target: int | None) -> Link:
        """A connection that has to prove itself in time."""
        handshake = Handshake(self._own, self._secret, target, self._random)
        link = Link(self, handshake, FrameReader(self._allocator, self._scratch), self._deliveries, self._clock)
        link.deadline = self._clock.now() + HANDSHAKE_TIME
        self._handshakes[link] = None
        self.arm(link.deadline)
        return link

    # What links tell

    def link_proved(self, link: Link) -> None:
        """Decide whether a connection whose peer has proved itself stays."""
        del self._handshakes[link]
        identity = link.handshake.peer
        assert identity is not None
        number = identity.node.number
        if self._closed or number in self._lost:
            link.fail("lost node")
            return
        route = self._route(identity.node)
        peer = route.peer
        if route.attempt is link:
            route.attempt = None
        elif not self._yields(route, identity):
            self._counters.count("simultaneous connect")
            link.fail("")
            return
        if peer.incarnation != identity.incarnation:
            if route.link is not None:
                peer.ping(self._clock.now())  # if the other one is dead, this one may come again soon
                link.fail("duplicate node number")
                return
            if peer.incarnation:
                peer.give_up(NodeLostError(f"node {peer.node} has begun another life"))
            peer.begin_life(identity.incarnation)
        self._drop_links(route)
        peer.node = identity.node
        route.link = link
        route.retry_at = 0
        link.use(peer)

    def _yields(self, route: Route, identity: Identity) -> bool:
        """Whether a connection the peer made may take the place of ours: of two made at once, the lower's stays.

        When ours is really dead, the ping finds out, and the peer's next attempt is welcome.
        """
        ours = route.attempt
        if ours is None and route.link is not None and route.link.handshake.target is not None:
            ours = route.link
        if ours is None or identity.node.number < self._own.node.number:
            return True
        if route.link is not None:
            route.peer.ping(self._clock.now())
        return False

    def link_started(self, link: Link) -> None:
        """The peer uses the link too: it is the connection of this pair."""
        assert link.peer is not None
        route = self._routes[link.peer.node.number]
        route.missing_since = 0
        route.retry_delay = FIRST_RETRY

    def link_ended(self, link: Link, problem: str) -> None:
        """Count what was wrong, and connect again if something waits."""
        if problem:
            self._counters.count(problem)
        self._handshakes.pop(link, None)
        number = link.handshake.target
        if link.peer is not None:
            number = link.peer.node.number
        route = self._routes.get(number) if number is not None else None
        if route is None:
            return
        if route.attempt is link:
            route.attempt = None
        elif route.link is link:
            route.link = None
            route.peer.disconnected()
        else:
            return
        if problem:
            route.problem = problem
        if route.peer.needs_connection():
            self._retry_later(route)
        else:
            route.missing_since = 0

    def _retry_later(self, route: Route) -> None:
        """Pause for a random part of a time that doubles, so that two nodes, or a hundred, do not keep step."""
        if route.missing_since == 0:
            self._missing(route)
        delay = route.retry_delay
        route.retry_delay = min(2 * delay, LAST_RETRY)
        route.retry_at = self._clock.now() + delay // 2 + self._random.randrange(delay // 2)
        self.arm(route.retry_at)

    def _drop_links(self, route: Route) -> None:
        """Close what there is to a peer; not a reason to connect again."""
        for link in (route.attempt, route.link):
            if link is not None:
                route.attempt = route.link = None
                link.fail("")
        route.peer.disconnected()

    # Time

    def arm(self, deadline: int) -> None:
        """See Owner."""
        self._alarm.arm(deadline)

    def _sweep(self) -> None:
        """Do what is due for every peer, and set the alarm for what is due next."""
        now = self._clock.now()
        for link in [link for link in self._handshakes if link.deadline <= now]:
            link.fail("handshake took too long")
        for route in list(self._routes.values()):
            if not route.peer.sweep(now) and route.link is not None:
                route.link.fail("silent peer")
            if route.link is None:
                self._sweep_missing(route, now)
        self._local.sweep(now)
        for route in self._routes.values():
            self.arm(route.peer.deadline())
            if route.link is not None:
                continue  # whatever was due without a connection: nothing above would do it, again and again
            if route.retry_at:
                self.arm(route.retry_at)
            if route.missing_since:
                self.arm(route.missing_since + LOST_TIME)
        for link in self._handshakes:
            self.arm(link.deadline)
            break
        self.arm(self._local.deadline())

    def _sweep_missing(self, route: Route, now: int) -> None:
        """A peer without a connection: give up, or try again, if it is time."""
        if route.missing_since and now >= route.missing_since + LOST_TIME:
            attempt = route.attempt
            route.attempt = None
            route.missing_since = route.retry_at = 0
            route.retry_delay = FIRST_RETRY
            if attempt is not None:
                attempt.fail("")
            peer = route.peer
            peer.give_up(NodeLostError(f"node {peer.node} cannot be reached: {route.problem}"))
        elif route.retry_at and now >= route.retry_at:
            self._connect(route)
