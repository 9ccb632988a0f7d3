"""A node whose application tells which core does what, for ``test_cores``: run with TAP, address, cores, statistics.

On every core, TCP port 7: each line is answered with ``core N: line``; ``connect ADDRESS PORT`` makes the core open a
connection, ``send ADDRESS PORT`` makes it send a datagram. On core N alone: TCP and UDP port 7000 + N do as port 7
does. An opened connection says ``core N`` when it is there, and answers lines too.
"""

import sys
from ipaddress import IPv4Interface
from pathlib import Path

from ebbrt.iobuf import IOBuf, allocate
from ebbrt.network import TcpConnection, TcpHandler, UdpHandler
from netlab import node as nodes
from netlab.node import Node, NodeConfig
from netlab.node_config import NodeError

LINES = 7
ALONE = 7000


def text(node: Node, line: str) -> IOBuf:
    data = line.encode() + b"\n"
    chain = allocate(node.allocator, len(data), headroom=256)
    assert chain is not None
    chain.write(0, data)
    return chain


class Lines(TcpHandler):
    def __init__(self, application: "Application", greets: bool = False) -> None:
        self.application = application
        self.greets = greets

    def connected(self) -> None:
        if self.greets:
            self.connection.send(text(self.application.node, f"core {self.application.node.number}"))

    def receive(self, data: IOBuf) -> None:
        for line in data.copy_out().decode().splitlines():
            self.connection.send(text(self.application.node, self.application.answer(line)))

    def peer_closed(self) -> None:
        self.connection.close()


class Datagrams(UdpHandler):
    def __init__(self, application: "Application") -> None:
        self.application = application

    def receive(self, data: IOBuf, address: str, port: int) -> None:
        answer = self.application.answer(data.copy_out().decode().strip())
        self.socket.send(text(self.application.node, answer), address, port)

    def undelivered(self, reason: str, address: str, port: int) -> None:
        self.application.undelivered += 1


class Application:
    def __init__(self, node: Node) -> None:
        self.node = node
        self.undelivered = 0
        node.network.listen(LINES, self.accept)
        node.network.listen(ALONE + node.number, self.accept)
        node.network.bind_udp(ALONE + node.number, Datagrams(self))
        self.sender = node.network.bind_udp(0, Datagrams(self))

    def accept(self, connection: TcpConnection) -> TcpHandler:
        return Lines(self)

    def answer(self, line: str) -> str:
        command, *arguments = line.split()
        if command == "connect":
            self.node.network.connect(arguments[0], int(arguments[1]), Lines(self, greets=True))
        elif command == "send":
            self.sender.send(text(self.node, "datagram"), arguments[0], int(arguments[1]))
        return f"core {self.node.number}: {line}"

    def statistics(self) -> dict[str, int]:
        return {"undelivered": self.undelivered}


def main() -> None:
    tap, address, cores, statistics = sys.argv[1:]
    nodes.APPLICATIONS["lines"] = Application  # type: ignore[assignment]
    config = NodeConfig(
        application="lines",
        tap=tap,
        address=IPv4Interface(address),
        memory=64 << 20,
        cores=int(cores),
        cpus=(0, 1),
        statistics=Path(statistics),
    )
    try:
        node = Node.boot(config)
        try:
            node.run(ready=lambda: print("ready", flush=True))
        finally:
            node.close()
    except NodeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
