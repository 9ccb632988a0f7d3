"""Running script files: finding them, running them one after the other, and what came of them all."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from netlab.errors import UsageError
from netlab.script.configuration import Configuration, command_line_options, in_order
from netlab.script.errors import ScriptError, UnsupportedError
from netlab.script.parser import parse_file
from netlab.script.report import ERROR, FAILED, PASSED, UNSUPPORTED, Report
from netlab.script.runner import Runner
from netlab.script.sysctl import Default, check_defaults, read_defaults
from netlab.script.wire import SimulatedWire, Wire

SUFFIX = ".pkt"


def find_scripts(paths: Iterable[Path]) -> list[Path]:
    """Files as they are named, and of each folder every script below it, in order. Raises NetlabError."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.rglob(f"*{SUFFIX}"))
            if not inside:
                raise UsageError(f"there is no {SUFFIX} file in {path}")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise UsageError(f"there is no file {path}")
    return found


def run_file(
    path: Path, options: Sequence[tuple[str, str]] = (), live: bool = False, defaults: Sequence[Default] = ()
) -> Report:
    """Parse and run one script. options: of the command line, see ``in_order``. defaults: sysctls to begin with."""
    given = command_line_options(options)
    try:
        script = parse_file(path, given)
        configuration = Configuration.of(str(path), in_order(script.options, given))
    except ScriptError as error:
        outcome = UNSUPPORTED if isinstance(error, UnsupportedError) else ERROR
        place = error.position
        return Report(str(path), outcome, error.message, place.line, place.column, error.source)
    wire = _open(configuration, live)
    try:
        return Runner(script, configuration, wire, defaults).run()
    finally:
        wire.close()


def defaults_of(path: Path) -> tuple[Default, ...]:
    """The sysctls of a file, all of which the stack can have. Raises NetlabError."""
    defaults = read_defaults(path)
    check_defaults(path, defaults, SimulatedWire(Configuration()).stack)
    return defaults


def _open(configuration: Configuration, live: bool) -> Wire:
    if not live:
        return SimulatedWire(configuration)
    from netlab.script.tap_wire import TapWire

    return TapWire(configuration)


def exit_status(reports: Sequence[Report]) -> int:
    """Of the command: the worst that happened."""
    outcomes = {report.outcome for report in reports}
    for outcome, status in ((FAILED, 1), (ERROR, 2), (UNSUPPORTED, 3)):
        if outcome in outcomes:
            return status
    return 0


def summary(reports: Sequence[Report]) -> str:
    """As ``61 passed, 2 failed``."""
    counts = Counter(report.outcome for report in reports)
    return ", ".join(
        f"{counts[outcome]} {outcome}" for outcome in (PASSED, FAILED, ERROR, UNSUPPORTED) if counts[outcome]
    )


def document(reports: Sequence[Report]) -> dict[str, Any]:
    """For ``--json``."""
    return {
        "outcomes": dict(Counter(report.outcome for report in reports)),
        "scripts": [report.document() for report in reports],
    }
