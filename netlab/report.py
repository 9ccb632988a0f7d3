"""``report.html``: what a run measured, on one page that needs no other file. The figures are inside it."""

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from netlab.bench.results import Ratio, Summary, summarize
from netlab.findings import Findings

_CAPTIONS = {
    "figure4.png": "Figure 4. Throughput against concurrency. Points are medians; bars span the rounds.",
    "figure5.png": "Figure 5. Where the time of one request goes in the node, layer by layer.",
    "figure6.png": "Figure 6. Throughput against payload with links of 1 Gb/s; dashed is what such a link carries.",
}
_EXPERIMENTS = {"concurrency": "links not shaped", "payload": "links of 1 Gb/s"}
Cell = str | tuple[str, str]  # its text, or text and a class

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1c1c; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: 0; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
p.lead { color: #555; margin-top: .3rem; }
table { border-collapse: collapse; font-size: .92rem; } caption { text-align: left; color: #555; padding: .3rem 0; }
th, td { padding: .25rem .8rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
td.better { color: #14713d; font-weight: 600; } td.differs { color: #a35a00; }
figure { margin: 1rem 0; } img { max-width: 100%; } figcaption { color: #555; font-size: .9rem; }
.caution { color: #a35a00; }
.failed { border-left: 4px solid #b3261e; padding: .4rem 1rem; background: #fdf1f0; white-space: pre-wrap; }
"""


def render(findings: Findings, figures: Sequence[Path]) -> str:
    """The page. `figures` are PNG files; whatever text comes from outside is escaped."""
    parts = [
        "<h1>A library-OS node in Python against memcached on Linux</h1>",
        f'<p class="lead">{_escape(_headline(findings))}</p>',
        *_caution(findings.environment.caution()),
        *(_failure(failure.step, failure.message, failure.remedy) for failure in findings.failures),
        *_figures(figures),
        *_ratio_section(findings.ratios(), summarize(findings.rows)),
        *_capture_section(findings),
        *_environment_section(findings),
    ]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>netlab demo</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _headline(findings: Findings) -> str:
    there = findings.environment
    for ratio in findings.ratios():
        if ratio.experiment == "concurrency" and ratio.concurrency == 64:
            return (
                f"At 64 connections and {ratio.payload}-byte values the node did {ratio.requests_per_s:.2f} of "
                f"Linux's requests per second, with {ratio.server_core_us_per_request:.2f} of its server-core time "
                "per request. "
                f"Measured {there.time} on {there.cpu_model}, {there.cpus} CPUs."
            )
    return f"Measured {there.time} on {there.cpu_model}, {there.cpus} CPUs."


def _caution(text: str) -> Iterable[str]:
    if text:
        yield f'<p class="caution">{_escape(text)}</p>'


def _failure(step: str, message: str, remedy: str) -> str:
    text = f"The step “{step}” failed: {message}" + (f"\n{remedy}" if remedy else "")
    return f'<p class="failed">{_escape(text)}</p>'


def _figures(figures: Sequence[Path]) -> Iterable[str]:
    for path in figures:
        data = base64.b64encode(path.read_bytes()).decode("ascii")
        caption = _escape(_CAPTIONS.get(path.name, path.name))
        yield (
            f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )


def _ratio_section(ratios: Sequence[Ratio], summaries: Sequence[Summary]) -> Iterable[str]:
    if not ratios:
        return
    yield "<h2>Node over Linux</h2>"
    yield "<p>Medians of the ratios of paired rounds: two intervals measured right after one another.</p>"
    rates = {(each.experiment, each.concurrency, each.payload, each.target): each.requests_per_s for each in summaries}
    for experiment, links in _EXPERIMENTS.items():
        rows: list[Sequence[Cell]] = [
            [
                str(ratio.concurrency),
                str(ratio.payload),
                *(
                    f"{rates[experiment, ratio.concurrency, ratio.payload, target]:,.0f}"
                    for target in (ratio.target, ratio.baseline)
                ),
                (f"{ratio.requests_per_s:.2f}", "better" if ratio.requests_per_s > 1 else ""),
                (f"{ratio.server_core_us_per_request:.2f}", "better" if ratio.server_core_us_per_request < 1 else ""),
                str(ratio.pairs),
            ]
            for ratio in ratios
            if ratio.experiment == experiment
        ]
        if rows:
            headings = ["connections", "value bytes", "node requests/s", "Linux requests/s", "ratio"]
            headings += ["ratio of server-core time per request", "pairs"]
            yield _table(f"{experiment}, {links}", headings, rows)


def _capture_section(findings: Findings) -> Iterable[str]:
    if not findings.captures:
        return
    yield "<h2>On the bridge</h2>"
    files = ", ".join(f"{each['file']} ({each['packets']:,} packets)" for each in findings.captures.values())
    yield f"<p>The same small run of each server was captured: {_escape(files)}.</p>"
    if findings.replay is not None:
        replay = findings.replay
        verdict = "all replies equal, CAS masked" if replay["all_equal"] else "not all replies equal"
        counts = f"{replay['connections']} connections, {replay['requests']:,} requests, {replay['equal']:,} equal"
        yield f"<p>Linux's capture replayed to the node: {_escape(f'{verdict} ({counts})')}.</p>"
    if findings.comparison is not None:
        rows: list[Sequence[Cell]] = [
            [
                f"{row['section']}: {row['name']}",
                _figure(row["a"]),
                _figure(row["b"]),
                ("differs" if row["differs"] else "", "differs"),
            ]
            for row in findings.comparison["rows"]
        ]
        yield _table("capture against capture", ["", "node", "Linux", ""], rows)
        yield from (f"<p>Note: {_escape(note)}</p>" for note in findings.comparison["notes"])


def _environment_section(findings: Findings) -> Iterable[str]:
    yield "<h2>Where and with what</h2>"
    facts = {**findings.environment.as_dict(), **{f"{name} answered": v for name, v in findings.versions.items()}}
    facts["seconds taken"] = round(findings.seconds)
    yield _table("environment", ["", ""], [[name.replace("_", " "), str(value)] for name, value in facts.items()])


def _table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    head = "".join(f"<th>{_escape(heading)}</th>" for heading in headings)
    lines = []
    for row in rows:
        cells = [(cell, "") if isinstance(cell, str) else cell for cell in row]
        lines.append("".join(f'<td class="{kind}">{_escape(text)}</td>' for text, kind in cells))
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><caption>{_escape(caption)}</caption>\n<tr>{head}</tr>\n{body}</table>"


def _figure(value: int | float | str) -> str:
    return f"{value:,.3f}" if isinstance(value, float) else str(value)


def _escape(text: str) -> str:
    return html.escape(text)
