"""Driver and device together, over a socket pair that plays the TAP."""

import random
import struct
from collections.abc import Callable, Iterator

import pytest

from drivers.virtio.constants import LONGEST_FRAME, NET_HEADER_LENGTH
from ebbrt.iobuf import IOBuf
from ebbrt.netdevice import FrameHandler
from tests.virtio_bench import VirtioBench

MakeBench = Callable[..., VirtioBench]
SENDS_PER_NOTIFICATION = 16
LARGE_FROM = 12288  # average length of frames that makes receive buffers large


@pytest.fixture
def make() -> Iterator[MakeBench]:
    benches: list[VirtioBench] = []

    def build(**options: object) -> VirtioBench:
        benches.append(VirtioBench(**options))  # type: ignore[arg-type]
        return benches[-1]

    yield build
    for bench in benches:
        bench.close()


def frame_of(length: int) -> bytes:
    return random.Random(length).randbytes(length)


BOUNDARIES = [512 * n - NET_HEADER_LENGTH + around for n in (1, 2, 3, 4, 5, 64, 128) for around in (-1, 0, 1)]
SIZES = sorted({*range(60, 2200, 37), *BOUNDARIES, *range(2200, 65549, 6007), 65588, LONGEST_FRAME})


@pytest.mark.parametrize("vnet_header", [True, False])
def test_frames_of_every_size_arrive_whole(make: MakeBench, vnet_header: bool) -> None:
    bench = make(vnet_header=vnet_header)
    for length in SIZES:
        bench.deliver(frame_of(length))
        bench.settle()
        assert bench.handler.frames.pop() == frame_of(length), length
        pieces = bench.handler.pieces.pop()
        assert pieces == -(-(length + NET_HEADER_LENGTH) // 512) or length > LARGE_FROM, length
        assert not bench.handler.frames
    assert bench.device.statistics()["rx_frames"] == len(SIZES)
    assert bench.device.statistics()["rx_spilled"] > 0, "the long frames never took the spill path"
    assert bench.driver.statistics()["rx_dropped"] == 0
    assert bench.driver.statistics()["ring_errors"] == bench.device.statistics()["ring_errors"] == 0


@pytest.mark.parametrize("ring_size", [2**n for n in range(1, 11)])
def test_rings_of_every_size_carry_frames_both_ways(make: MakeBench, ring_size: int) -> None:
    bench = make(ring_size=ring_size)
    for number in range(3 * ring_size):
        bench.deliver(frame_of(60 + number % 400))
        if number % 32 == 31 or ring_size < 64:
            bench.settle()
        assert bench.driver.transmit(bench.chain([frame_of(60 + number % 400)]), 0, 0, 0)
        assert len(bench.sent()) == 1
    bench.settle()
    assert bench.handler.frames == [frame_of(60 + number % 400) for number in range(3 * ring_size)]


def test_a_burst_is_delivered_in_order(make: MakeBench) -> None:
    bench = make(ring_size=64)
    for number in range(100):
        bench.deliver(struct.pack(">H", number) + bytes(58))
    bench.settle()
    assert [struct.unpack(">H", frame[:2])[0] for frame in bench.handler.frames] == list(range(100))


def test_with_no_buffer_posted_a_frame_is_dropped_and_counted(make: MakeBench) -> None:
    # Memory for the spill area (128 KiB), two small queues and a page of receive buffers, all of which are retained.
    bench = make(ring_size=8, memory=(128 << 10) + 4096 + 4096, retain=True)
    posted = 8
    for number in range(posted + 3):
        bench.deliver(frame_of(60 + number))
        bench.settle()
    assert len(bench.handler.frames) == posted
    assert bench.device.statistics()["rx_no_buffer"] == 3
    assert bench.driver.statistics()["refill_failures"] > 0


def test_a_driver_that_ran_out_of_memory_hears_again_once_there_is_some(make: MakeBench) -> None:
    bench = make(ring_size=8, memory=(128 << 10) + 4096 + 4096, retain=True)
    for _ in range(9):
        bench.deliver(frame_of(60))
        bench.settle()
    bench.handler.retained.clear()
    bench.clock.advance(10_000_000)
    bench.settle()
    bench.deliver(frame_of(61))
    bench.settle()
    assert bench.handler.frames[-1] == frame_of(61)


def test_a_driver_without_memory_asks_for_what_can_be_given_up(make: MakeBench) -> None:
    bench = make(ring_size=8, memory=(128 << 10) + 4096 + 4096, retain=True)

    def give_up_the_oldest() -> bool:
        if bench.handler.retained:
            bench.handler.retained.pop(0)
            return True
        return False

    bench.allocator.reclaimer = give_up_the_oldest
    for number in range(30):
        bench.deliver(frame_of(60 + number))
        bench.settle()
    assert bench.handler.frames == [frame_of(60 + number) for number in range(30)]
    assert bench.device.statistics()["rx_no_buffer"] == 0


def test_replies_of_one_poll_that_fill_a_small_ring_are_not_lost(make: MakeBench) -> None:
    bench = make(ring_size=4)

    def reply(frame: object, valid: bool) -> None:
        for _ in range(4):
            assert bench.driver.transmit(bench.chain([frame_of(60), frame_of(70)]), 0, 0, 0)

    bench.handler.receive_frame = reply  # type: ignore[method-assign]
    bench.deliver(frame_of(60))
    bench.settle()
    assert len(bench.sent()) == 4
    assert bench.driver.statistics()["tx_ring_full"] == 0


def test_the_ring_is_refilled_at_half_empty(make: MakeBench) -> None:
    bench = make(ring_size=16)
    before = bench.allocator.statistics()["allocations"]
    for _ in range(7):
        bench.deliver(frame_of(60))
        bench.settle()
    assert bench.allocator.statistics()["allocations"] == before
    bench.deliver(frame_of(60))
    bench.settle()
    assert bench.allocator.statistics()["allocations"] == before + 8


def test_polling_begins_with_an_interrupt_and_ends_when_nothing_came(make: MakeBench) -> None:
    bench = make()
    bench.deliver(frame_of(60))
    bench.settle()
    raised = bench.device.statistics()["interrupts_raised"]
    assert raised == 1
    bench.deliver(frame_of(61))
    bench.settle()
    assert bench.device.statistics()["interrupts_raised"] == 2, "interrupts were not enabled again"


def test_no_interrupt_is_raised_while_the_driver_polls(make: MakeBench) -> None:
    bench = make()
    bench.driver.start_polling()
    for number in range(20):
        bench.deliver(frame_of(60 + number))
        bench.device.receive(64)
    bench.driver.poll()
    assert len(bench.handler.frames) == 20
    assert bench.device.statistics()["interrupts_raised"] == 0


def test_a_frame_between_the_last_look_and_enabling_is_not_lost(make: MakeBench) -> None:
    """Nothing on the TAP when the poll looked; a frame comes before it unregisters: the TAP's readiness wakes it."""
    bench = make()
    bench.driver.start_polling()
    bench.driver.poll()  # found nothing: interrupts are on again
    bench.deliver(frame_of(77))
    bench.settle()
    assert bench.handler.frames == [frame_of(77)]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 17, 100, 200])
@pytest.mark.parametrize("vnet_header", [True, False])
def test_chains_of_any_number_of_pieces_are_sent_whole(make: MakeBench, count: int, vnet_header: bool) -> None:
    bench = make(vnet_header=vnet_header)
    pieces = [frame_of(20 + number % 50) for number in range(count)]
    for _ in range(5):
        assert bench.driver.transmit(bench.chain(pieces), 0, 0, 0)
    sent = bench.sent()
    assert [frame[NET_HEADER_LENGTH if vnet_header else 0 :] for frame in sent] == [b"".join(pieces)] * 5


def test_what_was_sent_is_let_go(make: MakeBench) -> None:
    bench = make()
    before = bench.allocator.statistics()["allocated_bytes"]
    for count in (1, 2, 3, 50):
        assert bench.driver.transmit(bench.chain([frame_of(60)] * count), 0, 0, 0)
    assert bench.driver.transmit(bench.chain([frame_of(60)]), 0, 0, 0)  # reaps the others
    assert bench.allocator.statistics()["allocated_bytes"] == before + 128, "only the last frame may still be held"


def test_the_header_says_what_the_specification_says(make: MakeBench) -> None:
    bench = make()
    bench.driver.transmit(bench.chain([bytes(12) + b"\x08\0" + bytes(52), frame_of(3000)]), 34, 16, 1448)
    bench.driver.transmit(bench.chain([frame_of(60)]), 0, 0, 0)
    segmented, plain = bench.sent()
    flags, gso_type, hdr_len, gso_size, start, offset, buffers = struct.unpack("<BBHHHHH", segmented[:12])
    assert (flags, gso_type, gso_size, start, offset, buffers) == (1, 1, 1448, 34, 16, 0)
    assert hdr_len == 66
    flags, gso_type, _, gso_size, start, offset, buffers = struct.unpack("<BBHHHHH", plain[:12])
    assert (flags, gso_type, gso_size, start, offset, buffers) == (0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(("ethertype", "gso_type"), [(0x0800, 1), (0x86DD, 4)])
def test_large_segments_are_of_the_frames_version_of_ip(make: MakeBench, ethertype: int, gso_type: int) -> None:
    bench = make()
    headers = bytes(12) + ethertype.to_bytes(2, "big") + bytes(60)
    bench.driver.transmit(bench.chain([headers, frame_of(3000)]), 54, 16, 1440)
    (sent,) = bench.sent()
    assert sent[1] == gso_type


@pytest.mark.parametrize(("flags", "valid"), [(0, False), (1, True), (2, True), (3, True), (4, False)])
def test_a_checksum_is_trusted_only_when_the_header_says_so(make: MakeBench, flags: int, valid: bool) -> None:
    bench = make()
    bench.deliver(frame_of(60), bytes([flags]) + bytes(11))
    bench.settle()
    assert bench.handler.valid == [valid]


def test_without_a_header_there_are_no_offloads(make: MakeBench) -> None:
    bench = make(vnet_header=False)
    assert not bench.driver.checksum_offload
    assert bench.driver.largest_segment == 0
    bench.deliver(frame_of(60))
    bench.settle()
    assert bench.handler.valid == [False]


def test_a_full_tap_is_a_counted_loss_and_the_next_frame_goes(make: MakeBench) -> None:
    bench = make()
    for _ in range(2000):
        bench.driver.transmit(bench.chain([frame_of(1000)]), 0, 0, 0)
    blocked = bench.device.statistics()["tx_blocked"]
    assert blocked > 0
    assert len(bench.sent()) == 2000 - blocked
    bench.driver.transmit(bench.chain([frame_of(99)]), 0, 0, 0)
    assert bench.sent()[0][NET_HEADER_LENGTH:] == frame_of(99)


def test_sending_without_memory_for_a_table_is_a_counted_loss(make: MakeBench) -> None:
    bench = make(ring_size=8, memory=256 << 10)
    frame = bench.chain([frame_of(60)] * 3)
    held = []
    while (buffer := bench.allocator.allocate(48)) is not None:
        held.append(buffer)
    assert not bench.driver.transmit(frame, 0, 0, 0)
    assert bench.driver.statistics()["tx_no_memory"] == 1


class Replies(FrameHandler):
    """Answers every frame with another, and notes how many the device had sent by then; may fail."""

    def __init__(self, bench: VirtioBench, fails: bool = False) -> None:
        self.bench = bench
        self.fails = fails
        self.sent_before: list[int] = []

    def receive_frame(self, frame: IOBuf, checksum_valid: bool) -> None:
        self.sent_before.append(self.bench.device.statistics()["tx_frames"])
        self.bench.driver.transmit(self.bench.chain([b"reply" * 20]), 0, 0, 0)
        if self.fails:
            raise RuntimeError("the handler failed")


def test_replies_of_one_poll_go_in_few_notifications_but_none_waits_for_many(make: MakeBench) -> None:
    bench = make()
    replies = Replies(bench)
    bench.listen_with(replies)
    for number in range(40):
        bench.deliver(bytes([number]) * 60)
    bench.settle()
    assert len(bench.sent()) == 40
    assert all(index - sent <= SENDS_PER_NOTIFICATION for index, sent in enumerate(replies.sent_before))
    assert len(set(replies.sent_before)) < 10, "each reply had a notification of its own"


def test_a_handler_that_fails_does_not_hold_back_what_was_sent(
    make: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench = make()
    bench.listen_with(Replies(bench, fails=True))
    bench.deliver(b"x" * 60)
    bench.settle()
    assert len(bench.sent()) == 1
    assert "the handler failed" in caplog.text


def test_long_frames_make_the_buffers_large_and_short_ones_small_again(make: MakeBench) -> None:
    bench = make()
    for _ in range(12):
        bench.deliver(frame_of(60_000))
        bench.settle()
    assert bench.handler.pieces[-1] == 2
    for _ in range(1000):
        bench.deliver(frame_of(700))
        bench.settle()
    assert bench.handler.pieces[-1] == 2, "700 bytes in two of 512"
    assert bench.handler.frames[-1] == frame_of(700)
    assert bench.device.statistics()["rx_no_buffer"] == bench.driver.statistics()["rx_dropped"] == 0


def test_a_short_frame_among_long_ones_does_not_keep_a_large_buffer(make: MakeBench) -> None:
    bench = make(memory=8 << 20, retain=True)
    for _ in range(12):
        bench.deliver(frame_of(60_000))
        bench.settle()
    bench.handler.retained.clear()
    bench.deliver(frame_of(100))
    bench.deliver(frame_of(60_000))
    bench.deliver(frame_of(9_000))
    bench.settle()
    assert bench.handler.frames[-3:] == [frame_of(100), frame_of(60_000), frame_of(9_000)]
    assert [frame.pinned() for frame in bench.handler.retained] == [128, 65536, 32768]
    assert bench.driver.statistics()["rx_moved"] == 1
    assert bench.memory.payload_bytes_copied - sum(map(len, bench.handler.frames)) == 100 + NET_HEADER_LENGTH


def test_a_burst_of_large_frames_finds_buffers_although_it_is_larger_than_the_ring(make: MakeBench) -> None:
    bench = make(ring_size=256)  # 128 KiB
    bench.deliver(b"l" * 45_000)  # by which the device learns to offer more
    bench.settle()
    for _ in range(4):
        bench.deliver(b"l" * 45_000)
    bench.settle()
    assert len(bench.handler.frames) == 5
    assert bench.device.statistics()["rx_no_buffer"] == 0
