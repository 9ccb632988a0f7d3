"""The handshake of two Messengers, without I/O: bytes of the peer in, bytes for the peer out.

``messenger.protocol`` describes it. Whoever drives a ``Handshake`` gives it exactly ``needed`` bytes at a time, sends
what it returns, and looks at ``problem`` and ``done``.
"""

import hmac
from dataclasses import dataclass
from random import Random
from struct import Struct

from ebbrt.messages import NodeId
from ebbrt.messenger.protocol import (
    ACCEPTOR,
    HELLO_LENGTH,
    HELLO_MAGIC,
    INITIATOR,
    LONGEST_ADDRESS,
    NONCE_LENGTH,
    PROOF_LENGTH,
    VERSION,
)

_HELLO = Struct(f">4sHBxIIQ{NONCE_LENGTH}sH{LONGEST_ADDRESS}s")
assert _HELLO.size == HELLO_LENGTH


@dataclass(frozen=True)
class Identity:
    """A node as it presents itself: who it is, and in which of its lives."""

    node: NodeId
    incarnation: int


def write_hello(own: Identity, role: int, target: int, nonce: bytes) -> bytes:
    """The HELLO of ``own`` to node number ``target``."""
    node = own.node
    address = node.address.encode("ascii")
    return _HELLO.pack(HELLO_MAGIC, VERSION, role, node.number, target, own.incarnation, nonce, node.port, address)


class Handshake:
    """One side of one handshake. ``target`` is the node number an initiator wants, None for an acceptor.

    ``peer`` is who the peer says it is: to be believed once ``done``.
    """

    def __init__(self, own: Identity, secret: bytes, target: int | None, random: Random) -> None:
        self.own = own
        self.role = ACCEPTOR if target is None else INITIATOR
        self.target = target
        self.needed = HELLO_LENGTH + (PROOF_LENGTH if self.role == INITIATOR else 0)
        self.problem = ""
        self.done = False
        self.peer: Identity | None = None
        self._secret = secret
        self._nonce = random.randbytes(NONCE_LENGTH)
        self._hellos = b""  # the initiator's, then the acceptor's

    def begin(self) -> bytes:
        """What to send once connected."""
        if self.target is None:
            return b""
        self._hellos = write_hello(self.own, self.role, self.target, self._nonce)
        return self._hellos

    def receive(self, data: bytes) -> bytes:
        """Take ``needed`` bytes; what to send back."""
        if self.role == INITIATOR:
            return self._initiator(data[:HELLO_LENGTH], data[HELLO_LENGTH:])
        if self.peer is None:
            return self._acceptor(data)
        self._finish("initiator", data)
        return b""

    def _initiator(self, hello: bytes, proof: bytes) -> bytes:
        """The acceptor's HELLO and PROOF."""
        if not self._read_hello(hello, ACCEPTOR):
            return b""
        assert self.peer is not None
        if self.peer.node.number != self.target:
            self.problem = "wrong node"
            return b""
        self._hellos += hello
        self._finish("acceptor", proof)
        return b"" if self.problem else self._prove("initiator")

    def _acceptor(self, hello: bytes) -> bytes:
        """The initiator's HELLO."""
        if not self._read_hello(hello, INITIATOR):
            return b""
        assert self.peer is not None
        own = write_hello(self.own, self.role, self.peer.node.number, self._nonce)
        self._hellos = hello + own
        self.needed = PROOF_LENGTH
        return own + self._prove("acceptor")

    def _read_hello(self, hello: bytes, role: int) -> bool:
        """Learn who the peer says it is; False, with a ``problem``, when it is nobody we can speak to."""
        magic, version, its_role, number, target, incarnation, _, port, address = _HELLO.unpack(hello)
        if magic != HELLO_MAGIC or its_role != role:
            self.problem = "not a Messenger"
        elif version != VERSION:
            self.problem = "wrong version"
        elif target != self.own.node.number:
            self.problem = "wrong node"
        elif number == self.own.node.number:
            self.problem = "duplicate node number"
        elif not incarnation or not port or not address.rstrip(b"\0").isascii():
            self.problem = "malformed hello"
        else:
            self.peer = Identity(NodeId(number, address.rstrip(b"\0").decode("ascii"), port), incarnation)
        return not self.problem

    def _prove(self, label: str) -> bytes:
        return hmac.digest(self._secret, label.encode() + self._hellos, "sha256")

    def _finish(self, label: str, proof: bytes) -> None:
        """Believe the peer if its proof is right."""
        if hmac.compare_digest(proof, self._prove(label)):
            self.done = True
        else:
            self.problem = "wrong secret"
