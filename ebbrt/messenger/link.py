"""One TCP connection between two Messengers: first the handshake, then frames for the peer it turned out to be.

A link that fails says why to its owner, once, and closes. Whatever it has not delivered stays with the ``Peer``.
"""

from ebbrt.clock import Clock
from ebbrt.iobuf import IOBuf
from ebbrt.messenger.delivery import Arrival, Deliveries
from ebbrt.messenger.frames import FrameReader
from ebbrt.messenger.handshake import Handshake
from ebbrt.messenger.peer import Peer
from ebbrt.messenger.protocol import FAILURE, FRAME_HEADER, MESSAGE, PIECE_COST, PING, START
from ebbrt.network import TcpHandler


class LinkOwner:
    """What a link tells its Messenger."""

    def link_proved(self, link: "Link") -> None:
        """The peer has proved who it is: ``link.use`` or ``link.fail``."""
        raise NotImplementedError

    def link_started(self, link: "Link") -> None:
        """The peer has sent its first frame: it uses the link too."""
        raise NotImplementedError

    def link_ended(self, link: "Link", problem: str) -> None:
        """The link is gone; ``problem`` is what was wrong with the peer, or '' for an ordinary end."""
        raise NotImplementedError


class Link(TcpHandler):
    """A connection to ``peer``, once that has proved itself. ``deadline``: the handshake ends before it."""

    def __init__(
        self, owner: LinkOwner, handshake: Handshake, reader: FrameReader, deliveries: Deliveries, clock: Clock
    ) -> None:
        self.owner = owner
        self.handshake = handshake
        self.deadline = 0
        self.peer: Peer | None = None
        self.started = False
        self._reader = reader
        self._deliveries = deliveries
        self._clock = clock
        self._early = b""  # of the handshake step that is not complete
        self._open = True

    def connected(self) -> None:
        """Begin the handshake. Frames are whole messages: none gains by waiting."""
        if not self._open:
            return
        self.connection.disable_nagle()
        self._say(self.handshake.begin())

    def receive(self, data: IOBuf) -> None:
        """Take what came: steps of the handshake, then frames."""
        rest: IOBuf | None = data
        while rest is not None and self.peer is None and self._open:
            rest = self._shake_hands(rest)
        if rest is None or self.peer is None or not self._open:
            return
        self.peer.heard = self._clock.now()
        self.peer.pinged = 0
        reader = self._reader
        reader.append(rest)
        while self._open and reader.advance():
            self._take_frame()
        if reader.problem:
            self.fail(reader.problem)
        elif self._open and not reader.settle():
            self.fail("no memory")
        elif self._open:
            self.peer.settle()
        self._deliveries.drain()

    def send_window_opened(self) -> None:
        """Go on sending."""
        if self.peer is not None and self._open:
            self.peer.flush()

    def peer_closed(self) -> None:
        """A Messenger never closes one direction only."""
        self.fail("")

    def closed(self, reason: str) -> None:
        """The connection is gone."""
        self._end("")

    def fail(self, problem: str) -> None:
        """Close the connection, because of ``problem`` if there is one."""
        if self._open:
            connection = self.connection
            self._end(problem)
            connection.abort()

    def _end(self, problem: str) -> None:
        if self._open:
            self._open = False
            self._reader.clear()
            self.owner.link_ended(self, problem)
        self.connection = None  # type: ignore[assignment]

    def use(self, peer: Peer) -> None:
        """Carry frames of ``peer`` from now on."""
        self.peer = peer
        peer.connected(self.connection)

    def _say(self, data: bytes) -> None:
        """Send bytes of the handshake."""
        if data and not self._deliveries.say(self.connection, data):
            self.fail("no memory")

    def _shake_hands(self, data: IOBuf) -> IOBuf | None:
        """Take what the current step of the handshake needs; the rest."""
        handshake = self.handshake
        step = min(handshake.needed - len(self._early), data.length)
        self._early += data.peek(0, step)
        rest = data.advance_chain(step)
        if len(self._early) < handshake.needed:
            return rest
        early = self._early
        self._early = b""
        self._say(handshake.receive(early))
        if handshake.problem:
            self.fail(handshake.problem)
        elif handshake.done:
            self.owner.link_proved(self)
        elif rest is not None:
            self.fail("speaks too early")
        return rest

    def _take_frame(self) -> None:
        """Do what the frame that the reader holds asks for."""
        reader = self._reader
        peer = self.peer
        assert peer is not None
        data = reader.data
        assert data is not None
        reader.data = None
        kind = reader.kind
        if not self.started:
            if kind != START:
                self.fail("no start")
                return
            self.started = True
            peer.start(reader.sequence)
            self.owner.link_started(self)
        elif kind == START:
            self.fail("a second start")
            return
        if not peer.has_acknowledged(reader.acknowledgment):
            self.fail("acknowledges what was not sent")
            return
        if MESSAGE <= kind <= FAILURE:
            cost = reader.length + FRAME_HEADER + PIECE_COST
            outcome = peer.take(reader.sequence, cost)
            if outcome == "new":
                self._deliveries.add(Arrival(peer, kind, reader.ebb_id, reader.call_id, data, cost))
            elif outcome != "duplicate":
                self.fail(outcome)
        elif kind == PING:
            peer.acknowledge()
