"""Records that are damaged, of another version, or cannot be written: one line says what to do; other labs go on.

In a ``/run`` of its own, so that no other lab of this machine is seen or touched.
"""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.live

NETLAB = Path(sys.executable).with_name("netlab")
OWN_RUN = "set -u\nmount --make-rprivate /\nmount -t tmpfs {options} tmpfs /run\nN={netlab}\n{script}"


def in_own_run(script: str, options: str = "") -> str:
    """What a shell script prints, both outputs together; $N is netlab."""
    text = OWN_RUN.format(options=options, netlab=NETLAB, script=script)
    command = ["unshare", "--mount", "sh", "-c", text]
    result = subprocess.run(command, stdout=-1, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
    assert "Traceback" not in result.stdout, result.stdout
    return result.stdout


def test_damaged_records_stand_in_nobodys_way_and_cleaning_removes_them():
    said = in_own_run("""
mkdir /run/netlab
: > /run/netlab/empty.json
echo '{"a"' > /run/netlab/half.json
$N up --name good > /dev/null || echo "up failed"
$N exec client -- true || echo "exec failed"
$N exec --lab empty client -- true
$N up --name half
ip netns add netlab.half.client
ip netns add netlab.halfling.client
$N clean --json
ls /run/netlab /run/netns
$N down good
""")
    assert "failed" not in said
    assert "its record /run/netlab/empty.json is damaged\nnetlab clean removes it." in said
    assert '{"removed": ["empty", "half"]}' in said
    left = said.partition("/run/netlab:")[2]
    assert "half.json" not in left
    assert "netlab.half.client" not in left
    assert "good.json" in left
    assert "netlab.good.client" in left
    assert "netlab.halfling.client" in left  # of a lab whose record is not here


def test_a_lab_of_another_version_is_left_alone_until_it_is_named():
    said = in_own_run("""
$N up --name later > /dev/null
sed -i 's/"version": 1/"version": 7/' /run/netlab/later.json
$N clean
$N status
$N down later
ls /run/netlab /run/netns
""")
    assert "nothing to remove" in said
    words = " ".join(said.split())
    assert "is of version 7, written by another netlab: netlab down later removes it." in words
    assert "removed later" in said
    assert "later" not in said.partition("/run/netlab:")[2]


def test_a_full_run_is_said_in_one_line_and_nothing_is_left():
    said = in_own_run(
        """
mkdir /run/netlab /run/netns
dd if=/dev/zero of=/run/fill bs=1k count=100 2> /dev/null
$N up --name full
$N clean
find /run/netlab /run/netns
""",
        "-o size=40k",
    )
    assert "cannot write /run/netlab/full.json: No space left on device\nMake room there: df /run/netlab" in said
    assert "nothing to remove" in said
    assert said.endswith("/run/netlab\n/run/netlab/lock\n/run/netns\n")


def test_a_run_that_is_full_when_the_daemon_comes_to_it_is_said_too(tmp_path: Path):
    """Of eight files the lab needs all but that of the daemon's socket."""
    program = tmp_path / "program.py"
    program.write_text("print('hello')")
    said = in_own_run(f"mkdir /run/mount\n$N run --pool 1 {program}\nfind /run/netlab /run/netns", "-o nr_inodes=8")
    assert "cannot serve /run/netlab/lab1.iaas: No space left on device" in said
    assert "hello" not in said
    assert said.endswith("/run/netlab\n/run/netlab/lock\n/run/netns\n")
