"""What the application has sent and the peer has not acknowledged: the application's own chain, with a cursor.

The bytes before the cursor have been transmitted, those behind it have not. Segments are views of the pieces; the
pieces themselves stay until they are acknowledged, so that they can be sent again. Nothing is copied.

A piece's headroom is for the headers of one segment: the first one that starts with the piece's first byte takes it
along (``owns_headroom`` moves to the view), because the device may read those headers while the piece is sent again.
"""

from ebbrt.iobuf import IOBuf


class SendQueue:
    """Unacknowledged bytes of one connection. ``length``: all of them; ``sent``: how many lie before the cursor."""

    def __init__(self) -> None:
        self.head: IOBuf | None = None
        self._tail: IOBuf | None = None
        self.length = 0
        self.sent = 0
        self._cursor: IOBuf | None = None
        self._cursor_offset = 0  # in the cursor's piece
        self.cut_length = 0  # bytes of the chain that the last cut returned
        self._again: IOBuf | None = None  # where something was last cut again, and its offset from the head
        self._again_offset = 0

    def append(self, chain: IOBuf) -> None:
        """Put a chain at the end. Pieces without bytes are dropped."""
        piece: IOBuf | None = chain
        while piece is not None:
            following = piece.next
            if piece.length:
                piece.next = None
                if self._tail is None:
                    self.head = piece
                else:
                    self._tail.next = piece
                self._tail = piece
                if self._cursor is None:
                    self._cursor = piece
                    self._cursor_offset = 0
                self.length += piece.length
            piece = following

    def acknowledge(self, count: int) -> None:
        """Drop ``count`` bytes from the front; count <= length. The cursor moves along where it would be dropped."""
        self.length -= count
        self.sent -= min(count, self.sent)
        if count > self._again_offset:
            self._again = None
        else:
            self._again_offset -= count
        piece = self.head
        while piece is not None and count >= piece.length:
            count -= piece.length
            if self._cursor is piece:
                self._cursor = piece.next
                self._cursor_offset = 0
            piece = piece.next
        self.head = piece
        if piece is None:
            self._tail = None
        elif count:
            piece.advance(count)
            piece.owns_headroom = False  # what lies before the data now is acknowledged data, not headroom
            if self._cursor is piece:
                self._cursor_offset -= min(count, self._cursor_offset)

    def rewind(self) -> None:
        """Put the cursor on the first unacknowledged byte: everything is to be sent again."""
        self._cursor = self.head
        self._cursor_offset = 0
        self.sent = 0

    def skip(self, count: int) -> None:
        """Move the cursor ``count`` bytes on; count <= self.length - self.sent."""
        self.sent += count
        piece = self._cursor
        while piece is not None and count >= piece.length - self._cursor_offset:
            count -= piece.length - self._cursor_offset
            piece = piece.next
            self._cursor_offset = 0
        self._cursor = piece
        self._cursor_offset += count

    def cut(self, length: int, most_pieces: int) -> IOBuf:
        """Views of the next bytes behind the cursor, and move it: ``cut_length`` bytes, at most ``length``.

        1 <= length <= self.length - self.sent. Fewer come when they would take more than ``most_pieces`` views.
        """
        piece = self._cursor
        assert piece is not None
        offset = self._cursor_offset
        head = last = _view(piece, offset, length)
        remaining = length - last.length
        while remaining and most_pieces > 1:
            piece = piece.next
            assert piece is not None
            offset = 0
            most_pieces -= 1
            last.next = piece.slice(0, min(remaining, piece.length))
            last = last.next
            remaining -= last.length
        offset += last.length
        if offset == piece.length:
            self._cursor = piece.next
            self._cursor_offset = 0
        else:
            self._cursor = piece
            self._cursor_offset = offset
        self.cut_length = length - remaining
        self.sent += self.cut_length
        return head

    def cut_again(self, offset: int, length: int, most_pieces: int) -> IOBuf:
        """Views of ``length`` bytes from ``offset`` on, which lie before the cursor; ``cut_length`` as for ``cut``.

        What is sent again is mostly behind what was before, so the way there starts where the last one ended.
        """
        piece = self._again
        start = self._again_offset
        if piece is None or offset < start:
            piece = self.head
            start = 0
        assert piece is not None
        while offset - start >= piece.length:
            start += piece.length
            piece = piece.next
            assert piece is not None
        self._again = piece
        self._again_offset = start
        offset -= start
        head = last = piece.slice(offset, min(length, piece.length - offset))
        remaining = length - last.length
        while remaining and most_pieces > 1:
            piece = piece.next
            assert piece is not None
            most_pieces -= 1
            last.next = piece.slice(0, min(remaining, piece.length))
            last = last.next
            remaining -= last.length
        self.cut_length = length - remaining
        return head

    def clear(self) -> None:
        """Forget everything; long chains are taken apart piece by piece, so that no deep recursion frees them."""
        piece = self.head
        self.head = self._tail = self._cursor = self._again = None
        self.length = self.sent = self._cursor_offset = self._again_offset = 0
        while piece is not None:
            following = piece.next
            piece.next = None
            piece = following


def _view(piece: IOBuf, offset: int, length: int) -> IOBuf:
    """A view of at most ``length`` bytes of ``piece`` from ``offset`` on; with its headroom, if it still has it."""
    view = piece.slice(offset, min(length, piece.length - offset))
    if offset == 0 and piece.owns_headroom:
        view.owns_headroom = True
        piece.owns_headroom = False
    return view
