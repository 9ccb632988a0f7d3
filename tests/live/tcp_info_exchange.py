"""One exchange of segments, by hand, with whatever TCP answers; and the kernel's as one that does.

Run as a program, in a network namespace of its own, it prints what the kernel's TCP_INFO says after each step: JSON.
"""

import fcntl
import json
import os
import socket
import struct
import subprocess
import time
from collections.abc import Callable

from scapy.all import IP, TCP

from ebbrt.sockets.options import info

PORT, PEER_PORT = 7000, 40000
NODE, PEER = "198.18.0.1", "198.18.0.2"
PEER_ISN = 1000
MSS = 1000
TUNSETIFF = 0x400454CA
IFF_TUN_NO_INFO = 0x1001

Snapshot = dict[str, int]


class Exchange:
    """What the peer says, step by step. ``reply``: sends a segment, and gives what is answered at once."""

    def __init__(self, reply: Callable[[TCP], list[TCP]]) -> None:
        self._reply = reply
        self._seq = PEER_ISN
        self._iss = 0

    def open(self) -> None:
        options = [("MSS", MSS), ("SAckOK", b""), ("NOP", None), ("NOP", None), ("NOP", None), ("WScale", 0)]
        answer = self._segment("S", 0, options=options)
        self._iss = answer[0].seq
        self._seq += 1
        self._segment("A", 1)

    def steps(self, write: Callable[[int], None], snapshot: Callable[[], Snapshot]) -> dict[str, Snapshot]:
        """After each step the snapshot, by the step's name. ``write``: so many bytes, by the application."""
        found = {"open": snapshot()}
        write(5000)
        found["five segments sent"] = snapshot()
        self._segment("A", 1, options=self._sack(1001, 5001))
        found["the first is lost, and sent again"] = snapshot()
        self._segment("A", 5001)
        found["all acknowledged"] = snapshot()
        for _ in range(3):
            self._segment("PA", 5001, bytes(700))
        found["data received"] = snapshot()
        for _ in range(3):
            write(100)
        found["three short ones sent"] = snapshot()
        self._segment("A", 5101, options=self._sack(5201, 5301))
        found["one of them acknowledged, one selectively"] = snapshot()
        self._segment("A", 5301)
        self._segment("FA", 5301)
        found["the peer has closed"] = snapshot()
        return found

    def _sack(self, left: int, right: int) -> list[tuple[str, object]]:
        block = (self._iss + left) & 0xFFFFFFFF, (self._iss + right) & 0xFFFFFFFF
        return [("NOP", None), ("NOP", None), ("SAck", block)]

    def _segment(self, flags: str, ack: int, data: bytes = b"", **fields: object) -> list[TCP]:
        number = (self._iss + ack) & 0xFFFFFFFF if "A" in flags else 0
        tcp = TCP(sport=PEER_PORT, dport=PORT, flags=flags, seq=self._seq, ack=number, window=65535, **fields)
        self._seq += len(data)
        return self._reply(IP(src=PEER, dst=NODE) / tcp / data)


class Kernel:
    """A TUN device, at whose other end the kernel is."""

    def __init__(self) -> None:
        self._tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self._tun, TUNSETIFF, struct.pack("16sH22x", b"exchange", IFF_TUN_NO_INFO))
        for command in ("link set lo up", "link set exchange up mtu 1500", f"addr add {NODE}/24 dev exchange"):
            subprocess.run(["ip", *command.split()], check=True)

    def reply(self, packet: IP) -> list[TCP]:
        self._read()
        os.write(self._tun, bytes(packet))
        time.sleep(0.05)
        return self._read()

    def _read(self) -> list[TCP]:
        segments = []
        while True:
            try:
                packet = IP(os.read(self._tun, 65536))
            except BlockingIOError:
                return segments
            if packet.version == 4 and TCP in packet:
                segments.append(packet[TCP])


def main() -> None:
    kernel = Kernel()
    with socket.create_server((NODE, PORT)) as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
        exchange = Exchange(kernel.reply)
        exchange.open()
        connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    found = exchange.steps(lambda size: connection.sendall(bytes(size)), lambda: info(connection))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
