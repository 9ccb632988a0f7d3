"""What ``netlab run`` starts in the host: a user's program, whose modules are found as ``python.py`` says.

python -P -m netlab.program app.py ARGUMENT...
"""

import sys
from pathlib import Path
from types import ModuleType

from netlab import python


def main() -> None:
    """Be the program that the command line names: it is ``__main__``, as if Python had been given it."""
    script = Path(sys.argv[1])
    python.let_in(str(script.absolute().parent))
    del sys.argv[0]
    program = ModuleType("__main__")
    program.__file__ = str(script)
    sys.modules["__main__"] = program
    exec(compile(script.read_bytes(), script, "exec"), program.__dict__)


if __name__ == "__main__":
    main()
