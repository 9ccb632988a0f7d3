"""DHCP on a stack: UDP on port 68, a client for each interface that wants an address, and what a lease changes.

The address is taken through the interface's ``AddressClaim``, which probes for it and defends it; the first router
becomes the default route. On a node of several cores, core 0 does all this, and tells the others what it has got.
"""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from ebbrt.iobuf import IOBuf, allocate
from ebbrt.network import UdpHandler
from stack.address import mapped
from stack.constants import DHCP_CLIENT_PORT, LIMITED_BROADCAST
from stack.dhcp.client import DhcpClient, DhcpUser, Lease
from stack.dhcp.message import LONGEST
from stack.interface import Interface
from stack.ipv4.address_claim import AddressUser
from stack.stack import Stack

SERVER_PORT = 67
EVERYWHERE = IPv4Network("0.0.0.0/0")


class LeaseListener:
    """Who is told what DHCP has done to an interface."""

    def address_changed(self, interface: Interface, address: IPv4Interface | None, router: IPv4Address | None) -> None:
        """The interface has this address and default router now, or none."""

    def address_conflict(self, interface: Interface, mac: int) -> None:
        """Somebody at ``mac`` has the interface's address too; it is kept, for now."""


class Dhcp(UdpHandler):
    """All DHCP clients of a stack. Raises AddressInUseError when something else has port 68."""

    def __init__(self, stack: Stack, listener: LeaseListener) -> None:
        self.stack = stack
        self.listener = listener
        self._clients: dict[int, InterfaceLease] = {}
        stack.udp.bind(DHCP_CLIENT_PORT, self)

    def configure(self, interface: Interface) -> None:
        """Get an address for ``interface``, and keep it for as long as a server lets us."""
        lease = InterfaceLease(self, interface)
        self._clients[interface.index] = lease
        self.stack.watch(lease.client)
        lease.client.start(self.stack.clock.now())

    def receive(self, data: IOBuf, address: str, port: int) -> None:
        """See UdpHandler: the interface it came in by says whose it is."""
        lease = self._clients.get(self.stack.internet.received.interface.index)
        if lease is not None and port == SERVER_PORT and data.chain_length() <= LONGEST:
            lease.client.receive(data.copy_out(), self.stack.clock.now())

    def statistics(self) -> dict[str, Any]:
        """Counters by interface."""
        return {str(index): lease.client.statistics() for index, lease in self._clients.items()}


class InterfaceLease(DhcpUser, AddressUser):
    """One interface: does for its client what a stack can."""

    def __init__(self, dhcp: Dhcp, interface: Interface) -> None:
        self.dhcp = dhcp
        self.stack = dhcp.stack
        self.interface = interface
        self.client = DhcpClient(interface.device.mac, self, dhcp.stack.random)
        self._router: IPv4Address | None = None

    # DhcpUser

    def send(self, data: bytes, server: int | None) -> None:
        """See DhcpUser."""
        stack = self.stack
        message = allocate(stack.allocator, len(data))
        if message is None:
            return  # as if it had been lost
        message.write(0, data)
        path = stack.ipv4.path_on(self.interface, mapped(LIMITED_BROADCAST if server is None else server))
        stack.udp.send_on(path, DHCP_CLIENT_PORT, message, SERVER_PORT)

    def check(self, lease: Lease) -> None:
        """See DhcpUser."""
        claim = self.stack.claim(self.interface)
        claim.claim(lease.address, self, self.stack.clock.now(), probe=True, keep=False)

    def bound(self, lease: Lease) -> None:
        """See DhcpUser."""
        router = lease.routers[0] if lease.routers else None
        self.stack.claim(self.interface).change_network(lease.address)
        if router != self._router:
            self._remove_route()
            self._router = router
            if router is not None:
                self.stack.routes.add(EVERYWHERE, router, self.interface, on_link=True)
        self.dhcp.listener.address_changed(self.interface, lease.address, router)

    def unbound(self) -> None:
        """See DhcpUser."""
        self._remove_route()
        self.stack.claim(self.interface).release()
        self.dhcp.listener.address_changed(self.interface, None, None)

    # AddressUser

    def address_ready(self) -> None:
        """See AddressUser."""
        self.client.address_free(self.stack.clock.now())

    def address_lost(self, mac: int) -> None:
        """See AddressUser."""
        self.client.address_taken(self.stack.clock.now())

    def address_conflict(self, mac: int) -> None:
        """See AddressUser."""
        self.dhcp.listener.address_conflict(self.interface, mac)

    def _remove_route(self) -> None:
        if self._router is not None:
            self.stack.routes.remove(EVERYWHERE, self._router, self.interface)
            self._router = None
