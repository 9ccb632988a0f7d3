"""Every command line that help, README and documents show is one that the real command line takes.

Each is parsed as it would be, without being run: a command, an option or an argument that is not there, or a value
of the wrong kind, fails. The README's are run besides, by ``tests/live/test_readme.py``.
"""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netlab import cli
from netlab.emulation.settings import LinkSettings, parse_link

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = sorted((ROOT / "netlab").rglob("*.py"))
ENDS_COMMAND = {";", "|", "&", "&&", "||"}
REDIRECTIONS = {">", "<", ">>", ">&"}
INLINE = re.compile(r"`+(netlab [^`]+?)`+")
OURS = re.compile(r"(apps|captures|docs|netlab|tests)/[\w./-]+")
COMMAND = cli.command()


def lines_of(text: str) -> Iterator[str]:
    """The indented lines that begin with a command of ours, those that go on below as one."""
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        words = line.split()
        if line.startswith("    ") and words and words[0].removeprefix("sudo") in ("netlab", ""):
            yield line.strip()


def commands_of(line: str) -> list[list[str]]:
    """The commands of a shell's line, each as its words: without comments, redirections and `sudo`."""
    reader = shlex.shlex(re.sub(r"<(\w+)>", r"\1", line), posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    found: list[list[str]] = [[]]
    words = iter(reader)
    for word in words:
        if word in ENDS_COMMAND:
            found.append([])
        elif word in REDIRECTIONS:
            next(words)
        else:
            found[-1].append(word)
    return [each[each[0] == "sudo" :] for each in found if each]


def check_line(line: str) -> None:
    for words in commands_of(line):
        check(words)


def check(words: list[str]) -> None:
    """Parse a command; of those that are not ours, look only at what they name of ours."""
    if words[0] == "env":
        words = [word for word in words[1:] if "=" not in word]
    for word in words:
        if OURS.fullmatch(word):
            assert (ROOT / word).exists(), word
    if "-m" in words and words[0].startswith("python"):
        assert importlib.util.find_spec(words[words.index("-m") + 1]), words
    if words[0] == "netlab":
        check_ours(words[1:])


def check_ours(arguments: list[str]) -> None:
    wanted = [word for word in arguments if word != "--help"]
    for_help = wanted != arguments
    command, context, path = COMMAND, COMMAND.make_context("netlab", wanted, resilient_parsing=for_help), ()
    while hasattr(command, "commands"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        path = (*path, name)
        if for_help and not rest:
            return
        context = command.make_context(name, rest, parent=context, resilient_parsing=for_help)
    values = context.params
    if path == ("exec",) and not for_help:
        inner = values["command"]
        check(inner[inner[0] == "--" :])
    settings = [values[name] for name in ("settings", "to", "from_")] if path == ("link", "set") else []
    for text in values["link"] or () if path == ("up",) else ():
        settings += parse_link(text)[1:]
    for text in settings:
        LinkSettings.parse(text or "")


def epilogs(command: Any) -> Iterator[str]:
    yield command.epilog
    for each in getattr(command, "commands", {}).values():
        yield from epilogs(each)


IN_HELP = sorted({line for epilog in epilogs(COMMAND) for line in lines_of(epilog)})
IN_DOCUMENTS = sorted({line for path in DOCUMENTS for line in lines_of(path.read_text())})
IN_SENTENCES = sorted({found for path in (*DOCUMENTS, *SOURCES) for found in INLINE.findall(path.read_text())})


@pytest.mark.parametrize("line", [*IN_HELP, *IN_DOCUMENTS])
def test_an_example_is_a_command_that_there_is(line: str) -> None:
    check_line(line)


@pytest.mark.parametrize("text", IN_SENTENCES)
def test_a_command_that_a_sentence_names_is_there(text: str) -> None:
    """It may lack arguments, or have words in their place; its name and its options are looked at."""
    command, words = COMMAND, text.split()[1:]
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        assert words[0] in command.commands, text
        command = command.commands[words.pop(0)]
    known = {name for parameter in command.params for name in parameter.opts}
    known |= {"-h", "--help", "--install-completion", "--show-completion", "--"}
    if text.startswith("netlab run "):
        words = words[:1]  # the program's own come behind it
    options = [word.partition("=")[0] for word in words[: words.index("--") if "--" in words else None]]
    assert {word for word in options if word.startswith("-")} <= known


@pytest.mark.parametrize(
    "line",
    [
        "netlab no-such-command",
        "netlab status --no-such-option",
        "netlab up a.toml b.toml",
        "netlab iaas run --pool many",
        "netlab link set node delay=never",
        "netlab status; netlab no-such-command | tail",
        "netlab exec switch -- netlab node run memcached --tapp node",
        "netlab exec switch -- netlab no-such-command",
        "netlab exec client -- env A=b python -P -m apps.no_such_module",
        "netlab sim netlab/sim/examples/no_such_file.py",
    ],
)
def test_an_example_that_is_wrong_is_found(line: str) -> None:
    with pytest.raises(Exception):  # noqa: B017 (the command line's own, or a failed assertion)
        check_line(line)


def test_examples_are_found() -> None:
    assert len(IN_HELP) > 60
    assert len(IN_DOCUMENTS) > 40
    assert len(IN_SENTENCES) > 20
    assert commands_of('sudo netlab up > a.txt; netlab plot out/<run>  # "x') == [
        ["netlab", "up"],
        ["netlab", "plot", "out/run"],
    ]
