"""What the options at the head of a script, and on the command line, say of a run.

Names and defaults are packetdrill's, but for the local address, which is fixed, so that a run repeats to the byte.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface
from typing import NoReturn

from netlab.script.errors import Position, ScriptError, UnsupportedError
from netlab.script.tree import ScriptOption

IP_VERSIONS = ("ipv4", "ipv4-mapped-ipv6", "ipv6")
ADDRESSES = {
    "ipv4": ("192.168.0.1", "192.0.2.1"),
    "ipv4-mapped-ipv6": ("192.168.0.1", "192.0.2.1"),
    "ipv6": ("fd3d:fa7b:d17d::1", "2001:db8::1"),
}
UNSUPPORTED = (
    "wire_client",
    "wire_server",
    "wire_server_ip",
    "wire_server_at",
    "wire_server_port",
    "wire_client_dev",
    "wire_server_dev",
    "so_filename",
    "so_flags",
    "is_anyip",
    "send_omit_free",
)
# Of no consequence here; each with what the report says of it.
IGNORED = {
    "init_scripts": "not run: a run begins with a fresh stack, and the shell is never called",
    "code_command": "ignored: snippets run in this Python",
    "code_format": "ignored: snippets run in this Python",
    "code_sockopt": "ignored: snippets see TCP_INFO",
    "gateway_ip": "ignored: there is one other host, and the way to it is known",
    "netmask_ip": "ignored: there is one other host, and the way to it is known",
    "mss": "ignored: inbound segments are as long as the script says",
    "speed": "ignored: a link of a script has no rate",
    "dry_run": "ignored in a script",
    "debug": "ignored in a script",
    "verbose": "ignored in a script",
    "v": "ignored in a script",
}
FLAGS = ("tcp_ts_ecr_scaled", "strict_segments", "strict_push")
LEAST_IPV6_MTU = 1280  # RFC 8200 section 5
NON_FATAL = ("packet", "syscall")


@dataclass(frozen=True, slots=True)
class Configuration:
    """tolerance: microseconds an event may be early or late; tolerance_percent: of the time since the one before.

    ts_tick: microseconds of one tick of our timestamps, 0 when their values are not checked.
    strict_push: PSH is as the script says, also where RFC 9293 leaves it to the sender.
    non_fatal: "packet", "syscall": what is reported and does not end the run.
    """

    ip_version: str = "ipv4"
    local_ip: str = ADDRESSES["ipv4"][0]
    remote_ip: str = ADDRESSES["ipv4"][1]
    bind_port: int = 8080
    connect_port: int = 8080
    mtu: int = 1500
    tolerance: int = 4000
    tolerance_percent: float = 12.5
    ts_tick: int = 0
    ts_ecr_scaled: bool = False
    strict_segments: bool = False
    strict_push: bool = False
    non_fatal: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    @property
    def wire_ipv6(self) -> bool:
        """Whether packets are IPv6."""
        return self.ip_version == "ipv6"

    @classmethod
    def of(cls, path: str, options: Iterable[ScriptOption]) -> "Configuration":
        """What the options say. Raises ScriptError for one that is none, or has no such value."""
        options = tuple(options)
        version = ip_version_of(options)
        local, remote = ADDRESSES.get(version, ADDRESSES["ipv4"])
        configuration = cls(version, local, remote)
        for option in options:
            configuration = _apply(path, configuration, option)
        _check(path, configuration, options)
        return configuration


def _check(path: str, configuration: Configuration, options: tuple[ScriptOption, ...]) -> None:
    """What options say must go together. Raises ScriptError, at the last of those that do not."""

    def fail(names: tuple[str, ...], message: str) -> NoReturn:
        position = next((o.position for o in reversed(options) if o.name in names), Position(1, 1))
        raise ScriptError(path, position, message)

    ipv6 = configuration.wire_ipv6
    for name, text in (("local_ip", configuration.local_ip), ("remote_ip", configuration.remote_ip)):
        address = ip_address(text)
        if (address.version == 6) != ipv6:
            fail(
                (name,),
                f"--{name}={text} is IPv{address.version}, and packets are IPv{6 if ipv6 else 4}: "
                f"say --ip_version={'ipv4' if ipv6 else 'ipv6'} in the script, or take another address",
            )
        if address.is_multicast or address.is_unspecified or address.is_loopback or text == "255.255.255.255":
            fail((name,), f"--{name}={text} is no address of a host on a link")
    if configuration.local_ip == configuration.remote_ip:
        fail(("local_ip", "remote_ip"), f"--local_ip and --remote_ip are both {configuration.local_ip}")
    if ipv6 and configuration.mtu < LEAST_IPV6_MTU:
        fail(("mtu",), f"--mtu={configuration.mtu}: IPv6 needs at least {LEAST_IPV6_MTU}")


def in_order(script: Iterable[ScriptOption], given: Iterable[ScriptOption]) -> tuple[ScriptOption, ...]:
    """All options, of which the last of a name counts: those given win, but for the version of IP.

    That is for scripts that do not say theirs: a script's addresses and packets are of one version.
    """
    given = tuple(given)
    first = [option for option in given if option.name == "ip_version"]
    return (*first, *script, *(option for option in given if option.name != "ip_version"))


def ip_version_of(options: Iterable[ScriptOption]) -> str:
    """The last ``--ip_version``, or IPv4."""
    return next((option.value or "" for option in reversed(tuple(options)) if option.name == "ip_version"), "ipv4")


def read_defines(path: str, options: Iterable[ScriptOption]) -> dict[str, str]:
    """The symbols of ``--define=NAME=value``; strings and commands keep their quotes."""
    defines = {}
    for option in options:
        if option.name in ("define", "D"):
            name, equals, value = (option.value or "").partition("=")
            if not equals or not value:
                raise ScriptError(path, option.position, "--define takes NAME=value")
            defines[name] = value
    return defines


def _apply(path: str, before: Configuration, option: ScriptOption) -> Configuration:
    name, value = option.name, option.value
    if name in UNSUPPORTED:
        raise UnsupportedError(path, option.position, f"the option --{name} is not supported")
    if name in IGNORED:
        return replace(before, notes=(*before.notes, f"{option.position.line}: --{name}: {IGNORED[name]}"))
    if name in ("define", "D"):
        return before
    if name in FLAGS:
        field = "ts_ecr_scaled" if name == "tcp_ts_ecr_scaled" else name
        return replace(before, **{field: True})  # type: ignore[arg-type]
    setting = SETTINGS.get(name)
    if setting is None:
        raise ScriptError(path, option.position, f"there is no option --{name}")
    if value is None:
        raise ScriptError(path, option.position, f"--{name} takes a value")
    field, convert = setting
    try:
        return replace(before, **{field: convert(value)})  # type: ignore[arg-type]
    except ValueError as error:
        raise ScriptError(path, option.position, f"--{name}={value}: {error}") from error


def _version(value: str) -> str:
    if value not in IP_VERSIONS:
        raise ValueError(f"it is one of {', '.join(IP_VERSIONS)}")
    return value


def _number(least: int, most: int) -> Callable[[str], int]:
    def convert(value: str) -> int:
        if not value.isdecimal() or not least <= int(value) <= most:
            raise ValueError(f"it is a number from {least} to {most}")
        return int(value)

    return convert


def _percent(value: str) -> float:
    try:
        percent = float(value)
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 1000:
        raise ValueError("it is a number of percent from 0 to 1000")
    return percent


def _address(value: str) -> str:
    address: IPv4Address | IPv6Address = ip_interface(value).ip
    return str(address)


def _kinds(value: str) -> frozenset[str]:
    kinds = frozenset(value.replace(" ", ",").split(",")) - {""}
    if not kinds <= set(NON_FATAL):
        raise ValueError(f"it is {' or '.join(NON_FATAL)}, or both by comma")
    return kinds


SETTINGS: dict[str, tuple[str, Callable[[str], object]]] = {
    "ip_version": ("ip_version", _version),
    "local_ip": ("local_ip", _address),
    "remote_ip": ("remote_ip", _address),
    "bind_port": ("bind_port", _number(1, 0xFFFF)),
    "connect_port": ("connect_port", _number(1, 0xFFFF)),
    "mtu": ("mtu", _number(68, 65535)),
    "tolerance_usecs": ("tolerance", _number(0, 10**9)),
    "tolerance_percent": ("tolerance_percent", _percent),
    "tcp_ts_tick_usecs": ("ts_tick", _number(0, 10**6)),
    "non_fatal": ("non_fatal", _kinds),
}


def command_line_options(pairs: Iterable[tuple[str, str]]) -> tuple[ScriptOption, ...]:
    """Options that the command line gave, in the form of a script's own."""
    return tuple(ScriptOption(name, value, Position(1, 1)) for name, value in pairs)
