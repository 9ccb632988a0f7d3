"""Running scripts: time, blocking calls, what is translated, and what a failing run says."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from netlab.script.configuration import Configuration
from netlab.script.parser import parse
from netlab.script.report import FAILED, PASSED, UNSUPPORTED
from netlab.script.runner import Runner
from netlab.script.wire import SimulatedWire

ESTABLISHED = """\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1000>
+0 > S. 0:0(0) ack 1 <...>
+.1 < . 1:1(0) ack 1 win 32792
+0 accept(3, ..., ...) = 4
"""
SECOND_CONNECTION = """\
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1000>
+0 > S. 0:0(0) ack 1 <...>
+.1 < . 1:1(0) ack 1 win 32792
+0 accept(3, ..., ...) = 5
"""
DELAYED_ACKS = "+0 setsockopt(4, SOL_TCP, TCP_QUICKACK, [0], 4) = 0\n"
CONNECTED_UDP = """\
0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3
+0 connect(3, ..., ...) = 0
"""


def run(text, before="", options=""):
    script = parse("x.pkt", (options + "\n" if options else "") + before + textwrap.dedent(text))
    configuration = Configuration.of("x.pkt", script.options)
    return Runner(script, configuration, SimulatedWire(configuration)).run()


def passes(text, before=ESTABLISHED, options=""):
    report = run(text, before, options)
    assert report.outcome == PASSED, report.text()
    return report


def fails(text, before=ESTABLISHED, options=""):
    report = run(text, before, options)
    assert report.outcome == FAILED, report.text()
    return report.text()


def test_a_wrong_packet_is_shown_beside_the_expected_one():
    shown = fails("+0 write(4, ..., 100) = 100\n+0 > P. 1:201(200) ack 2 win 17 <nop,nop,sackOK>\n")
    place, source, heads, packets, *differences = map(str.strip, shown.splitlines())
    assert place == "x.pkt:9:1: another packet was sent than expected"
    assert source == "+0 > P. 1:201(200) ack 2 win 17 <nop,nop,sackOK>"
    assert heads.split() == ["expected", "seen"]
    assert packets.split("   ") == [
        "+0.000000 > P. 1:201(200) ack 2 win 17 <nop,nop,sackOK>",
        "0.100000 > P. 1:101(100) ack 1 win 65535",
    ]
    assert differences == [
        "payload: expected 200 bytes, saw 100",
        "acknowledgment number: expected 2, saw 1",
        "window: expected 17, saw 65535",
        "options: expected nop,nop,sackOK, saw none",
    ]


def test_a_packet_that_does_not_come_is_said():
    assert "no packet was sent until 0.129000" in fails("+.025 > . 1:1(0) ack 1\n")


def test_the_time_of_a_packet_is_checked():
    data = DELAYED_ACKS + "+0 < P. 1:101(100) ack 1 win 32792\n"
    late = fails(data + "+.1 > . 1:1(0) ack 101\n")
    assert "was due at 0.200000 and happened at 0.140000; the tolerance is 0.012500" in late
    passes(data + "+.038 > . 1:1(0) ack 101\n")
    passes(data + "* > . 1:1(0) ack 101\n")
    passes(data + "+0~+.1 > . 1:1(0) ack 101\n")
    fails(data + "+0~+.02 > . 1:1(0) ack 101\n")


def test_the_tolerance_is_what_the_script_says():
    text = DELAYED_ACKS + "+0 < P. 1:101(100) ack 1 win 32792\n+.1 > . 1:1(0) ack 101\n"
    passes(text, options="--tolerance_usecs=60000")
    passes(text, options="--tolerance_percent=60")


def test_an_absolute_time_that_has_passed_fails():
    assert "the event was due at 0.050000 and happened at 0.100000" in fails("0.05 write(4, ..., 10) = 10\n")


def test_a_wrong_result_is_shown_with_both():
    assert "read(4, ..., 10): expected 10, returned -1 EAGAIN (Resource temporarily unavailable)" in fails(
        "+0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n+0 read(4, ..., 10) = 10\n"
    )


def test_a_call_that_blocks_returns_at_its_time():
    body = "+0...0.2 read(4, ..., 100) = 100\n+.2 < P. 1:101(100) ack 1 win 32792\n"
    passes(body)
    assert "was due at 0.400000 and happened at 0.300000" in fails(body.replace("...0.2", "...0.3"))
    assert "was due at 0.150000 and happened at 0.300000" in fails(body.replace("...0.2", "...0.05"))
    assert "did not return at 0.150000" in fails("+0...0.05 read(4, ..., 100) = 100\n+.2 close(4) = 0\n")


def test_a_call_that_blocks_must_say_so():
    assert "read(4, ..., 100) blocks" in fails("+0 read(4, ..., 100) = 100\n")


def test_the_next_call_waits_for_the_one_that_blocks():
    passes("""\
        +0...0.1 read(4, ..., 100) = 100
        +.1 < P. 1:101(100) ack 1 win 32792
        +0 > . 1:1(0) ack 101
        +0 write(4, ..., 100) = 100
        +0 > P. 1:101(100) ack 101
    """)


def test_large_segments_of_a_script_are_several_on_the_wire():
    body = "+0 write(4, ..., 3000) = 3000\n+0 > P. 1:3001(3000) ack 1\n"
    passes(body)
    assert "payload: expected 3000 bytes, saw 1000" in fails(body, options="--strict_segments")


def test_an_echo_of_no_timestamp_is_refused():
    text = "+0 < P. 1:101(100) ack 1 win 32792 <nop,nop,TS val 1 ecr 77>\n"
    assert "ecr 77 echoes no timestamp that was sent: none was" in fails(text)


def test_poll():
    passes("""\
        +0 poll([{fd=4, events=POLLIN|POLLOUT, revents=POLLOUT}], 1, 0) = 1
        +0 poll([{fd=4, events=POLLIN, revents=0}], 1, 0) = 0
        +0...0.05 poll([{fd=4, events=POLLIN, revents=0}], 1, 50) = 0
        +.1 < P. 1:101(100) ack 1 win 32792
        +0 poll([{fd=4, events=POLLIN, revents=POLLIN}], 1, 0) = 1
        +0 > . 1:1(0) ack 101
        +0 < F. 101:101(0) ack 1 win 32792
        +0 > . 1:1(0) ack 102
        +0 poll([{fd=4, events=POLLIN|POLLRDHUP, revents=POLLIN|POLLRDHUP}], 1, 0) = 1
    """)
    assert "expected revents 0x1, saw 0x4" in fails(
        "+0 poll([{fd=4, events=POLLIN|POLLOUT, revents=POLLIN}], 1, 0) = 1\n"
    )


def test_quick_acknowledgments_are_asked_for_and_refused():
    data = "+0 < P. 1:101(100) ack 1 win 32792\n"
    acknowledged = "> . 1:1(0) ack 101\n"

    def set_to(value, socket=4):
        return f"+.01 setsockopt({socket}, SOL_TCP, TCP_QUICKACK, [{value}], 4) = 0\n"

    def is_now(value, socket=4):
        return f"+0 getsockopt({socket}, SOL_TCP, TCP_QUICKACK, [{value}], [4]) = 0\n"

    passes(set_to(0) + is_now(0) + data + "+.04 " + acknowledged)
    passes(set_to(0) + set_to(1) + is_now(1) + data + "+0 " + acknowledged)
    passes(set_to(0) + data + set_to(1) + "+0 " + acknowledged + is_now(1))
    passes(set_to(0) + data + set_to(2) + "+0 " + acknowledged + is_now(0))
    unconnected = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"
    passes(is_now(1, 3) + set_to(1, 3), unconnected)
    assert run(set_to(0, 3), unconnected).outcome == UNSUPPORTED


def test_reading_in_parts():
    passes("""\
        +0 < P. 1:101(100) ack 1 win 32792
        +0 ioctl(4, SIOCINQ, [100]) = 0
        +0 recv(4, ..., 10, MSG_PEEK) = 10
        +0 recv(4, ..., 10, 0) = 10
        +0 readv(4, [{..., 20}, {..., 30}], 2) = 50
        +0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 10}], msg_flags=0}, 0) = 10
        +0 ioctl(4, FIONREAD, [30]) = 0
        +0 recvfrom(4, ..., 100, MSG_DONTWAIT, ..., ...) = 30
        +0 recv(4, ..., 100, MSG_DONTWAIT) = -1 EAGAIN (Resource temporarily unavailable)
    """)


def test_writing_in_parts():
    passes("""\
        +0 setsockopt(4, IPPROTO_TCP, TCP_NODELAY, [1], 4) = 0
        +0 getsockopt(4, IPPROTO_TCP, TCP_NODELAY, [1], [4]) = 0
        +0 writev(4, [{..., 100}, {..., 200}], 2) = 300
        +0 > P. 1:301(300) ack 1
        +0 sendmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 100}], msg_flags=0}, 0) = 100
        +0 > P. 301:401(100) ack 1
        +0 send(4, ..., 100, 0) = 100
        +0 > P. 401:501(100) ack 1
        +0 ioctl(4, SIOCOUTQ, [500]) = 0
    """)


def test_a_full_send_buffer():
    passes("""\
        +0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0
        +0 fcntl(4, F_GETFL) = 0x802
        +0 write(4, ..., 1000000) = 262144
        +0 write(4, ..., 1) = -1 EAGAIN (Resource temporarily unavailable)
    """)


def test_a_write_that_blocks_goes_on_when_there_is_room():
    passes("""\
        +0...0.1 write(4, ..., 263000) = 263000
        +0 > . 1:10001(10000) ack 1
        +.1 < . 1:1(0) ack 10001 win 32792
    """)


def test_datagrams():
    passes(
        """\
        +0 write(3, ..., 500) = 500
        +0 > udp (500)
        +0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
        +0 read(3, ..., 500) = -1 EAGAIN (Resource temporarily unavailable)
        +0 < udp (100)
        +0 < udp (0)
        +0 read(3, ..., 500) = 100
        +0 read(3, ..., 500) = 0
        +0 sendto(3, ..., 10, 0, ..., ...) = 10
        +0 > udp (10)
        """,
        CONNECTED_UDP,
    )
    assert "payload: expected 501 bytes, saw 500" in fails(
        "+0 write(3, ..., 500) = 500\n+0 > udp (501)\n", CONNECTED_UDP
    )


def test_an_echo_is_answered():
    passes("+0 < icmp echo_request id 7 [raw (16)]\n+0 > icmp echo_reply\n")


def test_a_snippet_sees_tcp_info():
    passes("""\
        +0 %{
        assert tcpi_state == TCP_ESTABLISHED
        assert tcpi_snd_mss == 1000, tcpi_snd_mss
        seen = tcpi_snd_cwnd
        }%
        +0 %{ assert seen == 10 }%
    """)
    shown = fails("+0 %{ assert tcpi_snd_cwnd == 3, tcpi_snd_cwnd }%\n")
    assert "x.pkt:8:1: the assertion does not hold: 10" in shown
    assert "tcpi_snd_cwnd = 10" in shown
    assert "there is no tcpi_foo in the TCP info of this stack" in fails("+0 %{ assert tcpi_foo == 3 }%\n")
    assert "the snippet raised NameError" in fails("+0 %{ assert foo == 3 }%\n")


def test_a_snippet_sees_no_tcp_info_where_there_is_none():
    """Zeros that are made up would let an assertion pass that says nothing."""
    asks = "+0 %{ assert tcpi_unacked == 0 }%\n"
    closed = "+0 %{ assert tcpi_unacked == 0 }%\n+0 close(4) = 0\n"
    assert "cannot get TCP info: the socket is closed" in fails(closed + asks)
    assert "cannot get TCP info: the socket is closed" in fails(closed + "+0 %{ assert tcpi_state == TCP_CLOSE }%\n")
    reset = "+0 < R. 1:1(0) ack 1 win 0\n+0 %{ assert tcpi_state == TCP_CLOSE }%\n"
    assert "cannot get TCP info: the connection has ended" in fails(reset + asks)
    assert "cannot get TCP info: the socket listens" in fails(asks, ESTABLISHED.split("+0 <")[0])
    unconnected = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"
    assert "cannot get TCP info: the socket is not connected" in fails(asks, unconnected)
    assert "cannot get TCP info: there is no TCP socket" in fails("0 %{ assert tcpi_state == 0 }%\n", "")
    # A connection that is closed is not forgotten for an older one.
    two = SECOND_CONNECTION + "+0 %{ assert tcpi_state == TCP_ESTABLISHED }%\n+0 close(5) = 0\n"
    assert "cannot get TCP info: the socket is closed" in fails(two + asks)


def test_an_assertion_can_fail():
    always = fails('+0 %{ assert (tcpi_snd_cwnd == 3, "cwnd") }%\n')
    assert "the snippet is not Python: assertion is always true" in always
    assert "the assertion does not hold" in fails("+0 %{ assert False }%\n")
    assert "the snippet raised SystemExit" in fails("+0 %{ exit() }%\n")


def test_assertions_hold_where_python_runs_without_them(tmp_path):
    (tmp_path / "x.pkt").write_text("0 %{ assert 1 == 2, 'not equal' }%\n")
    command = [sys.executable, "-O", str(Path(sys.executable).parent / "netlab"), "script", str(tmp_path / "x.pkt")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1, ended
    assert "the assertion does not hold: not equal" in ended.stdout


def test_the_errno_of_a_failing_call():
    fails_so = "+0 read(3, ..., 10) = -1"
    only_socket = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"
    passes(fails_so + "\n", only_socket)
    passes(fails_so + " ENOTCONN (Transport endpoint is not connected)\n", only_socket)
    assert "expected -1 EBADF" in fails(fails_so + " EBADF (Bad file descriptor)\n", only_socket)
    assert "expected -1, returned 0" in fails("+0 listen(3, 1) = -1\n", only_socket + "+0 bind(3, ..., ...) = 0\n")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("socket(..., SOCK_STREAM, IPPROTO_UDP)", "EPROTONOSUPPORT (Protocol not supported)"),
        ("socket(..., SOCK_DGRAM, IPPROTO_TCP)", "EPROTONOSUPPORT (Protocol not supported)"),
        ("socket(AF_INET, SOCK_STREAM, 255)", "EPROTONOSUPPORT (Protocol not supported)"),
        ("socket(AF_INET6, SOCK_STREAM, 300)", "EINVAL (Invalid argument)"),
    ],
)
def test_a_socket_of_a_protocol_that_is_not_its_type_s(call, error):
    passes(f"0 {call} = -1 {error}\n", "")


@pytest.mark.parametrize("call", ["AF_UNIX, SOCK_STREAM, 0", "..., SOCK_STREAM, 262", "..., SOCK_DGRAM, IPPROTO_ICMP"])
def test_a_socket_that_linux_has_and_the_stack_has_not(call):
    assert run(f"0 socket({call}) = 3\n").outcome == UNSUPPORTED


def test_addresses_and_flags_that_a_call_gives_back_are_checked():
    peer = '{sa_family=AF_INET, sin_port=htons(%d), sin_addr=inet_addr("192.0.2.1")}'
    accepting = ESTABLISHED.replace("accept(3, ..., ...)", f"accept(3, {peer}, [16])")
    passes("", accepting % 40000)
    assert "the address is 192.0.2.1, port 40000" in fails("", accepting % 40001)
    datagram = CONNECTED_UDP + "+0 < udp (100)\n"
    reading = f"+0 recvfrom(3, ..., 500, 0, {peer}, [16]) = 100\n"
    passes(reading % 8080, datagram)
    assert "the address is 192.0.2.1, port 8080" in fails(reading % 8081, datagram)
    message = "+0 recvmsg(3, {msg_name(...)=..., msg_iov(1)=[{..., 10}], msg_flags=%s}, 0) = 10\n"
    passes(message % "MSG_TRUNC", datagram)
    assert "it says 32" in fails(message % "0", datagram)


def test_a_connection_is_told_from_the_one_before_by_its_port():
    """Both go to the same port of the same host; what the first has in flight is not the second's."""
    second = CONNECT.replace("0 socket(", "+0 socket(", 1).replace("(3,", "(4,").replace(" = 3\n", " = 4\n")
    passes(second + "+0 > . 1:1(0) ack 1\n", CONNECT + "+0 > . 1:1(0) ack 1\n+0 write(3, ..., 10) = 10\n")
    datagrams = CONNECTED_UDP + CONNECTED_UDP.replace("0 socket", "+0 socket").replace("3", "4")
    passes("+0 write(3, ..., 10) = 10\n+0 write(4, ..., 20) = 20\n+0 > udp (20)\n", datagrams)


def test_a_sysctl_that_is_modelled_is_set_and_noted():
    report = passes("+0 > . 1:1(0) ack 1\n", "0 `sysctl -q net.ipv4.tcp_congestion_control=reno`\n" + CONNECT)
    assert report.notes == ["1: sysctl tcp_congestion_control=reno: set in the stack, no command was run"]


def test_the_frame_of_published_scripts_is_understood():
    report = passes(
        """\
        0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
        +0 fcntl(3, F_SETFL, O_NONBLOCK) = 0
        +0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
        +0 > S 0:0(0) <mss 1460,nop,nop,sackOK,nop,wscale 7>
        `/tmp/sysctl_restore_${PPID}.sh`
        """,
        "`../common/defaults.sh\n ../common/set_sysctls.py /proc/sys/net/ipv4/tcp_timestamps=0`\n",
    )
    assert report.notes == [
        "1: ../common/defaults.sh: not run; what it sets is had with --defaults",
        "1: sysctl tcp_timestamps=0: set in the stack, no command was run",
    ]


@pytest.mark.parametrize(
    ("sysctl", "options"),
    [
        ("tcp_sack=1", "mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7"),
        ("tcp_sack=0", "mss 1460,nop,nop,TS val 100 ecr 0,nop,wscale 7"),
        ("tcp_window_scaling=0", "mss 1460,sackOK,TS val 100 ecr 0"),
    ],
)
def test_sysctls_of_the_options_of_a_syn(sysctl, options):
    passes(CONNECT.replace("<...>", f"<{options}>"), f"`sysctl -q net.ipv4.{sysctl}`\n")


def test_options_of_a_socket_reach_its_connections():
    passes(
        """\
        +0 setsockopt(3, SOL_SOCKET, SO_KEEPALIVE, [1], 4) = 0
        +0 setsockopt(3, IPPROTO_TCP, TCP_KEEPIDLE, [10], 4) = 0
        +0 getsockopt(3, IPPROTO_TCP, TCP_KEEPIDLE, [10], [4]) = 0
        +0 setsockopt(3, IPPROTO_TCP, TCP_CONGESTION, "reno", 4) = 0
        +0 getsockopt(3, IPPROTO_TCP, TCP_CONGESTION, "reno", [4]) = 0
        +0 setsockopt(3, IPPROTO_TCP, TCP_CONGESTION, "best", 4) = -1 ENOENT (No such file or directory)
        +10 > . 0:0(0) ack 1
        """,
        CONNECT + "+0 > . 1:1(0) ack 1\n",
    )


CONNECT = """\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0 > S 0:0(0) <...>
+0 < S. 0:0(0) ack 1 win 1000
"""


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("0 `rm -rf /`", "the command 'rm -rf /' is not supported: only sysctls can be set"),
        ("0 `sysctl -q net.ipv4.tcp_foo=1`", "the sysctl tcp_foo is not supported"),
        ("0 `sysctl -a`", "'-a' of a sysctl command is not supported: it sets nothing"),
        ("0 socket(..., SOCK_STREAM, 0) = 3\n+0 listen(3, 1) = 0", "listen() of a socket that is not bound is not"),
        ("0 socket(..., SOCK_RAW, 255) = 3", "a socket of type SOCK_RAW is not supported"),
        (CONNECT + "+0 setsockopt(3, SOL_SOCKET, SO_BUSY_POLL, [1], 4) = 0", "is not supported"),
    ],
)
def test_what_is_not_supported_ends_the_run(text, what):
    report = run(text)
    assert report.outcome == UNSUPPORTED
    assert what in report.message


def test_what_is_not_fatal_is_noted():
    report = passes("+0 write(4, ..., 10) = 11\n+0 > P. 1:11(10) ack 1\n", options="--non_fatal=syscall")
    assert report.notes == ["9: write(4, ..., 10): expected 11, returned 10 (not fatal)"]


def test_the_same_script_gives_the_same_packets():
    text = ESTABLISHED + "+0 write(4, ..., 100) = 100\n+0 > P. 1:101(100) ack 1\n"
    seen = []
    for _ in range(2):
        script = parse("x.pkt", text)
        configuration = Configuration.of("x.pkt", script.options)
        wire = SimulatedWire(configuration)
        frames = []
        wire.saw = lambda frame, wire=wire, frames=frames: (frames.append(frame), SimulatedWire.saw(wire, frame))
        assert Runner(script, configuration, wire).run().outcome == PASSED
        seen.append(frames)
    assert len(seen[0]) == 2
    assert seen[0] == seen[1]
