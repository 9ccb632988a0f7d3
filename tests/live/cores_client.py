"""What ``test_cores`` does on the client: run with a function's name, the node's address, its cores, and our address.

Prints what the function found as JSON. The node runs ``cores_application``.
"""

import json
import socket
import struct
import sys
import time
from pathlib import Path

NODE, CORES, OWN = sys.argv[2], int(sys.argv[3]), sys.argv[4]
LINES = 7
ALONE = 7000
SILENCE = 4.5  # seconds: the kernel forgets a flow after 3, and looks for such every second


class Line:
    """A connection that sends lines and gets lines."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.answers = connection.makefile("r")

    def answer(self) -> str:
        return self.answers.readline().strip()

    def ask(self, line: str) -> str:
        self.connection.sendall(line.encode() + b"\n")
        return self.answer()


def opened(port: int) -> Line:
    return Line(socket.create_connection((NODE, port), timeout=5))


def lines_by_core(count: int) -> dict[int, list[Line]]:
    by_core: dict[int, list[Line]] = {}
    for _ in range(count):
        line = opened(LINES)
        answer = line.ask("who")
        by_core.setdefault(int(answer.removeprefix("core ").removesuffix(": who")), []).append(line)
    return by_core


def connections_are_spread() -> dict[str, int]:
    by_core = lines_by_core(64)
    for core, lines in by_core.items():
        for line in lines:
            assert line.ask("still") == f"core {core}: still"
    return {str(core): len(lines) for core, lines in by_core.items()}


def silent_flows_go_on() -> dict[str, int]:
    accepted = lines_by_core(64)
    assert len(accepted) == CORES
    alone = [(core, opened(ALONE + core)) for core in range(CORES) for _ in range(8)]
    back: list[tuple[int, Line]] = []
    with socket.create_server((OWN, 0), backlog=64) as server:
        server.settimeout(5)
        for core, lines in accepted.items():
            for _ in range(4):
                lines[0].ask(f"connect {OWN} {server.getsockname()[1]}")
                connection = server.accept()[0]
                connection.settimeout(5)
                back.append((core, Line(connection)))
                assert back[-1][1].answer() == f"core {core}"
    everything = [(core, line) for core, lines in accepted.items() for line in lines] + alone + back
    time.sleep(SILENCE)
    for core, line in everything:
        assert line.ask("still") == f"core {core}: still"
    return {}


def datagrams_to_ports_of_one_core() -> dict[str, int]:
    for core in range(CORES):
        for _ in range(8):  # each from a port of its own, and so to any of the cores
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.settimeout(5)
                sender.connect((NODE, ALONE + core))
                sender.send(b"datagram")
                assert sender.recv(100) == f"core {core}: datagram\n".encode()
    return {}


def closed_ports_refuse() -> dict[str, int]:
    for _ in range(8):
        try:
            socket.create_connection((NODE, 99), timeout=2).close()
            raise AssertionError("somebody listens on port 99")
        except ConnectionRefusedError:
            pass
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.settimeout(2)
            sender.connect((NODE, 99))
            sender.send(b"datagram")
            try:
                sender.recv(1)
                raise AssertionError("somebody answers on port 99")
            except ConnectionRefusedError:
                pass
    return {}


def each_core_sends_to_a_closed_port() -> dict[str, int]:
    for core in range(CORES):
        opened(ALONE + core).ask(f"send {OWN} 9")
    time.sleep(0.3)  # for the errors to arrive
    return {}


def ask_by_arp() -> dict[str, int]:
    """Three requests; how many answers they got."""
    mac = bytes.fromhex(Path("/sys/class/net/eth0/address").read_text().strip().replace(":", ""))
    request = (
        struct.pack(">HHBBH", 1, 0x800, 6, 4, 1) + mac + socket.inet_aton(OWN) + bytes(6) + socket.inet_aton(NODE)
    )
    answers = 0
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x806)) as link:
        link.bind(("eth0", 0x806))
        for _ in range(3):
            link.send(b"\xff" * 6 + mac + b"\x08\x06" + request)
            deadline = time.monotonic() + 0.3
            while (left := deadline - time.monotonic()) > 0:
                link.settimeout(left)
                try:
                    frame = link.recv(100)
                except TimeoutError:
                    break
                answers += frame[20:22] == b"\x00\x02" and frame[28:32] == socket.inet_aton(NODE)
    return {"answers": answers}


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))
