"""RFC 1071 sums over chains against the slow and obvious way, and RFC 1624 against recomputation."""

from hypothesis import given
from hypothesis import strategies as st

from ebbrt.iobuf import IOBuf, allocate
from stack.wire import checksum
from tests.fakes import make_allocator, make_frame, ones_complement_sum

ALLOCATOR = make_allocator()


@given(st.binary(max_size=300), st.integers(0, 9))
def test_memory_sum_at_every_alignment(data: bytes, offset: int) -> None:
    piece = allocate(ALLOCATOR, len(data) + offset)
    assert piece is not None
    piece.write(0, b"\xff" * offset)
    piece.write(offset, data)
    assert checksum.memory_sum(piece.memory, piece.start + offset, len(data)) == ones_complement_sum(data)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6), st.data())
def test_chain_sum_with_odd_and_empty_pieces(pieces: list[bytes], data: st.DataObject) -> None:
    chain: IOBuf | None = None
    for content in reversed(pieces):
        shift = data.draw(st.integers(0, 7))
        piece = make_frame(ALLOCATOR, b"\xaa" * shift + content)
        piece.advance(shift)
        piece.next = chain
        chain = piece
    whole = b"".join(pieces)
    assert chain is not None
    length = data.draw(st.integers(0, len(whole)))
    assert checksum.chain_sum(chain, length) == ones_complement_sum(whole[:length])


def test_large_sum_keeps_its_carries() -> None:
    data = b"\xff" * 65535
    chain = make_frame(ALLOCATOR, data)
    assert checksum.chain_sum(chain, len(data)) == ones_complement_sum(data)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 255), st.integers(0, 65535))
def test_pseudo_header(source: int, destination: int, protocol: int, length: int) -> None:
    header = source.to_bytes(8, "big") + destination.to_bytes(8, "big")
    header += bytes([0, protocol]) + length.to_bytes(2, "big")
    addresses = checksum.address_sum(source) + checksum.address_sum(destination)
    assert checksum.pseudo_header_sum(addresses, protocol, length) == ones_complement_sum(header)


@given(st.binary(min_size=2, max_size=40).filter(any), st.integers(0, 65535))
def test_incremental_update_verifies(message: bytes, new: int) -> None:
    """The updated checksum makes the changed message sum to all ones: the receiver's test (RFC 1624 section 3)."""
    if len(message) % 2:
        message += b"\0"
    old_checksum = 0xFFFF ^ ones_complement_sum(message)
    old = int.from_bytes(message[:2], "big")
    changed = new.to_bytes(2, "big") + message[2:]
    updated = checksum.update(old_checksum, old, new)
    if any(changed):
        assert ones_complement_sum(changed + updated.to_bytes(2, "big")) == 0xFFFF
