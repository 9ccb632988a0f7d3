"""The simulated IaaS: a daemon that launches nodes on a lab's network, on demand and ahead of it (paper section 3.2).

It runs in the namespace of the lab's switch and listens on a Unix socket. Read, in this order: ``session.py``, what a
front-end can ask; ``machines.py``, the states of a machine; ``pool.py``, the dormant ones; ``hypervisor.py``,
``zygote.py`` and ``backend.py``, from the request of a node to the node.

    python -P -m netlab.iaas.daemon '{"socket": "/run/netlab/lab1.iaas", ...}'

It prints ``ready`` when it serves. SIGTERM ends it and its nodes; whatever ends it, its nodes end too.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from pathlib import Path

from netlab.iaas.backend import run_node
from netlab.iaas.config import DaemonConfig
from netlab.iaas.hypervisor import ZygoteHypervisor
from netlab.iaas.machines import Addresses, Machines, Shape
from netlab.iaas.pool import Pool
from netlab.iaas.session import Cloud, Session
from netlab.iaas.users import Limits, Users
from netlab.iaas.zygote import fork_zygote

logger = logging.getLogger(__name__)

ENDING_SECONDS = 10.0  # for all machines to be gone


class Daemon:
    """The daemon, put together."""

    def __init__(self, config: DaemonConfig, zygote: socket.socket) -> None:
        self._config = config
        self._stopped = asyncio.Event()
        self._zygote_lost = False
        place = {"prefix_length": config.prefix_length, "bridge": config.bridge}
        hypervisor = ZygoteHypervisor(zygote, place, self._lose_zygote)
        clock = asyncio.get_running_loop().time
        self.machines = Machines(hypervisor, Addresses(config.network, config.taken), clock, config.silence)
        hypervisor.machines = self.machines
        limits = {os.geteuid(): Limits()} | {int(uid): Limits(nodes) for uid, nodes in config.limits.items()}
        pool = Pool(self.machines, Shape(1, config.memory), config.pool, config.concurrency)
        self.cloud = Cloud(self.machines, pool, Users(limits))

    async def run(self) -> int:
        """Serve until told to stop; returns the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._stopped.set)
        path = self._config.socket
        server = await loop.create_unix_server(lambda: Session(self.cloud), sock=self._listen(path))
        self.cloud.pool.turn()
        print("ready", flush=True)
        while not self._stopped.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), self._config.silence / 10)
            self.machines.check_silent()
        server.close()
        for session in list(self.cloud.sessions):
            session.cut_off("")  # and so frees its nodes
        Path(path).unlink(missing_ok=True)
        if self._zygote_lost:  # and with it all nodes, by the kernel's hand
            logger.error("the zygote has died, and with it all nodes")
            return 1
        await self._end_machines()
        return 0

    async def _end_machines(self) -> None:
        self.cloud.pool.size = 0
        for machine in self.machines:
            self.machines.free(machine)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ENDING_SECONDS):
                for machine in self.machines:
                    await machine.ended()

    def _lose_zygote(self) -> None:
        self._zygote_lost = True
        self._stopped.set()

    def _listen(self, path: str) -> socket.socket:
        """The listening socket: open to the daemon's own user, and to all when others are served too."""
        with contextlib.suppress(FileNotFoundError), socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)  # of a daemon that was killed
            else:
                raise SystemExit(f"a daemon serves {path} already")
        listener = socket.socket(socket.AF_UNIX)
        mask = os.umask(0o177)
        try:
            listener.bind(path)
        except OSError as error:  # its folder is full, say
            raise SystemExit(f"the IaaS daemon cannot serve {path}: {error.strerror}") from error
        finally:
            os.umask(mask)
        if set(self._config.limits) - {str(os.geteuid())}:
            os.chmod(path, 0o666)  # who connects is checked (SO_PEERCRED)
        listener.listen(128)
        return listener


def main() -> int:
    """Run the daemon that the command line describes."""
    logging.basicConfig(format="iaas: %(levelname)s: %(message)s")
    config = DaemonConfig.parse(sys.argv[1])
    zygote = fork_zygote(run_node)  # before there is a loop or a thread

    async def serve() -> int:
        return await Daemon(config, zygote).run()

    return asyncio.run(serve())


if __name__ == "__main__":
    sys.exit(main())
