"""Random segments against an established connection: nothing raises, and the stream stays whole and in order."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stack.address import mapped
from stack.transport import Received
from tests.tcppeer import Peer

STREAM = bytes(i * 7 % 251 for i in range(4000))

flags = st.sampled_from(["A", "PA", "FA", "S", "SA", "R", "RA", "F", "", "FPA", "SF", "FSRPAUEC"])
# Offsets from where a segment ought to be: mostly near, sometimes anywhere.
offsets = st.one_of(st.integers(-50, 50), st.integers(0, 3000), st.integers(-(2**31), 2**31))
options = st.one_of(
    st.none(),
    st.just([("NOP", None), ("Timestamp", (1, 2))]),
    st.binary(max_size=8).map(lambda raw: [(254, raw)]),
    st.just([("MSS", 1), ("WScale", 255)]),
)


@given(
    st.lists(
        st.tuples(flags, offsets, offsets, st.integers(0, 600), options, st.integers(0, 65535), st.booleans()),
        max_size=25,
    ),
    st.booleans(),
)
@settings(deadline=None, max_examples=100, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_stream_survives_any_segments(segments, answers):
    """Segments carry the true bytes of one stream wherever they claim to lie in it; only these may come out."""
    peer = Peer()

    def answer(handler, data):
        if answers:
            handler.connection.send(peer.node.buffer(data))

    handler = peer.established(on_receive=answer)
    start = peer.seq
    for kind, where, ack, length, choice, window, pause in segments:
        position = where if 0 <= where < len(STREAM) else 0
        data = STREAM[position : position + length]
        fields = {} if choice is None else {"options": choice}
        peer.send(
            kind,
            data if where >= 0 else b"",
            seq=(start + where) & 0xFFFFFFFF,
            ack=(peer.ack + ack) & 0xFFFFFFFF,
            window=window,
            advance=False,
            **fields,
        )
        if pause:
            handler.connection.pause()
        else:
            handler.connection.resume()
        peer.wait(0.01 * (length % 40))
    handler.connection.resume()
    assert STREAM.startswith(bytes(handler.data))
    peer.wait(0.1)
    handler.connection.abort()
    statistics = peer.node.tcp.statistics()
    assert statistics["states"]["established"] == 0
    assert statistics["connections"]["now"] == statistics["connections"]["handshakes"] + sum(
        statistics["states"][name] for name in ("time_wait",)
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["A", "PA", "FA", "S", "SA", "RA", "R", "F", "", "FPAUEC", "SRFEC"]),
            st.integers(1, 60_000),
            st.one_of(st.integers(10, 2**31 - 1), st.integers(-(2**31) + 1, -70_000)),
            st.integers(0, 2**32 - 1),
            st.integers(0, 65535),
        ),
        max_size=25,
    )
)
@settings(deadline=None, max_examples=100, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_forged_segments_do_not_part_two_ends_that_have_timestamps(forged):
    """Somebody guesses ports and a sequence number in the window, but no acknowledgment (RFC 5961)."""
    peer = Peer(timestamps=True)
    handler = peer.established()
    for kind, where, ack, timestamp, window in forged:
        peer.send(
            kind,
            b"forged",
            seq=(peer.seq + where) & 0xFFFFFFFF,
            ack=(peer.ack + ack) & 0xFFFFFFFF,
            window=window,
            options=[("NOP", None), ("NOP", None), ("Timestamp", (timestamp, 0))],
            advance=False,
        )
        peer.tsval += 1
        peer.wait(0.001)
        peer.send("PA", b"true")
    assert handler.data == b"true" * len(forged)
    handler.connection.send(peer.node.buffer(b"answer"))
    assert [bytes(segment.payload) for segment in peer.take() if segment.payload] == [b"answer"]


@given(st.lists(st.binary(max_size=80), max_size=20))
@settings(deadline=None, max_examples=100, derandomize=True)
def test_random_bytes_are_counted(packets):
    """Whatever is in a packet, it is counted: dropped with a reason."""
    peer = Peer()
    peer.listen()
    received = Received()
    received.source_high, received.source_low = mapped(peer.node.address + 1)
    received.destination_high, received.destination_low = mapped(peer.node.address)
    received.checksum_valid = True
    for data in packets:
        iobuf = peer.node.buffer(data + b"\0", headroom=0)
        iobuf.trim_end(1)
        peer.node.tcp.receive_segment(iobuf, len(data), received, 0)
    statistics = peer.node.tcp.statistics()
    opened = statistics["connections"]["passive_opens"]
    assert statistics["segments"]["received"] == len(packets)
    assert sum(statistics["drops"].values()) + opened == len(packets)
