"""The network-layer packet inside a captured frame, whatever kind of link it was captured on.

Sources: the list of link-layer header types at tcpdump.org; IEEE 802.1Q (tags), RFC 1661 and 1662 (PPP), RFC 2516
(PPPoE), RFC 1042 (SNAP). Next to read: ``segments``.
"""

import struct
from collections.abc import Callable
from typing import NamedTuple

from captures.link_types import described

# As they stand in files (LINKTYPE_ at tcpdump.org). Raw IP has three: 101 is right, and BSD systems wrote their own.
NULL = 0
ETHERNET = 1
PPP = 9
RAW_BSD, RAW_OPENBSD, RAW = 12, 14, 101
PPP_HDLC = 50
PPP_ETHER = 51
CISCO_HDLC = 104
LOOP = 108
LINUX_SLL = 113
IPV4, IPV6 = 228, 229
LINUX_SLL2 = 276

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_IPV6 = 0x86DD
ETHERTYPE_PPPOE = 0x8864  # of a session; 0x8863 is discovery, which carries no packets
MIN_ETHERTYPE = 0x0600  # what is below is the length of an LLC frame
VLAN_ETHERTYPES = frozenset((0x8100, 0x88A8, 0x9100, 0x9200))  # 802.1Q, 802.1ad, and two from before 802.1ad

# Address families as they stand before a packet of a loopback interface: version 6 has another number on each system
# (Linux, Windows, NetBSD and OpenBSD, FreeBSD, macOS). 23 is IPX on some of them, 10 and 28 other things on others.
AF_INET = 2
AF_INET6 = frozenset((10, 23, 24, 28, 30))

PPP_IPV4, PPP_IPV6 = 0x0021, 0x0057
ARPHRD_NETLINK = 824  # the one kind of Linux interface whose protocol word is never an ethertype

_SHORT = "the packet ends inside its link-layer header"
_SNAP = b"\xaa\xaa\x03\x00\x00\x00"

_WORD = struct.Struct(">H")
_TWO_WORDS = struct.Struct(">HH")


class NetworkPacket(NamedTuple):
    """What a frame carries."""

    ethertype: int  # ETHERTYPE_IPV4, ETHERTYPE_IPV6 or that of another protocol, such as ARP
    packet: bytes  # from the first byte of the network layer's header on, with padding if the frame had any
    vlans: tuple[int, ...]  # the identifiers (0 to 4095) of its VLAN tags, outermost first


def network_packet(link_type: int, frame: bytes) -> NetworkPacket | str:
    """The network-layer packet in ``frame``, or why there is none, in words to be counted by.

    ``len(frame) - len(result.packet)`` is the length of the link layer's header with all tags.
    """
    read = _READERS.get(link_type)
    return unreadable(link_type) if read is None else read(frame)


def is_readable(link_type: int) -> bool:
    """Whether ``network_packet`` knows the link type."""
    return link_type in _READERS


def unreadable(link_type: int) -> str:
    """Why nothing can be read of a link type that ``network_packet`` does not know."""
    return f"link type {described(link_type)} is not read"


def _ethernet(frame: bytes) -> NetworkPacket | str:
    if len(frame) < 14:
        return _SHORT
    return _typed(frame, 14, frame[12] << 8 | frame[13])


def _typed(frame: bytes, at: int, ethertype: int) -> NetworkPacket | str:
    """The packet at ``at`` of a frame whose last ethertype said what it is: tags and PPPoE are taken off."""
    vlans: tuple[int, ...] = ()
    while ethertype in VLAN_ETHERTYPES:
        if len(frame) < at + 4:
            return "the packet ends inside a VLAN tag"
        tag, ethertype = _TWO_WORDS.unpack_from(frame, at)
        vlans += (tag & 0x0FFF,)
        at += 4
    if ethertype < MIN_ETHERTYPE:
        if frame[at : at + 6] != _SNAP:
            return "an LLC frame"
        if len(frame) < at + 8:
            return _SHORT
        ethertype = _WORD.unpack_from(frame, at + 6)[0]
        at += 8
    if ethertype == ETHERTYPE_PPPOE:
        inner = _pppoe(frame[at:])
        return inner if isinstance(inner, str) else inner._replace(vlans=vlans)
    return NetworkPacket(ethertype, frame[at:], vlans)


def _pppoe(frame: bytes) -> NetworkPacket | str:
    """A PPPoE session packet (RFC 2516 section 4); its code is 0."""
    if len(frame) < 6:
        return _SHORT
    if frame[0] != 0x11 or frame[1]:
        return "PPPoE that is not a session's"
    return _ppp_protocol(frame, 6)


def _ppp(frame: bytes) -> NetworkPacket | str:
    """PPP with or without its address and control bytes (RFC 1662 section 3.1)."""
    return _ppp_protocol(frame, 2 if frame[:2] == b"\xff\x03" else 0)


def _ppp_hdlc(frame: bytes) -> NetworkPacket | str:
    """PPP in HDLC-like framing, or Cisco's HDLC: the first byte tells which."""
    return _cisco_hdlc(frame) if frame[:1] in (b"\x0f", b"\x8f") else _ppp(frame)


def _cisco_hdlc(frame: bytes) -> NetworkPacket | str:
    """Cisco's HDLC (RFC 1547 section 4.3.1): an address, a zero byte, an ethertype."""
    if len(frame) < 4:
        return _SHORT
    return _typed(frame, 4, frame[2] << 8 | frame[3])


def _ppp_protocol(frame: bytes, at: int) -> NetworkPacket | str:
    """The packet behind the PPP protocol field at ``at``: two bytes, or one odd one when compressed (RFC 1661 2)."""
    size = 1 if frame[at : at + 1] and frame[at] & 1 else 2
    if len(frame) < at + size:
        return _SHORT
    protocol = int.from_bytes(frame[at : at + size], "big")
    if protocol == PPP_IPV4:
        return NetworkPacket(ETHERTYPE_IPV4, frame[at + size :], ())
    if protocol == PPP_IPV6:
        return NetworkPacket(ETHERTYPE_IPV6, frame[at + size :], ())
    return f"PPP protocol 0x{protocol:04x}"


def _raw(frame: bytes) -> NetworkPacket | str:
    """No link-layer header: the version of IP stands in the first four bits."""
    version = frame[0] >> 4 if frame else 0
    if version == 4:
        return NetworkPacket(ETHERTYPE_IPV4, frame, ())
    if version == 6:
        return NetworkPacket(ETHERTYPE_IPV6, frame, ())
    return f"raw IP of version {version}" if frame else _SHORT


def _ipv4(frame: bytes) -> NetworkPacket | str:
    return NetworkPacket(ETHERTYPE_IPV4, frame, ())


def _ipv6(frame: bytes) -> NetworkPacket | str:
    return NetworkPacket(ETHERTYPE_IPV6, frame, ())


def _loopback(frame: bytes) -> NetworkPacket | str:
    """An address family in the byte order of the machine that captured (NULL) or of the network (LOOP).

    Nothing in the file says which machine it was, but a family needs one byte only, so that the other order is plain.
    """
    if len(frame) < 4:
        return _SHORT
    family = min(int.from_bytes(frame[:4], "little"), int.from_bytes(frame[:4], "big"))
    if family == AF_INET:
        return NetworkPacket(ETHERTYPE_IPV4, frame[4:], ())
    if family in AF_INET6 and frame[4:5] and frame[4] >> 4 == 6:
        return NetworkPacket(ETHERTYPE_IPV6, frame[4:], ())
    return f"address family {family}"


def _linux_sll(frame: bytes) -> NetworkPacket | str:
    """Linux cooked capture, version 1: 16 bytes, the kind of interface in the second word, the ethertype last."""
    if len(frame) < 16:
        return _SHORT
    return _cooked(frame, 16, _WORD.unpack_from(frame, 2)[0], _WORD.unpack_from(frame, 14)[0])


def _linux_sll2(frame: bytes) -> NetworkPacket | str:
    """Version 2: 20 bytes, the ethertype first, the kind of interface in bytes 8 and 9."""
    if len(frame) < 20:
        return _SHORT
    return _cooked(frame, 20, _WORD.unpack_from(frame, 8)[0], _WORD.unpack_from(frame, 0)[0])


def _cooked(frame: bytes, at: int, interface: int, protocol: int) -> NetworkPacket | str:
    return "a netlink message" if interface == ARPHRD_NETLINK else _typed(frame, at, protocol)


_READERS: dict[int, Callable[[bytes], NetworkPacket | str]] = {
    NULL: _loopback,
    ETHERNET: _ethernet,
    PPP: _ppp,
    RAW_BSD: _raw,
    RAW_OPENBSD: _raw,
    PPP_HDLC: _ppp_hdlc,
    PPP_ETHER: _pppoe,
    RAW: _raw,
    CISCO_HDLC: _cisco_hdlc,
    LOOP: _loopback,
    LINUX_SLL: _linux_sll,
    IPV4: _ipv4,
    IPV6: _ipv6,
    LINUX_SLL2: _linux_sll2,
}
