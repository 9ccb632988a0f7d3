"""Numbers that modules of the stack share; see ``ebbrt/constants.py`` for how compiled modules use them."""

# Ethernet (IEEE 802.3) and its types
ETHERNET_HEADER = 14
ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806
BROADCAST_MAC = 0xFFFFFFFFFFFF
GROUP_MAC = 0x01005E000000  # and the last 23 bits of the IPv4 group (RFC 1112 section 6.4)

# ARP (RFC 826)
ARP_LENGTH = 28
ARP_REQUEST = 1
ARP_REPLY = 2

# States of a neighbour (``stack.neighbour``)
RESOLVING = 0
REACHABLE = 1
DELAY = 2
PROBING = 3
GONE = 4

# IPv4 (RFC 791)
IPV4_HEADER = 20
LINK_AND_IPV4_HEADERS = ETHERNET_HEADER + IPV4_HEADER
IPV4_LONGEST = 65535
LIMITED_BROADCAST = 0xFFFFFFFF
MASK32 = 0xFFFFFFFF
IPV4_MAPPED_PREFIX = 0xFFFF << 32  # of the low half of an IPv4-mapped address (RFC 4291 section 2.5.5.2)
DEFAULT_TTL = 64  # RFC 1700
GROUP_TTL = 1  # RFC 1112 section 6.1
ALL_SYSTEMS = 0xE0000001  # 224.0.0.1: the group of all hosts
PROTOCOL_ICMP = 1
PROTOCOL_IGMP = 2
PROTOCOL_TCP = 6
PROTOCOL_UDP = 17

# What becomes of a received IPv4 packet: the index into IPv4's counters; names in ``IPV4_OUTCOMES``.
IPV4_DELIVERED = 0
IPV4_SHORT = 1
IPV4_BAD_VERSION = 2
IPV4_BAD_HEADER_LENGTH = 3
IPV4_BAD_TOTAL_LENGTH = 4
IPV4_BAD_CHECKSUM = 5
IPV4_BAD_SOURCE = 6
IPV4_NOT_OURS = 7
IPV4_FRAGMENT = 8
IPV4_UNKNOWN_PROTOCOL = 9
IPV4_TCP_TO_GROUP = 10
IPV4_BAD_OPTION = 11
IPV4_SOURCE_ROUTE = 12
IPV4_OUTCOMES = (
    "delivered",
    "short_header",
    "bad_version",
    "bad_header_length",
    "bad_total_length",
    "bad_header_checksum",
    "bad_source",
    "not_ours",
    "fragment",
    "unknown_protocol",
    "tcp_to_group",
    "bad_option",
    "source_route",
)

# ICMP (RFC 792)
ICMP_HEADER = 8
ICMP_ECHO_REPLY = 0
ICMP_UNREACHABLE = 3
ICMP_ECHO_REQUEST = 8
ICMP_TIME_EXCEEDED = 11
ICMP_PARAMETER_PROBLEM = 12
UNREACHABLE_HOST = 1
UNREACHABLE_PROTOCOL = 2
UNREACHABLE_PORT = 3
UNREACHABLE_TOO_BIG = 4
REASSEMBLY_TIME_EXCEEDED = 1

# What an ICMP error of either version says (``IcmpError.kind``)
ERROR_UNREACHABLE = 0  # no way to that network or host, for now
ERROR_PORT = 1
ERROR_PROTOCOL = 2
ERROR_PROHIBITED = 3  # an administrator forbids it
ERROR_TOO_BIG = 4
ERROR_TIME_EXCEEDED = 5
ERROR_PARAMETER = 6

# TCP
MOST_SACK_BLOCKS = 4  # what the 40 bytes of options have room for (RFC 2018 section 3)

# UDP (RFC 768)
UDP_HEADER = 8
UDP_CHECKSUM_OFFSET = 6
DHCP_CLIENT_PORT = 68
