"""Starting the IaaS daemon in a lab, and asking it what it has."""

import contextlib
import json
import socket
import subprocess
from typing import Any

from ebbrt.lines import encode
from ebbrt.node_provider import ADDRESS_VARIABLE, SOCKET_VARIABLE
from netlab import python
from netlab.errors import NetlabError
from netlab.iaas.config import DaemonConfig
from netlab.lab import Host, Lab
from netlab.registry import Record

ANSWER_SECONDS = 10.0


class IaasError(NetlabError):
    """The daemon did not start, or does not answer."""


def config_of(lab: Lab, **choices: Any) -> DaemonConfig:
    """The configuration of a daemon for this lab; ``choices`` are fields of DaemonConfig that shall not be default."""
    return DaemonConfig(
        socket=str(lab.record.iaas_socket),
        network=lab.topology.network,
        taken=[machine.address for machine in lab.topology.machines],
        bridge=lab.bridge,
        **choices,
    )


def start(lab: Lab, config: DaemonConfig) -> "subprocess.Popen[bytes]":
    """Start a daemon in the lab's switch; it serves when this returns. Raises IaasError."""
    argv = python.module_command("netlab.iaas.daemon", config.text())
    process = lab.switch.popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None
    said = process.stdout.readline()  # it ends with the process, at the latest
    process.stdout.close()
    if said != b"ready\n":
        process.wait()
        raise IaasError(f"the IaaS daemon of the lab {lab.name!r} did not start", "What it printed above says why.")
    return process


def serves(record: Record) -> bool:
    """Whether the lab has a daemon; one that was killed leaves its socket behind."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
        try:
            connection.connect(str(record.iaas_socket))
        except OSError:
            return False
    return True


def environment_of(lab: Lab, host: Host) -> dict[str, str]:
    """What a front-end on ``host`` finds in its environment, beside the rest: the daemon's socket, its own address."""
    return {SOCKET_VARIABLE: str(lab.record.iaas_socket), ADDRESS_VARIABLE: host.address}


def ask_for_list(record: Record) -> dict[str, Any]:
    """The machines that the lab's daemon has, and its statistics. Raises IaasError."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(str(record.iaas_socket))
            connection.sendall(encode({"id": 1, "do": "list"}))
            answer = json.loads(connection.makefile("rb").readline())
        except (OSError, ValueError) as error:
            raise IaasError(
                f"no IaaS daemon answers in the lab {record.name!r}", f"Start one: netlab iaas run --lab {record.name}"
            ) from error
    if "error" in answer:
        raise IaasError(f"the IaaS daemon refuses: {answer['message']}")
    return answer  # type: ignore[no-any-return]
