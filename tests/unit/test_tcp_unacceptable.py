"""A segment that is not accepted leaves no trace (RFC 5961, RFC 9293 section 3.10.7.4): not in any field of the TCB.

Each segment below carries all that one can: data, a FIN, a timestamp far ahead, another window, ECN bits, SACK blocks.
It fails one check, and the whole control block is compared with what it was before.
"""

import pytest

from tests.tcplink import SECOND, Recorder
from tests.tcppeer import PORT, Peer
from tests.unit.test_tcp_fast_open import Server, raw

MASK = 0xFFFFFFFF
WINDOW = 65535
# What an answer changes by being sent.
OF_ANSWERS = {"challenge_after", "segments_sent", "ack_now", "ack_delayed", "ack_deadline", "rcv_acked", "rcv_adv"}
NESTED = ("queue", "rtt", "congestion", "losses", "sent", "reassembly", "fast_open")


def fields(thing: object) -> dict[str, object]:
    """The plain fields of an object, compiled or not."""
    values = {name: getattr(thing, name) for name in dir(thing) if not name.startswith("_")}
    return {name: value for name, value in values.items() if isinstance(value, bool | int | str | bytes | None)}


def snapshot(connection) -> dict[str, object]:
    """All of a connection that a segment could change."""
    found = {name: value for name, value in fields(connection).items() if name not in OF_ANSWERS}
    for part in NESTED:
        found.update({f"{part}.{name}": value for name, value in fields(getattr(connection, part)).items()})
    return found


class Watched(Peer):
    """A peer that has agreed on timestamps, SACK and ECN, and can see into the node's connection."""

    def __init__(self) -> None:
        super().__init__(timestamps=True)

    def syn_options(self) -> list:
        return [*super().syn_options(), ("SAckOK", b"")]

    def received(self) -> "Watched":
        """SYN-RECEIVED."""
        self.listen()
        self.send("SEC", options=self.syn_options())
        return self

    def open(self) -> "Watched":
        """ESTABLISHED, with something received and something in flight."""
        self.received()
        self.send("A")
        self.send("PA", b"before")
        self.handlers[0].connection.send(self.node.buffer(bytes(3000)))
        self.take()
        self.ack = (self.ack - 3000) & MASK  # it has not arrived
        return self

    def probed(self) -> "Watched":
        """The window is closed, and has been probed without an answer."""
        self.received()
        self.send("A")
        self.send("A", window=0)
        self.handlers[0].connection.send(self.node.buffer(bytes(3000)))
        self.wait(1.5)
        self.ack = (self.ack - 1) & MASK
        return self

    def early(self) -> "Watched":
        """SYN-RECEIVED with Fast Open: the application has the connection, and has answered."""

        def accept(connection) -> Recorder:
            self.handlers.append(Recorder(lambda handler, data: connection.send(self.node.buffer(b"answer"))))
            return self.handlers[-1]

        self.node.tcp.listen(PORT, accept, fast_open=4)
        asked = self.send("S", options=[*self.syn_options(), (34, b"")])
        self.send("R")
        self.seq, self.ack, self.port = (self.seq + 1000) & MASK, 0, self.port + 1
        self.send("SEC", b"early", options=[*self.syn_options(), (34, raw(asked[0]))])
        assert self.handlers[0].data == b"early"
        return self

    def asking(self) -> "Watched":
        """SYN-SENT."""
        self.connecting()
        return self

    def in_time_wait(self) -> "Watched":
        self.received()
        self.send("A")
        self.handlers[0].connection.close()
        self.take()
        self.send("FA")
        assert self.state() == "time_wait"
        return self

    def connection(self):
        """The only connection there is."""
        return self.node.tcp.engine.connections.find(
            *(0, 0xFFFF << 32 | self.node.address, self.node_port),
            *(0, 0xFFFF << 32 | self.node.address + 1, self.port),
        )

    def everything(self) -> list:
        """Options that say as much as options can."""
        blocks = (self.ack + 1000) & MASK, (self.ack + 1400) & MASK
        return [("Timestamp", (self.tsval + 1_000_000, 0)), ("SAck", blocks)]


STATES = [Watched.received, Watched.early, Watched.open, Watched.probed, Watched.in_time_wait]
UNACCEPTABLE = {
    "acknowledges what was never sent": {"flags": "FPAEC", "ack": 100_000},
    "acknowledges what is older than a window": {"flags": "FPAEC", "ack": -WINDOW - 5000},
    "acknowledges nothing": {"flags": "FPEC"},
    "a SYN": {"flags": "SPAEC"},
    "a reset that is not exact": {"flags": "RPAEC", "seq": 1},
    "old, and acknowledges what was never sent": {"flags": "FPAEC", "seq": -3, "ack": 100_000},
    "all old, and acknowledges what was never sent": {"flags": "FPAEC", "seq": -20, "ack": 100_000},
    "all old, and acknowledges nothing": {"flags": "FPEC", "seq": -20},
    "beyond the window": {"flags": "FPAEC", "seq": 100_000_000},
}


@pytest.mark.parametrize("segment", UNACCEPTABLE.values(), ids=UNACCEPTABLE)
@pytest.mark.parametrize("reach", STATES, ids=[reach.__name__ for reach in STATES])
def test_nothing_is_taken_of_a_segment_that_is_not_acceptable(reach, segment):
    peer = reach(Watched())
    peer.wait(0.005)
    connection = peer.connection()
    before = snapshot(connection)
    peer.clock.advance(SECOND // 100)
    sequence = (peer.seq + segment.get("seq", 0)) & MASK
    ack = (peer.ack + segment.get("ack", 0)) & MASK
    peer.send(
        segment["flags"], b"ten bytes.", seq=sequence, ack=ack, window=7, options=peer.everything(), advance=False
    )
    assert snapshot(connection) == before


@pytest.mark.parametrize(
    ("flags", "ack"),
    [("SPAEC", 1), ("SFPA", -1), ("SRPA", 1), ("FPAEC", 0), ("PA", 5), ("PEC", 0), ("RP", 0), ("RPA", 1), ("F", 0)],
)
def test_nothing_is_taken_while_connecting_either(flags, ack):
    peer = Watched().asking()
    connection = peer.connection()
    before = snapshot(connection)
    peer.clock.advance(SECOND // 100)
    peer.send(flags, b"ten bytes.", ack=(peer.ack + ack) & MASK, window=7, options=peer.everything(), advance=False)
    assert snapshot(connection) == before


def test_a_forged_timestamp_does_not_shut_the_peer_out():
    """PAWS would drop all that the peer says from then on."""
    peer = Watched().open()
    peer.send("A", ack=(peer.ack + 900_000) & MASK, options=peer.everything(), advance=False)
    peer.tsval += 10
    peer.send("PA", b" and after")
    assert peer.handlers[0].data == b"before and after"


def test_an_acknowledgment_that_was_overtaken_tells_nothing_of_the_window():
    """Section 3.10.7.4 takes SEG.WND only if SND.UNA =< SEG.ACK; else a guess could close it for good."""
    peer = Watched().open()
    old, new = peer.ack, (peer.ack + 1460) & MASK
    peer.send("A", ack=new)
    window = peer.connection().snd_wnd
    peer.send("A", b"x", seq=(peer.seq + 1000) & MASK, ack=old, window=0, advance=False)
    assert peer.connection().snd_wnd == window
    peer.send("A", ack=new, window=5000)
    assert peer.connection().snd_wnd == 5000


def test_an_unacceptable_acknowledgment_is_no_sign_of_life():
    """Else forged segments keep a connection with a host that is gone from being found out (section 3.8.4)."""
    peer = Watched().open()
    peer.send("A", ack=(peer.ack + 3000) & MASK)
    heard = peer.connection().last_received
    peer.wait(5)
    peer.send("A", ack=(peer.ack + 900_000) & MASK, advance=False)
    assert peer.connection().last_received == heard


@pytest.mark.parametrize("flags", ["A", "PA"])
def test_a_fast_open_connection_survives_a_wrong_acknowledgment(flags):
    """The handshake is not complete, and the application has the connection: that must not be opened by a guess."""
    server = Server()
    cookie = server.cookie()
    server.syn(cookie, b"early")
    server.send(flags, b"late" if flags == "PA" else b"", ack=(server.ack + 70_000) & MASK, advance=False)
    assert server.state() == "syn_received"
    assert server.handlers[0].data == b"early"


def test_the_peers_fin_again_prolongs_time_wait_and_a_guess_does_not():
    peer = Watched().in_time_wait()
    deadline = peer.connection().timer_deadline
    peer.wait(10)
    peer.send("FA", seq=(peer.seq - 1) & MASK, ack=(peer.ack + 5) & MASK, advance=False)
    assert peer.connection().timer_deadline == deadline
    peer.send("FA", seq=(peer.seq - 1) & MASK, advance=False)
    assert peer.connection().timer_deadline == deadline + 10 * SECOND


@pytest.mark.parametrize("flags", ["SF", "SFPU", "SR", "SFA"])
def test_what_is_no_attempt_to_connect_does_not_end_time_wait(flags):
    peer = Watched().in_time_wait()
    peer.tsval += 1000
    peer.send(flags, seq=(peer.seq + 5000) & MASK, options=peer.syn_options(), advance=False)
    assert peer.state() == "time_wait"
