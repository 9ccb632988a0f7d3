"""Who is not root: refused with the exact command where the machine allows nothing else, served where it does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netlab import privilege

NOBODY = "65534"
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
KEEPER_PID = f"grep -o '[0-9]*' /tmp/netlab-keeper-{NOBODY}.json | head -n1"
READ_ALL = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]  # the interpreter may lie in /root
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd(), "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/"}

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(privilege.INSIDE in os.environ, reason="needs root to become somebody else"),
]


def run_as_nobody(tun_mode: str, script: str, *setpriv_options: str) -> "subprocess.CompletedProcess[str]":
    """Run a shell script as user nobody, in a mount namespace where ``/dev/net/tun`` has this mode; $N is netlab."""
    prepare = f"""
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mknod /mnt/tun c 10 200
chmod {tun_mode} /mnt/tun
mount --bind /mnt/tun /dev/net/tun
mkdir /mnt/python /mnt/tmp
mount --bind {sys.base_prefix} /mnt/python
chmod 1777 /mnt/tmp
mount --bind /mnt/tmp /tmp
case {sys.base_prefix} in /root/*)  # where nobody else may look: shown, and nothing else that is there
    mount -t tmpfs -o mode=755 tmpfs /root
    mkdir -p {sys.base_prefix}
    mount --bind /mnt/python {sys.base_prefix}
esac
exec "$@"
"""
    command = ["unshare", "--mount", "sh", "-c", prepare, "sh", *AS_NOBODY, *setpriv_options, "sh", "-c", script]
    environment = {**ENVIRONMENT, "N": f"{sys.executable} -m netlab.cli"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("command", ["up", "down", "exec client -- true", "clean"])
def test_without_rights_the_exact_sudo_command_is_printed(command: str):
    result = run_as_nobody("600", f"$N {command}", *READ_ALL)
    assert result.returncode == 1
    assert "/dev/net/tun may not be opened by user 65534" in result.stderr
    assert f"Run: sudo {sys.executable} -P -m netlab.cli {command}" in result.stderr
    assert "Traceback" not in result.stderr


def test_without_rights_the_doctor_still_reports():
    result = run_as_nobody("600", "$N doctor", *READ_ALL)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "memcached" in result.stdout


@pytest.fixture
def as_nobody():
    """Run a script as user nobody, for whom user namespaces and TAPs are open."""
    probe = run_as_nobody("666", f"unshare --user --map-root-user --net --mount {sys.executable} -c 'import netlab'")
    if probe.returncode != 0:
        pytest.skip(f"nobody has no user namespaces, or cannot reach {sys.executable}: {probe.stderr.strip()}")

    def run(script: str) -> str:
        result = run_as_nobody("666", f"set -e\n{script}")
        assert result.returncode == 0, result.stdout + result.stderr
        assert "Traceback" not in result.stderr
        return result.stdout + result.stderr

    return run


def keepers() -> set[str]:
    """Pids of the processes that hold nobody's labs."""
    command = ["pgrep", "--uid", NOBODY, "--full", "^sleep infinity"]
    return set(subprocess.run(command, capture_output=True, text=True, check=False).stdout.split())


def test_in_a_user_namespace_a_lab_needs_no_root_and_leaves_nothing(as_nobody):
    before = keepers()
    said = as_nobody("""
$N up --name mine > /dev/null
$N exec --lab mine client -- ip -br address
$N exec --lab mine switch -- ip -d link show node
$N status --json
$N down mine
ls /tmp
""")
    assert "198.18.0.1/16" in said
    assert "vnet_hdr on" in said
    assert '"state": "up"' in said
    assert f"netlab-keeper-{NOBODY}.json" not in said
    assert keepers() == before
    assert not Path("/run/netns/netlab.mine.client").exists()  # it was in a /run of its own


def test_the_output_of_up_ends_with_up(as_nobody):
    """Read to its end, as `netlab up 2>&1 | tail` does: nothing that stays may hold on to it."""
    said = as_nobody("""
$N up --name piped --link node:delay=1ms 2>&1 | cat
echo "its output has ended"
$N down piped
""")
    assert "its output has ended" in said


def test_a_keeper_that_was_killed_has_an_heir_where_something_runs(as_nobody):
    said = as_nobody(f"""
$N up --name kept --link node:delay=1ms > /dev/null
kill -9 $({KEEPER_PID})
$N exec --lab kept client -- ping -c1 -W2 198.18.0.2
$N down kept
ls /tmp
""")
    assert "1 received" in said
    assert f"netlab-keeper-{NOBODY}.json" not in said


def test_a_keeper_that_was_killed_with_its_labs_is_reported_and_a_lab_can_be_made(as_nobody):
    said = as_nobody(f"""
$N up --name lost > /dev/null
kill -9 $({KEEPER_PID})
$N up --name lost > /dev/null
$N down lost
""")
    assert "which kept your labs, has been killed, and they are gone" in said


def test_without_root_a_benchmark_falls_back_to_shared_mode_and_says_so(as_nobody):
    said = as_nobody("$N bench memcached --seconds 1 --rounds 1 --concurrency 2 --allow-pure")
    assert "this was measured in shared mode" in " ".join(said.split())
    assert "node/linux" in said
