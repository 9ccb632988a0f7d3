"""What the Command Line promises on every node, as tests that a front-end's and a back-end's pass.

A test class inherits ``CommandLineSuite`` and has a fixture ``boot``: has a node join an application that was started
with those arguments, through the code that makes its base Ebbs. The references of ``ebbrt.ebb`` are that node's then.
"""

from collections.abc import Callable

import pytest

from ebbrt.command_line import CommandLineError
from ebbrt.ebb import command_line
from ebbrt.runtime import Runtime

Boot = Callable[[list[str]], Runtime]


class CommandLineSuite:
    """The tests."""

    def test_it_has_the_program_and_its_arguments(self, boot: Boot) -> None:
        boot(["./sum", "--size", "64", "input file", "na\udcefve"])
        assert command_line.program() == "./sum"
        assert command_line.arguments() == ("--size", "64", "input file", "na\udcefve")

    def test_options_are_found_by_name_and_the_last_one_counts(self, boot: Boot) -> None:
        boot(["sum", "--size", "64", "--verbose", "--name=a=b", "--size=128", "--empty="])
        assert command_line.value("size") == "128"
        assert command_line.value("name") == "a=b"
        assert command_line.value("empty") == ""
        assert command_line.has("verbose")
        assert command_line.has("size")

    def test_what_was_not_given_is_the_default(self, boot: Boot) -> None:
        boot(["sum", "--sizes", "1", "size"])
        assert command_line.value("size") is None
        assert command_line.value("size", "7") == "7"
        assert not command_line.has("size")

    def test_options_end_at_two_dashes(self, boot: Boot) -> None:
        boot(["sum", "--size", "1", "--", "--size", "2", "--verbose"])
        assert command_line.value("size") == "1"
        assert not command_line.has("verbose")

    def test_an_option_without_its_value_is_an_error(self, boot: Boot) -> None:
        boot(["sum", "--size"])
        with pytest.raises(CommandLineError, match="--size needs a value"):
            command_line.value("size")

    def test_no_arguments_at_all(self, boot: Boot) -> None:
        boot([])
        assert (command_line.program(), command_line.arguments()) == ("", ())

    def test_the_reference_and_the_runtime_have_the_same(self, boot: Boot) -> None:
        runtime = boot(["sum", "one", "two"])
        assert runtime.command_line.arguments() == command_line.arguments() == ("one", "two")
        assert runtime.identity.argv == ("sum", "one", "two")
