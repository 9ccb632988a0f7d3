"""The Node Allocator whole: a front-end on kernel sockets, back-ends on stacks of their own, the Messenger between."""

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.iaas_lab import Iaas, running_iaas

pytestmark = pytest.mark.live
POOL = 2
PREAMBLE = """
import json, time
from tests.live.iaas_front_end import FrontEnd
front_end = FrontEnd()
allocator = front_end.allocator
APPLICATIONS = "tests.live.iaas_applications:"

def nodes(count, application="echo", **more):
    futures = allocator.allocate(count, APPLICATIONS + application, **more)
    front_end.wait_for(*futures)
    return [future.result() for future in futures]

"""


@pytest.fixture(scope="module")
def iaas() -> Iterator[Iaas]:
    with running_iaas(pool=POOL) as iaas:
        yield iaas


def run(iaas: Iaas, script: str) -> Any:
    """What the script, a front-end, prints as JSON; after it nothing is left."""
    iaas.settle(POOL)
    result = iaas.run_front_end(["-c", PREAMBLE + script])
    assert result.returncode == 0, result.stderr
    iaas.settle(POOL)
    return json.loads(result.stdout)


def test_eight_nodes_are_had_used_and_freed(iaas: Iaas) -> None:
    script = """
eight = nodes(8)
answers = [front_end.echo(node.id, f"to {node.id.number}") for node in eight]
front_end.wait_for(*answers)
freed = [allocator.free(node) for node in eight]
front_end.wait_for(*freed)
late = front_end.echo(eight[0].id, "?")
front_end.wait_for(late)
print(json.dumps([[answer.result() for answer in answers], [future.error() for future in freed],
    [node.lost.result() for node in eight], type(late.error()).__name__, allocator.nodes()]))
"""
    answers, freed, lost, late, left = run(iaas, script)
    assert answers == [[number, f"to {number}"] for number in range(1, 9)]
    assert freed == [None] * 8
    assert lost == ["it was freed"] * 8
    assert late == "NodeLostError"
    assert left == []


def test_a_node_that_is_killed_fails_the_calls_that_wait_for_it(iaas: Iaas) -> None:
    script = """
import os
from tests.live.iaas_kills import listed
one, other = nodes(2)
os.kill(next(machine["pid"] for machine in listed() if machine["number"] == 1), 19)
call = front_end.echo(one.id, "?", 60_000_000_000)
front_end.wait_for(call, one.lost)
answer = front_end.echo(other.id, "still there")
front_end.wait_for(answer)
print(json.dumps([type(call.error()).__name__, one.lost.result(), answer.result()]))
"""
    error, reason, answer = run(iaas, script)
    assert error == "NodeLostError"
    assert "silent" in reason
    assert answer == [2, "still there"]


def test_a_back_end_allocates_too(iaas: Iaas) -> None:
    script = """
[parent] = nodes(1, "allocate")
front_end.wait(lambda: len(allocator.nodes()) == 2)
child = front_end.echo(parent.id, "?")
front_end.wait_for(child)
print(json.dumps([node.id.number for node in allocator.nodes()] + child.result()))
"""
    assert run(iaas, script) == [1, 2, 2, "?"]


def test_an_application_that_fails_to_start_says_why_in_the_front_end(iaas: Iaas) -> None:
    script = """
[future] = allocator.allocate(1, APPLICATIONS + "fail")
front_end.wait_for(future)
print(json.dumps([type(future.error()).__name__, str(future.error())]))
"""
    kind, text = run(iaas, script)
    assert kind == "NodeFailedError"
    assert "RuntimeError: this application never works" in text


def test_boots_are_as_quick_as_promised(iaas: Iaas) -> None:
    """From the call in the front-end until the node's application runs and its Messenger is connected."""
    script = """
def best(**shape):
    times = []
    for _ in range(4):
        time.sleep(0.1)  # the pool fills up
        began = time.perf_counter()
        nodes(1, "idle", **shape)
        times.append(time.perf_counter() - began)
    return min(times)

print(json.dumps([best(), best(memory=32 << 20)]))
"""
    pooled, cold = run(iaas, script)
    assert pooled < 0.050
    assert cold < 0.500


@pytest.mark.parametrize("seed", [1, 2])
def test_nodes_are_killed_at_random_and_every_future_ends(seed: int) -> None:
    with running_iaas(pool=POOL, silence=2.5) as iaas:
        result = iaas.run_front_end(["-m", "tests.live.iaas_kills", str(seed), "node"])
        assert result.returncode == 0, result.stderr
        outcomes = json.loads(result.stdout)
        assert {"boot: done", "call: done", "free: done"} <= outcomes.keys()
        iaas.settle(POOL)


@pytest.mark.parametrize(("seed", "victim"), [(3, "daemon"), (4, "zygote"), (5, "daemon")])
def test_the_daemon_is_killed_at_random_and_every_future_ends(seed: int, victim: str) -> None:
    with running_iaas(pool=POOL) as iaas:
        result = iaas.run_front_end(["-m", "tests.live.iaas_kills", str(seed), victim])
        assert result.returncode == 0, result.stderr
        assert "ProviderLostError" in result.stdout
        iaas.nothing_left()
        assert iaas.daemon.wait(timeout=10) == (-signal.SIGKILL if victim == "daemon" else 1)
