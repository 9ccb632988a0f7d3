"""Whoever asks whom, for however much, over whatever link: both ends have the same digest. Against Linux, live.

All of it, with 100 MB over the links that lose as well, is ``netlab bench matrix``.
"""

import contextlib
from collections.abc import Iterator

import pytest

from netlab.bench.matrix import LINKS, Case, Ends, topology
from netlab.lab import Lab

pytestmark = pytest.mark.live

PAIRS = ("node-node", "node-linux", "linux-node")
LONG = 500_000  # bytes over a link that is not clean


@pytest.fixture(scope="module")
def ends() -> Iterator[Ends]:
    with Lab.create(topology()) as lab, contextlib.closing(Ends(lab)) as ends:
        yield ends


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("pair", PAIRS)
def test_both_ends_have_the_same_digest(ends: Ends, pair: str, link: str):
    long = 100_000_000 if link == "clean" and pair != "node-node" else LONG
    ends.set_link(LINKS[link])
    for operation, size in (("get", 1), ("put", 1024), ("get", long), ("put", LONG)):
        result = ends.transfer(Case(pair, operation, size, link))
        assert result.failure == "", result
