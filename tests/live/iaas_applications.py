"""What the live tests of the IaaS run on its nodes."""

import os
import signal
import time
from typing import Any


def idle(runtime: Any) -> None:
    """Serve nothing."""


def fail(runtime: Any) -> None:
    raise RuntimeError("this application never works")


def die(runtime: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang(runtime: Any) -> None:
    time.sleep(3600)
