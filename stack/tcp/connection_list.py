"""The connection look-up of lwIP, and so of the original system: a list, the last one used in front.

A segment's connection is searched from the front, and moved there when it is found: a connection that is used in
bursts is found at once, but with many that take turns every search walks past all the others. That is why the paper's
memcached loses throughput above 64 connections (section 4.2). A stack has it only when told to, so that the effect can
be measured beside the hash table (``netlab bench memcached --lookup list``). The pieces of a list run through the
connections themselves, as in lwIP.
"""

from stack.tcp.connections import Connections, Flow, joins


class ConnectionList(Connections):
    """The list; its head is the connection that was last found or added."""

    def __init__(self, seed: bytes) -> None:
        Connections.__init__(self, seed)
        self._head: Flow | None = None

    def find(
        self,
        local_high: int,
        local_low: int,
        local_port: int,
        remote_high: int,
        remote_low: int,
        remote_port: int,
    ) -> Flow | None:
        """See Connections."""
        previous = None
        flow = self._head
        while flow is not None:
            if (
                flow.remote_port == remote_port
                and flow.local_port == local_port
                and joins(flow.path, local_high, local_low, remote_high, remote_low)
            ):
                if previous is not None:
                    previous.following = flow.following
                    flow.following = self._head
                    self._head = flow
                return flow
            previous = flow
            flow = flow.following
        return None

    def insert(self, flow: Flow) -> None:
        """See Connections."""
        flow.following = self._head
        self._head = flow
        self.count += 1

    def remove(self, flow: Flow) -> None:
        """See Connections."""
        previous = None
        current = self._head
        while current is not None and current is not flow:
            previous = current
            current = current.following
        if current is None:
            return
        if previous is None:
            self._head = flow.following
        else:
            previous.following = flow.following
        flow.following = None
        self.count -= 1

    def flows(self) -> list[Flow]:
        """See Connections."""
        flows = []
        flow = self._head
        while flow is not None:
            flows.append(flow)
            flow = flow.following
        return flows

    def __del__(self) -> None:
        """Take it apart piece by piece, so that no deep recursion frees it."""
        flow = self._head
        self._head = None
        while flow is not None:
            following = flow.following
            flow.following = None
            flow = following
