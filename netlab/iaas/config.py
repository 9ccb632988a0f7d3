"""What the IaaS daemon is started with; it goes over the daemon's command line, so it holds no secret."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

MIB = 1 << 20


@dataclass(frozen=True)
class DaemonConfig:
    """What the daemon is started with.

    socket: the path of its Unix socket. network, taken: the lab's network, and the addresses in it that machines of
    the lab have. bridge: what nodes are attached to. pool: dormant nodes to keep. memory: bytes of a node that was
    not asked for with another size. concurrency: boots at a time. silence: seconds after which a silent node counts
    as hung. limits: nodes that a user may have, by uid as a text; the daemon's own user is served in any case.
    """

    socket: str
    network: str
    taken: list[str]
    bridge: str
    pool: int = 4
    memory: int = 16 * MIB
    concurrency: int = 2
    silence: float = 5.0
    limits: dict[str, int] = field(default_factory=dict)

    @property
    def prefix_length(self) -> int:
        """Of the network, in bits."""
        return int(self.network.partition("/")[2])

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> "DaemonConfig":
        """What ``text`` wrote."""
        document: dict[str, Any] = json.loads(text)
        return cls(**document)
