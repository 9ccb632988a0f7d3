"""The same exchange of segments with a node and with the kernel: what ``info`` and TCP_INFO say of it is the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from scapy.all import IP, TCP, Ether

from ebbrt.tcp_settings import TcpSettings
from tests.live import tcp_info_exchange
from tests.live.tcp_info_exchange import PORT, Exchange, Snapshot
from tests.tcplink import Recorder
from tests.tcppeer import Peer

pytestmark = pytest.mark.live

ROOT = Path(__file__).parent.parent.parent
COMPARED = """
    state ca_state retransmits probes backoff options snd_wscale ato snd_mss rcv_mss advmss pmtu
    unacked sacked lost retrans total_retrans notsent_bytes
    bytes_acked bytes_received segs_in data_segs_in data_segs_out max_pacing_rate rcv_rtt
"""
# Of the rest: times depend on the machine; sizes of buffers are the node's own; the kernel does not count a SYN-ACK
# among tcpi_segs_out, since it has no socket yet; and its Reno halves the window, where RFC 5681 halves the flight.


def kernel() -> dict[str, Snapshot]:
    command = ["unshare", "--net", sys.executable, tcp_info_exchange.__file__]
    result = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def node() -> dict[str, Snapshot]:
    peer = Peer()

    def accept(connection) -> Recorder:
        peer.handlers.append(Recorder(None))
        return peer.handlers[-1]

    def reply(packet: IP) -> list[TCP]:
        peer.take()
        peer.node.receive(bytes(Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01") / packet))
        return peer.take() + peer.wait(0.05)

    settings = TcpSettings(congestion_control="reno", nagle=False)
    peer.node.tcp.listen(PORT, accept, settings=settings)
    exchange = Exchange(reply)
    exchange.open()
    connection = peer.handlers[0].connection
    return exchange.steps(lambda size: connection.send(peer.node.buffer(bytes(size))), connection.info)


def test_the_node_says_of_an_exchange_what_the_kernel_says():
    ours, kernels = node(), kernel()
    assert list(ours) == list(kernels)
    names = [f"tcpi_{name}" for name in COMPARED.split()]
    for step, snapshot in kernels.items():
        assert {name: ours[step][name] for name in names} == {name: snapshot[name] for name in names}, step
    for snapshots in (ours, kernels):  # nothing has come yet: they count from the handshake
        opened = snapshots["open"]
        assert opened["tcpi_last_data_recv"] == opened["tcpi_last_data_sent"] == opened["tcpi_last_ack_recv"] < 10_000
