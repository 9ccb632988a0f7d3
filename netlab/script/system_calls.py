"""The system calls of a script on the sockets of the run: from expressions to calls, and their results checked.

A number that the script gives a new socket is a name: it stands for the socket from then on, whatever number Linux
would have given. Where the script says ``...`` nothing is checked, and the run's own addresses and ports are taken.
"""

import errno
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from netlab.script import notation, socket_options
from netlab.script.configuration import Configuration
from netlab.script.datagram_socket import DatagramSocket
from netlab.script.exchange import Exchange
from netlab.script.sockets import (
    MSG_FASTOPEN,
    O_NONBLOCK,
    POLLERR,
    POLLHUP,
    Blocking,
    CallError,
    Socket,
    UnsupportedCallError,
)
from netlab.script.stream_socket import StreamSocket
from netlab.script.symbols import SYMBOLS, errno_name, errno_text
from netlab.script.tree import (
    Array,
    Call,
    Ellipsis,
    Expression,
    Iovec,
    Number,
    SocketAddress,
    Structure,
    Text,
    Union,
    Word,
)
from netlab.script.wire import Wire

SOCK_NONBLOCK, SOCK_CLOEXEC = SYMBOLS["SOCK_NONBLOCK"], SYMBOLS["SOCK_CLOEXEC"]
FAMILIES = (SYMBOLS["AF_INET"], SYMBOLS["AF_INET6"])
# By the type of a socket: the protocol that there is, and those that Linux has and this stack has not.
PROTOCOLS = {SYMBOLS["SOCK_STREAM"]: SYMBOLS["IPPROTO_TCP"], SYMBOLS["SOCK_DGRAM"]: SYMBOLS["IPPROTO_UDP"]}
OTHER_PROTOCOLS = {
    SYMBOLS["SOCK_STREAM"]: (SYMBOLS["IPPROTO_MPTCP"],),
    SYMBOLS["SOCK_DGRAM"]: (SYMBOLS["IPPROTO_ICMP"], SYMBOLS["IPPROTO_ICMPV6"], SYMBOLS["IPPROTO_UDPLITE"]),
}
IPPROTO_MAX = 263
O_RDWR = 2
POLLNVAL = 0x020
MSG_TRUNC = SYMBOLS["MSG_TRUNC"]
MILLISECOND = 1_000_000
MAX_SIZE = 256 << 20  # bytes in one call
RECEIVE_FLAGS = SYMBOLS["MSG_PEEK"] | SYMBOLS["MSG_DONTWAIT"] | SYMBOLS["MSG_WAITALL"]
SEND_FLAGS = SYMBOLS["MSG_DONTWAIT"] | SYMBOLS["MSG_NOSIGNAL"] | SYMBOLS["MSG_FASTOPEN"]


class MismatchError(Exception):
    """A call did not do what its script says."""


class SystemCalls:
    """The sockets of one run, by the numbers of its script."""

    def __init__(self, wire: Wire, exchange: Exchange, configuration: Configuration) -> None:
        self.wire = wire
        self.exchange = exchange
        self.configuration = configuration
        self.sockets: dict[int, Socket] = {}
        self._tested: StreamSocket | None = None  # the connection that snippets ask about
        self._calls: dict[str, Callable[[Call], Blocking[int | Socket]]] = {
            name.removeprefix("_call_"): getattr(self, name) for name in dir(self) if name.startswith("_call_")
        }

    def run(self, call: Call) -> Blocking[None]:
        """Do a call and check its result. Raises MismatchError, UnsupportedCallError."""
        failed = 0
        result: int | Socket = -1
        try:
            result = yield from self._calls[call.name](call)
        except CallError as error:
            failed = error.number
        self._check(call, result, failed)

    def _check(self, call: Call, result: int | Socket, failed: int) -> None:
        """Compare what a call returned with what it was to return; a new socket gets its number."""
        got = f"-1 {errno_name(failed)} ({errno_text(failed)})" if failed else str(result)
        if isinstance(call.result, Ellipsis):
            return
        wanted = integer(call.result)
        expected = f"{notation.expression(call.result)}{f' {call.errno} ({call.note})' if call.errno else ''}"
        wrong = MismatchError(f"{notation.call(call)}: expected {expected}, returned {got}")
        if isinstance(result, Socket):
            if wanted < 0 or call.errno:
                raise MismatchError(f"{notation.call(call)}: expected {expected}, returned a socket")
            if wanted in self.sockets:
                raise MismatchError(f"{notation.call(call)}: {wanted} is the number of another socket")
            self.sockets[wanted] = result
        elif wanted != result or (call.errno and failed != SYMBOLS[call.errno]):
            raise wrong

    def tcp_info(self) -> tuple[dict[str, int], str]:
        """The fields that snippets see, and why there are no others, or ''.

        They are those of the socket that was last accepted or told to connect, as long as it is open; before there is
        one, of the youngest.
        """
        tested = self._tested
        if tested is not None:
            return tested.tcp_info() if tested in self.sockets.values() else ({}, "the socket is closed")
        for socket in reversed(self.sockets.values()):
            if isinstance(socket, StreamSocket):
                return socket.tcp_info()
        return {}, "there is no TCP socket"

    # Opening

    def _call_socket(self, call: Call) -> Blocking[int | Socket]:
        kind = integer(call.arguments[1])
        made = self._make(call, kind & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
        made.nonblocking = bool(kind & SOCK_NONBLOCK)
        return made
        yield None

    def _make(self, call: Call, kind: int) -> Socket:
        """A socket of a kind, for what there is of that kind; other protocols are refused as Linux refuses them."""
        family, protocol = call.arguments[0], integer(call.arguments[2])
        if not isinstance(family, Ellipsis) and integer(family) not in FAMILIES:
            raise UnsupportedCallError(f"a socket of the family {notation.expression(family)}")
        if kind not in PROTOCOLS:
            raise UnsupportedCallError(f"a socket of type {notation.expression(call.arguments[1])}")
        if not 0 <= protocol < IPPROTO_MAX:
            raise CallError(errno.EINVAL)
        if protocol in OTHER_PROTOCOLS[kind]:
            raise UnsupportedCallError(f"a socket of the protocol {notation.expression(call.arguments[2])}")
        if protocol not in (0, PROTOCOLS[kind]):
            raise CallError(errno.EPROTONOSUPPORT)
        stack, clock = self.wire.stack, self.wire.clock
        return StreamSocket(stack, clock) if kind == SYMBOLS["SOCK_STREAM"] else DatagramSocket(stack, clock)

    def _call_bind(self, call: Call) -> Blocking[int | Socket]:
        socket = self._socket(call)
        address = call.arguments[1]
        socket.bind(address.port if isinstance(address, SocketAddress) else self.configuration.bind_port)
        self.exchange.bound(_protocol(socket), socket.port)
        return 0
        yield None

    def _call_listen(self, call: Call) -> Blocking[int | Socket]:
        socket = self._socket(call)
        socket.listen(integer(call.arguments[1]))
        self.exchange.listening(socket.port)
        return 0
        yield None

    def _call_accept(self, call: Call) -> Blocking[int | Socket]:
        accepted = yield from self._socket(call).accept()
        assert isinstance(accepted, StreamSocket)
        self._tested = accepted
        self._check_address(call, call.arguments[1], accepted.peer())
        return accepted

    @staticmethod
    def _check_address(call: Call, wanted: Expression, peer: tuple[str, int]) -> None:
        """Compare the address that a call wrote to its argument."""
        if isinstance(wanted, SocketAddress):
            if (ip_address(wanted.address.removeprefix("::ffff:")), wanted.port) != (ip_address(peer[0]), peer[1]):
                raise MismatchError(f"{notation.call(call)}: the address is {peer[0]}, port {peer[1]}")

    def _call_connect(self, call: Call) -> Blocking[int | Socket]:
        socket = self._socket(call)
        address, port = self._target(call.arguments[1])
        if not isinstance(socket, StreamSocket) or socket.connection is None:
            self._connecting(socket, address, port)
        return (yield from socket.connect(address, port))

    def _connecting(self, socket: Socket, address: str, port: int) -> None:
        """A socket begins to talk to somebody: it is under test from now on."""
        self.exchange.connecting(_protocol(socket), lambda: socket.port, address, port)
        if isinstance(socket, StreamSocket):
            self._tested = socket

    def _target(self, address: Expression) -> tuple[str, int]:
        """Whom a call talks to."""
        if isinstance(address, SocketAddress):
            text = address.address.removeprefix("::ffff:")
            if (ip_address(text).version == 6) != self.configuration.wire_ipv6:
                raise UnsupportedCallError(f"the address {text} where packets are of the other version of IP")
            return text, address.port
        return self.configuration.remote_ip, self.configuration.connect_port

    # Data

    def _call_read(self, call: Call) -> Blocking[int | Socket]:
        return (yield from self._receive(call, _size(call.arguments[2]), 0))

    def _call_recv(self, call: Call) -> Blocking[int | Socket]:
        flags = _flags(call.arguments[3], RECEIVE_FLAGS)
        return (yield from self._receive(call, _size(call.arguments[2]), flags))

    def _call_recvfrom(self, call: Call) -> Blocking[int | Socket]:
        count = yield from self._call_recv(call)
        socket = self._socket(call)
        if isinstance(socket, DatagramSocket):  # TCP leaves the address as it was
            self._check_address(call, call.arguments[4], socket.sender)
        return count

    def _call_readv(self, call: Call) -> Blocking[int | Socket]:
        return (yield from self._receive(call, sum(buffer_lengths(call.arguments[1])), 0))

    def _call_recvmsg(self, call: Call) -> Blocking[int | Socket]:
        message = _message(call.arguments[1])
        if "msg_control" in message:
            raise UnsupportedCallError("control data of recvmsg")
        flags = _flags(call.arguments[2], RECEIVE_FLAGS)
        count = yield from self._receive(call, sum(buffer_lengths(message["msg_iov"])), flags)
        socket = self._socket(call)
        cut = isinstance(socket, DatagramSocket) and socket.was_cut
        check_output(call, message.get("msg_flags", Ellipsis()), MSG_TRUNC if cut else 0)
        return count

    def _receive(self, call: Call, count: int, flags: int) -> Blocking[int]:
        data = yield from self._socket(call).receive(count, flags)
        wanted = call.arguments[1]
        if isinstance(wanted, Text):
            if data != wanted.data and not (wanted.open_ended and data.startswith(wanted.data)):
                raise MismatchError(f"{notation.call(call)}: read {data!r}")
        return len(data)

    def _call_write(self, call: Call) -> Blocking[int | Socket]:
        return (yield from self._socket(call).send(written(call.arguments[1], _size(call.arguments[2])), 0))

    def _call_send(self, call: Call) -> Blocking[int | Socket]:
        data = written(call.arguments[1], _size(call.arguments[2]))
        return (yield from self._socket(call).send(data, _flags(call.arguments[3], SEND_FLAGS)))

    def _call_sendto(self, call: Call) -> Blocking[int | Socket]:
        data = written(call.arguments[1], _size(call.arguments[2]))
        flags = _flags(call.arguments[3], SEND_FLAGS)
        return (yield from self._send_to(self._socket(call), data, flags, self._target(call.arguments[4])))

    def _send_to(self, socket: Socket, data: bytes, flags: int, target: tuple[str, int]) -> Blocking[int]:
        """Send to somebody, who is under test from now on if nobody of this socket was before."""
        if isinstance(socket, DatagramSocket):
            if socket.peer is None:
                self._connecting(socket, *target)
        elif isinstance(socket, StreamSocket) and socket.connection is None and flags & MSG_FASTOPEN:
            self._connecting(socket, *target)
        return (yield from socket.send(data, flags, target))

    def _call_writev(self, call: Call) -> Blocking[int | Socket]:
        return (yield from self._socket(call).send(bytes(_total(call.arguments[1])), 0))

    def _call_sendmsg(self, call: Call) -> Blocking[int | Socket]:
        message = _message(call.arguments[1])
        data = bytes(_total(message["msg_iov"]))
        flags = _flags(call.arguments[2], SEND_FLAGS)
        return (yield from self._send_to(self._socket(call), data, flags, self._target(Ellipsis())))

    # Ending and asking

    def _call_shutdown(self, call: Call) -> Blocking[int | Socket]:
        self._socket(call).shutdown(integer(call.arguments[1]))
        return 0
        yield None

    def _call_close(self, call: Call) -> Blocking[int | Socket]:
        socket = self._socket(call)
        del self.sockets[integer(call.arguments[0])]
        socket.close()
        return 0
        yield None

    def _call_fcntl(self, call: Call) -> Blocking[int | Socket]:
        socket = self._socket(call)
        command = integer(call.arguments[1])
        if command == SYMBOLS["F_GETFL"]:
            return O_RDWR | (O_NONBLOCK if socket.nonblocking else 0)
        if command != SYMBOLS["F_SETFL"] or len(call.arguments) != 3:
            raise UnsupportedCallError(f"fcntl of {notation.expression(call.arguments[1])}")
        socket.nonblocking = bool(integer(call.arguments[2]) & O_NONBLOCK)
        return 0
        yield None

    def _call_ioctl(self, call: Call) -> Blocking[int | Socket]:
        socket = self._socket(call)
        command = integer(call.arguments[1])
        argument = call.arguments[2] if len(call.arguments) == 3 else Ellipsis()
        if command == SYMBOLS["FIONBIO"]:
            socket.nonblocking = bool(integer(_only(argument)))
            return 0
        if command == SYMBOLS["SIOCINQ"]:
            value = socket.unread()
        elif command == SYMBOLS["SIOCOUTQ"]:
            value = socket.unsent()
        else:
            raise UnsupportedCallError(f"ioctl of {notation.expression(call.arguments[1])}")
        check_output(call, argument, value)
        return 0
        yield None

    def _call_setsockopt(self, call: Call) -> Blocking[int | Socket]:
        level, name = integer(call.arguments[1]), integer(call.arguments[2])
        socket_options.set_option(self._socket(call), level, name, option_value(call.arguments[3]))
        return 0
        yield None

    def _call_getsockopt(self, call: Call) -> Blocking[int | Socket]:
        level, name = integer(call.arguments[1]), integer(call.arguments[2])
        check_output(call, call.arguments[3], socket_options.get_option(self._socket(call), level, name))
        return 0
        yield None

    def _call_poll(self, call: Call) -> Blocking[int | Socket]:
        entries = call.arguments[0]
        if not isinstance(entries, Array):
            raise UnsupportedCallError("poll without a list of descriptors")
        timeout = integer(call.arguments[2])
        deadline = self.wire.clock.now() + timeout * MILLISECOND if timeout >= 0 else None
        while True:
            found = [self._poll_events(_fields(entry)) for entry in entries.items]
            ready = sum(1 for events in found if events)
            if ready or (deadline is not None and self.wire.clock.now() >= deadline):
                break
            yield deadline
        for entry, events in zip(entries.items, found, strict=True):
            wanted = integer(_fields(entry)["revents"])
            if events != wanted:
                raise MismatchError(f"{notation.call(call)}: expected revents {wanted:#x}, saw {events:#x}")
        return ready

    def _poll_events(self, entry: dict[str, Expression]) -> int:
        socket = self.sockets.get(integer(entry["fd"]))
        if socket is None:
            return POLLNVAL
        return socket.events() & (integer(entry["events"]) | POLLERR | POLLHUP)

    def _socket(self, call: Call) -> Socket:
        socket = self.sockets.get(integer(call.arguments[0]))
        if socket is None:
            raise CallError(errno.EBADF)
        return socket


def _protocol(socket: Socket) -> str:
    return "tcp" if isinstance(socket, StreamSocket) else "udp"


def integer(expression: Expression) -> int:
    """The number an expression stands for. Raises UnsupportedCallError for what is none."""
    match expression:
        case Number(value):
            return value
        case Word(name):
            return SYMBOLS[name]
        case Union(parts):
            total = 0
            for part in parts:
                total |= integer(part)
            return total
        case Array((only,)):
            return integer(only)
    raise UnsupportedCallError(f"{notation.expression(expression)} where a number is wanted")


def _flags(expression: Expression, known: int) -> int:
    """The flags of a call. Raises UnsupportedCallError for others than ``known``."""
    flags = integer(expression)
    if flags & ~known:
        raise UnsupportedCallError(f"{notation.expression(expression)}: a flag of it")
    return flags


def _size(expression: Expression) -> int:
    """A number of bytes to read or write. Raises UnsupportedCallError."""
    size = integer(expression)
    if not 0 <= size <= MAX_SIZE:
        raise UnsupportedCallError(f"{size} bytes in one call (0 to {MAX_SIZE})")
    return size


def _total(buffers: Expression) -> int:
    """The bytes of a list of buffers together. Raises UnsupportedCallError."""
    return _size(Number(sum(buffer_lengths(buffers))))


def written(expression: Expression, count: int) -> bytes:
    """What a call writes: ``count`` bytes of a string, or zeros."""
    if isinstance(expression, Text):
        if count > len(expression.data):
            raise UnsupportedCallError(f"writing {count} bytes of a string of {len(expression.data)}")
        return expression.data[:count]
    return bytes(count)


def buffer_lengths(expression: Expression) -> Sequence[int]:
    """Of a list of buffers ``{..., N}``."""
    if not isinstance(expression, Array) or not all(isinstance(item, Iovec) for item in expression.items):
        raise UnsupportedCallError(f"{notation.expression(expression)} where a list of buffers is wanted")
    return [item.length for item in expression.items if isinstance(item, Iovec)]


def option_value(expression: Expression) -> object:
    """What setsockopt gives: a number, bytes, or the fields of a structure."""
    if isinstance(expression, Text):
        return expression.data
    if isinstance(expression, Structure):
        return tuple(integer(value) for value in expression.fields.values())
    return integer(expression)


def check_output(call: Call, wanted: Expression, value: object) -> None:
    """Compare what a call wrote to its argument."""
    if isinstance(wanted, Ellipsis):
        return
    expected = option_value(wanted)
    if isinstance(expected, bytes) and isinstance(value, bytes):
        expected = expected.rstrip(b"\0")
    if expected != value:
        raise MismatchError(f"{notation.call(call)}: it says {value!r}")


def _only(expression: Expression) -> Expression:
    return expression.items[0] if isinstance(expression, Array) and len(expression.items) == 1 else expression


def _fields(expression: Expression) -> dict[str, Expression]:
    if not isinstance(expression, Structure):
        raise UnsupportedCallError(f"{notation.expression(expression)} where a structure is wanted")
    return expression.fields


def _message(expression: Expression) -> dict[str, Expression]:
    fields = _fields(expression)
    if "msg_iov" not in fields:
        raise UnsupportedCallError(f"{notation.expression(expression)} where a message is wanted")
    return fields
