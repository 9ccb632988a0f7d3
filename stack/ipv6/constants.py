"""Numbers that modules of IPv6 share; ``stack.constants`` has those of the whole stack."""

from stack.constants import ETHERNET_HEADER

ETHERTYPE_IPV6 = 0x86DD
IPV6_HEADER = 40
NEXT_HEADER_FIELD = 6  # its offset in the IPv6 header
LINK_AND_IPV6_HEADERS = ETHERNET_HEADER + IPV6_HEADER
LONGEST_PAYLOAD = 65535
LEAST_MTU = 1280  # RFC 8200 section 5
DEFAULT_HOP_LIMIT = 64
DISCOVERY_HOP_LIMIT = 255  # of Neighbor Discovery: what has passed a router cannot have it (RFC 4861 section 3.1)

# Next headers (RFC 8200 section 4; IANA)
HOP_BY_HOP = 0
ROUTING = 43
FRAGMENT = 44
PROTOCOL_ICMPV6 = 58
NO_NEXT_HEADER = 59
DESTINATION_OPTIONS = 60
FRAGMENT_HEADER = 8  # bytes
SILENT = -1  # in place of the code of a "parameter problem": none is sent

# Addresses by their halves (RFC 4291)
LINK_LOCAL = 0xFE80 << 48  # fe80::/64, the high half of every link-local address
ALL_NODES_HIGH = 0xFF02 << 48  # of all groups of link-local scope below
ALL_NODES = 1
ALL_ROUTERS = 2
ALL_MLD_ROUTERS = 0x16  # RFC 3810 section 5.2.14
SOLICITED_NODE = 0x1FF  # low half of ff02::1:ff00:0/104, behind which come 24 bits of the address
IPV4_MAPPED = 0xFFFF
GROUP_LINK_ADDRESS = 0x3333 << 32  # RFC 2464 section 7: and the last 32 bits of the group

# States of one of our addresses (RFC 4862 sections 5.4 and 5.5.4)
TENTATIVE = 0
PREFERRED = 1
DEPRECATED = 2

# What becomes of a received packet: the index into IPv6's counters; names in ``IPV6_OUTCOMES``.
IPV6_DELIVERED = 0
IPV6_SHORT = 1
IPV6_BAD_VERSION = 2
IPV6_BAD_LENGTH = 3
IPV6_BAD_SOURCE = 4
IPV6_NOT_OURS = 5
IPV6_BAD_EXTENSION = 6
IPV6_BAD_OPTION = 7
IPV6_FRAGMENT = 8
IPV6_NO_NEXT_HEADER = 9
IPV6_UNKNOWN_PROTOCOL = 10
IPV6_TCP_TO_GROUP = 11
IPV6_OUTCOMES = (
    "delivered",
    "short_header",
    "bad_version",
    "bad_payload_length",
    "bad_source",
    "not_ours",
    "bad_extension_header",
    "bad_option",
    "fragment",
    "no_next_header",
    "unknown_protocol",
    "tcp_to_group",
)

# ICMPv6 (RFC 4443)
DESTINATION_UNREACHABLE = 1
PACKET_TOO_BIG = 2
TIME_EXCEEDED = 3
PARAMETER_PROBLEM = 4
FIRST_INFORMATIONAL = 128
ECHO_REQUEST = 128
ECHO_REPLY = 129
ADDRESS_UNREACHABLE = 3  # codes of "destination unreachable"
PORT_UNREACHABLE = 4
REASSEMBLY_TIMEOUT = 1  # code of "time exceeded"
ERRONEOUS_FIELD = 0  # codes of "parameter problem"
UNRECOGNIZED_NEXT_HEADER = 1
UNRECOGNIZED_OPTION = 2
INCOMPLETE_HEADER_CHAIN = 3  # RFC 7112 section 5
TOO_MANY_HEADERS = 8  # RFC 8883 section 2.5
TOO_MANY_OPTIONS = 9  # RFC 8883 section 2.6

# Multicast Listener Discovery (RFC 2710, RFC 3810) and Neighbor Discovery (RFC 4861)
LISTENER_QUERY = 130
LISTENER_REPORT = 131
LISTENER_DONE = 132
ROUTER_SOLICITATION = 133
ROUTER_ADVERTISEMENT = 134
NEIGHBOR_SOLICITATION = 135
NEIGHBOR_ADVERTISEMENT = 136
REDIRECT = 137
LISTENER_REPORT_V2 = 143
