"""Sysctls of scripts and of a file of defaults, and what the command line says for all scripts."""

import pytest
from typer.testing import CliRunner

from netlab.cli import app
from netlab.errors import NetlabError
from netlab.script.report import ERROR, FAILED, PASSED, UNSUPPORTED
from netlab.script.session import defaults_of, run_file
from netlab.script.shell_lines import NotASettingError, commands, settings

# What such a file has, in the forms that it has them in.
SHELL = """\
#!/bin/bash
# Settings for all scripts; this comment has a ; and a `quote`.
ip tcp_metrics flush all > /dev/null 2>&1
set -e
sysctl -q net.ipv4.tcp_rmem="4096 540000 $((15*1024*1024))"   # three sizes
sysctl -q net.ipv4.tcp_wmem="4096 $((256 * 1024)) 4194304"
sysctl -q net.ipv4.tcp_timestamps=0 \\
          net.ipv4.tcp_sack=1 \\
          net.ipv4.tcp_syn_retries=5
sysctl -q net.ipv4.tcp_fack=0; sysctl -q net.ipv4.tcp_frto=2 && sysctl -q net.ipv4.tcp_recovery=1
sysctl -q net.ipv4.tcp_ecn=0 net.ipv4.tcp_slow_start_after_idle=0
sysctl -q net.ipv4.tcp_notsent_lowat=4294967295 > /dev/null 2>&1
sysctl -q net.ipv4.tcp_fastopen=0x70403
sysctl -q net.ipv4.tcp_fastopen_key=a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4
echo reno > /proc/sys/net/ipv4/tcp_congestion_control
tc qdisc add dev tun0 root pfifo
"""
CONF = """\
# sysctl.conf
; another comment
net.ipv4.tcp_rmem = 4096 540000 15728640
-net/ipv4/tcp_timestamps=0
net.ipv4.ip_local_port_range = 40000\t40000
"""
SYN = """\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
"""


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return write


@pytest.mark.parametrize("text", [SHELL, SHELL.replace("\n", "\r\n"), CONF])
def test_scripts_begin_with_the_defaults(write, text):
    defaults = defaults_of(write("defaults.sh", text))
    options = "mss 1460,nop,nop,sackOK,nop,wscale 8"  # the scale of 15 MB, and no timestamps
    script = write("x.pkt", f"{SYN}+0 > S 0:0(0) <{options}>\n")
    report = run_file(script, defaults=defaults)
    assert report.outcome == PASSED, report.text()
    assert run_file(script).outcome == FAILED


def test_each_default_reaches_the_stack(write):
    defaults = defaults_of(write("defaults.sh", SHELL))
    text = """\
        0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
        +0 getsockopt(3, SOL_TCP, TCP_CONGESTION, "reno", [4]) = 0
        +0 getsockopt(3, SOL_TCP, TCP_SYNCNT, [5], [4]) = 0
        +0 getsockopt(3, SOL_SOCKET, SO_RCVBUF, [540000], [4]) = 0
        +0 getsockopt(3, SOL_SOCKET, SO_SNDBUF, [262144], [4]) = 0
        +0 bind(3, ..., ...) = 0
        +0 listen(3, 1) = 0
        +0 getsockopt(3, SOL_TCP, TCP_FASTOPEN, [1], [4]) = 0
    """
    report = run_file(write("x.pkt", text), defaults=defaults)
    assert report.outcome == PASSED, report.text()


def test_the_local_port_is_of_the_range(write):
    defaults = defaults_of(write("sysctl.conf", CONF))
    report = run_file(write("x.pkt", f"{SYN}+0 > 40000 > 8080 S 0:0(0) <...>\n"), defaults=defaults)
    assert report.outcome == PASSED, report.text()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("net.ipv4.tcp_wonder=1", "defaults:2: the sysctl tcp_wonder is not supported"),
        ("net.ipv6.bindv6only=1", "defaults:2: the sysctl net.ipv6.bindv6only is not supported"),
        ("net.ipv4.tcp_dsack=0", "tcp_dsack=0 is not supported: the stack does as 1 says"),
        ("net.ipv4.tcp_ecn=3", "tcp_ecn=3 is not supported: it is 0 (none), 1 (asked for) or 2"),
        ("net.ipv4.tcp_rmem=4096 100", "it is three sizes in bytes"),
        ("net.ipv4.tcp_rmem=4096 100 4000000000", "the sizes are in ascending order"),
        ("net.ipv4.tcp_syn_retries=many", "it is a number"),
        ("net.ipv4.tcp_syn_retries=900", "it must be 1 to 127"),
        ("net.ipv4.tcp_fastopen=99999999999999", "is not supported"),
        ("net.ipv4.tcp_fastopen_key=1-2-3", "it is one key of four hexadecimal numbers"),
        ("net.ipv4.tcp_congestion_control=best", "is not supported"),
        ("net.ipv4.ip_local_port_range=9 1", "it is the first and the last port"),
        ("rm -rf /", "the command 'rm -rf /' is not supported: only sysctls can be set"),
        ("sysctl net.ipv4.tcp_sack", "it sets nothing"),
        ("sysctl -q net.ipv4.tcp_wmem=$((2**99999))", "is not supported: it may have numbers and + - * / only"),
        ("sysctl -q net.ipv4.tcp_wmem=$((1/0))", "is not supported: it may have numbers and + - * / only"),
        ('sysctl -q "net.ipv4.tcp_sack=1', "is not supported: only sysctls can be set"),
    ],
)
def test_what_the_stack_cannot_have_is_refused_by_name(write, line, message):
    with pytest.raises(NetlabError) as caught:
        defaults_of(write("defaults", f"# first\n{line}\n"))
    assert message in str(caught.value)
    assert "Take out, or comment out" in caught.value.remedy


def test_all_that_is_wrong_with_a_file_is_said_at_once(write):
    with pytest.raises(NetlabError, match=r"(?s):1: .*tcp_a.*:3: .*tcp_b"):
        defaults_of(write("defaults", "net.ipv4.tcp_a=1\n\nnet.ipv4.tcp_b=1\n"))


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00\x01"])
def test_a_file_of_defaults_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "defaults"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NetlabError, match="cannot read"):
        defaults_of(path)


def test_lines_are_counted_through_continuations():
    text = "a=1 \\\n # no comment ends it\nb=2 # c=3; d=4\ne='#5';f=6\n"
    assert list(commands(text)) == [(0, "a=1"), (2, "b=2"), (3, "e='#5'"), (3, "f=6")]


def test_a_script_sets_no_variables_of_a_shell():
    assert settings("net.ipv4.tcp_sack = 0", in_file=True) == [("tcp_sack", "0")]
    with pytest.raises(NotASettingError):
        settings("tcp_sack=0", in_file=False)


def test_continued_lines_and_comments_in_a_script(write):
    text = """\
        0 `# for the whole script
           sysctl -q net.ipv4.tcp_timestamps=0 \\
                  net.ipv4.tcp_window_scaling=0   # neither`
    """
    report = run_file(
        write("x.pkt", text + SYN.replace("0 s", "+0 s", 1) + "+0 > S 0:0(0) <mss 1460,nop,nop,sackOK>\n")
    )
    assert report.outcome == PASSED, report.text()


def test_the_version_is_the_script_s_own(write):
    """The command line says it for those that do not."""
    four = write("4.pkt", "--ip_version=ipv4\n--local_ip=192.168.3.3\n0 < S 0:0(0) win 1\n+0 > R. 0:0(0) ack 1\n")
    silent = write("silent.pkt", f"{SYN}+0 > S 0:0(0) <mss 1440,sackOK,TS val 1 ecr 0,nop,wscale 7>\n")
    for path in (four, silent):
        report = run_file(path, [("ip_version", "ipv6")])
        assert report.outcome == PASSED, report.text()


def test_an_address_of_the_other_version_is_an_error_of_its_script(write, tmp_path):
    write("a.pkt", "--local_ip=192.168.3.3\n0 < S 0:0(0) win 1\n+0 > R. 0:0(0) ack 1\n")
    write("b.pkt", "0 < S 0:0(0) win 1\n+0 > R. 0:0(0) ack 1\n")
    result = CliRunner().invoke(app, ["script", "--ip-version", "ipv6", str(tmp_path)])
    assert result.exit_code == 2
    assert "a.pkt:1:1: error: --local_ip=192.168.3.3 is IPv4, and packets are IPv6" in result.output
    assert "b.pkt: passed" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "options",
    [
        "--ip_version=ipv6\n--local_ip=10.0.0.1",
        "--remote_ip=fd3d::1",
        "--local_ip=224.0.0.1",
        "--local_ip=0.0.0.0",
        "--remote_ip=192.168.0.1",
        "--ip_version=ipv6\n--mtu=1000",
    ],
)
def test_options_that_do_not_go_together(write, options):
    report = run_file(write("x.pkt", f"{options}\n0 < S 0:0(0) win 1\n"))
    assert report.outcome == ERROR
    assert "--" in report.message


def test_the_mtu_of_the_command_line(write):
    script = write("x.pkt", f"{SYN}+0 > S 0:0(0) <mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 7>\n")
    narrow = write("y.pkt", f"{SYN}+0 > S 0:0(0) <mss 960,sackOK,TS val 1 ecr 0,nop,wscale 7>\n")
    assert CliRunner().invoke(app, ["script", str(script)]).exit_code == 0
    assert CliRunner().invoke(app, ["script", "--mtu", "1000", str(script)]).exit_code == 1
    assert CliRunner().invoke(app, ["script", "--mtu", "1000", str(narrow)]).exit_code == 0


PUSHES = """\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 2000 <mss 1000>
+0 > S. 0:0(0) ack 1 <...>
+.1 < . 1:1(0) ack 1 win 2000
+0 accept(3, ..., ...) = 4
+0 write(4, ..., 3000) = 3000
+0 > {first} 1:1001(1000) ack 1
+0 > . 1001:2001(1000) ack 1
+.1 < . 1:1(0) ack 2001 win 2000
+0 > {last} 2001:3001(1000) ack 1
"""


@pytest.mark.parametrize("strict", [(), ("--strict-push",)])
@pytest.mark.parametrize(
    ("first", "last", "exact"), [(".", "P.", True), ("P.", "P.", False), (".", ".", False), ("P.", ".", False)]
)
def test_a_push_is_compared_where_it_must_be(write, strict, first, last, exact):
    """The sender pushes the last segment that it has; others at its will (RFC 9293 section 3.9.1.2)."""
    script = write("x.pkt", PUSHES.format(first=first, last=last))
    assert CliRunner().invoke(app, ["script", *strict, str(script)]).exit_code == int(bool(strict) and not exact)


def test_a_push_that_must_be_is_missed(write, monkeypatch):
    """MUST-61; a stack that forgets it is found out."""
    from netlab.script import wire

    real = wire.dissect

    def without_push(data, time):
        seen = real(data, time)
        body = wire.replace(seen.packet.body, flags=seen.packet.body.flags.replace("P", ""))
        return wire.replace(seen, packet=wire.replace(seen.packet, body=body))

    monkeypatch.setattr(wire, "dissect", without_push)
    report = run_file(write("x.pkt", PUSHES.format(first="P.", last="P.")))
    assert (report.outcome, report.line) == (FAILED, 12), report.text()
    assert "flags: expected P., saw ." in report.text()


def test_an_acknowledgment_does_not_push(write):
    text = "0 < S 0:0(0) win 1\n+0 > PR. 0:0(0) ack 1\n"
    assert run_file(write("x.pkt", text)).outcome == FAILED


def test_a_sysctl_of_a_script_that_is_not_there(write):
    report = run_file(write("x.pkt", "0 `sysctl -q net.ipv4.tcp_foo=1`\n"))
    assert report.outcome == UNSUPPORTED
