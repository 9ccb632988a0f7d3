"""SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed hash of short inputs, as Linux has it for its cookies."""

MASK64 = 0xFFFFFFFFFFFFFFFF
START_0 = 0x736F6D6570736575
START_1 = 0x646F72616E646F6D
START_2 = 0x6C7967656E657261
START_3 = 0x7465646279746573
END_MARK = 0xFF
BLOCK_ROUNDS, END_ROUNDS = 2, 4


def siphash(key: bytes, data: bytes) -> bytes:
    """8 bytes, the hash in little-endian order. key: 16 bytes."""
    state = SipState(int.from_bytes(key[:8], "little"), int.from_bytes(key[8:16], "little"))
    whole = len(data) & ~7
    for at in range(0, whole, 8):
        state.block(int.from_bytes(data[at : at + 8], "little"))
    state.block((len(data) & 0xFF) << 56 | int.from_bytes(data[whole:], "little"))
    return state.end().to_bytes(8, "little")


class SipState:
    """The four words of the state."""

    def __init__(self, key_0: int, key_1: int) -> None:
        self._a = START_0 ^ key_0
        self._b = START_1 ^ key_1
        self._c = START_2 ^ key_0
        self._d = START_3 ^ key_1

    def block(self, word: int) -> None:
        """Take 8 bytes in."""
        self._d ^= word
        self._mix(BLOCK_ROUNDS)
        self._a ^= word

    def end(self) -> int:
        """The hash."""
        self._c ^= END_MARK
        self._mix(END_ROUNDS)
        return self._a ^ self._b ^ self._c ^ self._d

    def _mix(self, rounds: int) -> None:
        a, b, c, d = self._a, self._b, self._c, self._d
        for _ in range(rounds):
            a = (a + b) & MASK64
            b = _rotated(b, 13) ^ a
            a = _rotated(a, 32)
            c = (c + d) & MASK64
            d = _rotated(d, 16) ^ c
            a = (a + d) & MASK64
            d = _rotated(d, 21) ^ a
            c = (c + b) & MASK64
            b = _rotated(b, 17) ^ c
            c = _rotated(c, 32)
        self._a, self._b, self._c, self._d = a, b, c, d


def _rotated(word: int, by: int) -> int:
    return (word << by | word >> (64 - by)) & MASK64
