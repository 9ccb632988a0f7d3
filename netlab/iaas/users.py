"""Who may have how much: the limits of the daemon's users, told apart by the uid the kernel vouches for."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


class LimitError(Exception):
    """A user asked for more than it may have."""


@dataclass(frozen=True)
class Limits:
    """What one user may have at a time: ``nodes``; in each node ``cores`` and ``memory`` (bytes)."""

    nodes: int = 128
    cores: int = 4
    memory: int = 1 << 30


@dataclass
class Users:
    """The users there are, by uid, with their limits; nobody else is served."""

    limits: dict[int, Limits]
    nodes: Counter[int] = field(default_factory=Counter)
    refused: int = 0

    def knows(self, uid: int) -> bool:
        """Whether this user is served at all."""
        return uid in self.limits

    def take(self, uid: int, cores: int, memory: int) -> None:
        """Count one more node for the user. Raises LimitError, and counts it, when that is too much."""
        limits = self.limits[uid]
        problem = ""
        if cores > limits.cores:
            problem = f"a node of {cores} cores: user {uid} may have {limits.cores} in one"
        elif memory > limits.memory:
            problem = f"a node of {memory >> 20} MiB: user {uid} may have {limits.memory >> 20} MiB in one"
        elif self.nodes[uid] >= limits.nodes:
            problem = f"user {uid} has {self.nodes[uid]} nodes, all that it may have: free some first"
        if problem:
            self.refused += 1
            raise LimitError(problem)
        self.nodes[uid] += 1

    def give_back(self, uid: int) -> None:
        """One of the user's nodes is gone."""
        self.nodes[uid] -= 1

    def statistics(self) -> dict[str, Any]:
        """Nodes in use by uid, and how often a limit was met."""
        return {"nodes": {str(uid): count for uid, count in self.nodes.items() if count}, "refused": self.refused}
