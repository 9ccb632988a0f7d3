"""Whether a packet of the stack is the one a script expects, field by field, and nothing the script leaves open.

Strict is what packetdrill is strict about: every flag but PSH; the acknowledgment number; options in their order, and
how many bytes they take; the payload, which is zeros. The window, and what the IP header says, count where the script
names them; the value of a timestamp when the script gives the length of a tick.

PSH is compared as RFC 9293 section 3.9.1.2 means it: a sender MUST set it in the last segment of what it has to send
(MUST-61), and in others may set it at will. So where a script has P, the packet must have it if nothing was queued
behind it; where a script has none, a segment with data may have it all the same. ``--strict_push`` compares the flag.
"""

from collections.abc import Iterator

from netlab.script import notation
from netlab.script.configuration import Configuration
from netlab.script.flow import Flow
from netlab.script.packets import Seen
from netlab.script.tree import Icmp, Option, Packet, Tcp, Udp

KINDS = {Tcp: "a TCP segment", Udp: "a UDP datagram", Icmp: "an ICMP message"}


def differences(expected: Packet, seen: Seen, flow: Flow, configuration: Configuration) -> list[str]:
    """What differs, in words; empty when the packet is the expected one. ``seen`` is in the script's numbers."""
    found = list(_ip(expected, seen.packet, flow))
    if seen.checksums:
        found.append(f"the {seen.checksums} checksum is wrong")
    want, have = expected.body, seen.packet.body
    if type(want) is not type(have):
        found.append(f"expected {KINDS[type(want)]}, saw {KINDS[type(have)]}")
    elif isinstance(want, Tcp) and isinstance(have, Tcp):
        found += _tcp(want, have, seen.is_last, configuration)
        if any(seen.payload):
            found.append("the payload is not what was written")
    elif isinstance(want, Udp) and isinstance(have, Udp):
        if want.length != have.length:
            found.append(f"payload: expected {want.length} bytes, saw {have.length}")
    elif isinstance(want, Icmp) and isinstance(have, Icmp):
        if (want.type, want.code) != (have.type, have.code):
            found.append(f"message: expected {want.type} {want.code or ''}, saw {have.type} {have.code or ''}")
    found += _ports(expected, seen)
    return found


def _ports(expected: Packet, seen: Seen) -> Iterator[str]:
    for want, have, name in zip(
        expected.ports,
        (seen.ends.source_port, seen.ends.destination_port),
        ("source port", "destination port"),
        strict=True,
    ):
        if want and want != have:
            yield f"{name}: expected {want}, saw {have}"


def _ip(expected: Packet, seen: Packet, flow: Flow) -> Iterator[str]:
    want, have = expected.ip, seen.ip
    if want.ecn == "ect01":
        if have.ecn not in (1, 2):
            yield f"ECN: expected ect0 or ect1, saw {notation.ECN[int(have.ecn or 0)]}"
    elif isinstance(want.ecn, int) and want.ecn != have.ecn:
        yield f"ECN: expected {notation.ECN[want.ecn]}, saw {notation.ECN[int(have.ecn or 0)]}"
    if want.tos is not None and want.tos != have.tos:
        yield f"type of service: expected {want.tos:#x}, saw {have.tos:#x}"
    if want.ttl is not None and want.ttl != have.ttl:
        yield f"time to live: expected {want.ttl}, saw {have.ttl}"
    if want.flow_label and not flow.same_flow_label(want.flow_label, have.flow_label or 0):
        yield f"flow label: {have.flow_label or 0:#x} does not go with the ones before"


def _tcp(want: Tcp, have: Tcp, is_last: bool, configuration: Configuration) -> Iterator[str]:
    at_will = not configuration.strict_push and have.length > 0 and not ("P" in want.flags and is_last)
    yield from _flags(want, have, at_will)
    if want.sequence != have.sequence:
        yield f"sequence number: expected {want.sequence}, saw {have.sequence}"
    if want.length != have.length:
        yield f"payload: expected {want.length} bytes, saw {have.length}"
    if want.acknowledgment != have.acknowledgment:
        yield f"acknowledgment number: expected {want.acknowledgment}, saw {have.acknowledgment}"
    if want.window is not None and want.window != have.window:
        yield f"window: expected {want.window}, saw {have.window}"
    if want.urgent != have.urgent:
        yield f"urgent pointer: expected {want.urgent}, saw {have.urgent}"
    if want.options is not None:
        yield from _options(want.options, have.options or (), configuration)


def _flags(want: Tcp, have: Tcp, push_at_will: bool) -> Iterator[str]:
    counted = want.ace is not None
    left_out = ("EWA" if counted else "") + ("P" if push_at_will else "")
    letters = [{letter for letter in body.flags if letter not in left_out} for body in (want, have)]
    if letters[0] != letters[1]:
        yield f"flags: expected {want.flags or '-'}, saw {have.flags or '-'}"
    if counted and want.ace != have.ace:
        yield f"ECN count: expected {want.ace}, saw {have.ace}"


def _options(want: tuple[Option, ...], have: tuple[Option, ...], configuration: Configuration) -> Iterator[str]:
    if [option.name for option in want] != [option.name for option in have]:
        yield f"options: expected {notation.options(want) or 'none'}, saw {notation.options(have) or 'none'}"
        return
    for expected, seen in zip(want, have, strict=True):
        if expected.name == "TS":
            yield from _timestamps(expected, seen, configuration)
        elif expected != seen:
            yield f"option: expected {notation.options((expected,))}, saw {notation.options((seen,))}"


def _timestamps(want: Option, have: Option, configuration: Configuration) -> Iterator[str]:
    if want.values[1] != have.values[1]:
        yield f"echoed timestamp: expected {want.values[1]}, saw {have.values[1]}"
    apart = (have.values[0] - want.values[0] + 0x80000000) % 0x100000000 - 0x80000000
    if configuration.ts_tick and abs(apart) * configuration.ts_tick > configuration.tolerance:
        yield f"timestamp: expected {want.values[0]}, saw {have.values[0]}"
