"""What a Node Allocator promises (``ebbrt.node_allocator``), as tests that both forms of it pass.

A test class inherits ``NodeAllocatorSuite`` and has a fixture ``forms``: the form that is tested, over a provider that
boots nothing but does as the test says. Time is virtual.
"""

from collections.abc import Callable
from typing import TypeVar

import pytest

from ebbrt.events.event_manager import EventManager
from ebbrt.future import Future, Promise, TimedOutError
from ebbrt.messages import NodeId, NodeLostError
from ebbrt.node_allocator import FREED, AllocatedNode, NodeAllocator
from ebbrt.node_provider import Boot, NodeFailedError, NodeLimitError, NodeProvider, ProviderLostError
from tests.messenger_nodes import EBB, PORT, MessengerNode
from tests.node_pair import SECOND

T = TypeVar("T")
APPLICATION = "package.app:main"


class ToldProvider(NodeProvider):
    """Keeps the promises when the test says so; else they fail in time, as a provider's do."""

    def __init__(self, events: EventManager) -> None:
        self.events = events
        self.boots: list[Boot] = []
        self.frees: list[int] = []
        self._booting: dict[int, Promise[NodeId]] = {}
        self._ending: dict[int, Promise[None]] = {}

    def boot(self, boot: Boot, timeout: int) -> Future[NodeId]:
        self.boots.append(boot)
        return self._promise(self._booting, boot.number, timeout)

    def free(self, number: int, timeout: int) -> Future[None]:
        self.frees.append(number)
        return self._promise(self._ending, number, timeout)

    def close(self) -> None:
        """There is nothing to give up."""

    def booted(self, index: int) -> None:
        """The boot that was asked for as number ``index`` has come about."""
        number = self.boots[index].number
        self._booting.pop(number).set_value(NodeId(number, f"198.18.1.{number}", PORT))

    def failed(self, index: int, error: Exception) -> None:
        self._booting.pop(self.boots[index].number).set_error(error)

    def ended(self, number: int) -> None:
        """Nothing is left of a node that was freed."""
        self._ending.pop(number).set_value(None)

    def _promise(self, promises: "dict[int, Promise[T]]", number: int, timeout: int) -> "Future[T]":
        promises[number] = promise = Promise()

        def expire() -> None:
            if promises.get(number) is promise:
                del promises[number]
                promise.set_error(TimedOutError("the provider did not answer"))

        self.events.set_timer(timeout, expire)
        return promise.future


class AllocatorForms:
    """``allocator`` is what is tested, on ``node``; ``provider`` is at the front-end."""

    allocator: NodeAllocator
    node: MessengerNode
    provider: ToldProvider

    def run(self, until: Callable[[], bool]) -> None:
        """Carry on until it holds; AssertionError when it does not come about."""
        raise NotImplementedError

    def settle(self) -> None:
        """Let happen what happens soon."""
        raise NotImplementedError

    def die(self, number: int, reason: str) -> None:
        """The provider says that a node has died."""
        self.provider.listener.node_lost(number, reason)
        self.settle()

    def nodes(self, count: int) -> list[AllocatedNode]:
        """So many that are ready."""
        before = len(self.provider.boots)
        futures = self.allocator.allocate(count, APPLICATION)
        self.settle()
        for index in range(before, before + count):
            self.provider.booted(index)
        self.run(lambda: all(future.done() for future in futures))
        return [future.result() for future in futures]

    def is_lost(self, node: AllocatedNode) -> bool:
        """Whether this node's Messenger knows it."""
        try:
            self.node.messenger.send(node.id, EBB, self.node.message(b"?"))
        except NodeLostError:
            return True
        return False


class NodeAllocatorSuite:
    """The tests."""

    def test_a_node_is_ready_when_the_provider_says_so(self, forms: AllocatorForms) -> None:
        [future] = forms.allocator.allocate(1, APPLICATION, cores=2, memory=1 << 20)
        forms.settle()
        [boot] = forms.provider.boots
        assert (boot.application, boot.cores, boot.memory) == (APPLICATION, 2, 1 << 20)
        assert not future.done()
        assert forms.allocator.nodes() == []
        forms.provider.booted(0)
        forms.run(future.done)
        node = future.result()
        assert node.id == NodeId(boot.number, f"198.18.1.{boot.number}", PORT)
        assert not node.lost.done()
        assert forms.allocator.nodes() == [node]

    def test_several_at_once_are_ready_each_in_its_time(self, forms: AllocatorForms) -> None:
        futures = forms.allocator.allocate(3, APPLICATION)
        futures += forms.allocator.allocate(1, APPLICATION)
        forms.settle()
        numbers = [boot.number for boot in forms.provider.boots]
        assert len(set(numbers)) == 4
        for index in (2, 0, 3, 1):
            forms.provider.booted(index)
            forms.run(futures[index].done)
        assert [future.result().id.number for future in futures] == numbers
        assert {node.id.number for node in forms.allocator.nodes()} == set(numbers)

    @pytest.mark.parametrize("kind", [NodeLimitError, NodeFailedError, ProviderLostError, TimedOutError])
    def test_what_went_wrong_is_told_as_what_it_is(self, forms: AllocatorForms, kind: type[Exception]) -> None:
        futures = forms.allocator.allocate(2, APPLICATION)
        forms.settle()
        forms.provider.failed(1, kind("for this reason"))
        forms.provider.booted(0)
        forms.run(lambda: all(future.done() for future in futures))
        assert type(futures[1].error()) is kind
        assert str(futures[1].error()) == "for this reason"
        assert forms.allocator.nodes() == [futures[0].result()]

    def test_a_boot_has_its_time(self, forms: AllocatorForms) -> None:
        [future] = forms.allocator.allocate(1, APPLICATION, timeout=SECOND)
        forms.run(future.done)
        assert isinstance(future.error(), TimedOutError)
        assert forms.allocator.nodes() == []
        assert len(forms.nodes(1)) == 1

    @pytest.mark.parametrize(
        ("count", "application", "cores", "timeout"),
        [
            (0, "app:main", 1, SECOND),
            (-1, "app:main", 1, SECOND),
            (1, "app", 1, SECOND),
            (1, "app:", 1, SECOND),
            (1, ":main", 1, SECOND),
            (1, "a b:main", 1, SECOND),
            (1, "app:main", 0, SECOND),
            (1, "app:main", 1, 0),
        ],
    )
    def test_what_cannot_be_had_is_refused_at_once(
        self, forms: AllocatorForms, count: int, application: str, cores: int, timeout: int
    ) -> None:
        with pytest.raises(ValueError):
            forms.allocator.allocate(count, application, cores, timeout=timeout)
        forms.settle()
        assert forms.provider.boots == []

    def test_a_node_is_freed_when_nothing_is_left_of_it(self, forms: AllocatorForms) -> None:
        node, other = forms.nodes(2)
        freed = forms.allocator.free(node)
        forms.settle()
        assert forms.provider.frees == [node.id.number]
        assert not freed.done()
        assert node.lost.result() == FREED
        assert forms.is_lost(node)
        assert forms.allocator.nodes() == [other]
        forms.provider.ended(node.id.number)
        forms.run(freed.done)
        assert freed.error() is None
        assert not other.lost.done()

    def test_who_frees_a_node_twice_waits_twice(self, forms: AllocatorForms) -> None:
        [node] = forms.nodes(1)
        freed = [forms.allocator.free(node), forms.allocator.free(node)]
        forms.settle()
        freed.append(forms.allocator.free(node))
        forms.settle()
        assert [future.done() for future in freed] == [False] * 3
        forms.provider.ended(node.id.number)
        forms.run(lambda: all(future.done() for future in freed))
        assert [future.error() for future in freed] == [None] * 3
        assert forms.provider.frees == [node.id.number]
        late = forms.allocator.free(node)
        forms.run(late.done)
        assert late.error() is None
        assert forms.provider.frees == [node.id.number]

    def test_an_end_has_its_time(self, forms: AllocatorForms) -> None:
        [node] = forms.nodes(1)
        freed = forms.allocator.free(node, SECOND)
        forms.run(freed.done)
        assert isinstance(freed.error(), TimedOutError)

    def test_a_node_that_dies_says_why(self, forms: AllocatorForms) -> None:
        node, other = forms.nodes(2)
        forms.die(node.id.number, "killed")
        assert node.lost.result() == "killed"
        assert forms.is_lost(node)
        assert forms.allocator.nodes() == [other]
        freed = forms.allocator.free(node)
        forms.run(freed.done)
        assert freed.error() is None
        assert forms.provider.frees == []
        assert not other.lost.done()

    def test_with_the_provider_go_all_nodes(self, forms: AllocatorForms) -> None:
        nodes = forms.nodes(2)
        forms.provider.listener.provider_lost("the daemon is gone")
        forms.settle()
        assert [node.lost.result() for node in nodes] == ["the daemon is gone"] * 2
        assert forms.allocator.nodes() == []
