"""A node of a simulation: what ``netlab.node`` puts together on a TAP, on ports in memory and a virtual clock.

Memory, virtio device and driver, stack, Network Manager, base Ebbs and applications are the same. It has one core.
Whatever comes for it is followed to its end at that instant (``run``), and its next deadline is put into the agenda.
"""

import hashlib
import random
from collections.abc import Callable
from ipaddress import IPv4Interface
from typing import TYPE_CHECKING, Any

from drivers.virtio.constants import LONGEST_FRAME, NET_HEADER_LENGTH
from drivers.virtio.device import NetDevice
from drivers.virtio.driver import VirtioNet
from drivers.virtio.memory_port import MemoryPort
from ebbrt import ebb, ebb_kinds
from ebbrt.constants import FOREVER
from ebbrt.ebb_ids import EbbAllocator
from ebbrt.events.virtual import VirtualEventManager
from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator, NodeMemory
from ebbrt.tcp_settings import TcpSettings
from netlab.errors import NetlabError
from netlab.sim.wire import End
from stack.network_manager import StackNetworkManager
from stack.stack import Stack

if TYPE_CHECKING:
    from netlab.sim.agenda import Agenda

DEFAULT_MEMORY = 16 << 20  # bytes; only what is used is there
RING_SIZE = 256  # 128 KiB of posted buffers
HEADROOM = 192  # before what an application sends, for all headers below


class NodePort(End):
    """A network interface of a node, with the device and the driver behind it."""

    def __init__(self, node: "SimulatedNode", name: str, address: IPv4Interface, mtu: int, whole: bool) -> None:
        super().__init__(name)
        self._node = node
        self.port = MemoryPort(self, whole)
        spill = node.allocator.allocate(LONGEST_FRAME + NET_HEADER_LENGTH)
        if spill is None:
            raise NetlabError(f"node {node.name} has too little memory for an interface")
        self._spill = spill  # kept for as long as the device writes to it
        mac = b"\x02" + hashlib.blake2b(name.encode(), digest_size=5).digest()  # whatever address it is given
        self.device = NetDevice(node.memory, self.port, node.events, spill.offset, mac, mtu)
        self.driver = VirtioNet(self.device, node.allocator, node.events, RING_SIZE)
        self.interface = node.stack.add_interface(self.driver, address)
        self.driver.start(self.interface)

    def receive(self, frame: bytes, header: bytes) -> None:
        """See End."""
        self.port.deliver(frame, header)
        self._node.run()


class SimulatedNode:
    """One node. Its parts are there for applications and tests, as those of ``netlab.node.Node`` are.

    address: of its first interface.
    application: what the function given to ``Simulation.add_node`` returned, once the node has booted.
    """

    def __init__(
        self, agenda: "Agenda", name: str, address: str, seed: str, memory: int, tcp: TcpSettings, sack: bool
    ) -> None:
        self.name = name
        self.address = address.partition("/")[0]
        self.clock = agenda.clock
        self.memory = NodeMemory(memory)
        self.allocator = MemoryAllocator(self.memory)
        self.events = VirtualEventManager(agenda.clock)
        chance = random.Random(seed)
        secret = chance.randbytes(16)
        self.stack = Stack(self.allocator, agenda.clock, chance, secret)
        self.stack.tcp.engine.settings = tcp
        self.stack.tcp.engine.sack = sack
        self.network = StackNetworkManager(self.stack, self.events)
        self.ports: list[NodePort] = []
        self.core = ebb.Core()
        self.application: Any = None
        self._agenda = agenda
        self._wake_at = FOREVER
        self._install_ebbs()

    def _install_ebbs(self) -> None:
        self.core.install(ebb.MEMORY_ALLOCATOR, self.allocator)
        self.core.install(ebb.EVENT_MANAGER, self.events)
        self.core.install(ebb.EBB_ALLOCATOR, EbbAllocator(0, 0))
        self.core.install(ebb.LOCAL_ID_MAP, ebb.LocalIdMap())
        self.core.install(ebb.NETWORK_MANAGER, self.network)
        ebb_kinds.start(self.core)

    def add_interface(self, address: str, mtu: int = 1500, whole: bool = False) -> NodePort:
        """An interface with this address and network, "198.18.0.1/16"; whole: see ``MemoryPort``."""
        name = self.name if not self.ports else f"{self.name}.{len(self.ports)}"
        port = NodePort(self, name, IPv4Interface(address), mtu, whole)
        self.ports.append(port)
        return port

    def boot(self, application: Callable[["SimulatedNode"], Any]) -> None:
        """Put an application on it: ``application`` is called with the node, as an event. Raises what it raises."""
        failure: list[Exception] = []

        def start() -> None:
            try:
                self.application = application(self)
            except Exception as error:
                failure.append(error)

        self.events.spawn(start, force_async=True)
        self.run()
        if failure:
            raise failure[0]

    def call(self, function: Callable[[], Any]) -> None:
        """Run ``function`` as an event of the node, and all that follows from it now."""
        self.events.spawn(function, force_async=True)
        self.run()

    def run(self) -> None:
        """Do everything that is to be done at this instant."""
        if self.events.stopped:
            return
        self.core.enter()
        deadline = self.events.settle()
        if deadline < self._wake_at:
            self._wake_at = deadline
            self._agenda.add(deadline, self._wake)
        if self.events.stopped:
            for port in self.ports:
                port.driver.stop()

    def _wake(self) -> None:
        if self._wake_at <= self.clock.now():  # else an earlier deadline came in between, and another call is due
            self._wake_at = FOREVER
            self.run()

    def buffer(self, data: bytes) -> IOBuf:
        """``data`` in node memory, for ``send``. Raises MemoryError."""
        piece = allocate(self.allocator, len(data), HEADROOM)
        if piece is None:
            raise MemoryError(f"node {self.name} has no memory left for {len(data)} bytes")
        piece.write(0, data)
        return piece

    def statistics(self) -> dict[str, Any]:
        """The counters of every component, as those of a node on a TAP."""
        everything: dict[str, Any] = {
            "events": self.events.statistics(),
            "memory": self.allocator.statistics(),
            "stack": self.stack.statistics(),
            "ports": {
                port.name: {"device": port.device.statistics(), "driver": port.driver.statistics()}
                for port in self.ports
            },
        }
        if hasattr(self.application, "statistics"):
            everything["application"] = self.application.statistics()
        return everything

    def close(self) -> None:
        """End it: events that have blocked are ended."""
        self.core.enter()
        self.events.close()
