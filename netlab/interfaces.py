"""What the kernel says of the network interfaces in this namespace, as ``ip`` tells it.

It is a program of its own: a node that asks once keeps no netlink library in its memory. ``/sys`` may show another
namespace's interfaces.
"""

import json
import subprocess
from typing import Any

ANSWER_SECONDS = 5.0


def links() -> dict[str, dict[str, Any]]:
    """Every interface by its name, as ``ip -details -json address`` describes it; empty where there is no ``ip``."""
    try:
        done = subprocess.run(
            ["ip", "-details", "-json", "address"], capture_output=True, timeout=ANSWER_SECONDS, check=True
        )
        return {link["ifname"]: link for link in json.loads(done.stdout or "[]")}
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}


def addresses(link: dict[str, Any]) -> list[str]:
    """The addresses of one of them, each with its prefix length: "198.18.0.1/16"."""
    return [f"{each['local']}/{each['prefixlen']}" for each in link["addr_info"] if "local" in each]


def taps() -> list[str]:
    """The names of the TAPs."""
    return [
        name
        for name, link in links().items()
        if link.get("linkinfo", {}).get("info_kind") == "tun" and link["linkinfo"]["info_data"].get("type") == "tap"
    ]
