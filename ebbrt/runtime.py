"""An application's node: the base Ebbs by which its nodes are one system, joined on each core.

A core that has booted has its own base Ebbs: Memory Allocator, Event Manager, Local Id Map, Network Manager, Core
Links. Once the node belongs to an application it gets those that need the other nodes: Messenger, Ebb Allocator (its
range is the node's), Global Id Map, File System, Command Line, Node Allocator (paper section 3.1.2, figure 1).
``start`` does so on a back-end, ``ebbrt.front_end`` in the front-end: there are the Global Id Map's data, the files
and the provider of nodes, which back-ends ask it for.
"""

from random import Random, SystemRandom
from typing import NamedTuple

from ebbrt import ebb
from ebbrt.command_line import CommandLine
from ebbrt.cores import CoreLinks
from ebbrt.ebb import Core, current_core
from ebbrt.ebb_ids import EbbAllocator, EbbError
from ebbrt.events.event_manager import EventManager
from ebbrt.files.file_system import FileSystem, RemoteChannel
from ebbrt.future import Future, when_all
from ebbrt.id_map.global_id_map import GlobalIdMap
from ebbrt.id_map.remote import RemoteStore
from ebbrt.memory import MemoryAllocator
from ebbrt.messages import Messenger, NodeId
from ebbrt.messenger.core_messenger import CoreMessenger, CoreMessengerServer
from ebbrt.messenger.tcp_messenger import TcpMessenger
from ebbrt.network import NetworkManager
from ebbrt.node_allocator import BackEndNodeAllocator, NodeAllocator

HELLO_TIME = 5_000_000_000  # ns to reach the front-end in
MESSENGER_PORT = 9100  # of a back-end, which has an address of its own

_is_back_end = False


def become_back_end() -> None:
    """Note that this process is a back-end's: the front-end's program may be imported here, and must not run."""
    global _is_back_end
    _is_back_end = True


def is_back_end() -> bool:
    """Whether this process is a back-end's."""
    return _is_back_end


class Identity(NamedTuple):
    """Which node of which application this is, in plain data: what a node is told when it joins one.

    secret: by which the application's nodes know each other. argv: what its front-end was started with.
    """

    local: NodeId
    front_end: NodeId
    secret: bytes
    argv: tuple[str, ...]


class Runtime:
    """The base Ebbs of one core, by name; the references in ``ebbrt.ebb`` reach the same ones.

    There is a ``node_allocator`` on core 0 only: elsewhere, and in a front-end without a provider, it raises EbbError.
    """

    def __init__(self, core: Core, identity: Identity) -> None:
        self.core = core
        self.identity = identity
        self.events: EventManager = core.representative(ebb.EVENT_MANAGER)
        self.allocator: MemoryAllocator = core.representative(ebb.MEMORY_ALLOCATOR)
        self.network: NetworkManager = core.representative(ebb.NETWORK_MANAGER)
        core.install(ebb.EBB_ALLOCATOR, EbbAllocator(identity.local.number, core.number))
        core.install(ebb.COMMAND_LINE, CommandLine(identity.argv))

    @property
    def messenger(self) -> Messenger:
        """Messages to other nodes."""
        found: Messenger = self.core.resolve(ebb.MESSENGER)
        return found

    @property
    def global_id_map(self) -> GlobalIdMap:
        """Bytes by Ebb id, the same on every node."""
        found: GlobalIdMap = self.core.resolve(ebb.GLOBAL_ID_MAP)
        return found

    @property
    def file_system(self) -> FileSystem:
        """The front-end's files."""
        found: FileSystem = self.core.resolve(ebb.FILE_SYSTEM)
        return found

    @property
    def command_line(self) -> CommandLine:
        """What the front-end was started with."""
        found: CommandLine = self.core.resolve(ebb.COMMAND_LINE)
        return found

    @property
    def node_allocator(self) -> NodeAllocator:
        """More nodes."""
        found: NodeAllocator = self.core.resolve(ebb.NODE_ALLOCATOR)
        return found

    def listen_for_messages(self, random: Random) -> TcpMessenger:
        """Install the Messenger of core 0, which draws its nonces from ``random``."""
        identity = self.identity
        messenger = TcpMessenger(
            self.network,
            self.events,
            self.allocator,
            self.core,
            identity.local,
            identity.secret,
            self.events.clock,
            random,
        )
        self.core.install(ebb.MESSENGER, messenger)
        return messenger


def start(identity: Identity, random: Random | None = None) -> Future["Runtime"]:
    """Have the back-end that this is core 0 of join an application, on all its cores; ready when it has.

    random: the machine's own without. The future fails when the front-end does not answer within HELLO_TIME.
    """
    runtime = Runtime(current_core(), identity)
    runtime.listen_for_messages(SystemRandom() if random is None else random)
    node_allocator = BackEndNodeAllocator(runtime.messenger, runtime.allocator, identity.front_end)
    runtime.core.install(ebb.NODE_ALLOCATOR, node_allocator)
    _ask_front_end(runtime)
    runtime.events.joined(identity.front_end)
    links: CoreLinks = runtime.core.representative(ebb.CORE_LINKS)
    if links.count > 1:
        CoreMessengerServer(links, runtime.messenger, runtime.allocator)
    others = [links.call(core, _start_here, identity) for core in range(1, links.count)]
    joined = when_all([*others, node_allocator.hello(HELLO_TIME)])
    return joined.then(lambda _: runtime)


def _start_here(identity: Identity) -> None:
    """The same on a core other than 0."""
    runtime = Runtime(current_core(), identity)
    links: CoreLinks = runtime.core.representative(ebb.CORE_LINKS)
    runtime.core.register(ebb.NODE_ALLOCATOR, _only_on_core_0)
    runtime.core.install(ebb.MESSENGER, CoreMessenger(links, identity.local, runtime.allocator))
    _ask_front_end(runtime)


def _ask_front_end(runtime: Runtime) -> None:
    """Install what a back-end has of the Ebbs whose data are in the front-end."""
    front_end, allocator = runtime.identity.front_end, runtime.allocator
    store = RemoteStore(runtime.messenger, front_end, allocator)
    runtime.core.install(ebb.GLOBAL_ID_MAP, GlobalIdMap(runtime.events, store))
    channel = RemoteChannel(runtime.messenger, front_end, allocator)
    runtime.core.install(ebb.FILE_SYSTEM, FileSystem(channel, allocator))


def _only_on_core_0(core: Core, ebb_id: int) -> object:
    raise EbbError("nodes are allocated on core 0: have it do so with core_links.call(0, ...)")
