"""Stacks for events, and the contexts by which an event that has blocked is named.

A stack is a greenlet that goes on running the event loop whenever it has no event to go on with. What the loop starts
runs on the loop's own stack; when that blocks, another stack takes the loop over. What is spawned from within an event
gets a stack of its own, and its caller is set aside until it ends or blocks (paper section 3.3;
docs/adr/0006-runtime.md). Stacks that are free are kept for the next who needs one.

``EventManager`` is the user of this module; applications see ``Context`` and ``ContextError``.
"""

from collections.abc import Callable

import cython
from greenlet import GreenletExit, getcurrent, greenlet

from ebbrt import ebb

KEPT_STACKS = 64  # free ones; each has 16 KiB of Python's own frames
# A new stack begins, in C and for Python's recursion limit, where it is first entered from. So that stacks begun from
# each other do not creep down to the end, every so many one is begun from where ``run`` was called.
DEEPEST_START = 16


class ContextError(RuntimeError):
    """An event cannot block, or cannot be activated; the text says why."""


class Context:
    """Names an event while it is blocked. Plain data: it may be pickled, and activated from any core of the node."""

    def __init__(self) -> None:
        global _contexts
        _contexts += 1
        self.core = ebb.current_core().number
        self.number = _contexts

    def __repr__(self) -> str:
        return f"Context {self.number} of core {self.core}"

    def __reduce__(self) -> tuple[Callable[[int, int], "Context"], tuple[int, int]]:
        return _context, (self.core, self.number)


_contexts = 0


def _context(core: int, number: int) -> Context:
    context = Context()
    context.core = core
    context.number = number
    return context


class Stack(greenlet):  # type: ignore[misc]
    """A greenlet that runs events and the loop; ``depth`` is how many stacks were begun from each other before it."""

    depth = 0


class StackUser:
    """What stacks run."""

    def run_handed(self, function: object) -> None:
        """Run ``function`` as an event; it may block."""
        raise NotImplementedError

    def run_loop(self) -> None:
        """Turn until there is a reason to return to who called ``run``."""
        raise NotImplementedError


def _switch(stack: object) -> None:
    if cython.compiled:
        PyGreenlet_Switch(cython.cast(cython.p_void, stack), cython.NULL, cython.NULL)
    else:
        stack.switch()


class Stacks:
    """The stacks of one core, at most ``most``."""

    def __init__(self, user: StackUser, most: int) -> None:
        self.most = most
        self.count = 0
        self.callers: list[greenlet] = []  # set aside by hand-overs, the last one last
        self.running: greenlet | None = None  # None: code that no stack of ours runs
        self._user = user
        self._free: list[greenlet] = []
        self._handed: object = None  # what a stack that is entered is to run first
        self._main: greenlet | None = None  # who called run
        self._begin: greenlet | None = None  # what ``_main`` is asked to enter first
        self._raised: BaseException | None = None  # ends run, or goes to the caller set aside

    def run(self) -> None:
        """Run the loop on a stack, until it returns. What no event may catch is raised here."""
        self._main = getcurrent()
        stack: greenlet | None = self._take()
        try:
            while stack is not None:
                self._enter(stack)
                stack = self._begin
                self._begin = None
        finally:
            self._main = None
        self._raise()

    def check_outside(self) -> None:
        """Raise RuntimeError when an event runs, or the loop."""
        if self._main is not None or self.running is not None:
            raise RuntimeError("an event can neither run nor close the loop it runs in: it can block, or stop it")

    def can_block(self) -> bool:
        """Whether there is somebody to go on with: a caller, a free stack, or room for a new one."""
        return bool(self.callers) or bool(self._free) or self.count < self.most

    def hand_over(self, function: object) -> bool:
        """Run ``function`` on another stack; return when it has ended or blocks. False: all stacks are in use."""
        if not self._free and self.count >= self.most:
            return False
        self._handed = function
        self.call(self._take())
        return True

    def call(self, stack: object) -> None:
        """Go on with ``stack``, and here again when what it runs has ended or blocks."""
        self.callers.append(self.running if self.running is not None else getcurrent())
        self._enter(stack)
        self._raise()

    def block(self) -> None:
        """Set the event that runs aside until its stack is entered again. Check ``can_block`` first."""
        if self.callers:
            self._enter(self.callers.pop())
        else:
            self._enter(self._take())

    def stand_by(self, stack: object) -> None:
        """Become free, and go on with ``stack``; return when this stack is to go on with the loop."""
        self._become_free(stack)
        self._serve()

    def give_back(self) -> None:
        """The event that a caller was set aside for has ended on a stack of the loop: go on with the caller."""
        self.stand_by(self.callers.pop())

    def close(self, parked: list[greenlet]) -> None:
        """End every stack; ``parked`` are those of blocked events, in which GreenletExit is raised."""
        for stack in parked + self._free:
            self._end(stack)
        self._free = []

    def _take(self) -> greenlet:
        """A free stack, or a new one."""
        if self._free:
            return self._free.pop()
        if self.count >= self.most:
            raise ContextError(f"all {self.most} stacks are in use by events that have blocked")
        self.count += 1
        here = getcurrent()
        # All have the same parent, or ending one from another could make a circle of parents.
        return Stack(self._body, here.parent if type(here) is Stack else here)

    def _enter(self, stack: object) -> None:
        """Switch to ``stack``; return when somebody switches back."""
        here = self.running
        self.running = stack if type(stack) is Stack else None
        if self.running is not None and not self.running:  # never entered
            stack = self._place(stack)
        _switch(stack)
        self.running = here

    def _place(self, stack: object) -> object:
        """Who begins a new stack: the stack that runs, or, before that goes too deep, who called ``run``."""
        here = getcurrent()
        depth = here.depth + 1 if type(here) is Stack else 0
        if depth <= DEEPEST_START or self._main is None:
            stack.depth = depth
            return stack
        self._begin = stack
        return self._main

    def _body(self) -> None:
        try:
            self._serve()
            while True:
                try:
                    self._user.run_loop()
                except GreenletExit:
                    raise
                except BaseException as error:
                    self._raised = error
                self.stand_by(self._main)
        except GreenletExit:
            pass  # the Event Manager is closed, or there are more free stacks than are kept

    def _serve(self) -> None:
        """Run what was handed to this stack; return when it is to go on with the loop."""
        while self._handed is not None:
            function = self._handed
            self._handed = None
            try:
                self._user.run_handed(function)
            except GreenletExit:
                raise
            except BaseException as error:
                self._raised = error
            function = None
            if self.callers:
                self._become_free(self.callers.pop())
            elif self._raised is not None:
                self._become_free(self._main)
            else:
                return

    def _become_free(self, stack: object) -> None:
        if len(self._free) >= KEPT_STACKS:
            self._end(self._free.pop())
        self._free.append(self.running)
        self._enter(stack)

    def _end(self, stack: greenlet) -> None:
        self.count -= 1
        stack.parent = getcurrent()
        running = self.running
        self.running = stack
        stack.throw(GreenletExit)
        self.running = running

    def _raise(self) -> None:
        if self._raised is not None:
            raised = self._raised
            self._raised = None
            raise raised


if cython.compiled:
    PyGreenlet_Import()
