"""What the kernel says of the network interfaces in this namespace, as ``ip`` tells it.

A program of its own for each question: a node that asks once keeps no netlink library in its memory, and ``/sys`` may
show another namespace's interfaces.
"""

import json
import subprocess
from typing import Any

ANSWER_SECONDS = 5.0


def links() -> dict[str, dict[str, Any]]:
    """Every interface by its name, as ``ip -details -json link`` describes it; empty where there is no ``ip``."""
    return {link["ifname"]: link for link in _ip("link")}


def addresses(name: str) -> list[str]:
    """The addresses of an interface, each with its prefix length: "198.18.0.1/16"."""
    found = [link for link in _ip("address", "show", "dev", name) if link.get("ifname") == name]
    return [f"{each['local']}/{each['prefixlen']}" for link in found for each in link["addr_info"] if "local" in each]


def taps() -> list[str]:
    """The names of the TAPs."""
    return [
        name
        for name, link in links().items()
        if link.get("linkinfo", {}).get("info_kind") == "tun" and link["linkinfo"]["info_data"].get("type") == "tap"
    ]


def _ip(*arguments: str) -> list[dict[str, Any]]:
    try:
        done = subprocess.run(
            ["ip", "-details", "-json", *arguments], capture_output=True, timeout=ANSWER_SECONDS, check=True
        )
        return json.loads(done.stdout or "[]")  # type: ignore[no-any-return]
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
