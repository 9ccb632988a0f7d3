"""What stands for a value in help and usage: a word of what it is, not its type.

That word is the parameter's name, where there is none in the tables below.
"""

from typing import Any

WORDS = {
    "a": "CAPTURE",
    "arguments": "ARGUMENT",
    "b": "CAPTURE",
    "baseline": "FOLDER",
    "capture": "FILE",
    "captures": "FOLDER",
    "concurrency": "COUNTS",
    "cores": "COUNT",
    "cpu_mode": "MODE",
    "define": "NAME=VALUE",
    "ebb": "NAME=CLASS",
    "file": "TOPOLOGY",
    "files": "FILE",
    "from_": "SETTINGS",
    "ip": "ADDRESS",
    "ip6": "ADDRESS",
    "ip_version": "VERSION",
    "json_file": "FILE",
    "kind": "png|svg|pdf",
    "lab_name": "LAB",
    "limit": "UID=NODES",
    "link": "MACHINE:SETTINGS",
    "lookup": "table|list",
    "memory": "MIB",
    "name": "LAB",
    "non_fatal": "EVENTS",
    "out": "FOLDER",
    "output": "FILE",
    "packets": "COUNT",
    "path": "CAPTURE",
    "payload": "SIZES",
    "pool": "NODES",
    "ring_size": "COUNT",
    "rounds": "COUNT",
    "script": "PROGRAM",
    "seed": "NUMBER",
    "statistics": "FILE",
    "timeout": "SECONDS",
    "to": "ADDRESS",
    "tolerance": "SHARE",
}
BY_COMMAND = {("link set", "to"): "SETTINGS", ("script", "tolerance"): "MICROSECONDS"}


HELP_NAMES = ["-h", "--help"]


def name_values(command: Any, path: str = "") -> Any:
    """Put the words into a command, and into those of its group; a flag has none."""
    help_option = command.get_help_option(command.context_class(command, help_option_names=HELP_NAMES))
    for parameter in [*command.params, help_option]:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
        elif parameter.metavar is None:
            parameter.metavar = BY_COMMAND.get((path, parameter.name)) or WORDS.get(
                parameter.name, parameter.name.upper().replace("_", "-")
            )
        if parameter.param_type_name == "argument":
            parameter.display_type_rich = _no_type  # its name says it
    for name, each in getattr(command, "commands", {}).items():
        name_values(each, f"{path} {name}".strip())
    return command


def _no_type(ctx: Any) -> str:
    return ""
