"""The Command Line Ebb: the arguments that the application's front-end was started with, on every node.

The front-end's representative is made from ``sys.argv``, a back-end's from the same list, which is part of what a node
is told at boot: nothing is asked for.

    size = int(command_line.value("size", "64"))
    if command_line.has("verbose"): ...
"""

from collections.abc import Sequence


class CommandLineError(ValueError):
    """An option that was not given as it must be."""


class CommandLine:
    """The command line ``argv``: the program, and its arguments."""

    def __init__(self, argv: Sequence[str]) -> None:
        if not all(isinstance(argument, str) for argument in argv):
            raise CommandLineError(f"a command line is a list of texts, not {argv!r}")
        self._program = argv[0] if argv else ""
        self._arguments = tuple(argv[1:])

    def program(self) -> str:
        """What the front-end was started as; empty when that is not known."""
        return self._program

    def arguments(self) -> tuple[str, ...]:
        """Everything that followed the program."""
        return self._arguments

    def has(self, name: str) -> bool:
        """Whether ``--name`` or ``--name=value`` was given; not looked for behind ``--``."""
        option = f"--{name}"
        return any(argument == option or argument.startswith(f"{option}=") for argument in self._options())

    def value(self, name: str, default: str | None = None) -> str | None:
        """What was given as ``--name value`` or ``--name=value``, the last time; else ``default``.

        Raises CommandLineError when ``--name`` was the last argument, without a value.
        """
        option = f"--{name}"
        options = self._options()
        for at in range(len(options) - 1, -1, -1):
            if options[at].startswith(f"{option}="):
                return options[at][len(option) + 1 :]
            if options[at] == option:
                if at + 1 == len(options):
                    raise CommandLineError(f"{option} needs a value: write {option} VALUE or {option}=VALUE")
                return options[at + 1]
        return default

    def _options(self) -> tuple[str, ...]:
        if "--" in self._arguments:
            return self._arguments[: self._arguments.index("--")]
        return self._arguments
