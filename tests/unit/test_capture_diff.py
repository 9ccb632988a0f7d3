from pathlib import Path

import pytest
from scapy.layers.inet import IP

from captures.diff import Comparison, compare
from tests.conversation import GET, OPTIONS, SET, Conversation, reply, request, save


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


def test_no_connection_to_the_port_is_noted(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pcap", talk(Conversation()).packets)
    assert all("no connection to port 80" in note for note in compare(path, path, port=80).notes)
