"""What a node's cores find when they start: memory, the TAPs' queues, the links between them, and shared secrets.

It is made once, by the first process, before the other cores are forked from it. Node memory is a shared mapping: what
all cores use lies at its beginning (the rings of the core links, the area of the steering), and behind it each core's
own part.
"""

import random
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from drivers.virtio.tap import Tap, attach_queues, close_tap, open_tap
from ebbrt.core_links import CoreLinksPlan
from ebbrt.memory import NodeMemory
from netlab.node_config import NodeConfig, NodeUsageError
from stack.steering import Steering

MIB = 1 << 20
PAGE = 4096
# Node memory beyond what the application may fill: rings, posted buffers, packets on their way, receive windows.
SYSTEM_MEMORY = 192 * MIB


@dataclass(frozen=True)
class Hardware:
    """The machine of one node.

    shared: bytes of node memory, from its beginning on, that belong to all cores; steering: where in them the area of
    ``stack.steering`` begins. chance: all randomness of core 0; secret: TCP's, the same on every core.
    """

    cores: int
    memory: NodeMemory
    shared: int
    steering: int
    taps: tuple[Tap, ...]
    links: CoreLinksPlan
    chance: random.Random
    secret: bytes

    @classmethod
    def open(cls, config: NodeConfig) -> "Hardware":
        """Make it. Raises NodeError, TapError, and OSError when there is no room for the memory."""
        if config.cores > 1 and config.plain_tap:
            raise NodeUsageError("a TAP without header has one queue", "Use --plain-tap with one core only.")
        memory = NodeMemory(memory_needed(config))
        chance = random.Random(config.seed) if config.seed is not None else random.SystemRandom()
        secret = chance.randbytes(16) if config.seed is not None else secrets.token_bytes(16)
        taps: list[Tap] = []
        try:
            for attachment in config.attachments():
                header = not config.plain_tap
                taps.append(open_tap(attachment.tap, config.cores, vnet_header=header, make=config.make_tap))
                attach_queues(taps[-1], 1)  # the others when the driver says so
        except OSError:
            _close(taps)
            raise
        return cls(
            cores=config.cores,
            memory=memory,
            shared=_shared(config),
            steering=_whole_pages(CoreLinksPlan.size(config.cores)),
            taps=tuple(taps),
            links=CoreLinksPlan(memory, 0, config.cores),
            chance=chance,
            secret=secret,
        )

    def part(self, number: int) -> tuple[int, int]:
        """Where in node memory the part of core ``number`` begins and ends."""
        length = (self.memory.size - self.shared) // self.cores
        return self.shared + number * length, self.shared + (number + 1) * length

    def close(self) -> None:
        """Give the descriptors back, in this process."""
        _close(self.taps)
        self.links.close()


def _close(taps: Iterable[Tap]) -> None:
    for tap in taps:
        close_tap(tap)


def memory_needed(config: NodeConfig) -> int:
    """Bytes of node memory: what the cores share and their parts."""
    return _shared(config) + config.cores * _part(config)


def _shared(config: NodeConfig) -> int:
    if config.cores == 1:
        return 0
    return _whole_pages(CoreLinksPlan.size(config.cores)) + _whole_pages(Steering.size(config.cores))


def _part(config: NodeConfig) -> int:
    return (config.memory // config.cores + SYSTEM_MEMORY) // PAGE * PAGE


def _whole_pages(length: int) -> int:
    return (length + PAGE - 1) // PAGE * PAGE
