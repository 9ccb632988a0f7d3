"""Random memory as the control virtqueue: the device obeys well-formed commands only, and writes nothing else."""

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.virtio.control import ControlDevice
from drivers.virtio.virtqueue import lay_out
from ebbrt.memory import MemoryAllocator, NodeMemory

SIZE = 4
MEMORY = 16 << 10
PAIRS = 4

# Descriptors that nearly make sense: addresses within, at and beyond the end of memory; some hold a valid command.
COMMAND = MEMORY - 64
ADDRESS = st.one_of(
    st.sampled_from([COMMAND, COMMAND + 2, COMMAND + 8, MEMORY - 1, MEMORY, 0]), st.integers(0, 0xFFFFFFFFFFFFFFFF)
)
LENGTH = st.one_of(st.integers(0, 5), st.integers(0, 70), st.just(0xFFFFFFFF))
DESCRIPTOR = st.tuples(ADDRESS, LENGTH, st.integers(0, 7), st.integers(0, SIZE))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    descriptors=st.lists(DESCRIPTOR, min_size=SIZE, max_size=SIZE),
    heads=st.lists(st.integers(0, SIZE), min_size=SIZE, max_size=SIZE),
    claimed=st.one_of(st.integers(0, SIZE + 1), st.integers(0, 0xFFFF)),
    command=st.one_of(
        st.builds(lambda pairs: bytes([4, 0, pairs, 0]), st.integers(0, PAIRS + 1)), st.binary(min_size=4, max_size=4)
    ),
)
def test_a_control_device_survives_any_ring(
    descriptors: list[tuple[int, int, int, int]], heads: list[int], claimed: int, command: bytes
) -> None:
    memory = NodeMemory(MEMORY)
    layout, area = lay_out(MemoryAllocator(memory), SIZE)
    used: list[int] = []
    device = ControlDevice(PAIRS, used.append)
    device.start(layout, event_index=False)
    memory.view(COMMAND, 4)[:] = command
    for number, (address, length, flags, following) in enumerate(descriptors):
        entry = address.to_bytes(8, "little") + length.to_bytes(4, "little")
        entry += flags.to_bytes(2, "little") + following.to_bytes(2, "little")
        memory.view(layout.descriptors + 16 * number, 16)[:] = entry
    for number, head in enumerate(heads):
        memory.view(layout.available + 4 + 2 * number, 2)[:] = head.to_bytes(2, "little")
    memory.view(layout.available + 2, 2)[:] = claimed.to_bytes(2, "little")
    before = bytes(memory.view(0, MEMORY))

    device.notify()

    after = bytes(memory.view(0, MEMORY))
    ring = range(layout.used, layout.used + 6 + 8 * SIZE)
    changed = [at for at in range(MEMORY) if before[at] != after[at] and at not in ring]
    counted = device.statistics()
    assert len(changed) <= counted["commands"] <= SIZE, "an answer is one byte"
    assert all(1 <= pairs <= PAIRS for pairs in used)
    assert counted["commands"] == counted["refused"] + len(used)
    assert area.size() > 0
