"""``tests.instructions``: what is recorded is played, by a node that does the same again."""

import pytest

from tests import instructions


def test_a_node_answers_what_was_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instructions, "ROUNDS", 2)
    monkeypatch.setattr(instructions, "WARM_UP", 1)
    rounds = instructions.record()
    assert len(rounds) == 9
    again = instructions.Node()
    sent = [len(again.round(frames, turns)) for frames, turns in rounds]
    again.close()
    assert sent == [1, 16, 0] + 6 * [16]  # to ARP, SYNs, their acknowledgments; a SET each, and GETs
