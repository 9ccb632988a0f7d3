"""The Internet checksum (RFC 1071) over node memory, and its incremental update (RFC 1624).

Node memory is summed in the machine's own order, in aligned words of 8 bytes, and the folded sum is put in network
order at the end: byte order and alignment only turn the sum's two bytes round (RFC 1071 section 2 B). This takes a
little-endian machine. All sums below are folded to 16 bits and in network order, not yet complemented.
"""

import sys

from ebbrt.iobuf import IOBuf
from ebbrt.memory import NodeMemory
from stack.constants import PROTOCOL_UDP

LOW_HALF = 0xFFFFFFFF  # a name, since the compiler takes so large a literal for a Python object

if sys.byteorder != "little":
    raise ImportError("stack.wire.checksum takes a little-endian machine")


def fold(total: int) -> int:
    """``total`` with its carries added back in until 16 bits are left."""
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def memory_sum(memory: NodeMemory, start: int, length: int) -> int:
    """The sum of ``length`` bytes from offset ``start``, as if they began and ended a message."""
    total = 0
    at = start
    end = start + length
    # Each byte is weighed by the parity of its own address; an odd start is put right at the end.
    if at & 1 and at < end:
        total += memory.mem[at] << 8
        at += 1
    if at & 2 and at + 2 <= end:
        total += memory.mem16[at >> 1]
        at += 2
    if at & 4 and at + 4 <= end:
        total += memory.mem32[at >> 2]
        at += 4
    word = at >> 3
    last_word = word + ((end - at) >> 3) if at & 7 == 0 else word
    at += (last_word - word) << 3
    while word < last_word:
        total += (memory.mem64[word] & LOW_HALF) + (memory.mem64[word] >> 32)
        word += 1
    while at + 2 <= end:
        total += memory.mem16[at >> 1]
        at += 2
    if at < end:
        total += memory.mem[at]
    total = fold(total)
    if start & 1:
        return total
    return (total >> 8) | ((total & 0xFF) << 8)


def chain_sum(chain: IOBuf, length: int) -> int:
    """The sum of the first ``length`` bytes of ``chain``, whose pieces may have odd lengths; length <= its length."""
    if length <= chain.length:
        return memory_sum(chain.memory, chain.start, length)
    total = 0
    done = 0
    piece: IOBuf | None = chain
    while piece is not None and done < length:
        count = piece.length if piece.length < length - done else length - done
        part = memory_sum(piece.memory, piece.start, count)
        if done & 1:
            part = (part >> 8) | ((part & 0xFF) << 8)
        total += part
        done += count
        piece = piece.next
    return fold(total)


def address_sum(value: int) -> int:
    """The sum of the words of an IPv4 address, or of one half of an IPv6 address; not folded."""
    return (value >> 48) + (value >> 32 & 0xFFFF) + (value >> 16 & 0xFFFF) + (value & 0xFFFF)


def pseudo_header_sum(addresses: int, protocol: int, length: int) -> int:
    """The sum of a pseudo header whose ``addresses`` have that sum (RFC 9293 section 3.1, RFC 768, RFC 8200 8.1)."""
    return fold(addresses + (length >> 16) + (length & 0xFFFF) + protocol)


def transport_sum(packet: IOBuf, length: int, protocol: int, addresses: int) -> int:
    """The sum of a TCP segment or UDP datagram and its pseudo header: 0xFFFF when the checksum in it is right."""
    return fold(pseudo_header_sum(addresses, protocol, length) + chain_sum(packet, length))


def start_checksum(packet: IOBuf, length: int, protocol: int, addresses: int, offset: int, offload: bool) -> None:
    """Fill in the checksum at ``offset`` of a transport's packet; with ``offload`` its start, for a device to go on.

    A UDP checksum of zero would say that there is none (RFC 768); it is written as its other form.
    """
    total = pseudo_header_sum(addresses, protocol, length)
    if not offload:
        total = 0xFFFF ^ fold(total + chain_sum(packet, length))
        if total == 0 and protocol == PROTOCOL_UDP:
            total = 0xFFFF
    packet.memory.mem[packet.start + offset] = total >> 8
    packet.memory.mem[packet.start + offset + 1] = total & 0xFF


def update(checksum: int, old: int, new: int) -> int:
    """The checksum after a 16-bit word of the message changed from ``old`` to ``new`` (RFC 1624 equation 3)."""
    return 0xFFFF ^ fold((0xFFFF ^ checksum) + (0xFFFF ^ old) + new)
