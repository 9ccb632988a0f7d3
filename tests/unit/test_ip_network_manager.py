"""The Network Manager joins a stack's deadlines to the event loop, and gives applications its sockets."""

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP

from ebbrt.events.event_manager import EventManager
from ebbrt.network import NetworkManager, TcpHandler, UdpHandler
from stack.network_manager import StackNetworkManager
from tests.fakes import make_frame
from tests.stack_harness import NODE, PEER, SECOND, Harness


class Lost(UdpHandler):
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def undelivered(self, reason: str, address: str, port: int) -> None:
        self.reasons.append(reason)


def test_the_loop_runs_the_stacks_timers() -> None:
    harness = Harness(knows_peer=False)
    events = EventManager(harness.clock)
    network: NetworkManager = StackNetworkManager(harness.stack, events)
    lost = Lost()
    assert network.bind_udp(7, lost).send(make_frame(harness.allocator, b"hello"), PEER, 9)
    for _ in range(3):
        harness.clock.advance(SECOND)
        events.turn()
    assert len([frame for frame in harness.take() if ARP in frame]) == 3
    assert lost.reasons == ["unreachable"]
    events.close()


def test_sockets() -> None:
    harness = Harness()
    events = EventManager(harness.clock)
    network = StackNetworkManager(harness.stack, events)
    assert network.local_address() == NODE
    network.bind_udp(7, UdpHandler()).send(make_frame(harness.allocator, b"hello"), PEER, 9)
    network.connect(PEER, 80, TcpHandler())
    datagram, syn = harness.take()
    assert (datagram[IP].dst, datagram[UDP].dport) == (PEER, 9)
    assert (syn[IP].dst, syn[TCP].dport, syn[TCP].flags) == (PEER, 80, "S")
    with pytest.raises(ValueError, match="nowhere"):
        network.connect("nowhere", 80, TcpHandler())
    assert network.statistics()["udp"]["sent"] == 1
    events.close()
