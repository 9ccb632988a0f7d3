"""The application ``transfer`` on a node, or over kernel sockets: a server; or, told so, a client of one transfer.

A client prints its outcome as a line of JSON when the transfer has ended, and then the node ends.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from apps.transfer.client import Outcome, TransferClient
from apps.transfer.protocol import OPERATIONS, ProtocolError, Request
from apps.transfer.server import TransferServer
from netlab.node_config import NodeUsageError

if TYPE_CHECKING:
    from netlab.node import Node
    from netlab.socket_node import SocketNode

USAGE = "Say nothing for a server; for a client: get ADDRESS BYTES [SEED [unchecked]], or put."


def start_transfer(node: "Node | SocketNode") -> TransferServer | TransferClient:
    """Put it on one core of a node. Raises NodeError for arguments that say nothing, and what its ``start`` raises."""
    if not node.config.arguments:
        server = TransferServer(node.network, node.allocator, node.config.port)
        server.start()
        return server
    address, request = parse(node.config.arguments)

    def finished(outcome: Outcome) -> None:
        print(json.dumps(outcome.document()), flush=True)
        node.events.spawn(node.events.stop, force_async=True)  # not before the last acknowledgment has been sent

    client = TransferClient(node.network, node.allocator, node.clock, request, finished)
    node.when_addressed(lambda: client.start(address, node.config.port))  # and the device is there
    return client


def parse(arguments: Sequence[str]) -> tuple[str, Request]:
    """The server's address, and what is asked of it. Raises NodeError."""
    try:
        operation, address, length, *rest = arguments
        seed, *checked = rest or ["0"]
        if checked not in ([], ["unchecked"]):
            raise ValueError
        request = Request(OPERATIONS[operation], int(length), int(seed), not checked)
        request.pack()
    except ProtocolError as error:
        raise NodeUsageError(str(error), USAGE) from error
    except (KeyError, ValueError) as error:
        raise NodeUsageError(f"transfer does not understand {' '.join(arguments)!r}", USAGE) from error
    return address, request
