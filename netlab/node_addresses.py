"""How a node's interfaces come to their addresses: static ones are announced, the others asked for by DHCP.

Core 0 does it, when the node begins to run: its TAPs are ports of a bridge by then. What DHCP gets, or loses, the
other cores are told.
"""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from ebbrt.core_links import RingCoreLinks
from netlab.node_config import Attachment
from stack.dhcp.configure import Dhcp, LeaseListener
from stack.interface import Interface
from stack.ipv4.address_claim import AddressUser
from stack.stack import Stack

EVERYWHERE = IPv4Network("0.0.0.0/0")


class NodeAddresses(LeaseListener):
    """The addresses of core 0's interfaces, and so of all cores'.

    tell: what another core calls with an interface's index, the address and the default router that it has now, both
    as text, or None.
    """

    def __init__(self, stack: Stack, links: RingCoreLinks, tell: Callable[..., None]) -> None:
        self.stack = stack
        self.links = links
        self.tell = tell
        self._dhcp: Dhcp | None = None
        self._waiting: set[int] = set()  # indices of interfaces without an address yet
        self._ready: Callable[[], object] = lambda: None

    def start(self, attachments: tuple[Attachment, ...], ready: Callable[[], object]) -> None:
        """Announce static addresses, ask for the others; ``ready`` is called once every interface has one."""
        self._ready = ready
        now = self.stack.clock.now()
        for interface, attachment in zip(self.stack.interfaces, attachments, strict=True):
            if attachment.address is not None:
                user = AddressUser()  # it is kept whatever happens, and the counters tell
                self.stack.claim(interface).claim(attachment.address, user, now, probe=False, keep=True)
                continue
            self._dhcp = self._dhcp or Dhcp(self.stack, self)
            self._waiting.add(interface.index)
            self._dhcp.configure(interface)
        if not self._waiting:
            ready()

    def address_changed(self, interface: Interface, address: IPv4Interface | None, router: IPv4Address | None) -> None:
        """See LeaseListener."""
        for core in range(1, self.links.count):
            self.links.call(core, self.tell, interface.index, address and str(address), router and str(router))
        if address is not None and interface.index in self._waiting:
            self._waiting.remove(interface.index)
            if not self._waiting:
                self._ready()

    def statistics(self) -> dict[str, Any]:
        """Those of DHCP, if it is used."""
        return {} if self._dhcp is None else {"dhcp": self._dhcp.statistics()}


def take_address(stack: Stack, index: int, address: str | None, router: str | None) -> None:
    """What core 0 tells another core: the interface's address, and the router behind it."""
    interface = stack.interfaces[index]
    default = stack.routes.find(0, interface)
    if default is not None:
        stack.routes.remove(EVERYWHERE, IPv4Address(default.gateway), interface)
    stack.ipv4.set_address(interface, None if address is None else IPv4Interface(address))
    if router is not None:
        stack.routes.add(EVERYWHERE, IPv4Address(router), interface)
