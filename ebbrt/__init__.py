"""The runtime: events, Ebbs, buffers in node memory, and the interfaces applications are written to.

Read ``memory`` and ``iobuf`` first, then ``event_manager``, ``ebb`` and ``network``.
"""

from ebbrt import build

build.install()
