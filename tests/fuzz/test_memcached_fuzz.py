"""Random bytes and random requests, cut anywhere: nothing is raised, and the replies do not depend on the cuts."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.memcached_requests import Bench, count, replies, request, store

KEYS = st.sampled_from([b"a", b"bb", b"c" * 250])
REQUESTS = st.one_of(
    st.builds(request, st.integers(0, 255), st.binary(max_size=6), st.binary(max_size=24), st.binary(max_size=40)),
    st.builds(store, st.sampled_from([1, 2, 3, 0x11]), KEYS, st.binary(max_size=900), st.integers(0, 9)),
    st.builds(count, st.sampled_from([5, 6, 0x15]), KEYS, st.integers(0, 99), st.integers(0, 99)),
    st.builds(request, st.sampled_from([0, 9, 0x0C, 0x0D, 4]), KEYS),
    st.builds(request, st.sampled_from([0x0E, 0x0F]), KEYS, st.just(b""), st.binary(max_size=900)),
    st.binary(max_size=60),
)


def answers(stream: bytes, cuts: list[int], piece: int) -> tuple[bytes, bool]:
    bench = Bench(memory=4 << 20)
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        bench.connection.deliver(stream[start:end], piece)
    return bench.connection.take(), bench.connection.is_closing


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(REQUESTS.filter(lambda data: data[1:2] != b"\x10"), max_size=12),
    st.lists(st.integers(0, 1 << 20), max_size=20),
    st.sampled_from([1, 5, 24, 400]),
)
def test_replies_do_not_depend_on_how_the_stream_is_cut(requests: list[bytes], cuts: list[int], piece: int) -> None:
    stream = b"".join(requests)
    data, is_closing = answers(stream, [], 400)
    replies(data)  # well formed
    assert answers(stream, cuts, piece) == (data, is_closing)
