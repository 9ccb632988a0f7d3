"""Blocks of files that a node has read, kept to be read again.

A file is known by device and inode, so by whatever path it was opened. What is kept holds from one open to the next
if the file's size and time of change (its *stamp*) are the same at both; else it is dropped. Whole blocks are kept; a
shorter one is the last of its file.
"""

from collections import OrderedDict

from ebbrt.files.server import LARGEST_TRANSFER

BLOCK = 64 << 10  # bytes
READ_AHEAD = LARGEST_TRANSFER // BLOCK  # blocks fetched at once when a file is read in order
MOST_BYTES = 16 << 20

FileId = tuple[int, int]
Stamp = tuple[int, int]


class CachedFile:
    """What is kept of one file since it was last dropped; a block read before that must not come in after it."""

    def __init__(self, stamp: Stamp | None) -> None:
        self.stamp = stamp
        self.blocks: set[int] = set()


class FileCache:
    """The blocks of one node's files, at most ``most_bytes`` of them; the least recently read goes first."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._files: dict[FileId, CachedFile] = {}
        self._blocks: OrderedDict[tuple[FileId, int], bytes] = OrderedDict()
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self.invalidated = 0
        self.evicted = 0

    def opened(self, file: FileId, stamp: Stamp | None) -> None:
        """The file was opened and had this stamp; None when it may yet change without the stamp showing it."""
        known = self._files.get(file)
        if known is not None and (stamp is None or known.stamp != stamp):
            self.drop(file)
            known = None
        if known is None:
            self._files[file] = CachedFile(stamp)

    def find(self, file: FileId, number: int) -> bytes | None:
        """A block, if it is there."""
        block = self._blocks.get((file, number))
        if block is None:
            self.misses += 1
        else:
            self.hits += 1
            self._blocks.move_to_end((file, number))
        return block

    def begin(self, file: FileId) -> CachedFile:
        """To be called before blocks are read, and given to ``keep``."""
        return self._files.setdefault(file, CachedFile(None))

    def keep(self, file: FileId, begun: CachedFile, number: int, block: bytes) -> None:
        """A block was read; it is kept unless the file was dropped since."""
        if self._files.get(file) is not begun or number in begun.blocks:
            return
        begun.blocks.add(number)
        self._blocks[file, number] = block
        self.bytes += len(block)
        while self.bytes > self._most_bytes:
            self._evict()

    def drop(self, file: FileId) -> None:
        """The file was written: forget what was read."""
        known = self._files.pop(file, None)
        if known is not None:
            self.invalidated += len(known.blocks)
            for number in known.blocks:
                self.bytes -= len(self._blocks.pop((file, number)))

    def statistics(self) -> dict[str, int]:
        """Bytes kept; blocks found and not found, dropped after a change, and pushed out by others."""
        return {
            "bytes": self.bytes,
            "hits": self.hits,
            "misses": self.misses,
            "invalidated": self.invalidated,
            "evicted": self.evicted,
        }

    def _evict(self) -> None:
        (file, number), block = self._blocks.popitem(last=False)
        self.bytes -= len(block)
        self.evicted += 1
        known = self._files[file]
        known.blocks.discard(number)
        if not known.blocks:
            del self._files[file]
