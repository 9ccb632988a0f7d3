"""The IaaS daemon with real nodes: boots, ends, deaths, limits, hostile clients, and nothing left of any of it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebbrt.future import TimedOutError
from ebbrt.lines import LONGEST_LINE
from ebbrt.node_provider import NodeFailedError, NodeLimitError, ProviderLostError
from tests.live.iaas_lab import SECOND, Iaas, User, running_iaas

pytestmark = pytest.mark.live
POOL = 2


@pytest.fixture(scope="module")
def iaas() -> Iterator[Iaas]:
    with running_iaas(pool=POOL, silence=2.5, limits={str(os.geteuid()): 6}) as iaas:
        yield iaas


@pytest.fixture
def user(iaas: Iaas) -> Iterator[User]:
    iaas.settle(POOL)
    with iaas.user() as user:
        yield user
    iaas.settle(POOL)


def ready(user: User, count: int = 1) -> None:
    futures = [user.boot() for _ in range(count)]
    user.wait_for(*futures)
    for future in futures:
        future.result()


def test_a_node_answers_on_the_network_until_it_is_freed(iaas: Iaas, user: User) -> None:
    future = user.boot()
    user.wait_for(future)
    ping = ["ping", "-c", "1", "-W", "1", future.result().address]
    assert iaas.lab.hosts["client"].run(ping, capture_output=True).returncode == 0
    user.wait_for(user.provider.free(1, 5 * SECOND))
    assert len(iaas.taps()) <= POOL  # gone already, not soon
    assert iaas.lab.hosts["client"].run(ping, capture_output=True).returncode == 1


def test_machines_of_any_shape_can_be_had(iaas: Iaas, user: User) -> None:
    futures = [user.boot(memory=64 << 20), user.boot(cores=2)]
    user.wait_for(*futures)
    ping = ["ping", "-c", "1", "-W", "1"]
    for future in futures:
        assert iaas.lab.hosts["client"].run([*ping, future.result().address], capture_output=True).returncode == 0
    shapes = {machine["number"]: (machine["cores"], machine["memory"] >> 20) for machine in iaas.machines()}
    assert (shapes[1], shapes[2]) == ((1, 64), (2, 16))
    user.wait_for(user.provider.free(2, 5 * SECOND))  # both its processes


def test_a_boot_from_the_pool_and_a_cold_one_are_quick(iaas: Iaas, user: User) -> None:
    for shape, limit in (({}, 0.05), ({"memory": 32 << 20}, 0.5)):
        times = []
        for _ in range(3):  # the machine may be busy otherwise: the best of three
            began = time.monotonic()
            future = user.boot(**shape)
            user.wait_for(future)
            times.append(time.monotonic() - began)
            user.wait_for(user.provider.free(future.result().number, 5 * SECOND))
            while not any(machine["state"] == "dormant" for machine in iaas.machines()):
                time.sleep(0.01)
        assert min(times) < limit, times


@pytest.mark.parametrize(
    ("application", "said"),
    [
        ("no.such.module:main", "ModuleNotFoundError: No module named 'no'"),
        ("missing", "AttributeError"),
        ("fail", "RuntimeError: this application never works"),
        ("die", "killed by SIGKILL"),
        ("hang", "silent for 2.5 s"),
    ],
)
def test_an_application_that_does_not_start_fails_the_boot(user: User, application: str, said: str) -> None:
    future = user.boot(application)
    user.wait_for(future)
    assert isinstance(future.error(), NodeFailedError)
    assert said in str(future.error())
    user.wait_for(user.provider.free(1, 5 * SECOND))


@pytest.mark.parametrize(("number", "said"), [(signal.SIGKILL, "killed by SIGKILL"), (signal.SIGSTOP, "silent")])
def test_a_node_that_dies_or_hangs_is_lost(iaas: Iaas, user: User, number: signal.Signals, said: str) -> None:
    ready(user, 2)
    os.kill(iaas.pid_of(1), number)
    user.wait(lambda: user.lost)
    assert list(user.lost) == [1]
    assert said in user.lost[1]


@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGKILL, "core 1 of the node was ended by SIGKILL"), (signal.SIGSTOP, "silent")]
)
def test_a_node_dies_or_hangs_with_any_of_its_cores(iaas: Iaas, user: User, number: signal.Signals, said: str) -> None:
    user.wait_for(user.boot(cores=2))
    pid = iaas.pid_of(1)
    os.kill(int(Path(f"/proc/{pid}/task/{pid}/children").read_text()), number)
    user.wait(lambda: user.lost)
    assert said in user.lost[1]


def test_a_node_whose_application_fails_later_is_lost(user: User) -> None:
    future = user.boot("fail_later")
    user.wait_for(future)
    future.result()
    user.wait(lambda: user.lost)
    assert "RuntimeError: this application worked for a while" in user.lost[1]


def test_a_dormant_node_that_dies_is_replaced(iaas: Iaas, user: User) -> None:
    for machine in iaas.machines():
        os.kill(machine["pid"], signal.SIGKILL)
    time.sleep(0.2)
    iaas.settle(POOL)
    ready(user)


def test_a_user_has_a_limit_and_others_work_on(iaas: Iaas, user: User) -> None:
    ready(user, 6)
    future = user.boot()
    user.wait_for(future)
    assert isinstance(future.error(), NodeLimitError)
    assert "6 nodes" in str(future.error())
    user.wait_for(user.provider.free(1, 5 * SECOND))
    ready(user)


def test_a_boot_that_takes_too_long_leaves_nothing(user: User) -> None:
    future = user.boot("hang", timeout=SECOND // 5)
    user.wait_for(future)
    assert isinstance(future.error(), TimedOutError)


def test_who_leaves_without_a_word_leaves_nothing(iaas: Iaas) -> None:
    script = """
import os
from tests.live.iaas_front_end import FrontEnd
front_end = FrontEnd()
futures = front_end.allocator.allocate(3, "tests.live.iaas_applications:idle")
front_end.wait_for(futures[0])
os.kill(os.getpid(), 9)
"""
    iaas.settle(POOL)
    assert iaas.run_front_end(["-c", script]).returncode == -signal.SIGKILL
    iaas.settle(POOL)


def test_the_secret_is_in_no_command_line_and_no_environment(iaas: Iaas, user: User) -> None:
    ready(user)
    for pid in (iaas.pid_of(1), iaas.daemon.pid):
        for kind in ("cmdline", "environ"):
            assert user.secret.hex().encode() not in Path(f"/proc/{pid}/{kind}").read_bytes()
    assert iaas.lab.record.iaas_socket.stat().st_mode & 0o777 == 0o600


HOSTILE = [
    b"\xff\xfe\n",
    b"[1, 2]\n",
    b"{}\n",
    b'{"id": 1, "do": "reboot"}\n',
    b'{"id": -1, "do": "list"}\n',
    b'{"id": true, "do": "list"}\n',
    b'{"id": 1, "do": "allocate", "number": 1}\n',
    b'{"id": 1, "do": "allocate", "number": 1, "application": "os:system", "argv": "rm"}\n',
    b'{"id": 1, "do": "free", "number": []}\n',
    b"x" * (LONGEST_LINE + 1),
    b"[" * 60000 + b"\n",
]


@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
def test_a_client_that_talks_nonsense_is_cut_off_and_counted(iaas: Iaas, user: User, line: bytes) -> None:
    before = sum(iaas.listed()["statistics"]["refused"].values())
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(iaas.lab.record.iaas_socket))
        client.sendall(line)
        answer = client.makefile("rb").read()
    assert json.loads(answer)["error"] == "refused"
    assert sum(iaas.listed()["statistics"]["refused"].values()) == before + 1
    ready(user)


def test_a_client_that_does_not_read_is_cut_off(iaas: Iaas, user: User) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(iaas.lab.record.iaas_socket))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            client.sendall(b'{"id": 1, "do": "list"}\n' * 100_000)
    assert "it does not read what it is sent" in iaas.listed()["statistics"]["refused"]
    ready(user)


def test_connections_of_a_user_are_bounded(iaas: Iaas, user: User) -> None:
    clients = []
    try:
        for _ in range(70):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(5)
            client.connect(str(iaas.lab.record.iaas_socket))
            clients.append(client)
        assert b"all that it may have" in clients[-1].recv(1000)
    finally:
        for client in clients:
            client.close()
    ready(user)


STRANGER = """
import contextlib, os, socket, sys
os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
client = socket.socket(socket.AF_UNIX)
client.settimeout(10)
client.connect(sys.argv[1])
request = '{"id": 1, "do": "allocate", "number": 1, "application": "os:getuid", "argv": [], "path": "", '
request += '"secret": "00112233445566778899aabbccddeeff", "front_end": "0@198.18.0.1:1"}\\n'
with contextlib.suppress(BrokenPipeError):
    client.sendall(request.encode())
print(client.makefile().readline())
"""


def as_user(iaas: Iaas, uid: int) -> "subprocess.Popen[str]":
    """Somebody else, who asks for a node."""
    argv = [sys.executable, "-c", STRANGER, str(iaas.lab.record.iaas_socket), str(uid)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def test_other_users_are_served_as_themselves_or_told_that_they_are_not() -> None:
    """This daemon serves user 65534 too, so its socket is open to all; user 65533 is nobody's."""
    with running_iaas(pool=1, limits={"65534": 1}) as iaas:
        iaas.settle(1)
        assert "user 65533 is not served" in as_user(iaas, 65533).communicate(timeout=10)[0]
        stranger = as_user(iaas, 65534)
        deadline = time.monotonic() + 5
        while not any(_runs_as(machine["pid"], 65534) for machine in iaas.machines()):
            assert time.monotonic() < deadline, "no node runs as that user"
            time.sleep(0.01)
        stranger.kill()
        stranger.communicate()
        iaas.settle(1)


def _runs_as(pid: int, uid: int) -> bool:
    """Whether all of a process's user ids are that one."""
    return f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n" in Path(f"/proc/{pid}/status").read_text()


def test_a_hundred_nodes_come_and_go() -> None:
    with running_iaas(pool=POOL) as iaas:
        iaas.settle(POOL)
        with iaas.user() as user:
            ready(user, 100)
            states = [machine["state"] for machine in iaas.machines()]
            assert states.count("ready") == 100
            frees = [user.provider.free(number, 10 * SECOND) for number in range(1, 101)]
            user.wait_for(*frees)
            assert all(future.error() is None for future in frees)
        iaas.settle(POOL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_with_the_daemon_all_ends(number: signal.Signals) -> None:
    with running_iaas(pool=POOL) as iaas, iaas.user() as user:
        ready(user, 2)
        pending = user.boot("hang")
        iaas.daemon.send_signal(number)
        user.wait_for(pending)
        assert isinstance(pending.error(), (ProviderLostError, NodeFailedError))
        user.wait(lambda: user.gone)
        iaas.nothing_left()


def test_with_the_zygote_all_ends() -> None:
    with running_iaas(pool=POOL) as iaas, iaas.user() as user:
        ready(user)
        children = Path(f"/proc/{iaas.daemon.pid}/task/{iaas.daemon.pid}/children").read_text()
        os.kill(int(children), signal.SIGKILL)
        user.wait(lambda: user.gone)
        assert iaas.daemon.wait(timeout=10) == 1
        iaas.nothing_left()
