"""Cutting up what is longer than the path's MTU (RFC 791 section 3.2): at the source only, and never TCP.

No byte of payload is copied: a fragment is a small fresh buffer for the headers, chained to views of the packet.
"""

from dataclasses import dataclass

from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator
from stack.fragments import UNIT


@dataclass(frozen=True)
class Part:
    """One fragment: ``chain`` begins with an empty piece that owns the headroom for headers; offset: in bytes."""

    chain: IOBuf
    offset: int
    length: int
    more: bool


def cut(allocator: MemoryAllocator, packet: IOBuf, length: int, room: int, headroom: int) -> list[Part] | None:
    """The ``length`` bytes of ``packet`` in parts of at most ``room`` bytes each; None when memory is exhausted."""
    most = room // UNIT * UNIT
    rest = packet.clone_chain()
    parts: list[Part] = []
    for offset in range(0, length, most):
        header = allocate(allocator, 0, headroom)
        if header is None:
            return None
        count = min(most, length - offset)
        header.next = rest = _skip_empty(rest)
        rest = _split(rest, count)
        parts.append(Part(header, offset, count, offset + count < length))
    return parts


def _skip_empty(chain: IOBuf) -> IOBuf:
    while chain.length == 0 and chain.next is not None:
        chain = chain.next
    return chain


def _split(chain: IOBuf, count: int) -> IOBuf:
    """End ``chain`` after ``count`` bytes; what follows, as a chain, of no bytes at the end."""
    piece = chain
    while count > piece.length and piece.next is not None:
        count -= piece.length
        piece = piece.next
    rest = piece.slice(count, piece.length - count)
    rest.next = piece.next
    piece.length = count
    piece.next = None
    return rest
