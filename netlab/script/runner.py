"""Runs a parsed script against a stack, event by event, on whatever wire it is given.

The time of an event is that of the script: absolute, or relative to when the one before was done. The runner lets time
pass up to it, sends an inbound packet or starts a call then, and waits for an outbound packet until it would be too
late. A call that blocks (``...``) goes on beside the events behind it, and must return at its time; one at a time, as
in packetdrill. Read ``exchange`` for packets and ``system_calls`` for calls.
"""

import traceback
from collections.abc import Sequence

from netlab.script import notation
from netlab.script.assertions import Snippets
from netlab.script.configuration import Configuration
from netlab.script.errors import Position
from netlab.script.exchange import Exchange
from netlab.script.report import ERROR, FAILED, UNSUPPORTED, Failure, Report, Unsupported
from netlab.script.sockets import Blocking, UnsupportedCallError
from netlab.script.sysctl import Default, Sysctls, UnsupportedCommandError
from netlab.script.system_calls import MismatchError, SystemCalls
from netlab.script.tree import ABSOLUTE, ANY, RELATIVE, Call, Code, Command, Event, Packet, Script
from netlab.script.wire import Wire

MOST_WAIT = 600 * 1_000_000  # microseconds; for a packet whose time is '*'


class Pending:
    """A call that blocks: its event, its generator, and the script's time at which it must return."""

    def __init__(self, event: Event, call: Call, steps: Blocking[None], end: int) -> None:
        self.event = event
        self.call = call
        self.steps = steps
        self.end = end


class Runner:
    """One run of one script."""

    def __init__(
        self, script: Script, configuration: Configuration, wire: Wire, defaults: Sequence[Default] = ()
    ) -> None:
        self.script = script
        self.configuration = configuration
        self.wire = wire
        self.report = Report(script.path, notes=list(configuration.notes))
        self.exchange = Exchange(wire, configuration)
        self.calls = SystemCalls(wire, self.exchange, configuration)
        self._sysctls = Sysctls(wire.stack, defaults)
        self._snippets = Snippets()
        self._pending: Pending | None = None
        self._deadline: int | None = None  # of the pending call, in the clock's nanoseconds
        self._last = 0  # when the event before was due
        self._happened = 0  # and when it happened: relative times count from then

    def run(self) -> Report:
        """Run it to its end, or to where it fails. What the stack or an upcall raises is an outcome as well."""
        try:
            if self.script.init is not None:
                self._command(self.script.init)
            for event in self.script.events:
                self._event(event)
                self.report.events += 1
            self._finish_pending()
            if self.script.cleanup is not None:
                self._command(self.script.cleanup)
        except Failure as failure:
            self._end(FAILED, failure.position, failure.message, failure.details)
        except Unsupported as unsupported:
            self._end(UNSUPPORTED, unsupported.position, unsupported.message)
        except Exception as error:
            position = self.script.events[min(self.report.events, len(self.script.events) - 1)].position
            where = tuple("".join(traceback.format_exception(error)).splitlines())
            self._end(ERROR, position, f"the stack, or the runner, raised {type(error).__name__}: {error}", where)
        finally:
            self.report.duration = self.wire.now() / 1_000_000
        return self.report

    def _end(self, outcome: str, position: Position, message: str, details: tuple[str, ...] = ()) -> None:
        self.report.outcome = outcome
        self.report.message = message
        self.report.line, self.report.column = position.line, position.column
        self.report.source = self.script.lines[position.line - 1].strip()
        self.report.details = details

    def _event(self, event: Event) -> None:
        """One event, at its time. Raises Failure, Unsupported."""
        action = event.action
        start, end = self._due(event)
        kind = "packet" if isinstance(action, Packet) else "syscall"
        try:
            if isinstance(action, Packet) and not action.inbound:
                self._expect(event, action, start, end)
            else:
                self._act(event, start)
        except Failure as failure:
            if kind not in self.configuration.non_fatal:
                raise
            self.report.notes.append(f"{failure.position.line}: {failure.message} (not fatal)")
        self._last = start

    def _due(self, event: Event) -> tuple[int, int]:
        """When the event may happen, from and to, in microseconds since the run began."""
        when = event.time
        base = 0 if when.kind == ABSOLUTE else self._happened
        start = base + when.start
        return start, start if when.end is None else base + when.end

    def _act(self, event: Event, start: int) -> None:
        """Everything but waiting for a packet."""
        action = event.action
        if isinstance(action, Call):
            self._finish_pending()
        self._pass_until(start)
        self._happened = self.wire.now()
        self._check_time(event.position, "the event", start, start, self._happened)
        if isinstance(action, Packet):
            self.exchange.inject(event, action)
            self.report.packets += 1
        elif isinstance(action, Call):
            self._call(event, action, start)
        elif isinstance(action, Command):
            self._command(action)
        elif isinstance(action, Code):
            self._code(event, action)
        self._resume()

    # Time

    def _pass_until(self, time: int) -> None:
        """Let time pass, and everything happen that is due in it."""
        while self.wire.now() < time:
            self._advance(time)

    def _advance(self, until: int) -> None:
        """Let time pass up to ``until``, or until something has happened; then let a blocked call look."""
        if self._deadline is not None:
            until = min(until, max(self.wire.micros(self._deadline), self.wire.now()))
        self.wire.advance(until)
        self._resume()

    def _tolerance(self, due: int) -> int:
        """How many microseconds early or late an event may be that is due then."""
        elapsed = max(due - self._last, 0)
        return max(self.configuration.tolerance, int(elapsed * self.configuration.tolerance_percent / 100))

    def _check_time(self, position: Position, what: str, start: int, end: int, actual: int) -> None:
        """Raises Failure when ``actual`` is not in the time from ``start`` to ``end``, with the tolerance."""
        tolerance = self._tolerance(start)
        if not start - tolerance <= actual <= end + tolerance:
            due = notation.seconds(start) + ("" if start == end else f" to {notation.seconds(end)}")
            raise Failure(
                position,
                f"{what} was due at {due} and happened at {notation.seconds(actual)}; "
                f"the tolerance is {notation.seconds(tolerance)}",
            )

    # Packets

    def _expect(self, event: Event, packet: Packet, start: int, end: int) -> None:
        """Wait for a packet of the stack."""
        any_time = event.time.kind == ANY
        latest = self.wire.now() + MOST_WAIT if any_time else end + self._tolerance(start)
        while True:
            too_late = self.wire.now() >= latest or (any_time and not self.wire.has_more())
            seen = self.exchange.expect(event, packet, too_late)
            if seen is not None:
                break
            if too_late:
                raise Failure(
                    event.position,
                    f"no packet was sent until {notation.seconds(self.wire.now())}",
                    (f"expected {notation.packet(packet)}",),
                )
            self._advance(latest)
        self.report.packets += 1
        self._happened = seen.time
        if not any_time:
            self._check_time(event.position, f"the packet {notation.packet(packet)}", start, end, seen.time)

    # Calls

    def _call(self, event: Event, call: Call, start: int) -> None:
        steps = self.calls.run(call)
        base = start - event.time.start if event.time.kind == RELATIVE else 0
        end = start if call.end is None else base + call.end
        self._pending = Pending(event, call, steps, end)
        self._resume()
        if self._pending is not None and call.end is None:
            self._pending = None
            raise Failure(event.position, f"{notation.call(call)} blocks; write ...TIME before it, when it returns")

    def _resume(self) -> None:
        """Let the blocked call go on, as far as it can."""
        pending = self._pending
        if pending is None:
            return
        try:
            self._deadline = next(pending.steps)
        except StopIteration:
            self._pending = self._deadline = None
            what = f"the return of {notation.call(pending.call)}"
            self._check_time(pending.event.position, what, pending.end, pending.end, self.wire.now())
        except MismatchError as error:
            self._pending = self._deadline = None
            raise Failure(pending.event.position, str(error)) from error
        except UnsupportedCallError as error:
            raise Unsupported(pending.event.position, f"{error} is not supported") from error

    def _finish_pending(self) -> None:
        """Wait for the blocked call: the next one cannot begin before (and the script not end)."""
        while self._pending is not None:
            pending = self._pending
            latest = pending.end + self._tolerance(pending.end)
            if self.wire.now() >= latest:
                due = notation.seconds(pending.end)
                raise Failure(pending.event.position, f"{notation.call(pending.call)} did not return at {due}")
            self._advance(latest)

    # Commands and snippets

    def _command(self, command: Command) -> None:
        try:
            for note in self._sysctls.run(command.text):
                self.report.notes.append(f"{command.position.line}: {note}")
        except UnsupportedCommandError as error:
            raise Unsupported(command.position, str(error)) from error

    def _code(self, event: Event, code: Code) -> None:
        fields, without = self.calls.tcp_info()
        wrong = self._snippets.run(self.script.path, event.position.line, code.text, fields, without)
        if wrong:
            shown = tuple(f"{name} = {value}" for name, value in fields.items() if name in code.text)
            raise Failure(event.position, wrong, shown)
