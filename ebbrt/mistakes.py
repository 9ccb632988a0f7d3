"""How an error in an application's own code is told: in one line, with its place there, instead of a traceback.

What the runtime did between is of no use to someone who has misspelt a name. NETLAB_TRACEBACK=1 in the environment
shows all of it.
"""

import bdb
import os
import sys
import sysconfig
import traceback
from types import TracebackType

TRACEBACK_VARIABLE = "NETLAB_TRACEBACK"
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_RUNTIME = tuple(os.path.join(_OURS, name, "") for name in ("ebbrt", "drivers", "stack", "netlab"))
_LIBRARY = tuple(os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "purelib", "platlib"))


def place_of(error: BaseException) -> str:
    """Where in the application's code an error comes from, as ``file:line``; empty when it is not from there."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        path = os.path.abspath(frame.filename)
        if not frame.filename.startswith("<") and not path.startswith(_RUNTIME + _LIBRARY):
            place = f"{frame.filename}:{frame.lineno}"
    return place


def told(error: BaseException) -> str:
    """The error in one line: its place, its type, its text."""
    place = place_of(error)
    text = f": {error}" if str(error) else ""
    return f"{place}: {type(error).__name__}{text}" if place else f"{type(error).__name__}{text}"


def wants_traceback() -> bool:
    """Whether whoever runs this asked for tracebacks."""
    return bool(os.environ.get(TRACEBACK_VARIABLE))


def install() -> None:
    """Let what ends this program be told so. Ctrl-C, and the debugger's ``q``, need no word at all."""
    if sys.excepthook is sys.__excepthook__ and not wants_traceback():
        sys.excepthook = _tell


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, (KeyboardInterrupt, bdb.BdbQuit)):
        return
    print(told(error), file=sys.stderr)
    print(f"{TRACEBACK_VARIABLE}=1 in the environment shows the traceback.", file=sys.stderr)
