"""Buffers that another core lent: views of its memory, which go back to it when the last reference is dropped.

The lender keeps its own ``Buffer`` alive under a token until the token has come back (``core_links``).
"""

from collections.abc import Callable

from ebbrt.memory import Buffer, MemoryAllocator


class Returns:
    """The tokens of one lender whose buffers were dropped here, until they are sent back.

    ``first`` is called when a token comes into the empty list, ``many`` when there are ``batch`` of them: from within
    the deallocation of a buffer, so they may only take note.
    """

    def __init__(self, batch: int, first: Callable[[], object], many: Callable[[], object]) -> None:
        self.tokens: list[int] = []
        self.batch = batch
        self.first = first
        self.many = many

    def put(self, token: int) -> None:
        """One more is to go back."""
        self.tokens.append(token)
        if len(self.tokens) == 1:
            self.first()
        elif len(self.tokens) == self.batch:
            self.many()

    def take(self) -> list[int]:
        """All of them, to be sent."""
        tokens = self.tokens
        self.tokens = []
        return tokens


class BorrowedBuffer(Buffer):
    """A buffer of another core. Made by ``borrow``."""

    length: int
    token: int
    returns: Returns

    def size(self) -> int:
        """How many bytes the buffer has."""
        return self.length

    def __del__(self) -> None:
        self.returns.put(self.token)


def borrow(allocator: MemoryAllocator, returns: Returns, token: int, offset: int, length: int) -> Buffer:
    """The lent buffer of ``length`` bytes at ``offset``, in the memory of ``allocator``, which is the borrower's."""
    buffer: BorrowedBuffer = BorrowedBuffer.__new__(BorrowedBuffer)
    buffer.allocator = allocator
    buffer.memory = allocator.memory
    buffer.offset = offset
    buffer.length = length
    buffer.token = token
    buffer.returns = returns
    return buffer
