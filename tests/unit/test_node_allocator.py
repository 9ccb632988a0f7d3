"""The Node Allocator: what both forms promise, over whole nodes under virtual time; then what each has of its own.

The latter over a provider and a Messenger that only note what they are asked.
"""

import sys
from collections.abc import Callable, Iterator

import pytest

from ebbrt.ebb import NODE_ALLOCATOR
from ebbrt.future import Future, Promise, TimedOutError, failed, ready
from ebbrt.iobuf import IOBuf
from ebbrt.messages import Messenger, NodeId, RemoteCallError, pack, unpack
from ebbrt.node_allocator import AllocatedNode, BackEndNodeAllocator, FrontEndNodeAllocator, importable
from ebbrt.node_provider import Boot, NodeFailedError, NodeProvider
from tests.fakes import make_allocator
from tests.messenger_nodes import MessengerNode
from tests.node_allocator_suite import AllocatorForms, NodeAllocatorSuite, ToldProvider
from tests.node_pair import VirtualNetwork

FRONT_END = NodeId(0, "198.18.0.1", 9100)
BACK_END = NodeId(7, "198.18.0.7", 9100)


class Forms(AllocatorForms):
    """A front-end and a back-end; the one of the two that is tested."""

    def __init__(self, form: str) -> None:
        self.wire = VirtualNetwork()
        machine, other = self.wire.nodes
        front, back = MessengerNode(machine, number=0), MessengerNode(other, number=200)
        self.provider = ToldProvider(machine.events)
        front_end = FrontEndNodeAllocator(self.provider, front.messenger, machine.allocator, b"secret", (), "/here")
        machine.core.install(NODE_ALLOCATOR, front_end)
        back_end = BackEndNodeAllocator(back.messenger, other.allocator, front.id)
        other.core.install(NODE_ALLOCATOR, back_end)
        self.allocator, self.node = (front_end, front) if form == "front-end" else (back_end, back)

    def run(self, until: Callable[[], bool]) -> None:
        self.wire.run(until)

    def settle(self) -> None:
        self.wire.advance(0.1)

    def close(self) -> None:
        for machine in self.wire.nodes:
            assert machine.events.failures == 0
        self.wire.close()


class TestBothForms(NodeAllocatorSuite):
    @pytest.fixture(params=["front-end", "back-end"])
    def forms(self, request: pytest.FixtureRequest) -> Iterator[AllocatorForms]:
        forms = Forms(request.param)
        yield forms
        forms.close()


# The front-end's own


class NotedProvider(NodeProvider):
    """Boots and frees nothing: the test keeps the promises."""

    def __init__(self) -> None:
        self.boots: list[tuple[Boot, Promise[NodeId]]] = []
        self.frees: dict[int, Promise[None]] = {}
        self.closed = False

    def boot(self, boot: Boot, timeout: int) -> Future[NodeId]:
        promise: Promise[NodeId] = Promise()
        self.boots.append((boot, promise))
        return promise.future

    def free(self, number: int, timeout: int) -> Future[None]:
        self.frees[number] = Promise()
        return self.frees[number].future

    def close(self) -> None:
        self.closed = True

    def ready(self, index: int) -> None:
        boot, promise = self.boots[index]
        promise.set_value(NodeId(boot.number, f"198.18.1.{boot.number}", 9100))


class NotedMessenger(Messenger):
    """Sends nothing. ``answer`` answers calls."""

    def __init__(self, local: NodeId) -> None:
        self._local = local
        self.lost: list[tuple[int, str]] = []
        self.sent: list[tuple[NodeId, object]] = []
        self.answer: Callable[[IOBuf], Future[IOBuf]]

    def local(self) -> NodeId:
        return self._local

    def send(self, node: NodeId, ebb_id: int, data: IOBuf) -> None:
        self.sent.append((node, unpack(data)))

    def call(self, node: NodeId, ebb_id: int, data: IOBuf, timeout: int) -> Future[IOBuf]:
        return self.answer(data)

    def node_lost(self, number: int, reason: str) -> None:
        self.lost.append((number, reason))


class FrontEnd:
    def __init__(self) -> None:
        self.provider = NotedProvider()
        self.messenger = NotedMessenger(FRONT_END)
        self.memory = make_allocator()
        self.allocator = FrontEndNodeAllocator(
            self.provider, self.messenger, self.memory, b"secret", ["app", "-v"], "/here"
        )

    def node(self) -> AllocatedNode:
        """One that is ready."""
        future = self.allocator.allocate(1, "app:main")[0]
        self.provider.ready(-1)
        return future.result()


@pytest.fixture
def front_end() -> FrontEnd:
    return FrontEnd()


def test_the_provider_is_told_what_to_boot(front_end: FrontEnd) -> None:
    futures = front_end.allocator.allocate(2, "package.app:main", cores=2, memory=1 << 20)
    assert [boot.number for boot, _ in front_end.provider.boots] == [1, 2]
    assert front_end.provider.boots[0][0] == Boot(
        1, "package.app:main", ("app", "-v"), "/here", b"secret", FRONT_END, 2, 1 << 20
    )
    assert not futures[0].done()
    front_end.provider.ready(0)
    assert futures[0].result().id == NodeId(1, "198.18.1.1", 9100)
    assert not futures[1].done()
    front_end.provider.ready(1)
    assert front_end.allocator.nodes() == [future.result() for future in futures]


def test_a_number_is_never_used_again(front_end: FrontEnd) -> None:
    future = front_end.allocator.allocate(1, "app:main")[0]
    front_end.provider.boots[0][1].set_error(NodeFailedError("no"))
    assert isinstance(future.error(), NodeFailedError)
    node = front_end.node()
    front_end.allocator.free(node)
    assert (node.id.number, front_end.node().id.number) == (2, 3)


def test_a_node_that_does_not_boot_is_lost_to_the_messenger(front_end: FrontEnd) -> None:
    future = front_end.allocator.allocate(1, "app:main")[0]
    front_end.provider.boots[0][1].set_error(NodeFailedError("its application failed"))
    assert isinstance(future.error(), NodeFailedError)
    assert front_end.messenger.lost == [(1, "its application failed")]
    assert front_end.allocator.nodes() == []
    assert front_end.allocator.statistics()["failed"] == 1


def test_whoever_keeps_something_for_nodes_can_be_told_of_their_end(front_end: FrontEnd) -> None:
    told: list[tuple[int, str]] = []
    front_end.allocator.on_lost = lambda number, reason: told.append((number, reason))
    died, freed = front_end.node(), front_end.node()
    front_end.allocator.node_lost(died.id.number, "killed")
    front_end.allocator.free(freed)
    assert told == [(1, "killed"), (2, "it was freed")]


def test_free_is_done_when_the_provider_says_so_and_once(front_end: FrontEnd) -> None:
    node = front_end.node()
    first = front_end.allocator.free(node)
    second = front_end.allocator.free(node)
    assert node.lost.result() == "it was freed"
    assert front_end.messenger.lost == [(1, "it was freed")]
    front_end.allocator.node_lost(1, "killed")  # on its way when it was freed
    assert not first.done()
    assert not second.done()
    front_end.provider.frees[1].set_value(None)
    assert first.result() is None
    assert second.result() is None
    assert front_end.allocator.free(node).done()
    assert front_end.allocator.statistics() == {"allocated": 1, "failed": 0, "freed": 1, "lost": 0, "nodes": 0}


def test_a_script_is_imported_by_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    main = type(sys)("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    with pytest.raises(ValueError, match="typed in"):
        importable("__main__:serve")
    main.__file__ = "/home/me/wordcount.py"
    assert importable("__main__:serve") == "wordcount:serve"
    assert importable("other.module:serve") == "other.module:serve"


# Back-ends: theirs asks the front-end's, here without a network between the two.


class BackEnd:
    def __init__(self, front_end: FrontEnd) -> None:
        self.messenger = NotedMessenger(BACK_END)
        self.memory = make_allocator()
        self.allocator = BackEndNodeAllocator(self.messenger, self.memory, FRONT_END)
        self.messenger.answer = lambda data: self._ask(front_end, data)

    def _ask(self, front_end: FrontEnd, data: IOBuf) -> Future[IOBuf]:
        try:
            answer = front_end.allocator.receive_call(BACK_END, data)
        except Exception as error:
            return failed(RemoteCallError(str(error)))
        return answer if isinstance(answer, Future) else ready(answer)


@pytest.fixture
def back_end(front_end: FrontEnd) -> BackEnd:
    return BackEnd(front_end)


def test_a_back_end_reaches_its_front_end(back_end: BackEnd) -> None:
    assert back_end.allocator.hello(1000).result() is None


def test_a_back_end_is_told_of_its_nodes_death(front_end: FrontEnd, back_end: BackEnd) -> None:
    future = back_end.allocator.allocate(1, "app:main")[0]
    front_end.provider.ready(0)
    front_end.allocator.node_lost(1, "killed")
    assert front_end.messenger.sent == [(BACK_END, [1, "killed"])]
    back_end.allocator.receive_message(FRONT_END, pack(back_end.memory, [1, "killed"]))
    assert future.result().lost.result() == "killed"
    assert back_end.messenger.lost == [(1, "killed")]
    assert back_end.allocator.nodes() == []


def test_who_is_lost_is_told_nothing_more(front_end: FrontEnd, back_end: BackEnd) -> None:
    while front_end.node().id.number < BACK_END.number:
        pass
    for _ in range(2):
        back_end.allocator.allocate(1, "app:main")
        front_end.provider.ready(-1)
    front_end.allocator.node_lost(BACK_END.number, "killed")
    front_end.allocator.node_lost(BACK_END.number + 1, "killed")
    assert front_end.messenger.sent == []
    front_end.allocator.provider_lost("it has ended")
    assert front_end.messenger.sent == []


def test_what_who_is_lost_has_asked_for_and_was_not_told_of_does_not_stay(
    front_end: FrontEnd, back_end: BackEnd
) -> None:
    while front_end.node().id.number < BACK_END.number:
        pass
    back_end.allocator.allocate(2, "app:main")
    front_end.provider.ready(-1)
    front_end.allocator.node_lost(BACK_END.number, "killed")
    assert front_end.provider.frees == {}
    front_end.provider.ready(-2)
    assert list(front_end.provider.frees) == [BACK_END.number + 1]


@pytest.mark.parametrize("boots_first", [False, True])
def test_what_a_back_end_waits_for_no_longer_does_not_stay(
    front_end: FrontEnd, back_end: BackEnd, boots_first: bool
) -> None:
    given: list[IOBuf] = []
    call: Promise[IOBuf] = Promise()

    def note(data: IOBuf) -> Future[IOBuf]:
        given.append(data)
        return call.future

    back_end.messenger.answer = note
    future = back_end.allocator.allocate(1, "app:main")[0]
    front_end.allocator.receive_call(BACK_END, given[0])
    call.set_error(TimedOutError("too long"))
    assert isinstance(future.error(), TimedOutError)
    if boots_first:
        front_end.provider.ready(0)
    assert back_end.messenger.sent == [(FRONT_END, 1)]
    front_end.allocator.receive_message(BACK_END, pack(front_end.memory, 1))
    if not boots_first:
        front_end.provider.ready(0)
    assert front_end.allocator.nodes() == []
    assert list(front_end.provider.frees) == [1]


@pytest.mark.parametrize(
    "question", [None, [], {}, {"do": "reboot"}, {"do": "allocate"}, {"do": "free", "number": [1]}]
)
def test_a_question_that_makes_no_sense_fails_and_nothing_else(front_end: FrontEnd, question: object) -> None:
    with pytest.raises((ValueError, TypeError, LookupError)):
        front_end.allocator.receive_call(BACK_END, pack(front_end.memory, question))
    assert front_end.provider.boots == []
