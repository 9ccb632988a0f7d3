"""Coverage-guided fuzzing of one target of ``targets``, with atheris.

    NETLAB_PURE=1 python -m tests.fuzz                           # which there are
    NETLAB_PURE=1 python -m tests.fuzz tcp -max_total_time=60    # libFuzzer's own options follow the name

atheris sees the coverage of plain Python only, hence NETLAB_PURE. Our functions are instrumented one by one: its own
hooks on import do not meet the one by which plain sources are found beside compiled modules (``ebbrt.build``), and to
instrument everything takes minutes.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType

import atheris

from tests.fuzz.targets import EXAMPLES, TARGETS

OURS = {"ebbrt", "drivers", "stack", "apps", "captures", "netlab"}


def functions_of(module: ModuleType) -> Iterator[FunctionType]:
    """The functions that are defined in it, and the methods of its classes.

    ``type`` is asked and not ``isinstance``, which a reference to an Ebb would pass on to the Ebb.
    """
    for found in list(vars(module).values()):
        for each in vars(found).values() if type(found) is type else (found,):
            if type(each) is FunctionType and each.__module__ == module.__name__:
                yield each


def main() -> int:
    """The command line."""
    name, *options = sys.argv[1:] or [""]
    if name not in TARGETS:
        print("Name one of:", *[f"  {each}: {target.__doc__}" for each, target in TARGETS.items()], sep="\n")
        return 2
    for module in [module for name, module in sys.modules.items() if name.partition(".")[0] in OURS]:
        for function in functions_of(module):
            atheris.instrument_func(function)
    with tempfile.TemporaryDirectory(prefix="netlab-fuzz-") as corpus:
        Path(corpus, "example").write_bytes(EXAMPLES[name])
        atheris.Setup([name, *options, corpus], TARGETS[name])
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
