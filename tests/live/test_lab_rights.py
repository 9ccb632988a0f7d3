"""Who is not root: refused with the exact command where the machine allows nothing else, served where it does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netlab import privilege

NOBODY = "65534"
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
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


def test_in_a_user_namespace_a_lab_needs_no_root_and_leaves_nothing():
    probe = run_as_nobody("666", f"unshare --user --map-root-user --net --mount {sys.executable} -c 'import netlab'")
    if probe.returncode != 0:
        pytest.skip(f"nobody has no user namespaces, or cannot reach {sys.executable}: {probe.stderr.strip()}")
    script = """
set -e
$N up --name mine > /dev/null
$N exec --lab mine client -- ip -br address
$N exec --lab mine switch -- ip -d link show node
$N status --json
$N down mine
"""
    result = run_as_nobody("666", script)
    assert result.returncode == 0, result.stderr
    assert "198.18.0.1/16" in result.stdout
    assert "vnet_hdr on" in result.stdout
    assert '"state": "up"' in result.stdout
    assert not Path(f"/tmp/netlab-keeper-{NOBODY}.json").exists()
    assert not Path("/run/netns/netlab.mine.client").exists()  # it was in a /run of its own
