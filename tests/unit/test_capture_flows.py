from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from captures.files import Packet
from captures.flows import Connection, Trace, difference, follow, read_trace
from captures.segments import Malformed, Options, parse_options, parse_segment
from tests.conversation import EVERY_NS, Conversation, in_vlans, over_ipv6, save

MS = 1_000_000


def trace_of(conversation: Conversation, times_ns: list[int] | None = None, port: int | None = None) -> Trace:
    frames = [bytes(packet) for packet in conversation.packets]
    times = times_ns or [index * EVERY_NS for index in range(len(frames))]
    packets = (
        Packet(number, when, frame, len(frame))
        for number, (when, frame) in enumerate(zip(times, frames, strict=True), start=1)
    )
    return follow(packets, port)


def only(trace: Trace) -> Connection:
    assert len(trace.connections) == 1
    return trace.connections[0]


def test_a_whole_connection() -> None:
    conversation = Conversation().handshake().client(b"hello").server(b"world!").client(b"bye").close()
    connection = only(trace_of(conversation))
    assert connection.name() == "198.18.0.1:40000 -> 198.18.0.2:11211"
    assert bytes(connection.client.stream) == b"hellobye"
    assert bytes(connection.server.stream) == b"world!"
    assert connection.client.handshake is not None
    assert connection.client.handshake.options == Options(1460, 7, True, True)
    assert connection.client.handshake.window == 64240
    assert [(chunk.packet, chunk.offset, chunk.end) for chunk in connection.client.chunks] == [(4, 0, 5), (6, 5, 8)]
    assert (connection.client.data_segments, connection.client.pure_acks) == (2, 2)
    assert connection.client.flags == {"S": 1, "A": 2, "PA": 2, "FA": 1}
    assert connection.round_trip_ns == 2 * EVERY_NS
    assert connection.problem() is None


def test_the_sequence_ring_wraps() -> None:
    conversation = Conversation(client_isn=0xFFFF_FFFC, server_isn=0xFFFF_FFFF).handshake()
    connection = only(trace_of(conversation.client(b"over").server(b"the").client(b"edge").close()))
    assert bytes(connection.client.stream) == b"overedge"
    assert bytes(connection.server.stream) == b"the"
    assert connection.problem() is None
    assert connection.client.retransmissions == connection.client.out_of_order == 0


def test_out_of_order_is_put_in_order_and_counted() -> None:
    conversation = Conversation().handshake()
    conversation.add(True, 3, b"def", "PA").add(True, 6, b"ghi", "PA").add(True, 0, b"abc", "PA")
    client = only(trace_of(conversation)).client
    assert bytes(client.stream) == b"abcdefghi"
    assert [chunk.packet for chunk in client.chunks] == [6, 4, 5]
    assert (client.out_of_order, client.retransmissions) == (1, 0)
    assert client.hole() is None


def test_out_of_order_across_the_rings_edge() -> None:
    conversation = Conversation(client_isn=0xFFFF_FFFC).handshake()
    conversation.add(True, 5, b"fgh", "PA").add(True, 0, b"abcde", "PA")
    assert bytes(only(trace_of(conversation)).client.stream) == b"abcdefgh"


def test_a_late_hole_filler_is_a_retransmission() -> None:
    conversation = Conversation().handshake().add(True, 3, b"def", "PA").add(True, 0, b"abc", "PA")
    client = only(trace_of(conversation, [0, 0, 0, 0, 200 * MS])).client
    assert bytes(client.stream) == b"abcdef"
    assert (client.out_of_order, client.retransmissions) == (0, 1)


def test_overlaps_and_retransmissions_change_nothing() -> None:
    conversation = Conversation().handshake().client(b"abcdef")
    conversation.add(True, 0, b"abcdef", "PA").add(True, 2, b"cdefgh", "PA").add(True, 4, b"ef", "PA")
    connection = only(trace_of(conversation))
    assert bytes(connection.client.stream) == b"abcdefgh"
    assert connection.client.retransmissions == 3
    assert connection.problem() is None


def test_pieces_that_wait_may_overlap() -> None:
    conversation = Conversation().handshake()
    conversation.add(True, 4, b"efgh", "PA").add(True, 3, b"de", "PA").add(True, 6, b"gh", "PA")
    assert bytes(only(trace_of(conversation.add(True, 0, b"abcd", "PA"))).client.stream) == b"abcdefgh"


def test_other_bytes_at_the_same_place_are_a_problem() -> None:
    conversation = Conversation().handshake().client(b"abcdef").add(True, 3, b"dXf", "PA")
    problem = only(trace_of(conversation)).problem()
    assert problem is not None
    assert problem.packet == 5
    assert "other content" in problem.reason


def test_a_hole_is_named_with_the_packet_after_it() -> None:
    conversation = Conversation().handshake().client(b"abc").client(b"def").client(b"ghi")
    del conversation.packets[4]
    problem = only(trace_of(conversation)).problem()
    assert problem is not None
    assert problem.packet == 5
    assert "198.18.0.1:40000's stream lacks bytes 3 to 5" in problem.reason


def test_a_hole_at_the_end_shows_in_the_acknowledgement() -> None:
    conversation = Conversation().handshake().client(b"abc").client(b"def")
    del conversation.packets[4]
    problem = only(trace_of(conversation.add(False, 0))).problem()
    assert problem is not None
    assert problem.packet == 5
    assert "does not have" in problem.reason


def test_an_acknowledgement_captured_before_its_data_is_no_hole() -> None:
    conversation = Conversation().handshake().client(b"abc").add(False, 0)
    conversation.packets[3:] = reversed(conversation.packets[3:])
    assert only(trace_of(conversation)).problem() is None


def test_a_hole_after_such_an_acknowledgement_is_named_with_its_own_packet() -> None:
    conversation = Conversation().handshake().client(b"abc").add(False, 0)
    conversation.packets[3:] = reversed(conversation.packets[3:])
    conversation.add(False, 0).client(b"def").add(False, 0)
    del conversation.packets[6]
    problem = only(trace_of(conversation)).problem()
    assert problem is not None
    assert problem.packet == 7


def test_data_after_a_zero_window_probe_is_not_sent_again() -> None:
    conversation = Conversation().handshake().client(b"abc").add(False, 0, window=0)
    conversation.add(True, 3, b"d", "PA").add(False, 0, window=0).add(True, 3, b"d", "PA")
    client = only(trace_of(conversation.add(False, 0).add(True, 3, b"def", "PA"))).client
    assert (client.retransmissions, client.out_of_order, client.keep_alives) == (0, 0, 0)
    assert bytes(client.stream) == b"abcdef"


@pytest.mark.parametrize(("removed", "missing"), [(0, "SYN"), (1, "SYN-ACK")])
def test_half_a_handshake_is_a_problem(removed: int, missing: str) -> None:
    conversation = Conversation().handshake().client(b"abc").server(b"def")
    del conversation.packets[removed]
    connection = only(trace_of(conversation))
    problem = connection.problem()
    assert problem is not None
    assert problem.packet == 1
    assert f"its {missing} is missing" in problem.reason
    assert bytes(connection.client.stream) == b"abc"  # it is read none the less, with the right side as client


def test_the_lower_port_serves_when_no_syn_was_seen() -> None:
    conversation = Conversation().server(b"abc").client(b"def")
    assert only(trace_of(conversation)).server.source[1] == 11211


def test_a_cut_packet_is_a_problem_but_counts_whole() -> None:
    conversation = Conversation().handshake().client(bytes(1000)).client(b"x")
    frames = [bytes(packet) for packet in conversation.packets]
    packets = [Packet(i + 1, 0, frame[:96], len(frame)) for i, frame in enumerate(frames)]
    connection = only(follow(packets))
    problem = connection.problem()
    assert problem is not None
    assert problem.packet == 4
    assert "42 of 1000 payload bytes" in problem.reason
    assert connection.client.payload_bytes == 1001


def test_keep_alives_with_and_without_a_byte() -> None:
    conversation = Conversation().handshake().client(b"abc").add(True, 2, b"\0").add(True, 2)
    client = only(trace_of(conversation)).client
    assert (client.keep_alives, client.retransmissions) == (2, 0)
    assert bytes(client.stream) == b"abc"
    assert client.conflict is None


def test_duplicate_acks_zero_windows_and_resets() -> None:
    conversation = Conversation().handshake().client(b"abc")
    for _ in range(3):
        conversation.add(False, 0, window=300)
    conversation.add(False, 0, window=0).add(False, 0, flags="RA", window=0)
    server = only(trace_of(conversation)).server
    assert (server.duplicate_acks, server.zero_windows, server.resets) == (2, 1, 1)


def test_a_fast_retransmission_is_not_out_of_order() -> None:
    conversation = Conversation().handshake().client(b"abc").add(False, 0)
    conversation.add(True, 6, b"ghi", "PA").add(False, 0).add(False, 0).add(True, 3, b"def", "PA")
    client = only(trace_of(conversation)).client
    assert (client.retransmissions, client.out_of_order) == (1, 0)


def test_a_reused_port_is_a_new_connection() -> None:
    first = Conversation(client_isn=1000).handshake().client(b"one").close()
    second = Conversation(client_isn=500_000, server_isn=77).handshake().client(b"two").close()
    first.packets += second.packets
    trace = trace_of(first)
    assert [bytes(connection.client.stream) for connection in trace.connections] == [b"one", b"two"]


def test_a_repeated_syn_is_the_same_connection() -> None:
    conversation = Conversation().handshake().client(b"abc")
    conversation.packets.insert(1, conversation.packets[0])
    client = only(trace_of(conversation)).client
    assert client.retransmissions == 1
    assert bytes(client.stream) == b"abc"


def test_segments_larger_than_the_mtu() -> None:
    big = bytes(range(256)) * 240
    conversation = Conversation().handshake().client(big)
    assert bytes(only(trace_of(conversation)).client.stream) == big


def test_a_total_length_of_zero_means_the_whole_frame() -> None:
    conversation = Conversation().handshake().client(b"abc")
    raw = bytearray(bytes(conversation.packets[3]))
    raw[16:18] = b"\0\0"
    segment = parse_segment(Packet(1, 0, bytes(raw), len(raw)))
    assert segment is not None
    assert segment.payload == b"abc"


def test_ethernet_padding_is_no_payload() -> None:
    raw = bytes(Conversation().segment(True, 0)) + bytes(6)
    segment = parse_segment(Packet(1, 0, raw, len(raw)))
    assert segment is not None
    assert (segment.length, segment.payload) == (0, b"")


def test_other_protocols_are_passed_over() -> None:
    packets = [
        Ether() / ARP(),
        Ether() / IPv6(dst="fd00::1") / UDP(),
        Ether() / IP(dst="10.0.0.1") / UDP(),
        Ether() / IP(dst="10.0.0.1", proto=89) / Raw(b"x"),
        Ether(type=0x9999) / Raw(bytes(50)),
    ]
    frames = [bytes(packet) for packet in packets]
    trace = follow(Packet(i, 0, frame, len(frame)) for i, frame in enumerate(frames, start=1))
    assert (trace.packets, trace.tcp_packets, trace.connections, trace.malformed) == (5, 0, [], [])
    assert trace.others == {"ARP": 1, "UDP": 2, "IP protocol 89": 1, "ethertype 0x9999": 1}
    assert trace.left_out(11211) == [
        "5 packets without TCP (2 UDP, 1 ARP, 1 IP protocol 89, 1 ethertype 0x9999)",
    ]


def damaged(at: int, value: bytes) -> bytes:
    raw = bytearray(bytes(Conversation().segment(True, 0, b"abcdef")))
    raw[at : at + len(value)] = value
    return bytes(raw)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (damaged(14, b"\x44"), "header length"),
        (damaged(14, b"\x65"), "version"),
        (damaged(16, b"\xff\xff"), "total length 65535"),
        (damaged(16, b"\0\x20"), "no room for a TCP header"),
        (damaged(20, b"\x20\0"), "fragment"),
        (damaged(46, b"\x40"), "data offset 4"),
        (damaged(46, b"\xf0"), "data offset 15"),
        (damaged(0, b"")[:30], "too short for an IP header"),
    ],
)
def test_contradictions_are_malformed(frame: bytes, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        parse_segment(Packet(1, 0, frame, len(frame)))


@pytest.mark.parametrize(("kept", "where"), [(30, "IP header"), (50, "TCP header"), (60, "TCP options")])
def test_cuts_inside_headers_say_where(kept: int, where: str) -> None:
    raw = bytes(Conversation().handshake().packets[0])
    with pytest.raises(Malformed, match=f"cut inside the {where}"):
        parse_segment(Packet(1, 0, raw[:kept], len(raw)))


@pytest.mark.parametrize(
    "options", [b"\x02", b"\x02\x00", b"\x02\x04\x05", b"\x03\x03", b"\x00\x02\x04\x05\xb4", b"\x01\x02\x01"]
)
def test_bad_options_end_the_list(options: bytes) -> None:
    assert parse_options(options) == Options()


def test_difference_on_the_ring() -> None:
    assert difference(5, 0xFFFF_FFFB) == 10
    assert difference(0xFFFF_FFFB, 5) == -10


def test_interleaved_connections_from_a_file(tmp_path: Path) -> None:
    one, two = Conversation(40000), Conversation(40001)
    for each in (one, two):
        each.handshake().client(b"from %d" % each.port)
    packets = [packet for pair in zip(one.packets, two.packets, strict=True) for packet in pair]
    trace = read_trace(save(tmp_path / "two.pcap", packets))
    assert [bytes(connection.client.stream) for connection in trace.connections] == [b"from 40000", b"from 40001"]
    assert trace.to_port(80) == []


# -- what carries TCP


def test_ipv6() -> None:
    conversation = Conversation().handshake().client(b"hello").server(b"world").close()
    conversation.packets = [over_ipv6(packet) for packet in conversation.packets]
    connection = only(trace_of(conversation))
    assert connection.name() == "[fd00::c612:1]:40000 -> [fd00::c612:2]:11211"
    assert (bytes(connection.client.stream), bytes(connection.server.stream)) == (b"hello", b"world")
    assert connection.problem() is None


@pytest.mark.parametrize(
    "headers",
    [
        IPv6ExtHdrHopByHop(),
        IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt(),
        IPv6ExtHdrRouting(addresses=["fd00::9"], segleft=0),
        IPv6ExtHdrFragment(id=7),  # atomic: whole
    ],
)
def test_extension_headers_before_tcp(headers: object) -> None:
    packet = over_ipv6(Conversation().segment(True, 0, b"abc"))
    frame = bytes(Ether() / IPv6(src=packet[IPv6].src, dst=packet[IPv6].dst) / headers / packet[TCP])
    assert parse_segment(Packet(1, 0, frame, len(frame))).payload == b"abc"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (IPv6ExtHdrFragment(m=1), "fragment"),
        (IPv6ExtHdrFragment(offset=9), "fragment"),
        (IPv6ExtHdrHopByHop(len=200), "too short for an IPv6 extension header"),
    ],
)
def test_what_an_ipv6_packet_hides_is_malformed_with_its_ends(headers: object, reason: str) -> None:
    frame = bytes(Ether() / IPv6(src="fd00::1", dst="fd00::2") / headers / IPv6ExtHdrDestOpt() / TCP())
    with pytest.raises(Malformed, match=reason) as caught:
        parse_segment(Packet(1, 0, frame, len(frame)))
    assert caught.value.ends == {bytes.fromhex("fd00" + 27 * "0" + n) for n in "12"}


def test_a_chain_of_extension_headers_ends_somewhere() -> None:
    frame = bytes(Ether() / IPv6(nh=60, plen=65535)) + b"\x3c\0\1\4\0\0\0\0" * 5000
    with pytest.raises(Malformed, match="more than 64"):
        parse_segment(Packet(1, 0, frame, 1 << 17))


@pytest.mark.parametrize("vlans", [(7,), (7, 9), (4095, 0, 3)])
def test_vlan_tags_are_taken_off(vlans: tuple[int, ...]) -> None:
    conversation = Conversation().handshake().client(b"hello").server(b"world").close()
    conversation.packets = [in_vlans(packet, *vlans) for packet in conversation.packets]
    connection = only(trace_of(conversation))
    assert (bytes(connection.client.stream), connection.problem()) == (b"hello", None)


def test_the_same_addresses_in_another_vlan_are_others() -> None:
    conversation = Conversation().handshake().client(b"one")
    other = Conversation().handshake().client(b"two")
    conversation.packets += [in_vlans(packet, 5) for packet in other.packets]
    streams = [bytes(connection.client.stream) for connection in trace_of(conversation).connections]
    assert streams == [b"one", b"two"]


# -- who is the server, and what is a stream's


def test_the_port_says_who_serves_when_no_syn_was_seen() -> None:
    conversation = Conversation(client_port=80).server(b"abc").client(b"def")
    assert only(trace_of(conversation)).server.source[1] == 80
    connection = only(trace_of(conversation, port=11211))
    assert (connection.server.source[1], bytes(connection.server.stream)) == (11211, b"abc")


def test_the_text_of_a_reset_is_no_part_of_the_stream() -> None:
    conversation = Conversation().handshake().server(b"abc").add(False, 3, b"no such service", flags="RA")
    server = only(trace_of(conversation)).server
    assert (bytes(server.stream), server.payload_bytes, server.data_segments, server.resets) == (b"abc", 3, 1, 1)
    assert (server.retransmissions, server.out_of_order) == (0, 0)


def rebooted(known: bool, isn: int = 700_000) -> Conversation:
    """A client that forgot its connection and opens it anew: SYN, challenge ACK, RST, SYN (RFC 9293, figure 10)."""
    old, new = Conversation().handshake().client(b"old"), Conversation(client_isn=700_000, server_isn=33)
    opening = [
        new.segment(True, -1, flags="S", ack=0),
        Conversation(client_isn=isn).segment(True, -1, flags="S", ack=0),
    ]
    challenge, reset = old.segment(False, 0), old.segment(True, 3, flags="R", ack=0)
    new = Conversation(client_isn=isn, server_isn=33).handshake().client(b"new").server(b"yes").close()
    old.packets = [*(old.packets if known else []), opening[0], challenge, reset, *new.packets]
    return old


@pytest.mark.parametrize("known", [True, False], ids=["captured", "not captured"])
def test_a_client_that_rebooted_opens_one_new_connection(known: bool) -> None:
    old, new = sorted(trace_of(rebooted(known)).connections, key=lambda each: bytes(each.client.stream) == b"new")
    assert bytes(old.client.stream) == (b"old" if known else b"")
    assert (old.client.resets, new.client.resets, new.server.pure_acks) == (1, 0, 0)
    assert (bytes(new.client.stream), bytes(new.server.stream), new.problem()) == (b"new", b"yes", None)


def test_a_client_that_rebooted_may_choose_another_number_the_second_time() -> None:
    trace = trace_of(rebooted(True, isn=900_000))
    assert [bytes(each.client.stream) for each in trace.connections] == [b"old", b"", b"new"]
    assert trace.connections[2].problem() is None


def test_a_refused_syn_is_answered() -> None:
    conversation = Conversation().add(True, -1, flags="S", ack=0).add(False, -1, flags="RA")
    assert only(trace_of(conversation)).server.resets == 1


def test_answers_to_keep_alives_are_no_duplicate_acks() -> None:
    conversation = Conversation().handshake().client(b"abc").add(False, 0)
    for _ in range(5):
        conversation.add(True, 2).add(False, 0)  # one below what was sent, and its answer
    conversation.add(True, 3).add(False, 0)  # a window update, and a duplicate
    server = only(trace_of(conversation)).server
    assert (server.keep_alive_acks, server.duplicate_acks) == (5, 1)


# -- files


def test_damage_ends_the_trace_where_it_is(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pcap", Conversation().handshake().client(b"abc").client(b"def").packets)
    path.write_bytes(path.read_bytes()[:-3])
    trace = read_trace(path)
    assert (trace.packets, bytes(only(trace).client.stream)) == (4, b"abc")
    assert trace.damage is not None
    assert trace.damage.packet == 5
    assert "what follows packet 4" in trace.left_out(11211)[0]


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    conversation = Conversation().handshake().client(b"abc")
    fragment = bytearray(bytes(conversation.packets[3]))
    fragment[20:22] = b"\x20\0"
    conversation.packets += [Ether(bytes(fragment)), Ether() / ARP()]
    trace = trace_of(conversation)
    assert trace.left_out(80) == [
        "1 unreadable packet (packet 5: an IP fragment: TCP inside fragments is not reassembled)",
        "1 connection to other ports",
        "1 packet without TCP (1 ARP)",
    ]
    assert trace.left_out(11211) == [trace.left_out(80)[0], trace.left_out(80)[2]]
