from pathlib import Path

import pytest
from scapy.layers.inet import IP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from captures.diff import Comparison, compare
from captures.files import CaptureError
from tests.conversation import (
    GET,
    NOOP,
    OPTIONS,
    SET,
    SETQ,
    STAT,
    Conversation,
    in_vlans,
    over_ipv6,
    reply,
    request,
    save,
)

APPLICATION = "application bytes"
DELETE, FLUSH = 0x04, 0x08


def talk(conversation: Conversation, gets: int = 10) -> Conversation:
    conversation.handshake().client(request(SET, b"k", b"v")).server(reply(SET, cas=5))
    for opaque in range(gets):
        conversation.client(request(GET, b"k", opaque=opaque)).server(reply(GET, b"v", opaque=opaque, cas=5))
    return conversation.close()


def compared(tmp_path: Path, a: Conversation, b: Conversation) -> Comparison:
    return compare(save(tmp_path / "a.pcap", a.packets), save(tmp_path / "b.pcap", b.packets))


def differing(comparison: Comparison) -> set[tuple[str, str]]:
    return {(row.section, row.name) for row in comparison.differing()}


def test_numbers_that_stacks_choose_are_no_difference(tmp_path: Path) -> None:
    a = talk(Conversation(40000, 1, 2))
    b = talk(Conversation(51111, 0xFFFFFFF0, 77))
    for packet in b.packets:
        packet.src = "02:00:00:00:00:99"
        packet[IP].id = 4711
        packet[IP].ttl = 63
    result = compared(tmp_path, a, b)
    assert result.differing() == []
    assert result.notes == []


def test_handshake_options_differ(tmp_path: Path) -> None:
    b = talk(Conversation())
    b.packets[1]["TCP"].options = [("MSS", 1400), *OPTIONS[2:]]
    result = compared(tmp_path, talk(Conversation()), b)
    assert differing(result) == {
        ("server's handshake", "MSS"),
        ("server's handshake", "SACK permitted"),
    }
    row = next(row for row in result.differing() if row.name == "SACK permitted")
    assert (row.a, row.b) == ("yes", "no")


@pytest.mark.parametrize("from_client", [True, False])
def test_extra_acks_differ(tmp_path: Path, from_client: bool) -> None:
    b = Conversation().handshake().client(request(SET, b"k", b"v")).server(reply(SET, cas=5))
    for opaque in range(10):
        b.client(request(GET, b"k", opaque=opaque)).server(reply(GET, b"v", opaque=opaque, cas=5))
        b.add(from_client, b.sent[from_client])
    side = "client sends" if from_client else "server sends"
    found = differing(compared(tmp_path, talk(Conversation()), b.close()))
    assert (side, "pure ACKs per request") in found
    assert ("memcached replies", "GET ok") not in found


def test_trouble_differs(tmp_path: Path) -> None:
    b = talk(Conversation())
    b.packets.insert(6, b.packets[5])  # the client's first GET again
    b.add(False, b.sent[False], flags="R")
    found = differing(compared(tmp_path, talk(Conversation()), b))
    assert {("client sends", "retransmissions"), ("server sends", "resets"), ("server sends", "flags seen")} <= found


def test_traffic_is_compared_per_request(tmp_path: Path) -> None:
    found = differing(compared(tmp_path, talk(Conversation(), 1000), talk(Conversation(), 800)))
    assert found == set()


def test_statuses_are_counted(tmp_path: Path) -> None:
    b = Conversation().handshake().client(request(GET, b"k")).server(reply(GET, b"Not found", status=1)).close()
    result = compared(tmp_path, talk(Conversation()), b)
    rows = {row.name: (row.a, row.b, row.differs) for row in result.rows if row.section == "memcached replies"}
    assert rows["GET not found"] == (0, 1, True)
    assert rows["SET ok"] == (1, 0, True)


def test_what_cannot_be_read_is_noted_with_its_packet(tmp_path: Path) -> None:
    b = talk(Conversation())
    del b.packets[6]
    result = compared(tmp_path, talk(Conversation()), b)
    assert any("b.pcap: packet 7" in note for note in result.notes), result.notes


# -- nothing to compare is no equality


def test_no_connection_to_the_port_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pcap", talk(Conversation()).packets)
    with pytest.raises(
        CaptureError, match=r"a\.pcap: no connection to port 80, those of its 28 packets go to port 11211"
    ):
        compare(path, path, port=80)


def test_no_tcp_at_all_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pcap", [Ether() / ARP()])
    with pytest.raises(CaptureError, match="there is no TCP in it"):
        compare(path, path)


@pytest.mark.parametrize(
    "conversation",
    [
        Conversation().handshake().close(),
        Conversation().handshake().client(request(NOOP)).close(),
        Conversation().handshake().client(b"get a\r\n").server(b"END\r\n").close(),
    ],
    ids=["silent", "no reply", "text protocol"],
)
@pytest.mark.parametrize("first", [True, False])
def test_no_answered_request_is_refused(tmp_path: Path, conversation: Conversation, first: bool) -> None:
    pair = [conversation, talk(Conversation())]
    with pytest.raises(CaptureError, match="no answered request of memcached's binary protocol in its 1 connections"):
        compared(tmp_path, *(pair if first else reversed(pair)))


# -- application bytes


def flipped(conversation: Conversation, at: int, ports: set[int]) -> Conversation:
    """The same packets, with a bit of the byte ``at`` from its end flipped in each payload to one of ``ports``."""
    for packet in conversation.packets:
        if Raw in packet and packet["TCP"].dport in ports:
            data = bytearray(packet[Raw].load)
            data[at] ^= 1
            packet[Raw].load = bytes(data)
    return conversation


def test_changed_replies_differ(tmp_path: Path) -> None:
    result = compared(tmp_path, talk(Conversation()), flipped(talk(Conversation()), -1, {40000}))
    assert (APPLICATION, "... answered otherwise") in differing(result)
    assert (
        "GET answered otherwise: body: byte 4 is 0x76 and 0x77 (packet 7 of a.pcap, packet 7 of b.pcap)"
        in result.notes
    )


def test_values_changed_on_both_ways_differ(tmp_path: Path) -> None:
    b = Conversation().handshake().client(request(SET, b"k", b"w")).server(reply(SET, cas=5))
    for opaque in range(10):
        b.client(request(GET, b"k", opaque=opaque)).server(reply(GET, b"w", opaque=opaque, cas=5))
    result = compared(tmp_path, talk(Conversation()), b.close())
    assert differing(result) == {(APPLICATION, "... that the other lacks")}


def test_the_servers_cas_and_the_clients_opaque_do_not_count(tmp_path: Path) -> None:
    b = Conversation().handshake().client(request(SET, b"k", b"v", opaque=9)).server(reply(SET, cas=77, opaque=9))
    for opaque in range(10):
        b.client(request(GET, b"k", opaque=opaque + 50)).server(reply(GET, b"v", opaque=opaque + 50, cas=77))
    assert compared(tmp_path, talk(Conversation()), b.close()).differing() == []


def test_a_reply_depends_on_what_was_stored_before(tmp_path: Path) -> None:
    def racing(first: bytes, second: bytes) -> Conversation:
        made = Conversation().handshake()
        for value in (first, second):
            made.client(request(SET, b"k", value)).server(reply(SET))
            made.client(request(GET, b"k")).server(reply(GET, value))
        return made.close()

    assert compared(tmp_path, racing(b"x", b"y"), racing(b"y", b"x")).differing() == []
    stale = racing(b"x", b"y")
    stale.packets[10][Raw].load = reply(GET, b"x")  # the second GET gets the first value
    assert differing(compared(tmp_path, racing(b"x", b"y"), stale)) == {(APPLICATION, "... answered otherwise")}


@pytest.mark.parametrize("removal", [request(DELETE, b"k"), request(FLUSH)], ids=["DELETE", "FLUSH"])
def test_what_was_removed_is_gone(tmp_path: Path, removal: bytes) -> None:
    def made(gone: bool) -> Conversation:
        talk = Conversation().handshake().client(request(SETQ, b"k", b"v"))
        talk.client(removal).server(reply(removal[1]))
        found = reply(GET, b"Not found", status=1) if gone else reply(GET, b"v")
        return talk.client(request(GET, b"k")).server(found).close()

    result = compared(tmp_path, made(True), made(False))
    assert (APPLICATION, "... answered otherwise") in differing(result)
    assert any("status: not found and ok" in note for note in result.notes)


def test_statistics_are_the_servers_own(tmp_path: Path) -> None:
    def made(pid: bytes) -> Conversation:
        figures = reply(STAT, pid, key=b"pid") + reply(STAT)
        return talk(Conversation().handshake().client(request(STAT)).server(figures)).close()

    def talk(conversation: Conversation) -> Conversation:
        return conversation.client(request(NOOP)).server(reply(NOOP))

    result = compared(tmp_path, made(b"1"), made(b"2"))
    assert result.differing() == []
    assert "a.pcap: not compared: the replies to 1 STAT requests" in result.notes


# -- what else is in a capture


def test_ipv6_and_vlans_are_compared(tmp_path: Path) -> None:
    b = talk(Conversation())
    b.packets = [over_ipv6(packet) for packet in talk(Conversation()).packets]
    c = talk(Conversation())
    c.packets = [in_vlans(packet, 3, 4) for packet in flipped(c, -1, {40000}).packets]
    b.packets += c.packets
    result = compared(tmp_path, talk(Conversation()), b)
    assert {("capture", "connections"), (APPLICATION, "... answered otherwise")} <= differing(result)
    assert next((row.a, row.b) for row in result.rows if row.name == "requests") == (11, 22)


def test_what_is_left_out_is_noted(tmp_path: Path) -> None:
    b = talk(Conversation())
    b.packets += [Ether() / ARP(), Ether() / ARP()]
    notes = compared(tmp_path, talk(Conversation()), b).notes
    assert notes == ["b.pcap: left out: 2 packets without TCP (2 ARP)"]


def test_a_cut_last_packet_is_left_out_and_noted(tmp_path: Path) -> None:
    paths = [save(tmp_path / name, talk(Conversation()).packets) for name in ("a.pcap", "b.pcap")]
    paths[1].write_bytes(paths[1].read_bytes()[:-5])
    result = compare(*paths)
    assert any("b.pcap: left out: what follows packet 27, where the file is damaged" in note for note in result.notes)
