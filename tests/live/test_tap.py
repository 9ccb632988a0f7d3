"""Real TAPs, in a network namespace of this test's own: the kernel is the peer, scapy the judge."""

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.virtio.constants import LONGEST_FRAME, NET_HEADER_LENGTH
from drivers.virtio.device import NetDevice
from drivers.virtio.driver import VirtioNet
from drivers.virtio.port import TapPort
from drivers.virtio.tap import Tap, TapError, attach_queues, close_tap, exists, mtu, open_tap
from drivers.virtio.tap_queues import attached_queues
from ebbrt.clock import MonotonicClock
from ebbrt.events.event_manager import EventManager
from ebbrt.memory import MemoryAllocator, NodeMemory
from tests.virtio_bench import MAC, KeepFrames

pytestmark = pytest.mark.live
NODE, KERNEL = "198.18.0.2", "198.18.0.1"


@pytest.fixture(autouse=True)
def namespace() -> Iterator[None]:
    """Put this thread into a nameless network namespace: it vanishes with its last descriptor."""
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        pytest.skip("needs root and /dev/net/tun")
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    libc_unshare(0x40000000)  # CLONE_NEWNET
    yield
    libc_setns(own)
    os.close(own)


def libc_unshare(flags: int) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(flags):
        pytest.skip("no permission to make a network namespace")


def libc_setns(fd: int) -> None:
    assert ctypes.CDLL(None, use_errno=True).setns(fd, 0) == 0


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def raise_interface(name: str) -> None:
    ip("addr", "add", f"{KERNEL}/24", "dev", name)
    ip("link", "set", name, "up")


class TapNode:
    """A device and a driver on a TAP."""

    def __init__(self, tap: Tap) -> None:
        self.memory = NodeMemory(4 << 20)
        self.allocator = MemoryAllocator(self.memory)
        self.events = EventManager(MonotonicClock())
        spill = self.allocator.allocate(LONGEST_FRAME + NET_HEADER_LENGTH)
        assert spill is not None
        self._spill = spill
        port = TapPort(tap.fds[0], tap.vnet_header)
        self.device = NetDevice(self.memory, port, self.events, spill.offset, MAC, 1500)
        self.driver = VirtioNet(self.device, self.allocator, self.events)
        self.handler = KeepFrames()
        self.driver.start(self.handler)

    def run(self, seconds: float) -> list[bytes]:
        self.events.set_timer(int(seconds * 1e9), self.events.stop)
        self.events.run()
        return self.handler.frames

    def close(self) -> None:
        self.driver.stop()
        self.events.close()
        self.device.close()


def opened(vnet_header: bool) -> Tap:
    return open_tap("t0", vnet_header=vnet_header, make=True)


@pytest.mark.parametrize("vnet_header", [True, False])
def test_an_arp_request_of_the_kernel_arrives(vnet_header: bool) -> None:
    from scapy.layers.l2 import ARP, Ether

    tap = opened(vnet_header)
    assert tap.vnet_header == vnet_header
    assert mtu(tap.name) == 1500
    raise_interface(tap.name)
    node = TapNode(tap)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"who has you?", (NODE, 9))
        requests = [Ether(frame) for frame in node.run(0.2)]
    node.close()
    assert [r for r in requests if ARP in r and (r[ARP].pdst, r[ARP].psrc) == (NODE, KERNEL)]


def test_a_large_segment_of_the_kernel_arrives_whole() -> None:
    """The kernel connects to a peer whose one SYN+ACK scapy makes, and sends it ten segments' worth at once."""
    from scapy.layers.inet import IP, TCP
    from scapy.layers.l2 import Ether

    tap = open_tap("t0", make=True)
    raise_interface("t0")
    ip("neigh", "replace", NODE, "lladdr", MAC.hex(":"), "dev", "t0")
    node = TapNode(tap)
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex((NODE, 80))
    syn = next(Ether(frame) for frame in node.run(0.2) if TCP in Ether(frame))
    answer = Ether(dst=syn.src, src=syn.dst) / IP(src=NODE, dst=KERNEL) / TCP(
        sport=80, dport=syn[TCP].sport, flags="SA", seq=1, ack=syn[TCP].seq + 1, window=65535,
        options=[("MSS", 1460), ("WScale", 7)],
    )  # fmt: skip
    os.write(tap.fds[0], bytes(NET_HEADER_LENGTH) + bytes(answer))
    node.run(0.1)
    node.handler.frames.clear()
    client.send(os.urandom(14600))
    frames = [Ether(frame) for frame in node.run(0.2)]
    client.close()
    statistics = node.device.statistics()
    node.close()
    data = [frame for frame in frames if TCP in frame and frame[IP].len > 1500]
    assert data, "nothing came in a large segment"
    assert len(data[0]) == data[0][IP].len + 14, "the segment is not whole"
    assert statistics["rx_spilled"] > 0


def test_a_tap_in_use_is_explained() -> None:
    tap = open_tap("t0", make=True)
    with pytest.raises(TapError) as caught:
        open_tap("t0")
    assert "end that one first" in caught.value.advice
    os.close(tap.fds[0])


def test_queues_are_attached_and_detached() -> None:
    tap = open_tap("t0", 4, make=True)
    assert attached_queues("t0") == tap.attached == len(tap.fds) == 4
    for count in (1, 3, 3, 4, 2):
        attach_queues(tap, count)
        assert attached_queues("t0") == tap.attached == count
    for queues in (1, 2):
        with pytest.raises(TapError) as caught:
            open_tap("t0", queues)
        assert "end that one first" in caught.value.advice
    assert attached_queues("t0") == 2, "a refused one stays attached"
    for fd in tap.fds:
        os.close(fd)


@pytest.mark.parametrize(("made_for_several", "queues"), [(True, 1), (True, 3), (False, 1)])
def test_a_tap_that_stays_takes_who_fits(made_for_several: bool, queues: int) -> None:
    ip("tuntap", "add", "dev", "t0", "mode", "tap", "vnet_hdr", *(["multi_queue"] if made_for_several else []))
    for _ in range(2):
        tap = open_tap("t0", queues)
        assert len(tap.fds) == queues
        for fd in tap.fds:
            os.close(fd)


def test_a_tap_for_one_queue_is_explained_to_who_wants_several() -> None:
    ip("tuntap", "add", "dev", "t0", "mode", "tap", "vnet_hdr")
    with pytest.raises(TapError) as caught:
        open_tap("t0", 2)
    assert caught.value.strerror == "it is made for one queue"
    assert "multi_queue" in caught.value.advice


def test_no_queues_of_no_interface() -> None:
    with pytest.raises(OSError, match="No such device"):
        attached_queues("t0")


@pytest.mark.parametrize("queues", [1, 2])
def test_what_is_no_tap_is_told_so(queues: int) -> None:
    ip("tuntap", "add", "dev", "t0", "mode", "tun")
    for name in ("t0", "lo"):
        with pytest.raises(TapError, match="it is no TAP"):
            open_tap(name, queues)


def test_a_name_that_nothing_has_makes_nothing() -> None:
    with pytest.raises(TapError, match="there is no such interface here") as caught:
        open_tap("t0")
    assert "ip tuntap add t0 mode tap" in caught.value.advice
    assert not exists("t0")


@pytest.mark.parametrize("name", ["", "sixteen-letters-", "ä" * 8, "a b", "a/b", "a:b", "tap%d", "..", "t0\n"])
@pytest.mark.parametrize("vnet_header", [True, False])
def test_a_name_the_kernel_would_change_or_refuse_is_refused(name: str, vnet_header: bool) -> None:
    before = socket.if_nameindex()
    with pytest.raises(TapError, match="no name of an interface"):
        open_tap(name, vnet_header=vnet_header, make=True)
    assert socket.if_nameindex() == before


def checksum_of_a_datagram(tap: Tap) -> int:
    """What the kernel sends to the node: 0xFFFF when UDP's checksum is whole."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether
    from scapy.utils import checksum

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"whole?", (NODE, 9))
    for _ in range(100):
        frame = Ether(os.read(tap.fds[0], 2000))
        if UDP in frame and frame[IP].dst == NODE:
            pseudo = socket.inet_aton(KERNEL) + socket.inet_aton(NODE) + bytes([0, 17, 0, frame[UDP].len])
            return 0xFFFF - checksum(pseudo + bytes(frame[UDP])[: frame[UDP].len])
    raise AssertionError("it did not come")


@pytest.mark.parametrize("killed", [False, True])
def test_a_plain_open_gets_whole_frames_after_a_node_with_offloads(killed: bool) -> None:
    """The kernel keeps the offloads for who comes next, who has no header that would say what is missing."""
    ip("tuntap", "add", "dev", "t0", "mode", "tap")
    raise_interface("t0")
    ip("neigh", "replace", NODE, "lladdr", MAC.hex(":"), "dev", "t0")
    first = open_tap("t0")
    if killed:
        os.close(first.fds[0])
        tap = open_tap("t0", vnet_header=False)
        assert checksum_of_a_datagram(tap) == 0xFFFF
        close_tap(tap)
        return
    close_tap(first)
    plain = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(plain, 0x400454CA, struct.pack("16sH22x", b"t0", 0x1002))  # IFF_TAP | IFF_NO_PI, and nothing else
    assert checksum_of_a_datagram(Tap((plain,), "t0", False, 1)) == 0xFFFF
    os.close(plain)


def test_a_missing_permission_is_explained() -> None:
    script = """
import os
from drivers.virtio.tap import TapError, open_tap
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    open_tap("t0", make=True)
except TapError as error:
    print(error.advice)
"""
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "sudo" in result.stdout
