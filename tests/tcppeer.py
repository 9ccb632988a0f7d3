"""A peer whose every segment a test writes by hand; scapy builds them and dissects the answers."""

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from ebbrt.clock import ManualClock
from ebbrt.network import TcpConnection
from stack.address import mapped
from stack.constants import ERROR_UNREACHABLE
from stack.transport import IcmpError
from tests.tcplink import SECOND, Host, Recorder

PORT = 80
PEER_PORT = 40000
PEER_ISN = 0xFFFFFF00  # so that every test crosses the wrap


class Peer:
    """Host 2, hand-driven, opposite to a real host 1 (``node``)."""

    def __init__(self, timestamps: bool = False, **options: int) -> None:
        self.clock = ManualClock(1000 * SECOND)
        self.node = Host(1, self.clock, **options)
        self.node.knows(2)
        self.out: list[TCP] = []
        self.node.device.carry = lambda frame: self.out.append(Ether(frame)[TCP])
        self.seq = PEER_ISN  # what the peer sends next
        self.ack = 0  # what the peer expects next
        self.port = PEER_PORT
        self.node_port = PORT
        self.timestamps = timestamps
        self.tsval = 1000
        self.handlers: list[Recorder] = []

    def send(self, flags: str = "A", data: bytes = b"", advance: bool = True, **fields) -> list[TCP]:
        """Send one segment at ``seq``/``ack`` unless ``fields`` say otherwise; the node's answers at once."""
        fields.setdefault("seq", self.seq)
        fields.setdefault("ack", self.ack if "A" in flags else 0)
        fields.setdefault("window", 65535)
        if self.timestamps and "options" not in fields:
            fields["options"] = [("NOP", None), ("NOP", None), ("Timestamp", (self.tsval, 0))]
        packet = IP(src="198.18.0.2", dst="198.18.0.1") / TCP(
            sport=self.port, dport=self.node_port, flags=flags, **fields
        )
        self.node.receive(bytes(Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01") / packet / data))
        if advance:
            self.seq = (fields["seq"] + len(data) + ("S" in flags) + ("F" in flags)) & 0xFFFFFFFF
        return self.take()

    def ask(self) -> None:
        """A request, which the node's application answers: from then on the node lets acknowledgments wait."""
        self.send("PA", b"?")
        self.handlers[0].connection.send(self.node.buffer(b"!"))
        self.take()
        self.send("A")

    def take(self) -> list[TCP]:
        """What the node has sent since the last call; the peer's ``ack`` follows it."""
        sent, self.out = self.out, []
        for segment in sent:
            if "R" not in segment.flags:
                end = segment.seq + len(segment.payload) + ("S" in segment.flags) + ("F" in segment.flags)
                if self.ack == 0 or ((end - self.ack) & 0xFFFFFFFF) < 0x80000000:
                    self.ack = end & 0xFFFFFFFF
        return sent

    def wait(self, seconds: float) -> list[TCP]:
        """Let time pass, firing every timer when it is due; what the node sent."""
        end = self.clock.now() + int(seconds * SECOND)
        while self.node.tcp.next_deadline() <= end:
            self.clock.time = max(self.clock.time, self.node.tcp.next_deadline())
            self.node.tcp.poll(self.clock.now())
        self.clock.time = end
        return self.take()

    def syn_options(self) -> list:
        options = [("MSS", 1460), ("WScale", 0)]
        if self.timestamps:
            options.append(("Timestamp", (self.tsval, 0)))
        return options

    def listen(self, backlog: int = 8, on_receive=None) -> None:
        def accept(connection: TcpConnection) -> Recorder:
            self.handlers.append(Recorder(on_receive))
            return self.handlers[-1]

        self.node.tcp.listen(PORT, accept, backlog)

    def established(self, on_receive=None) -> Recorder:
        """Open a connection to the node; the node's handler."""
        self.listen(on_receive=on_receive)
        answer = self.send("S", options=self.syn_options())
        assert answer[0].flags == "SA"
        assert answer[0].ack == self.seq
        self.send("A")
        return self.handlers[0]

    def unreachable(self, node_port: int, sequence: int, kind: int = ERROR_UNREACHABLE, mtu: int = 0) -> list[TCP]:
        """Somebody says that a segment of the node with this sequence number did not arrive; what the node does."""
        error = IcmpError()
        error.kind = kind
        error.mtu = mtu
        error.local_high, error.local_low = mapped(self.node.address)
        error.local_port = node_port
        error.remote_high, error.remote_low = mapped(self.node.address + 1)
        error.remote_port = self.port
        error.sequence = sequence
        self.node.tcp.icmp_error(error, self.clock.now())
        return self.take()

    def connecting(self) -> Recorder:
        """Let the node open a connection to this peer: its SYN has been seen."""
        handler = Recorder()
        self.node.tcp.connect(mapped(self.node.address + 1), self.port, handler)
        syn = self.take()[0]
        assert syn.flags == "S"
        self.node_port = syn.sport
        return handler

    def state(self) -> str:
        """The state of the only connection."""
        states = {name: count for name, count in self.node.tcp.statistics()["states"].items() if count}
        assert sum(states.values()) <= 1
        return next(iter(states), "closed")

    def drops(self) -> dict[str, int]:
        return {name: count for name, count in self.node.tcp.statistics()["drops"].items() if count}
