"""The Command Line Ebb: the same on the front-end, from argv, and on a back-end, from what crosses at boot."""

import json
from collections.abc import Callable, Iterator

import pytest

from ebbrt import ebb
from ebbrt.command_line import CommandLine, CommandLineError
from ebbrt.ebb import COMMAND_LINE, Core, command_line

Boot = Callable[[list[str]], None]


@pytest.fixture(params=["front-end", "back-end"])
def boot(request: pytest.FixtureRequest) -> Iterator[Boot]:
    before = ebb.current_core()
    core = Core()
    core.enter()

    def boot(argv: list[str]) -> None:
        if request.param == "back-end":
            argv = json.loads(json.dumps({"arguments": argv}))["arguments"]
        core.install(COMMAND_LINE, CommandLine(argv))

    yield boot
    before.enter()


def test_it_has_the_program_and_its_arguments(boot: Boot) -> None:
    boot(["./sum", "--size", "64", "input file", "na\udcefve"])
    assert command_line.program() == "./sum"
    assert command_line.arguments() == ("--size", "64", "input file", "na\udcefve")


def test_options_are_found_by_name_and_the_last_one_counts(boot: Boot) -> None:
    boot(["sum", "--size", "64", "--verbose", "--name=a=b", "--size=128", "--empty="])
    assert command_line.value("size") == "128"
    assert command_line.value("name") == "a=b"
    assert command_line.value("empty") == ""
    assert command_line.has("verbose")
    assert command_line.has("size")


def test_what_was_not_given_is_the_default(boot: Boot) -> None:
    boot(["sum", "--sizes", "1", "size"])
    assert command_line.value("size") is None
    assert command_line.value("size", "7") == "7"
    assert not command_line.has("size")


def test_options_end_at_two_dashes(boot: Boot) -> None:
    boot(["sum", "--size", "1", "--", "--size", "2", "--verbose"])
    assert command_line.value("size") == "1"
    assert not command_line.has("verbose")


def test_an_option_without_its_value_is_an_error(boot: Boot) -> None:
    boot(["sum", "--size"])
    with pytest.raises(CommandLineError, match="--size needs a value"):
        command_line.value("size")


def test_no_arguments_at_all(boot: Boot) -> None:
    boot([])
    assert (command_line.program(), command_line.arguments()) == ("", ())


def test_a_command_line_is_made_of_texts() -> None:
    with pytest.raises(CommandLineError, match="list of texts"):
        CommandLine(["sum", 7])  # type: ignore[list-item]
