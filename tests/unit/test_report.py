"""The report holds its figures, escapes what it shows, and tells failures."""

import base64
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from netlab.bench.environment import Environment, cpu_model
from netlab.bench.results import Row
from netlab.findings import Failure, Findings
from netlab.report import render

THERE = Environment(
    "2025-01-01T00:00:00+00:00", "x86_64", "6.1", "A <b>CPU</b> & more", 2, 0.1, "3.11", "1.6", "1.1", "abc", True,
    "compiled", "own-core", 1, 0, "cubic",
)  # fmt: skip
ROWS = [
    Row("concurrency", target, 64, 32, 1, rate, cost, 1.0, 0)
    for target, rate, cost in (("node", 150000.0, 5.0), ("linux", 100000.0, 10.0))
]
VOID = {"meta", "img"}


class Checker(HTMLParser):
    """Tags in order and balanced; all text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[str] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append(dict(attrs)["src"] or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_figures_are_inside(tmp_path: Path) -> None:
    path = tmp_path / "figure4.png"
    path.write_bytes(b"\x89PNG <not really>")
    page = Checker(render(Findings(THERE, ROWS), [path]))
    assert page.images == ["data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()]


def test_headline_and_table_of_ratios() -> None:
    page = Checker(render(Findings(THERE, ROWS), []))
    assert "1.50 of Linux's requests per second, with 0.50 of its server-core time" in page.text
    assert "150,000" in page.text
    assert "100,000" in page.text


def test_text_from_outside_is_escaped() -> None:
    findings = Findings(
        THERE,
        ROWS,
        versions={"node": "<script>alert(1)</script>"},
        captures={"node": {"file": "<i>.pcapng", "packets": 5}},
        comparison={
            "rows": [{"section": "<s>", "name": "n", "a": "<a>", "b": 1.5, "differs": True}],
            "notes": ["<u>"],
        },
        failures=[Failure("layers", "no <b>node</b>", "try & again")],
    )
    raw = render(findings, [])
    for hostile in ("<script", "<b>", "<i>", "<s>", "<a>", "<u>", "& again"):
        assert hostile not in raw
    assert "<script>alert(1)</script>" in Checker(raw).text


def test_failures_and_replay_are_told() -> None:
    replay = {"all_equal": False, "connections": 16, "requests": 2000, "equal": 1999}
    captures = {"linux": {"file": "linux.pcapng", "packets": 5}}
    findings = Findings(
        THERE, [], replay=replay, captures=captures, failures=[Failure("payload", "it broke", "mend it")]
    )
    text = Checker(render(findings, [])).text
    assert "The step “payload” failed: it broke\nmend it" in text
    assert "not all replies equal (16 connections, 2,000 requests, 1,999 equal)" in text


def test_a_busy_machine_is_a_caution() -> None:
    assert THERE.caution() == ""
    busy = Findings(replace(THERE, cores_busy=1.5), ROWS)
    assert "Others were using this machine (1.5 of its cores" in Checker(render(busy, [])).text


def test_a_run_without_the_rights_to_steer_is_a_caution() -> None:
    fallen = replace(THERE, cpu_mode="shared", fell_back=True)
    assert "this was measured in shared mode" in Checker(render(Findings(fallen, ROWS), [])).text
    assert "Others were using" in replace(fallen, cores_busy=1.5).caution()


def test_cpu_model() -> None:
    assert cpu_model("processor\t: 0\nmodel name\t: AMD EPYC 9\nmodel name\t: other\n") == "AMD EPYC 9"
    assert cpu_model("processor : 0\n") == ""
