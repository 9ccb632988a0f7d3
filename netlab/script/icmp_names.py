"""The names that the language has for types and codes of ICMP messages, in both versions of IP.

``type_N`` and ``code_N`` say any other by number. The numbers are those of RFC 792, RFC 1122 section 3.2.2.1,
RFC 1812 section 5.2.7.1, and RFC 4443.
"""

import re

from netlab.script.tree import Icmp

UNREACHABLE, TOO_BIG, TIME_EXCEEDED, PARAMETER_PROBLEM = (
    "unreachable",
    "packet_too_big",
    "time_exceeded",
    "parameter_problem",
)
TYPES_4 = {
    "echo_reply": 0,
    UNREACHABLE: 3,
    "source_quench": 4,
    "redirect": 5,
    "echo_request": 8,
    TIME_EXCEEDED: 11,
    PARAMETER_PROBLEM: 12,
    "timestamp_request": 13,
    "timestamp_reply": 14,
    "information_request": 15,
    "information_reply": 16,
    "address_mask_request": 17,
    "address_mask_reply": 18,
}
UNREACHABLE_CODES_4 = (
    "net_unreachable",
    "host_unreachable",
    "protocol_unreachable",
    "port_unreachable",
    "frag_needed",
    "source_route_failed",
    "net_unknown",
    "host_unknown",
    "source_host_isolated",
    "net_prohibited",
    "host_prohibited",
    "net_unreachable_for_tos",
    "host_unreachable_for_tos",
    "packet_filtered",
    "precedence_violation",
    "precedence_cutoff",
)
CODES_4 = {UNREACHABLE: {name: code for code, name in enumerate(UNREACHABLE_CODES_4)}}
TYPES_6 = {
    UNREACHABLE: 1,
    TOO_BIG: 2,
    TIME_EXCEEDED: 3,
    PARAMETER_PROBLEM: 4,
    "echo_request": 128,
    "echo_reply": 129,
}
CODES_6 = {
    UNREACHABLE: {
        "net_unreachable": 0,
        "no_route": 0,
        "admin_prohibited": 1,
        "not_neighbour": 2,
        "address_unreachable": 3,
        "port_unreachable": 4,
    },
    TIME_EXCEEDED: {"exceeded_hop_limit": 0, "exceeded_frag_time": 1},
    PARAMETER_PROBLEM: {"header_field": 0, "unknown_next_header": 1, "unknown_option": 2},
}
FRAGMENTATION_NEEDED = (3, 4)
PACKET_TOO_BIG = (2, 0)


def icmp_numbers(message: Icmp, ipv6: bool) -> tuple[int, int]:
    """Type and code. Raises KeyError with what is wrong when a name is not one."""
    types = TYPES_6 if ipv6 else TYPES_4
    number = _by_number(message.type, "type")
    if number is None:
        number = types.get(message.type)
    if number is None:
        raise KeyError(f"{message.type!r} is not a type of ICMPv{6 if ipv6 else 4}: {', '.join(types)}, or type_N")
    if message.code is None:
        return number, 0
    code = _by_number(message.code, "code")
    codes = (CODES_6 if ipv6 else CODES_4).get(message.type, {})
    if code is None:
        code = codes.get(message.code)
    if code is None:
        known = ", ".join([*codes, "or code_N"])
        raise KeyError(f"{message.code!r} is not a code of {message.type}: {known}")
    return number, code


def check_icmp(message: Icmp, ipv6: bool) -> str:
    """What is wrong with the message, or ''."""
    try:
        numbers = icmp_numbers(message, ipv6)
    except KeyError as error:
        return str(error.args[0])
    if message.mtu is None:
        return ""
    if ipv6:
        return "" if numbers == PACKET_TOO_BIG else "an MTU goes with packet_too_big only"
    if numbers != FRAGMENTATION_NEEDED:
        return "an MTU goes with unreachable frag_needed only"
    return "" if message.mtu <= 0xFFFF else f"an MTU of ICMPv4 is at most 65535, not {message.mtu}"


def icmp_names(number: int, code: int, ipv6: bool) -> str:
    """Type and code as the language writes them."""
    for name, value in (TYPES_6 if ipv6 else TYPES_4).items():
        if value == number:
            codes = (CODES_6 if ipv6 else CODES_4).get(name, {})
            words = [word for word, value in codes.items() if value == code]
            return f"{name} {words[0]}" if words else (f"{name} code_{code}" if code else name)
    return f"type_{number} code_{code}"


def _by_number(word: str, prefix: str) -> int | None:
    match = re.fullmatch(prefix + "_([0-9]+)", word)
    return int(match[1]) if match is not None and int(match[1]) <= 0xFF else None
