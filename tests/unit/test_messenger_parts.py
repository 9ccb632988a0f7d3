"""The Messenger's parts one by one: handshake, frames, deliveries that block."""

import random

import pytest
from greenlet import getcurrent, greenlet

from ebbrt.ebb import Core
from ebbrt.iobuf import IOBuf
from ebbrt.messages import BackPressureError, NodeId, to_message
from ebbrt.messenger.frames import FrameReader, put_acknowledgment, put_header
from ebbrt.messenger.handshake import Handshake, Identity
from ebbrt.messenger.protocol import CALL, FRAME_HEADER, HELLO_LENGTH, QUEUE_LIMIT, TAKEN_LIMIT
from tests.fake_network import received
from tests.fakes import make_allocator, read_chain
from tests.messenger_nodes import EBB, SECRET, Echo, PipeWorld

ONE = Identity(NodeId(1, "198.18.0.1", 9100), 11)
TWO = Identity(NodeId(2, "198.18.0.2", 9101), 22)


def shake(mangle: int = -1, target: int = 2, secret: bytes = SECRET) -> tuple[Handshake, Handshake]:
    """A whole handshake; the byte at ``mangle`` of all that crosses is changed."""
    initiator = Handshake(ONE, SECRET, target, random.Random(1))
    acceptor = Handshake(TWO, secret, None, random.Random(2))
    sides = [initiator, acceptor]
    data, turn, crossed = initiator.begin(), 1, 0
    while data and not sides[turn].problem:
        if crossed <= mangle < crossed + len(data):
            at = mangle - crossed
            data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        crossed += len(data)
        assert len(data) == sides[turn].needed
        data, turn = sides[turn].receive(data), 1 - turn
    return initiator, acceptor


def test_a_handshake_tells_both_who_the_other_is() -> None:
    initiator, acceptor = shake()
    assert initiator.done
    assert acceptor.done
    assert (initiator.peer, acceptor.peer) == (TWO, ONE)


def test_a_handshake_with_any_byte_changed_fails() -> None:
    for at in range(2 * HELLO_LENGTH + 64):
        initiator, acceptor = shake(at)
        assert not acceptor.done, at
        assert initiator.problem or acceptor.problem, at


def test_another_secret_and_another_node_are_told_apart() -> None:
    assert shake(secret=b"x" * 16)[0].problem == "wrong secret"
    assert shake(target=3)[1].problem == "wrong node"
    assert shake(5)[1].problem == "wrong version"


def test_a_proof_cannot_be_reflected_or_used_again() -> None:
    victim = Handshake(TWO, SECRET, 1, random.Random(2))
    hello = victim.begin()
    mirror = Handshake(TWO, SECRET, 1, random.Random(3))
    mirror.begin()
    mirror.receive(hello + bytes(32))
    assert mirror.problem == "not a Messenger"  # an initiator's hello is no acceptor's
    first = Handshake(ONE, SECRET, 2, random.Random(1))
    answer = Handshake(TWO, SECRET, None, random.Random(2)).receive(first.begin())
    proof = first.receive(answer)
    second = Handshake(TWO, SECRET, None, random.Random(4))
    second.receive(first.begin())
    second.receive(proof)
    assert second.problem == "wrong secret"  # its nonce is another


def test_frames_come_off_a_stream_however_it_is_cut() -> None:
    allocator = make_allocator()
    frames = b""
    for number in range(5):
        data = to_message(allocator, b"x" * number * 100)
        frame = put_header(allocator, CALL, 1 << 63 | number, 1 << 40 | number, 7 + number, data, number * 100)
        assert frame is not None
        put_acknowledgment(frame, (1 << 64) - 1)
        frames += read_chain(frame)
    scratch = to_message(allocator, bytes(FRAME_HEADER))
    for piece in (1, 3, 39, 40, 41, 400):
        reader = FrameReader(allocator, scratch)
        seen = []
        for start in range(0, len(frames), 61):
            reader.append(received(allocator, frames[start : start + 61], piece))
            while reader.advance():
                assert reader.data is not None
                seen.append((reader.kind, reader.ebb_id, reader.sequence, reader.acknowledgment, reader.call_id))
                assert read_chain(reader.data) == b"x" * reader.length
        assert seen == [(CALL, 1 << 63 | n, 1 << 40 | n, (1 << 64) - 1, 7 + n) for n in range(5)]
        assert reader.problem == ""


def test_a_frame_that_comes_byte_by_byte_pins_no_buffer_for_each() -> None:
    allocator = make_allocator()
    data = bytes(range(256)) * 40
    frame = put_header(allocator, CALL, 1, 1, 1, to_message(allocator, data), len(data))
    assert frame is not None
    put_acknowledgment(frame, 0)
    stream = read_chain(frame)
    del frame
    reader = FrameReader(allocator, to_message(allocator, bytes(FRAME_HEADER)))
    before, copied = allocator.allocated_bytes, allocator.memory.payload_bytes_copied
    most = 0
    for count in range(1, len(stream) + 1):
        assert not reader.advance()
        reader.append(received(allocator, stream[count - 1 : count]))
        assert reader.settle()
        most = max(most, allocator.allocated_bytes - before - count)
    assert most < 3 * 4096, "a buffer for each byte"
    assert allocator.memory.payload_bytes_copied - copied <= len(stream)
    assert reader.advance()
    assert reader.data is not None
    assert read_chain(reader.data) == data
    reader.append(received(allocator, stream))  # what comes whole is left where it is
    assert reader.settle()
    assert allocator.memory.payload_bytes_copied - copied <= len(stream)


@pytest.mark.parametrize(
    ("at", "value", "problem"),
    [
        (0, 0, "not a frame"),
        (1, 2, "wrong version"),
        (2, 0, "unknown type of frame"),
        (2, 8, "unknown type of frame"),
        (4, 1, "frame too large"),
    ],
)
def test_malformed_headers(at: int, value: int, problem: str) -> None:
    allocator = make_allocator()
    frame = put_header(allocator, CALL, 1, 1, 1, to_message(allocator, b"data"), 4)
    assert frame is not None
    data = bytearray(read_chain(frame))
    data[at] = value
    reader = FrameReader(allocator, to_message(allocator, bytes(FRAME_HEADER)))
    reader.append(received(allocator, bytes(data)))
    assert not reader.advance()
    assert reader.problem == problem


class Blocking(Echo):
    """Blocks each event that brings it a message, until ``go_on``."""

    def __init__(self) -> None:
        super().__init__()
        self.blocked: list[greenlet] = []

    def receive_message(self, sender: NodeId, data: IOBuf) -> None:
        super().receive_message(sender, data)
        self.block()

    def block(self) -> None:
        stack = getcurrent()
        self.blocked.append(stack)
        stack.parent.switch()

    def go_on(self) -> None:
        blocked, self.blocked = self.blocked, []
        for stack in blocked:
            stack.parent = getcurrent()
            stack.switch()


class Stacks:
    """Spawns events on stacks of their own."""

    def spawn(self, function: object) -> None:
        greenlet(function).switch()


def blocking_world() -> tuple[PipeWorld, Blocking]:
    world = PipeWorld()
    deliveries = world.messengers[1]._deliveries
    deliveries._events = Stacks()  # type: ignore[assignment]
    blocking = Blocking()
    deliveries._core.install(EBB, blocking)
    return world, blocking


def test_a_handler_that_blocks_holds_up_nobody_else() -> None:
    world, blocking = blocking_world()
    for number in range(3):
        world.send(0, b"%d" % number)
    world.pipes.settle()
    assert blocking.received == [b"0", b"1", b"2"]
    assert len(blocking.blocked) == 3
    call = world.messengers[0].call(world.nodes[1], EBB, to_message(world.allocator, b"?"), 1 << 40)
    world.pipes.run(call.done)
    assert len(blocking.blocked) == 3
    blocking.go_on()
    world.close()


def test_messages_wait_for_a_representative_in_the_making_in_order() -> None:
    world, other = blocking_world()
    made = Echo()

    def fault(core: Core, ebb_id: int) -> Echo:
        other.block()
        return made

    world.messengers[1]._deliveries._core.register(EBB + 1, fault)
    for number in range(3):
        data = to_message(world.allocator, b"%d" % number)
        world.messengers[0].send(world.nodes[1], EBB + 1, data)
    world.pipes.settle()
    world.send(0, b"not held up")
    world.pipes.settle()
    assert made.received == []
    assert other.received == [b"not held up"]
    other.go_on()
    assert made.received == [b"0", b"1", b"2"]
    world.close()


def test_a_slow_receiver_grows_memory_on_neither_side() -> None:
    world, blocking = blocking_world()
    size = 50_000
    for _ in range(500):
        try:
            world.send(0, bytes(size))
        except BackPressureError:
            break
        world.pipes.settle()
    else:
        pytest.fail("a receiver that takes nothing lets the sender go on for ever")
    world.pipes.run(lambda: world.pipes.clock.now() > 1 << 34)  # nobody takes the receiver for dead meanwhile
    assert world.messengers[0].statistics()["connections"] == 1
    assert len(blocking.received) * size < QUEUE_LIMIT + 2 * TAKEN_LIMIT
    room = world.messengers[0].when_sendable(world.nodes[1])
    assert not room.done()
    blocking.go_on()
    world.pipes.settle()
    assert room.done()
    world.close()
