"""A scenario: a Python file that builds a simulation, and says what came of it; ``netlab sim`` runs it.

def build(simulation):          # adds nodes and links; may return a function: the run ends when it returns True
def report(simulation):         # what the run showed, as a dictionary; may be missing
SECONDS = 10                    # how long it runs, in virtual time, unless told; 60 when it is missing
"""

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from netlab.errors import NetlabError, UsageError
from netlab.sim.simulation import Simulation

DEFAULT_SECONDS = 60.0
STEPS = 100  # of a run, after each of which its progress is told


class ScenarioError(NetlabError):
    """A file that is no scenario."""


class ScenarioFileError(ScenarioError, UsageError):
    """There is no scenario there."""


class Scenario:
    """The scenario in a file. Raises ScenarioError; what the file itself raises when it is read goes through."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._module = _load(path)
        if not callable(getattr(self._module, "build", None)):
            raise ScenarioError(
                f"{path} has no function build", "It takes the simulation, and adds nodes and links to it."
            )

    def run(
        self,
        seed: int,
        seconds: float | None = None,
        capture: Path | None = None,
        progress: Callable[[float], object] = lambda share: None,
    ) -> dict[str, Any]:
        """Run it from a seed; ``progress`` is told the share of the time that has passed, 0 to 1.

        Returns seed, virtual and real seconds, whether the scenario's own condition came about (None: it has none),
        its report, and the counters of everything.
        """
        seconds = float(getattr(self._module, "SECONDS", DEFAULT_SECONDS)) if seconds is None else seconds
        began = time.perf_counter()
        with Simulation(seed) as simulation:
            if capture is not None:
                simulation.capture(capture)
            until = self._module.build(simulation)
            done = False
            for step in range(1, STEPS + 1):
                done = simulation.run(until, seconds * step / STEPS - simulation.now())
                progress(step / STEPS)
                if done:
                    break
            report = getattr(self._module, "report", None)
            return {
                "scenario": str(self.path),
                "seed": seed,
                "virtual_seconds": simulation.now(),
                "real_seconds": time.perf_counter() - began,
                "ended": done if until is not None else None,
                "report": report(simulation) if report is not None else {},
                "statistics": simulation.statistics(),
            }


def _load(path: Path) -> ModuleType:
    if not path.is_file():
        raise ScenarioFileError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ScenarioFileError(f"{path} is no Python file", "A scenario's name ends in .py.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
