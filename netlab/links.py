"""What may be changed on a machine's link while a lab runs: where its frames are processed, and how fast they go.

Both act on one machine's link and treat a Linux host and a node alike, so that a comparison between them is fair.

**Steering.** By default Linux processes a frame for a neighbour to the end on the sender's CPU: a client's ``send``
would run the bridge, and then the server's whole receive path, before it returned, and a comparison would charge one
machine for the other's work. What happens on each way, with the machines' programs pinned to their CPUs:

- *sent by a host*: its own CPU carries the frame through its veth and the bridge to the port of the receiver. The same
  for a node: its ``write`` to the TAP does so. Nothing to steer; each pays for its own sending up to the far port.
- *towards a host*: the frame appears on the host's ``eth0`` as a receive softirq on the sender's CPU. An RPS mask on
  ``eth0`` hands it to the host's CPU at that very point, so that IP, TCP and the wake-up run there.
- *towards a node*: the frame is put in the TAP's ring, from which the node's own ``read`` takes it, on its own CPU.
  Nothing of the node's receive path runs on the sender's CPU, and there is no receive queue to steer.

A mask on the TAP itself would act on what the node *sends* and put a detour through a queue in front of the bridge,
which no host pays: it stays clear.

**Shaping.** A token bucket (``tbf``) on the switch's port towards a machine: it limits what goes *to* that machine.
"""

import os
from pathlib import Path

from pyroute2 import IPRoute

from netlab import namespaces, wiring
from netlab.errors import NetlabError

BUCKET_SECONDS = 0.001
TC_H_ROOT = 0xFFFFFFFF  # linux/pkt_sched.h
HANDLE = 0x10000  # 1:0, as tc(8) writes it
LARGEST_FRAME = 65536 + 14  # a TSO frame; a bucket smaller than it would make tbf cut frames up


class LinkError(NetlabError):
    """A link that does not do what it was told."""


def steer_receive(namespace: str, interface: str, cpu: int | None) -> None:
    """Hand receive processing of the interface to ``cpu``, or leave it with the sender where None.

    Raises LinkError when the kernel did not take it.
    """
    mask = 0 if cpu is None else 1 << cpu
    namespaces.run_in(namespace, lambda: write_masks(interface, mask))


def can_steer() -> bool:
    """Whether RPS masks may be set: the kernel wants CAP_NET_ADMIN of the machine, not of a user namespace."""
    return Path("/proc/self/uid_map").read_text().split() == ["0", "0", str(2**32 - 1)] and os.geteuid() == 0


def write_masks(interface: str, mask: int) -> None:
    """Set the RPS mask of every receive queue (Documentation/networking/scaling.rst) and read each back.

    Of an interface in the calling thread's namespace. Raises LinkError when the kernel did not take it.
    """
    for path in _rps_files(interface):
        if mask_value(path.read_text()) == mask:  # who may not write may leave it at that
            continue
        try:
            path.write_text(mask_text(mask))
        except PermissionError as error:  # the kernel wants CAP_NET_ADMIN of the machine, not of a user namespace
            raise LinkError(f"{path} may be set by root only", "Use sudo, or --cpu-mode shared.") from error
        except OSError as error:
            raise LinkError(f"{path} refused the mask {mask:x}: {error.strerror}", "Is that CPU there?") from error
        if mask_value(path.read_text()) != mask:
            raise LinkError(f"{path} did not take the mask {mask:x}", "netlab doctor probes RPS.")


def receive_masks(namespace: str, interface: str) -> list[int]:
    """The RPS mask of each receive queue of the interface, bit i for CPU i."""
    return namespaces.run_in(namespace, lambda: [mask_value(path.read_text()) for path in _rps_files(interface)])


def _rps_files(interface: str) -> list[Path]:
    files = sorted(Path(f"/sys/class/net/{interface}/queues").glob("rx-*/rps_cpus"))
    if not files:
        raise LinkError(f"{interface} has no rps_cpus", "The kernel needs CONFIG_RPS; netlab doctor probes it.")
    return files


def mask_text(mask: int) -> str:
    """A CPU mask as sysfs has it: hexadecimal, words of 32 bits, comma between."""
    words: list[str] = []
    while mask or not words:
        words.append(f"{mask & 0xFFFFFFFF:08x}")
        mask >>= 32
    return ",".join(reversed(words))


def mask_value(text: str) -> int:
    """The mask in sysfs text."""
    return int(text.strip().replace(",", ""), 16)


def shape_port(switch: str, port: str, rate_bits_per_s: int, buffer_bytes: int) -> None:
    """Limit what leaves the switch through ``port`` to ``rate_bits_per_s``, queueing up to ``buffer_bytes``."""
    wiring.with_netlink(switch, lambda netlink: add_bucket(netlink, port, rate_bits_per_s, buffer_bytes))


def add_bucket(netlink: IPRoute, port: str, rate_bits_per_s: int, buffer_bytes: int) -> None:
    """Put the token bucket on ``port``, or change the one there."""
    rate = rate_bits_per_s // 8
    netlink.tc(
        "replace",
        "tbf",
        index=wiring.index_of(netlink, port),
        handle=HANDLE,
        parent=TC_H_ROOT,
        rate=rate,
        burst=max(int(rate * BUCKET_SECONDS), LARGEST_FRAME),
        limit=buffer_bytes,
    )


def unshape_port(switch: str, port: str) -> None:
    """Remove the limit of `shape_port`."""

    def delete_bucket(netlink: IPRoute) -> None:
        netlink.tc("del", index=wiring.index_of(netlink, port), handle=HANDLE, parent=TC_H_ROOT)

    wiring.with_netlink(switch, delete_bucket)
