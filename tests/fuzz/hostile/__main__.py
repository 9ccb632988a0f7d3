"""Run the attack from a shell, with progress; exit status 1 when something is wrong."""

import argparse
import sys
import time

from tests.fuzz.hostile.arena import Arena

STEPS = 20
# What may be added between the half and the end of an attack: caches that still fill up, and nothing that grows.
MOST_GROWTH = {"node memory": 1 << 20, "connections": 200, "timers": 2000, "objects": 20_000, "resident MiB": 32}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.hostile", description="Hostile frames at a node.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--frames", type=int, default=100_000)
    arguments = parser.parse_args()
    arena = Arena(arguments.seed)
    began = time.monotonic()
    sizes = []
    for _ in range(STEPS):
        arena.run(arguments.frames // STEPS)
        sizes.append(arena.sizes())
        print(
            f"{arena.attacker.sent:>12,} frames in {time.monotonic() - began:.0f} s; "
            f"{len(arena.outcomes)} transfers; {sizes[-1]}",
            flush=True,
        )
        if problems := arena.problems():
            print(*problems, sep="\n")
            return 1
    arena.settle()
    problems = arena.problems()
    middle, last = sizes[STEPS // 2], sizes[-1]
    problems += [
        f"{name} went from {middle[name]} to {last[name]} in the second half"
        for name, most in MOST_GROWTH.items()
        if last[name] > middle[name] + most
    ]
    print(*problems, f"at the end: {arena.sizes()}", sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
