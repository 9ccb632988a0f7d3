"""Packets of scripts to bytes and back, numbers to those on the wire and back, and the notation of reports."""

import pytest

from netlab.script import notation
from netlab.script.flow import Flow, UntranslatableError
from netlab.script.packets import Ends, build, dissect
from netlab.script.parser import parse

ENDS_4 = Ends("192.0.2.1", 40000, "192.168.0.1", 8080)
ENDS_6 = Ends("2001:db8::1", 40000, "fd3d:fa7b:d17d::1", 8080)
OURS = ENDS_4.reversed()


def packet(text, options=""):
    return parse("x.pkt", f"{options}\n0 {text}").events[0].action


@pytest.mark.parametrize("ends", [ENDS_4, ENDS_6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize(
    "text",
    [
        "[noecn] S 0:0(0) win 65535 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>",
        "[ect0] P. 1:1001(1000) ack 1 win 257",
        "[ce] .5 1:1(0) ack 7 win 257 <nop,nop,sack 1:2 3:4>",
        "[ect1] FPU. 1:2(1) ack 7 win 257 urg 1",
        "[noecn] SEWA 0:0(0) win 0 <FO 0123456789abcdef,nop,nop>",
        "[noecn] - 4294967295:4294967295(0) win 0 <FOEXP,eol,eol,nop,nop>",
        "[noecn] . 1:1(0) ack 1 win 0 <md5 00112233445566778899aabbccddeeff,nop,nop>",
        "[noecn] udp (100)",
        "[noecn] udp (0)",
    ],
)
def test_what_is_built_is_dissected_to_the_same(text, ends):
    if "udp" in text:
        text = text.removeprefix("[noecn] ")
    sent = packet("< " + text)
    seen = dissect(build(sent, ends), 0)
    assert seen.ends == ends
    assert seen.checksums == ""
    assert notation.packet(seen.packet, sent) == notation.packet(sent).replace("<", ">", 1)


def test_an_icmp_error_quotes_a_packet_of_ours():
    data = build(packet("< icmp unreachable frag_needed mtu 1000 [7:1007(1000)]"), ENDS_4)
    message = data[20:]
    assert message[:2] == bytes([3, 4])
    assert message[6:8] == (1000).to_bytes(2, "big")
    quoted = message[8:]
    assert quoted[12:20] == bytes([192, 168, 0, 1, 192, 0, 2, 1])
    assert quoted[20:28] == (8080 << 48 | 40000 << 32 | 7).to_bytes(8, "big")


def test_an_icmp_error_of_ipv6():
    data = build(packet("< icmp packet_too_big mtu 1280 [7:1007(1000)]", "--ip_version=ipv6"), ENDS_6)
    message = data[40:]
    assert message[:2] == bytes([2, 0])
    assert message[4:8] == (1280).to_bytes(4, "big")
    assert message[8 + 40 :] == (8080 << 48 | 40000 << 32 | 7).to_bytes(8, "big")


def test_a_wrong_checksum_is_seen():
    data = bytearray(build(packet("< P. 1:11(10) ack 1 win 5"), ENDS_4))
    data[-1] ^= 1
    assert dissect(bytes(data), 0).checksums == "TCP"
    data[8] ^= 1
    assert dissect(bytes(data), 0).checksums == "IP and TCP"


def opened(isn=1000):
    """A flow whose own SYN, with that number on the wire and 0 in the script, has been seen."""
    flow = Flow("tcp", OURS)
    syn = packet("> S 0:0(0) <TS val 50 ecr 0,nop,nop>")
    seen = dissect(build(packet(f"< S {isn}:{isn}(0) <TS val 7777 ecr 0,nop,nop>"), OURS), 0)
    flow.learn(seen, syn)
    flow.outbound(seen, syn)
    return flow


def test_numbers_of_ours_are_shifted_by_the_initial_one():
    flow = opened()
    inbound = flow.inbound(packet("< . 5:5(0) ack 11 win 0 <nop,nop,sack 21:31>"), False).body
    assert (inbound.sequence, inbound.acknowledgment, inbound.options[2].values) == (5, 1011, (1021, 1031))
    expected = packet("> P. 1:11(10) ack 5")
    seen = dissect(build(packet("< P. 1001:1011(10) ack 5 win 0"), OURS), 0)
    assert flow.outbound(seen, expected).packet.body.sequence == 1


def test_numbers_wrap():
    flow = opened(0xFFFFFFFE)
    assert flow.inbound(packet("< . 5:5(0) ack 11 win 0"), False).body.acknowledgment == 9


def test_an_echoed_timestamp_becomes_the_real_one():
    flow = opened()
    assert flow.inbound(packet("< . 5:5(0) ack 1 <nop,nop,TS val 3 ecr 50>"), False).body.options[2].values == (
        3,
        7777,
    )
    between = packet("< . 5:5(0) ack 1 <nop,nop,TS val 3 ecr 53>")
    assert flow.inbound(between, True).body.options[2].values == (3, 7780)
    with pytest.raises(UntranslatableError, match="ecr 53 echoes no timestamp that was sent: those were 50"):
        flow.inbound(between, False)


@pytest.mark.parametrize(
    "text",
    [
        "> [ect0] P. 1:1001(1000) ack 1 win 257 <nop,nop,TS val 100 ecr 200>",
        "> S. 0:0(0) ack 1 <...>",
        "> 8080 > 40000 R 1:1(0)",
        "< udp (1000)",
        "< icmp unreachable frag_needed mtu 1000 [1:1001(1000)]",
        "< icmp echo_request [raw (16)]",
    ],
)
def test_a_packet_in_a_report_is_as_in_the_script(text):
    assert notation.packet(packet(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "read(4, ..., 1000)",
        'write(4, "abc"..., 1000)',
        "fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK)",
        "poll([{fd=4, events=POLLIN, revents=0}], 1, -1)",
        "readv(4, [{..., 10}, {..., 20}], 2)",
        'connect(4, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("192.0.2.1")}, ...)',
    ],
)
def test_a_call_in_a_report_is_as_in_the_script(text):
    assert notation.call(packet(f"{text} = 0")) == text
