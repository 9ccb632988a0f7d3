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


class Stack:
    """A greenlet that runs events and the loop; or, ``outside``, the one from which we were called.

    Not a subclass: greenlet checks types a dozen times in each switch, which is quick for its own class only.
    """

    def __init__(self, fiber: greenlet, outside: bool) -> None:
        self.fiber = fiber
        self.outside = outside
        self.begun = outside
        self.depth = 0  # how many stacks were begun from each other before it


class StackUser:
    """What stacks run."""

    def run_handed(self, function: object) -> None:
        """Run ``function`` as an event; it may block."""
        raise NotImplementedError

    def run_loop(self) -> None:
        """Turn until there is a reason to return to who called ``run``."""
        raise NotImplementedError


def _switch(stack: Stack) -> None:
    if cython.compiled:
        PyGreenlet_Switch(cython.cast(cython.p_void, stack.fiber), cython.NULL, cython.NULL)
    else:
        stack.fiber.switch()


class Stacks:
    """The stacks of one core, at most ``most``."""

    def __init__(self, user: StackUser, most: int) -> None:
        self.most = most
        self.count = 0
        self.callers: list[Stack] = []  # set aside by hand-overs, the last one last
        self.running: Stack | None = None  # None: code that no stack of ours runs
        self._user = user
        self._free: list[Stack] = []
        self._handed: object = None  # what a stack that is entered is to run first
        self._main: Stack | None = None  # who called run
        self._to_begin: Stack | None = None  # what ``_main`` is asked to enter first
        self._raised: BaseException | None = None  # ends run, or goes to the caller set aside

    def run(self) -> None:
        """Run the loop on a stack, until it returns. What no event may catch is raised here."""
        self._main = Stack(getcurrent(), True)
        stack: Stack | None = self._take()
        try:
            while stack is not None:
                self._enter(stack)
                stack = self._to_begin
                self._to_begin = None
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

    def call(self, stack: Stack) -> None:
        """Go on with ``stack``, and here again when what it runs has ended or blocks."""
        self.callers.append(self.running if self.running is not None else Stack(getcurrent(), True))
        self._enter(stack)
        self._raise()

    def block(self) -> None:
        """Set the event that runs aside until its stack is entered again. Check ``can_block`` first."""
        self._enter(self.callers.pop() if self.callers else self._take())

    def stand_by(self, stack: Stack) -> None:
        """Become free, and go on with ``stack``; return when this stack is to go on with the loop."""
        self._become_free(stack)
        self._serve()

    def give_back(self) -> None:
        """The event that a caller was set aside for has ended on a stack of the loop: go on with the caller."""
        self.stand_by(self.callers.pop())

    def close(self, parked: list[Stack]) -> None:
        """End every stack; ``parked`` are those of blocked events, in which GreenletExit is raised."""
        for stack in parked + self._free:
            self._end(stack)
        self._free = []

    def _take(self) -> Stack:
        """A free stack, or a new one."""
        if self._free:
            return self._free.pop()
        if self.count >= self.most:
            raise ContextError(f"all {self.most} stacks are in use by events that have blocked")
        self.count += 1
        # All have the same parent, or ending one from another could make a circle of parents.
        parent = getcurrent() if self.running is None else self.running.fiber.parent
        return Stack(greenlet(self._body, parent), False)

    def _enter(self, stack: Stack) -> None:
        """Switch to ``stack``; return when somebody switches back, having set ``running``."""
        here = self.running
        self.running = None if stack.outside else stack
        if stack.begun:
            _switch(stack)
        else:
            self._begin(stack, here)

    def _begin(self, stack: Stack, here: Stack | None) -> None:
        """Begin a new stack from this one, or, before that goes too deep, from who called ``run``."""
        stack.begun = True
        stack.depth = 0 if here is None else here.depth + 1
        if stack.depth > DEEPEST_START and self._main is not None:
            stack.depth = 0
            self._to_begin = stack
            _switch(self._main)
        else:
            _switch(stack)

    def _body(self) -> None:
        """What a stack runs. GreenletExit ends it: the Event Manager is closed, or too many stacks are free."""
        while True:
            try:
                self._serve()
                self._user.run_loop()
                following = self._main
            except GreenletExit:
                raise
            except BaseException as error:
                self._raised = error
                following = self.callers.pop() if self.callers else self._main
            assert following is not None
            self._become_free(following)

    def _serve(self) -> None:
        """Run what was handed to this stack; return when it is to go on with the loop."""
        while self._handed is not None:
            function = self._handed
            self._handed = None
            self._user.run_handed(function)
            function = None
            if not self.callers:  # it has blocked meanwhile
                break
            self._become_free(self.callers.pop())

    def _become_free(self, stack: Stack) -> None:
        if len(self._free) >= KEPT_STACKS:
            self._end(self._free.pop())
        assert self.running is not None
        self._free.append(self.running)
        self._enter(stack)

    def _end(self, stack: Stack) -> None:
        self.count -= 1
        stack.fiber.parent = getcurrent()
        running = self.running
        self.running = stack
        stack.fiber.throw(GreenletExit)
        self.running = running

    def _raise(self) -> None:
        if self._raised is not None:
            raised = self._raised
            self._raised = None
            raise raised


if cython.compiled:
    PyGreenlet_Import()
