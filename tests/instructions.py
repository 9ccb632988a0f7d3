"""Instructions of a node's process for one memcached GET, counted by callgrind: the figure that noise cannot hide.

    python -P -m tests.instructions --requests 3000

A lab of its own, a compiled node under valgrind on its TAP, and a client whose connections each have one request
outstanding. What is counted are user instructions between two dumps, divided by the requests made between them: the
start and the first requests (caches of allocators, the interpreter's own) are in a dump before. Two rounds show how
steady it is. Needs root and Debian's valgrind. Not part of `make test`: it takes about a minute.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from netlab import python
from netlab.lab import Lab

CLIENT = """
import selectors, socket, sys
from captures import memcached_binary as protocol
from captures.record import KEYS, requests_of
address, connections, requests = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def get(opaque):
    key = b"key-%02d" % (opaque % KEYS)
    return protocol.HEADER.pack(protocol.REQUEST_MAGIC, 0, len(key), 0, 0, 0, len(key), opaque, 0) + key
def put(opaque, value=bytes(32)):
    key = b"key-%02d" % opaque
    body = bytes(8) + key + value
    return protocol.HEADER.pack(protocol.REQUEST_MAGIC, 1, len(key), 8, 0, 0, len(body), opaque, 0) + body
chosen = selectors.DefaultSelector()
for _ in range(connections):
    chosen.register(socket.create_connection((address, 11211), 60), selectors.EVENT_READ)
sockets = [key.fileobj for key in chosen.get_map().values()]
for number in range(KEYS):
    sockets[0].sendall(put(number))
    sockets[0].recv(4096)
print("ready", flush=True)
for line in sys.stdin:
    left = int(line)
    waiting = 0
    for each in sockets:
        each.sendall(get(left)); left -= 1; waiting += 1
    while waiting:
        for key, _ in chosen.select(60):
            key.fileobj.recv(4096); waiting -= 1
            if left > 0:
                key.fileobj.sendall(get(left)); left -= 1; waiting += 1
    print("done", flush=True)
"""


def measure(requests: int, connections: int, rounds: int, checkout: Path | None = None) -> list[float]:
    """Instructions per GET, once for each round."""
    found = []
    with tempfile.TemporaryDirectory() as scratch, Lab.create() as lab:
        tap = lab.taps["node"]
        out = Path(scratch, "callgrind")
        where = ["--tap", tap.name, "--ip", f"{tap.address}/{tap.prefix_length}"]
        argv = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--combine-dumps=no"]
        argv += python.module_command("netlab.cli", "node", "run", "memcached", *where)
        node = lab.node_popen("node", argv, cwd=checkout, stdout=-1, stderr=subprocess.DEVNULL, text=True)
        assert node.stdout is not None
        if not node.stdout.readline().startswith("ready"):
            sys.exit("the node did not start under valgrind")
        client = lab.hosts["client"].popen(
            [sys.executable, "-c", CLIENT, tap.address, str(connections), str(requests)],
            stdin=-1,
            stdout=-1,
            text=True,
        )
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdout.readline()
        for number in range(rounds + 1):
            client.stdin.write(f"{requests}\n")
            client.stdin.flush()
            client.stdout.readline()
            subprocess.run(["callgrind_control", "--dump", str(node.pid)], stdout=subprocess.DEVNULL, check=True)
            total = re.search(r"^totals: (\d+)", Path(f"{out}.{number + 1}").read_text(), re.MULTILINE)
            assert total is not None
            if number:  # the first dump holds the start, too
                found.append(int(total[1]) / requests)
    return found


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=3000, help="GETs in each round")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    if shutil.which("valgrind") is None:
        parser.error("valgrind is not installed: apt-get install valgrind")
    print(json.dumps({"instructions_per_get": measure(given.requests, given.connections, given.rounds)}))


if __name__ == "__main__":
    main()
