"""What the errors of ICMPv6 say, in the words that both versions of IP share (``IcmpError.kind``)."""

from stack.constants import (
    ERROR_PARAMETER,
    ERROR_PORT,
    ERROR_PROHIBITED,
    ERROR_PROTOCOL,
    ERROR_TIME_EXCEEDED,
    ERROR_TOO_BIG,
    ERROR_UNREACHABLE,
)
from stack.ipv6.constants import (
    DESTINATION_UNREACHABLE,
    PACKET_TOO_BIG,
    PARAMETER_PROBLEM,
    PORT_UNREACHABLE,
    TIME_EXCEEDED,
    UNRECOGNIZED_NEXT_HEADER,
)

PROHIBITED_CODES = frozenset((1, 5, 6))  # by an administrator, source policy, reject route (RFC 4443 section 3.1)


def error_kind(error_type: int, code: int) -> int:
    """What an ICMPv6 error says, in the words both versions share; of an unknown type: that it did not arrive."""
    if error_type == PACKET_TOO_BIG:
        return ERROR_TOO_BIG
    if error_type == TIME_EXCEEDED:
        return ERROR_TIME_EXCEEDED
    if error_type == PARAMETER_PROBLEM:
        return ERROR_PROTOCOL if code == UNRECOGNIZED_NEXT_HEADER else ERROR_PARAMETER
    if error_type == DESTINATION_UNREACHABLE and code == PORT_UNREACHABLE:
        return ERROR_PORT
    if error_type == DESTINATION_UNREACHABLE and code in PROHIBITED_CODES:
        return ERROR_PROHIBITED
    return ERROR_UNREACHABLE
