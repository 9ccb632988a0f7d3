"""Composes labs, nodes, benchmarks and commands. ``__version__`` is that of the whole project.

Whoever runs a module of ours by ``python -m`` without ``-P`` has the current folder before the standard library. Here
is the first line of ours that such a process comes to, and the last moment to keep a ``random.py`` there from being
imported as root; unless that folder is where this very package came from.
"""

import os
import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:  # so it is until the module has been found
    _home = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    if os.path.realpath(sys.path[0]) != _home:
        del sys.path[0]

__version__ = "0.1.0"
