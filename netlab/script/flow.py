"""The connection a script is about: its addresses, and how the script's numbers become those on the wire, and back.

As in packetdrill, the numbers of a SYN are those that the script writes, mostly 0: our real initial sequence number
stands for the one that the script gives our SYN, and the peer's is the script's own. All other packets count from the
initial sequence numbers, on both sides: the first byte of data is 1, whatever the SYNs began with. A timestamp that
the stack sends is given the script's value; an echo of it is turned back into the real one.
"""

from collections.abc import Callable
from dataclasses import replace

from netlab.script.packets import Ends, Seen
from netlab.script.tree import Icmp, Option, Packet, Quoted, Tcp

MASK32 = 0xFFFFFFFF

# Where a connection stands, as far as the choice of packets depends on it.
NEW, BOUND, LISTENING, CONNECTING, SYN_SENT, PASSIVE = "new", "bound", "listening", "connecting", "syn sent", "passive"


class UntranslatableError(Exception):
    """A number in a script's packet stands for nothing that was seen."""


class Flow:
    """Both ends as in packets of the stack. local_port: of a socket whose port ``ends`` does not have yet."""

    def __init__(
        self, protocol: str, ends: Ends, state: str = NEW, local_port: Callable[[], int] | None = None
    ) -> None:
        self.protocol = protocol
        self._ends = ends
        self._local_port = local_port
        self.state = state
        self.script_isn = 0
        self.live_isn = 0
        self.peer_isn: int | None = None
        self._peer_syn = 0  # the number of the last SYN that the script has sent
        self._timestamps: dict[int, int] = {}  # script's value: real one
        self._first: tuple[int, int] | None = None  # of the timestamps: script's value, real one
        self._flow_label: tuple[int, int] | None = None

    @property
    def ends(self) -> Ends:
        """Addresses and ports; a port is 0 while it is not known."""
        if not self._ends.source_port and self._local_port is not None:
            self._ends = replace(self._ends, source_port=self._local_port())
        return self._ends

    def offset(self, is_syn: bool) -> int:
        """What to add to a sequence number of ours in the script's packet, to have the real one."""
        return self.live_isn - self.script_isn if is_syn else self.live_isn

    def peer_offset(self, is_syn: bool) -> int:
        """The same for one of the peer's."""
        return 0 if is_syn else self.peer_isn or 0

    def matches(self, seen: Seen) -> bool:
        """Whether the stack has sent the packet for this flow."""
        ends, ours = seen.ends, self.ends
        if isinstance(seen.packet.body, Icmp):
            return ends.source == ours.source and ends.destination == ours.destination
        if (ends.destination, ends.destination_port) != (ours.destination, ours.destination_port):
            return False
        return ends.source == ours.source and ours.source_port == ends.source_port

    def learn(self, seen: Seen, expected: Packet) -> None:
        """Take the initial sequence numbers from a SYN of ours."""
        body, script = seen.packet.body, expected.body
        if isinstance(body, Tcp) and isinstance(script, Tcp) and "S" in body.flags and "S" in script.flags:
            self.live_isn = body.sequence
            self.script_isn = script.sequence
            if "." in body.flags:  # it answers the last SYN, which may begin a new incarnation
                self.peer_isn = self._peer_syn

    def inbound(self, packet: Packet, scaled: bool) -> Packet:
        """A packet of the script with the numbers of the wire. scaled: echoed timestamps may lie between ours.

        Raises UntranslatableError for an echo of a timestamp that was not sent.
        """
        body = packet.body
        if isinstance(body, Icmp):
            quoted = body.quoted or Quoted("tcp" if self.protocol == "tcp" else self.protocol, 0, 0)
            if quoted.protocol == "tcp":
                quoted = replace(quoted, sequence=(quoted.sequence + self.offset(is_syn=False)) & MASK32)
            return replace(packet, body=replace(body, quoted=quoted))
        if not isinstance(body, Tcp):
            return packet
        is_syn = "S" in body.flags
        if is_syn:
            self._peer_syn = body.sequence
            self.peer_isn = body.sequence if self.peer_isn is None else self.peer_isn
        ours = self.offset(is_syn)
        options = tuple(self._inbound_option(option, body, scaled) for option in body.options or ())
        sequence = (body.sequence + self.peer_offset(is_syn)) & MASK32
        acknowledgment = (body.acknowledgment + ours) & MASK32 if "." in body.flags else body.acknowledgment
        return replace(packet, body=replace(body, sequence=sequence, acknowledgment=acknowledgment, options=options))

    def _inbound_option(self, option: Option, body: Tcp, scaled: bool) -> Option:
        if option.name == "sack":
            ours = self.offset("S" in body.flags)
            return replace(option, values=tuple((edge + ours) & MASK32 for edge in option.values))
        if option.name == "TS" and "." in body.flags:
            return replace(option, values=(option.values[0], self._echo(option.values[1], scaled)))
        return option

    def _echo(self, value: int, scaled: bool) -> int:
        """The real timestamp for the script's."""
        if value in self._timestamps:
            return self._timestamps[value]
        if scaled and self._first is not None:
            return (value - self._first[0] + self._first[1]) & MASK32
        raise UntranslatableError(f"ecr {value} echoes no timestamp that was sent: {self._known()}")

    def _known(self) -> str:
        sent = ", ".join(map(str, self._timestamps))
        return f"those were {sent}" if sent else "none was"

    def outbound(self, seen: Seen, expected: Packet) -> Seen:
        """A packet of ours with the numbers of the script, to be compared with the one it expects."""
        body, script = seen.packet.body, expected.body
        if not isinstance(body, Tcp) or not isinstance(script, Tcp):
            return seen
        is_syn = "S" in body.flags
        peers = self.peer_offset(is_syn)
        options = tuple(self._outbound_option(option, script.options, peers) for option in body.options or ())
        sequence = (body.sequence - self.offset(is_syn)) & MASK32
        acknowledgment = (body.acknowledgment - peers) & MASK32 if "." in body.flags else body.acknowledgment
        shown = replace(body, sequence=sequence, acknowledgment=acknowledgment, options=options)
        return replace(seen, packet=replace(seen.packet, body=shown))

    def _outbound_option(self, option: Option, expected: tuple[Option, ...] | None, peers: int) -> Option:
        if option.name == "sack":
            return replace(option, values=tuple((edge - peers) & MASK32 for edge in option.values))
        script = next((other for other in expected or () if other.name == "TS"), None)
        if option.name != "TS" or script is None or len(option.values) != 2:
            return option
        real = option.values[0]
        self._timestamps[script.values[0]] = real
        if self._first is None:
            self._first = (script.values[0], real)
        return replace(option, values=((real - self._first[1] + self._first[0]) & MASK32, option.values[1]))

    def same_flow_label(self, expected: int, real: int) -> bool:
        """Whether labels that the script has as equal are equal, and others differ."""
        if self._flow_label is None or (expected != self._flow_label[0]) == (real != self._flow_label[1]):
            self._flow_label = (expected, real)
            return real != 0
        return False
