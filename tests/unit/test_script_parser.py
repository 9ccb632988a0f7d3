"""The packetdrill language: each construct as it is parsed, and what an error says."""

import pytest

from netlab.script.errors import ScriptError, UnsupportedError
from netlab.script.parser import parse
from netlab.script.tree import (
    ABSOLUTE,
    ANY,
    RELATIVE,
    Array,
    Call,
    Code,
    Command,
    Ellipsis,
    Icmp,
    Iovec,
    IpInfo,
    Number,
    Option,
    Packet,
    Quoted,
    SocketAddress,
    Structure,
    Tcp,
    Text,
    Time,
    Udp,
    Union,
)


def event(text):
    """The one event of a script."""
    (only,) = parse("x.pkt", text).events
    return only


def action(text):
    return event(f"0 {text}").action


def tcp(text):
    body = action(text).body
    assert isinstance(body, Tcp)
    return body


def options(text):
    return tcp(f"> S 0:0(0) <{text}>").options


def arguments(text):
    return action(f"sendto({text}, 0, 0, 0, 0, 0) = 0").arguments[0]


def error(text):
    with pytest.raises(ScriptError) as caught:
        parse("x.pkt", text)
    return str(caught.value)


def unsupported(text):
    with pytest.raises(UnsupportedError) as caught:
        parse("x.pkt", text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("0", Time(ABSOLUTE, 0)),
        ("1", Time(ABSOLUTE, 1_000_000)),
        (".5", Time(ABSOLUTE, 500_000)),
        ("0.0000019", Time(ABSOLUTE, 1)),
        ("+0", Time(RELATIVE, 0)),
        ("+.1", Time(RELATIVE, 100_000)),
        ("+ 1.25", Time(RELATIVE, 1_250_000)),
        ("*", Time(ANY)),
        ("0.1~0.2", Time(ABSOLUTE, 100_000, 200_000)),
        ("+0~+.1", Time(RELATIVE, 0, 100_000)),
    ],
)
def test_times(text, time):
    assert event(f"{text} > . 1:1(0) ack 1").time == time


def test_comments_are_spaces():
    script = parse("x.pkt", "// a line\n0 /* two\nlines */ > . 1:1(0) ack 1 // end\n/* last */")
    assert script.events[0].position.line == 2


def test_a_segment():
    assert action("< P. 1:1001(1000) ack 1 win 257 urg 5 <nop,nop,TS val 100 ecr 200>") == Packet(
        True,
        IpInfo(),
        (0, 0),
        Tcp("P.", None, 1, 1000, 1, 257, 5, (Option("nop"), Option("nop"), Option("TS", (100, 200)))),
    )


@pytest.mark.parametrize("flags", ["S", "S.", "P.", "F.", "FP.", "R", "R.", ".", "SEW", "SE.", "SEWA", "U."])
def test_flags(flags):
    assert tcp(f"> {flags} 0:0(0)").flags == flags


def test_no_flags():
    assert tcp("> - 0:0(0)").flags == ""


def test_flags_with_an_ecn_count():
    body = tcp("> P.5 0:1(1) ack 1")
    assert (body.flags, body.ace) == ("P.", 5)
    assert tcp("> .0 0:0(0)").ace == 0


def test_what_a_segment_does_not_say_is_open():
    assert tcp("> . 1:1(0) ack 1").window is None
    assert tcp("> . 1:1(0) ack 1").options == ()
    assert tcp("> S. 0:0(0) ack 1 <...>").options is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mss 1460", (Option("mss", (1460,)),)),
        ("sackOK,eol,eol", (Option("sackOK"), Option("eol"), Option("eol"))),
        ("nop,wscale 7", (Option("nop"), Option("wscale", (7,)))),
        ("nop,nop,sack 1:2 3:4", (Option("nop"), Option("nop"), Option("sack", (1, 2, 3, 4)))),
        ("FO,nop,nop", (Option("FO"), Option("nop"), Option("nop"))),
        ("FO 0123456789abcdef,nop,nop", (Option("FO", (), bytes.fromhex("0123456789abcdef")), *[Option("nop")] * 2)),
        ("FOEXP", (Option("FOEXP"),)),
        ("FOEXP 1234,nop,nop", (Option("FOEXP", (), b"\x12\x34"), Option("nop"), Option("nop"))),
        ("md5 " + "00" * 16 + ",nop,nop", (Option("md5", (), bytes(16)), Option("nop"), Option("nop"))),
    ],
)
def test_options(text, expected):
    assert options(text) == expected


@pytest.mark.parametrize(
    ("text", "info"),
    [
        ("[ect0]", IpInfo(ecn=2)),
        ("(ect1)", IpInfo(ecn=1)),
        ("[ce]", IpInfo(ecn=3)),
        ("[noecn]", IpInfo(ecn=0)),
        ("[ect01]", IpInfo(ecn="ect01")),
        ("[tos 0x10]", IpInfo(tos=16)),
        ("[ttl 64]", IpInfo(ttl=64)),
        ("[flowlabel 0x1]", IpInfo(flow_label=1)),
        ("[ect0, flowlabel 0x1]", IpInfo(ecn=2, flow_label=1)),
    ],
)
def test_the_ip_header(text, info):
    assert action(f"> {text} . 1:1(0) ack 1").ip == info


def test_ports():
    assert action("> 8080 > 4000 . 1:1(0) ack 1").ports == (8080, 4000)
    assert action("> udp 8080 > 4000 (10)").ports == (8080, 4000)


def test_udp():
    assert action("< udp (1000)").body == Udp(1000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "icmp unreachable frag_needed mtu 1000 [1:1001(1000)]",
            Icmp("unreachable", "frag_needed", 1000, 0, Quoted("tcp", 1, 1000)),
        ),
        (
            "icmp unreachable port_unreachable [udp (8)]",
            Icmp("unreachable", "port_unreachable", None, 0, Quoted("udp", 0, 8)),
        ),
        ("icmp echo_request id 7 [raw (16)]", Icmp("echo_request", None, None, 7, Quoted("raw", 0, 16))),
        ("icmp type_42 code_1", Icmp("type_42", "code_1", None, 0, None)),
    ],
)
def test_icmp(text, message):
    assert action(f"< {text}").body == message


def test_icmp_of_ipv6_has_its_own_names():
    text = "--ip_version=ipv6\n0 < icmp packet_too_big mtu 1280 [1:1001(1000)]"
    assert parse("x.pkt", text).events[0].action.body.mtu == 1280
    assert "not a type of ICMPv4" in error("0 < icmp packet_too_big mtu 1280")


def test_a_call():
    call = action("read(4, ..., 1000) = -1 EAGAIN (Resource temporarily unavailable)")
    assert isinstance(call, Call)
    assert (call.name, call.result, call.errno, call.end) == ("read", Number(-1), "EAGAIN", None)
    assert call.note == "Resource temporarily unavailable"


def test_a_call_that_blocks():
    script = parse("x.pkt", "0...0.200 accept(3, ..., ...) = 4\n+.1...1 read(4, ..., 10) = 10")
    assert [event.action.end for event in script.events] == [200_000, 1_000_000]


def test_expressions():
    assert arguments("...") == Ellipsis()
    assert arguments("0x1f") == Number(31)
    assert arguments("-5") == Number(-5)
    assert arguments('"a\\n" "b"') == Text(b"a\nb")
    assert arguments('"ab"...') == Text(b"ab", True)
    assert isinstance(arguments("O_RDWR|O_NONBLOCK"), Union)
    assert arguments("[1, 2]") == Array((Number(1), Number(2)))
    assert arguments("{1, 2}") == Array((Number(1), Number(2)))
    assert arguments("[]") == Array(())
    assert arguments("[{..., 100}]") == Array((Iovec(100),))
    assert arguments('inet_addr("1.0.0.0")') == Number(1)


def test_a_socket_address():
    text = '{sa_family = AF_INET, sin_port = htons(8080), sin_addr = inet_addr("192.0.2.1")}'
    assert arguments(text) == SocketAddress("AF_INET", 8080, "192.0.2.1")


@pytest.mark.parametrize(
    ("text", "kind", "fields"),
    [
        ("{onoff=1, linger=5}", "linger", {"onoff": Number(1), "linger": Number(5)}),
        ("{fd=4, events=1, revents=1}", "pollfd", {"fd": Number(4), "events": Number(1), "revents": Number(1)}),
        ("{fd=4, events=1}", "pollfd", {"fd": Number(4), "events": Number(1), "revents": Number(0)}),
        (
            "{msg_name(...)=..., msg_iov(1)=[{..., 10}], msg_flags=0}",
            "msghdr",
            {"msg_iov": Array((Iovec(10),)), "msg_flags": Number(0)},
        ),
        (
            "{cmsg_level=1, cmsg_type=2, cmsg_data=3}",
            "cmsghdr",
            {"cmsg_level": Number(1), "cmsg_type": Number(2), "cmsg_data": Number(3)},
        ),
        ("{events=1, fd=4}", "epoll_event", {"events": Number(1), "fd": Number(4)}),
        ("{scm_sec=1, scm_nsec=2}", "scm_timestamping", {"scm_sec": Number(1), "scm_nsec": Number(2)}),
    ],
)
def test_structures(text, kind, fields):
    assert arguments(text) == Structure(kind, fields)


def test_snippets_and_commands():
    script = parse("x.pkt", "`first`\n0 %{ assert tcpi_state == 1\nprint(1) }%\n+0 `sysctl -q a=1`\n`last`")
    assert script.init is not None
    assert script.init.text == "first"
    assert script.events[0].action == Code("assert tcpi_state == 1\nprint(1)")
    assert isinstance(script.events[1].action, Command)
    # As in packetdrill, a command behind the last event is the one that cleans up.
    assert script.cleanup is not None
    assert script.cleanup.text == "last"


def test_options_of_a_script():
    text = "--ip_version=ipv4-mapped-ipv6 --tolerance_usecs=10000\n--local_ip=192.168.0.7\n--strict_segments\n0 `x`"
    assert [(option.name, option.value) for option in parse("x.pkt", text).options] == [
        ("ip_version", "ipv4-mapped-ipv6"),
        ("tolerance_usecs", "10000"),
        ("local_ip", "192.168.0.7"),
        ("strict_segments", None),
    ]


def test_defined_symbols():
    script = parse("x.pkt", '--define=KIND=SOCK_STREAM --define=CC="reno"\n0 socket(..., KIND, 0) = 3')
    assert script.events[0].action.arguments[1].name == "SOCK_STREAM"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.pkt:1:1: found the end of the file, expected an event, which begins with its time"),
        ("0 > . 1:1(0) ack 1\nfoo", "x.pkt:2:1: found 'foo', expected an event, which begins with its time"),
        ("0 ?", "x.pkt:1:3: found '?', expected a packet ('<' or '>'), a system call, a `command` or a %{ snippet }%"),
        ("-1 `x`", "x.pkt:1:1: a time cannot be negative: -1"),
        ("* < . 1:1(0) ack 1", "x.pkt:1:1: '*' can only be the time of an outbound packet"),
        ("0~1 < . 1:1(0) ack 1", "x.pkt:1:1: a range can only be the time of an outbound packet"),
        ("2~1 > . 1:1(0) ack 1", "x.pkt:1:1: the range of time is backwards"),
        ("+0~1 > . 1:1(0)", "x.pkt:1:4: found '1', expected '+', as both ends of a range are relative or neither"),
        ("0 > X 1:1(0)", "x.pkt:1:5: found 'X', expected flags of FSRPUEWA and '.'"),
        ("0 > . 1:2(0)", "x.pkt:1:7: 1:2 are not 0 bytes"),
        ("0 > . 1:1(0) ack 4294967296", "x.pkt:1:18: an acknowledgment number is 0 to 4294967295, not 4294967296"),
        ("0 > . 1:1(0) win 65536", "x.pkt:1:18: a window is 0 to 65535, not 65536"),
        ("0 > . 1:1(0) <mss>", "x.pkt:1:18: found '>', expected a maximum segment size"),
        ("0 > . 1:1(0) <foo>", "x.pkt:1:15: found 'foo', expected one of eol, nop, mss, wscale, sackOK, sack, TS"),
        ("0 > . 1:1(0) <nop>", "the options take 1 bytes: pad them with nop to a multiple of 4"),
        ("0 < . 1:1(0) <...>", "x.pkt:1:14: <...> can only be expected, of an outbound packet"),
        ("0 < [ect01] . 1:1(0)", "[ect01] can only be expected, of an outbound packet"),
        ("0 > S 0:0(0) <FO 123,nop>", "'123' is not an even number of hexadecimal digits"),
        ("0 < icmp foo", "'foo' is not a type of ICMPv4"),
        ("0 < icmp unreachable foo", "'foo' is not a code of unreachable"),
        ("0 < icmp echo_request mtu 1000", "an MTU goes with unreachable frag_needed only"),
        ("0 < [ect0] udp (10)", "ECN can only be given for a TCP packet"),
        ("0 read(4, ..., 10)", "found the end of the file, expected '=' and what the call returns"),
        ("0 read(4) = 0", "x.pkt:1:3: read takes 3 arguments, not 1"),
        ("0 read(4, ..., 10) = -1 EFOO (Foo)", "EFOO is no error of Linux"),
        ("0 read(4, ..., 10) = -1 EAGAIN", "expected what EAGAIN means, in parentheses"),
        ('0 write(4, "abc, 10) = 10', "x.pkt:1:12: a string begins here and does not end"),
        ("0 `foo", "x.pkt:1:3: a command begins here and does not end"),
        ("0 %{ foo", "x.pkt:1:3: a code snippet begins here and does not end"),
        ("/* foo", "x.pkt:1:1: a comment begins here and does not end"),
        ("--foo=1 0 `x`", "x.pkt:1:1: there is no option --foo"),
        ("--mtu=abc 0 `x`", "x.pkt:1:1: --mtu=abc: it is a number from 68 to 65535"),
        ("--ip_version=ipv5 0 `x`", "--ip_version=ipv5: it is one of ipv4, ipv4-mapped-ipv6, ipv6"),
    ],
)
def test_errors_say_where_and_what(text, message):
    assert message in error(text)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("0 fork() = 0", "the system call 'fork'"),
        ("0 read(4, FOO, 10) = 0", "the symbol 'FOO'"),
        ("0 < gre : . 1:1(0)", "a tunnel (gre)"),
        ("0 < mpls (label 0, tc 0, [S], ttl 0): . 1:1(0)", "a tunnel (mpls)"),
        ("0 < ipv4 1.1.1.1 > 2.2.2.2: . 1:1(0)", "a tunnel (ipv4)"),
        ("--wire_server 0 `x`", "the option --wire_server"),
        ("--so_filename=x 0 `x`", "the option --so_filename"),
    ],
)
def test_what_is_not_supported_is_said_with_its_place(text, what):
    message = unsupported(text)
    assert message.startswith("x.pkt:1:")
    assert message.endswith(f"{what} is not supported")
