"""What a network card does to a frame whose driver left work to it: complete a checksum, cut a large TCP segment.

The work is told by the virtio-net header (virtio 1.2 section 5.1.6.2), and done as Linux does it for a wire
(segmentation of TCP over IPv4 and IPv6). Reference for the segments: each has the headers of the whole, but its own
lengths, sequence number, IPv4 identification (one more for each) and checksums; FIN and PSH stay with the last, CWR
with the first (RFC 3168 section 6.1.2).
"""

import struct

from drivers.virtio.constants import NET_HEADER_LENGTH, VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_NONE

_HEADER = struct.Struct("<BBHHHH")  # flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
ETHERNET = 14
ETHERTYPE_IPV4 = b"\x08\x00"
ETHERTYPE_IPV6 = b"\x86\xdd"
IPV4_HEADER = 20
IPV6_HEADER = 40
TCP = 6
TCP_HEADER = 20
UDP_CHECKSUM = 6  # offset of UDP's checksum in its header: there 0 would mean none
TCP_CHECKSUM = 16
FIN_PSH = 0x09
CWR = 0x80


class OffloadError(ValueError):
    """The header asks for what cannot be done with this frame."""


def wire_frames(data: bytes) -> list[bytes]:
    """The frames that go on the wire for ``data``: a virtio-net header and a frame. Raises OffloadError."""
    if len(data) < NET_HEADER_LENGTH:
        raise OffloadError(f"{len(data)} bytes are not even a virtio-net header")
    flags, gso_type, _, gso_size, start, offset = _HEADER.unpack_from(data)
    frame = data[NET_HEADER_LENGTH:]
    if gso_type != VIRTIO_NET_HDR_GSO_NONE:
        return _segments(frame, start, gso_size)
    if not flags & VIRTIO_NET_HDR_F_NEEDS_CSUM:
        return [frame]
    if start + offset + 2 > len(frame):
        raise OffloadError(f"no place for a checksum at {start}+{offset} of {len(frame)} bytes")
    return [_completed(frame, start, offset)]


def ones_complement_sum(data: bytes | bytearray) -> int:
    """The sum of RFC 1071, 1 to 0xFFFF, unless all of ``data`` is zero: then 0.

    A sum that carries around at 16 bits is the remainder by 0xFFFF, of which zero has two forms.
    """
    number = int.from_bytes(data, "big")
    if len(data) & 1:
        number <<= 8
    return number % 0xFFFF or (0xFFFF if number else 0)


def _completed(frame: bytes, start: int, offset: int) -> bytes:
    """``frame`` with the checksum of all from ``start`` on, where the sum of the pseudo header is in its place."""
    checksum = 0xFFFF ^ ones_complement_sum(frame[start:])
    if not checksum and offset == UDP_CHECKSUM:
        checksum = 0xFFFF
    return frame[: start + offset] + checksum.to_bytes(2, "big") + frame[start + offset + 2 :]


def _segments(frame: bytes, start: int, size: int) -> list[bytes]:
    """``frame``, whose TCP header is at ``start``, cut into segments of ``size`` bytes of payload."""
    least = {ETHERTYPE_IPV4: ETHERNET + IPV4_HEADER, ETHERTYPE_IPV6: ETHERNET + IPV6_HEADER}.get(frame[12:14])
    if not size or least is None or start < least or start + TCP_HEADER > len(frame):
        raise OffloadError(f"a frame of {len(frame)} bytes cannot be cut into segments of {size}")
    headers = start + (frame[start + 12] >> 4) * 4
    payload = len(frame) - headers
    if headers < start + TCP_HEADER or payload <= 0:
        raise OffloadError("a large segment without payload, or with a TCP header that is too short")
    cut = _cut_ipv4 if frame[12:14] == ETHERTYPE_IPV4 else _cut_ipv6
    sequence = int.from_bytes(frame[start + 4 : start + 8], "big")
    frames = []
    for number, at in enumerate(range(0, payload, size)):
        segment = bytearray(frame[:headers] + frame[headers + at : headers + at + size])
        segment[start + 4 : start + 8] = ((sequence + at) & 0xFFFFFFFF).to_bytes(4, "big")
        if at + size < payload:
            segment[start + 13] &= ~FIN_PSH & 0xFF
        if number:
            segment[start + 13] &= ~CWR & 0xFF
        addresses = cut(segment, start, number)
        _put_tcp_checksum(segment, start, addresses)
        frames.append(bytes(segment))
    return frames


def _cut_ipv4(segment: bytearray, start: int, number: int) -> bytearray:
    """Set length, identification and checksum of the IPv4 header; its addresses."""
    segment[16:18] = (len(segment) - ETHERNET).to_bytes(2, "big")
    identification = int.from_bytes(segment[18:20], "big") + number
    segment[18:20] = (identification & 0xFFFF).to_bytes(2, "big")
    segment[24:26] = b"\0\0"
    segment[24:26] = (0xFFFF ^ ones_complement_sum(segment[ETHERNET:start])).to_bytes(2, "big")
    return segment[26:34]


def _cut_ipv6(segment: bytearray, start: int, number: int) -> bytearray:
    """Set the payload length of the IPv6 header; its addresses."""
    segment[18:20] = (len(segment) - ETHERNET - IPV6_HEADER).to_bytes(2, "big")
    return segment[22:54]


def _put_tcp_checksum(segment: bytearray, start: int, addresses: bytearray) -> None:
    at = start + TCP_CHECKSUM
    segment[at : at + 2] = b"\0\0"
    pseudo = addresses + (len(segment) - start).to_bytes(4, "big") + TCP.to_bytes(4, "big")
    segment[at : at + 2] = (0xFFFF ^ ones_complement_sum(pseudo + segment[start:])).to_bytes(2, "big")
