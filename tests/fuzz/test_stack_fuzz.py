"""Random and mutated frames into the whole stack: nothing is raised, nothing leaks, every frame is accounted for."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.igmp import IGMP_MQ, IGMPv3_MQ
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_LSRR, IPOption_Timestamp
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from ebbrt.iobuf import IOBuf
from ebbrt.network import TcpHandler, UdpHandler
from tests.stack_harness import BROADCAST_LINK, NODE, NODE_LINK, PEER, PEER_LINK, Harness, verified

GROUP = "239.1.2.3"
LINK = Ether(src=PEER_LINK, dst=NODE_LINK)
NETWORK = LINK / IP(src=PEER, dst=NODE)
QUOTED = IP(src=NODE, dst=PEER) / UDP(sport=7, dport=9) / Raw(b"hello")
SEEDS = [
    bytes(frame)
    for frame in (
        Ether(src=PEER_LINK, dst=BROADCAST_LINK) / ARP(op=1, hwsrc=PEER_LINK, psrc=PEER, pdst=NODE),
        LINK / ARP(op=2, hwsrc=PEER_LINK, psrc=PEER, hwdst=NODE_LINK, pdst=NODE),
        NETWORK / ICMP() / Raw(b"ping" * 20),
        NETWORK / ICMP(type=3, code=3) / QUOTED,
        NETWORK / UDP(sport=9, dport=7) / Raw(b"hello"),
        NETWORK / UDP(sport=9, dport=8) / Raw(b"hello"),
        NETWORK / TCP(sport=1025, dport=80, flags="S", seq=1000, options=[("MSS", 1460), ("WScale", 7)]),
        NETWORK / TCP(sport=1025, dport=80, flags="A", seq=1001, ack=1) / Raw(b"data"),
        NETWORK / TCP(sport=1025, dport=81, flags="PA", seq=1001, ack=1) / Raw(b"data"),
        LINK / IP(src=PEER, dst=NODE, proto=99) / Raw(b"unknown"),
        LINK / IP(src=PEER, dst="224.0.0.1") / IGMPv3_MQ(gaddr=GROUP, srcaddrs=[PEER]),
        LINK / IP(src=PEER, dst="224.0.0.1") / IGMP_MQ(mrcode=10),
        LINK / IP(src=PEER, dst=GROUP) / UDP(sport=9, dport=7) / Raw(b"to all"),
        LINK / IP(src=PEER, dst=NODE, id=5, flags="MF") / UDP(sport=9, dport=7, len=24) / Raw(b"first 8 "),
        LINK / IP(src=PEER, dst=NODE, id=5, frag=2, proto=17) / Raw(b"the last"),
        LINK / IP(src=PEER, dst=NODE, options=[IPOption_Timestamp(), IPOption_LSRR(routers=[PEER])]) / UDP(dport=7),
    )
]


class Sink(UdpHandler):
    def receive(self, data: IOBuf, address: str, port: int) -> None:
        if port:
            self.socket.send(data, address, port)


class Echo(TcpHandler):
    def receive(self, data: IOBuf) -> None:
        self.connection.send(data)

    def peer_closed(self) -> None:
        self.connection.close()


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid frame of any kind, with some bytes changed, the end cut off or more appended, and often mended."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 3))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    if draw(st.booleans()):
        data = data[: draw(st.integers(0, len(data)))]
    data += draw(st.binary(max_size=20))
    if draw(st.booleans()) and len(data) >= 34 and data[12:14] == b"\x08\0":
        # The IPv4 checksum is put right, so that the change gets further up.
        packet = IP(bytes(data[14:]))
        del packet.chksum
        header = bytes(packet)[10:12]
        data[24:26] = header
    return bytes(data)


FRAMES = st.one_of(st.binary(max_size=100), mutated())


def check_accounts(statistics: dict[str, dict[str, Any]], frames: int) -> None:
    """Every frame is in exactly one of a layer's outcomes, and what a layer passed on arrived in the next."""
    ethernet, arp, ipv4 = statistics["ethernet"], statistics["arp"], statistics["ipv4"]
    icmp, udp = statistics["icmp"], statistics["udp"]
    assert ethernet["received"] == frames
    assert frames == sum(ethernet[name] for name in ("too_short", "not_for_us", "unknown_ethertype", "arp", "ipv4"))
    arp_outcomes = ("malformed", "bad_sender", "address_conflicts", "requests_answered", "replies_used", "ignored")
    assert ethernet["arp"] == arp["received"] == sum(arp[name] for name in arp_outcomes)
    received = ipv4["received"]
    outcomes = {name: count for name, count in ipv4.items() if name != "received" and not name.startswith("sen")}
    reassembled = statistics["ipv4_reassembly"]["reassembled"]
    assert ethernet["ipv4"] + reassembled == received == sum(outcomes.values())
    assert statistics["ipv4_reassembly"]["received"] <= ipv4["fragment"]
    icmp_outcomes = (
        "too_short",
        "bad_checksum",
        "echo_requests_answered",
        "echo_requests_dropped",
        "echo_to_broadcast",
        "echo_replies",
        "errors_delivered",
        "errors_not_ours",
        "unknown_type",
    )
    assert icmp["received"] == sum(icmp[name] for name in icmp_outcomes)
    udp_outcomes = ("delivered", "too_short", "bad_length", "bad_checksum", "no_socket")
    assert udp["received"] == sum(udp[name] for name in udp_outcomes)
    assert ipv4["delivered"] == sum(
        part["received"] for part in (icmp, statistics["igmp"], udp, statistics["tcp"]["segments"])
    )


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(FRAMES, st.lists(st.integers(1, 99), max_size=3, unique=True), st.booleans(), st.integers(0, 10**9)),
        max_size=12,
    )
)
def test_any_frames(steps: list[tuple[bytes, list[int], bool, int]]) -> None:
    harness = Harness()
    harness.stack.udp.bind(7, Sink()).join(GROUP)
    harness.stack.tcp.listen(80, lambda connection: Echo(), 16)
    for frame, cuts, checksum_valid, delay in steps:
        harness.give(frame, *sorted(cut for cut in cuts if cut < len(frame)), checksum_valid=checksum_valid)
        harness.advance(delay)
    check_accounts(harness.stack.statistics(), len(steps) + 1)
    for sent in harness.take():
        if IP in sent:
            assert sent[IP].src == NODE
            verified(sent)
        else:
            assert sent[ARP].psrc == NODE
    # The stack still works.
    harness.introduce()
    harness.give(NETWORK / ICMP() / Raw(b"alive"))
    assert any(ICMP in sent and sent[ICMP].type == 0 for sent in harness.take())
