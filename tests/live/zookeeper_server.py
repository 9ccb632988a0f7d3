"""A ZooKeeper server of the test's own: Debian's package, on loopback, with its data in a temporary folder.

On the loopback of this process, or of a lab's host.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from netlab import namespaces

T = TypeVar("T")

JAR = Path("/usr/share/java/zookeeper.jar")  # its manifest names what it needs
QUICK_START = ["-Xmx64m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
START_LIMIT = 20  # seconds


def why_no_zookeeper() -> str:
    """Why there can be no server here, or ''."""
    if not JAR.exists() or shutil.which("java") is None:
        return "no ZooKeeper server here. Run: apt-get install zookeeper"
    return ""


class ZooKeeperServer:
    """One server process, which can be killed and started again on the same data and port."""

    def __init__(self, folder: Path, namespace: str | None = None) -> None:
        """``namespace``: a network namespace to run in instead of this process's."""
        self._namespace = namespace
        self.port = self._in_its_network(_free_port)
        self.hosts = f"127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "data").mkdir()
        (folder / "zoo.cfg").write_text(
            f"tickTime=250\ndataDir={folder}/data\nclientPort={self.port}\nclientPortAddress=127.0.0.1\n"
            "admin.enableServer=false\nmaxClientCnxns=0\n"
        )

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        process = self.launch()
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline and process.poll() is None:
            if self._in_its_network(self._serves):
                return
            time.sleep(0.02)
        self.kill()
        raise RuntimeError(f"ZooKeeper did not start: {(self._folder / 'log').read_text()}")

    def launch(self) -> "subprocess.Popen[bytes]":
        """Start it: soon it takes connections."""
        command = ["java", *QUICK_START, "-cp", str(JAR), "org.apache.zookeeper.server.ZooKeeperServerMain"]
        command.append(str(self._folder / "zoo.cfg"))
        if self._namespace is not None:
            command = namespaces.command_in(self._namespace, command)
        with open(self._folder / "log", "ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder, env=os.environ)
        return self._process

    def _serves(self) -> bool:
        """Whether it answers "srvr", which it does not while it loads its data."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"srvr")
                return b"Mode: standalone" in connection.makefile("rb").read()
        except OSError:
            return False

    def _in_its_network(self, function: Callable[[], T]) -> T:
        return function() if self._namespace is None else namespaces.run_in(self._namespace, function)

    def kill(self) -> None:
        """kill -9, by its id, and wait until it is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def signal(self, number: int) -> None:
        """Stop it for a while with SIGSTOP, and let it go on with SIGCONT."""
        assert self._process is not None
        self._process.send_signal(number)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
