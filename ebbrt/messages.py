"""The interface of the Messenger: what an Ebb sees of the other nodes.

``messenger.send(node, ebb_id, data)`` reaches the representative of that Ebb on that node; when there is none yet, its
arrival makes one, through the Ebb's fault handler (paper section 3.1.2). A representative that wants messages is a
``MessageHandler``. Data are bytes in node memory (``IOBuf``), whose meaning is the Ebb's; ``pack`` and ``unpack`` are
there for those whose meaning is plain data (numbers, text, bytes, lists, dictionaries).
"""

from typing import Any, NamedTuple

import msgpack

from ebbrt.future import Future
from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator
from ebbrt.messenger.protocol import LARGEST_DATA

LARGEST_MESSAGE = LARGEST_DATA  # bytes of data in one message
# What the layers below put in front of the data, so that a message leaves without being copied.
MESSAGE_HEADROOM = 256
FRONT_END = 0  # its node number


class NodeId(NamedTuple):
    """A node of the application: its number, never used twice, and where its Messenger listens."""

    number: int
    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.number}@{self.address}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> "NodeId":
        """The id that ``str`` wrote. Raises ValueError."""
        number, at, rest = text.partition("@")
        address, colon, port = rest.rpartition(":")
        if not at or not colon or not number.isdecimal() or not port.isdecimal():
            raise ValueError(f"{text!r} is not a node id: write it as 3@198.18.0.5:9100")
        return cls(int(number), address, int(port))


class MessengerError(OSError):
    """A message could not be sent, or a call was not answered."""


class MessageTooLargeError(MessengerError):
    """More than LARGEST_MESSAGE bytes."""


class BackPressureError(MessengerError):
    """Too much is queued for that node: wait for ``when_sendable``."""


class NodeLostError(MessengerError):
    """The node has died, or cannot be reached, or was freed."""


class RemoteCallError(MessengerError):
    """The call raised an exception over there; the text says which."""


class MessageHandler:
    """A representative that can be reached by messages from other nodes."""

    def receive_message(self, sender: NodeId, data: IOBuf) -> None:
        """Take a message; ``data`` is a chain, maybe of no bytes, the handler's from now on."""
        raise NotImplementedError

    def receive_call(self, sender: NodeId, data: IOBuf) -> "IOBuf | Future[IOBuf]":
        """Answer a call, now or later; an exception fails the caller's future with RemoteCallError."""
        raise NotImplementedError


class Messenger:
    """The Ebb that carries messages between the nodes of one application."""

    def local(self) -> NodeId:
        """This node."""
        raise NotImplementedError

    def send(self, node: NodeId, ebb_id: int, data: IOBuf) -> None:
        """Send ``data``, a chain; it is the Messenger's from now on, and nobody may write to it.

        The header goes into the first piece's headroom (MESSAGE_HEADROOM), or else into a small buffer of its own.
        Delivered at most once, and in the order of sending; not at all when the node is lost, begins another life, or
        cannot be reached for 30 s. Sent before there is a connection, it waits for one. Raises MessageTooLargeError,
        BackPressureError, NodeLostError once ``node_lost`` was said, and MemoryError.
        """
        raise NotImplementedError

    def call(self, node: NodeId, ebb_id: int, data: IOBuf, timeout: int) -> Future[IOBuf]:
        """Send ``data`` and get the answer.

        Nothing is raised: the future fails with what ``send`` raises, with RemoteCallError, with NodeLostError, and
        with TimedOutError after ``timeout`` ns (up to 10 ms later).
        """
        raise NotImplementedError

    def when_sendable(self, node: NodeId) -> Future[None]:
        """Ready once half of what may be queued for the node is free; fails when it is lost."""
        raise NotImplementedError

    def node_lost(self, number: int, reason: str) -> None:
        """Say that a node has died or was freed: whatever waits for it fails with NodeLostError, now and later."""
        raise NotImplementedError


def pack(allocator: MemoryAllocator, value: Any) -> IOBuf:
    """``value`` as the data of a message. Raises MessageTooLargeError, TypeError (not plain data), MemoryError."""
    data: bytes = msgpack.packb(value)
    if len(data) > LARGEST_MESSAGE:
        raise MessageTooLargeError(f"{len(data)} bytes are more than a message may have ({LARGEST_MESSAGE})")
    return to_message(allocator, data)


def unpack(data: IOBuf) -> Any:
    """The value that ``pack`` was given. Raises ValueError when the data are not a packed value."""
    try:
        return msgpack.unpackb(data.copy_out(), strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException) as error:  # TypeError: a list as a key
        raise ValueError(f"not packed data: {error}") from error


def to_message(allocator: MemoryAllocator, data: bytes) -> IOBuf:
    """``data``, copied into one buffer of node memory with the headroom a message needs. Raises MemoryError."""
    message = allocate(allocator, len(data), MESSAGE_HEADROOM)
    if message is None:
        raise MemoryError(f"no node memory for a message of {len(data)} bytes")
    message.write(0, data)
    return message
