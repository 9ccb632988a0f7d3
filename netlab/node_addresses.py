"""How a node's interfaces come to their addresses: static ones are announced, the others asked for by DHCP.

Core 0 does it, when the node begins to run: its TAPs are ports of a bridge by then. What DHCP gets, or loses, the
other cores are told. What goes wrong (no server, an address that somebody else has) is said as it happens; a node that
has not begun to serve yet ends of it.
"""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address
from typing import Any

from ebbrt.core_links import RingCoreLinks
from ebbrt.events.event_manager import EventManager
from netlab.node_config import NodeConfig, NodeError
from stack.dhcp.client import CHECKING
from stack.dhcp.configure import Dhcp, LeaseListener
from stack.interface import Interface
from stack.ipv4.address_claim import AddressUser
from stack.ipv6.autoconfiguration import Ipv6AddressWatcher
from stack.ipv6.link import Ipv6Address as OwnAddress
from stack.stack import Stack

EVERYWHERE = IPv4Network("0.0.0.0/0")
SECOND = 1_000_000_000
PATIENCE = 5  # seconds without an answer by DHCP before something is said
REPORT_INTERVAL = 10 * SECOND  # between two reports of the same conflict


class NodeAddresses(LeaseListener):
    """The addresses of core 0's interfaces, and so of all cores'.

    tell: what another core calls with an interface's index, the address and the default router that it has now, both
    as text, or None. report: says a line to whoever runs the node. fail: ends the node, with the reason.
    serving: set by the node once it has said that it is ready.
    """

    def __init__(
        self,
        config: NodeConfig,
        stack: Stack,
        events: EventManager,
        links: RingCoreLinks,
        tell: Callable[..., None],
        report: Callable[[str], None],
        fail: Callable[[NodeError], None],
    ) -> None:
        self.config = config
        self.stack = stack
        self.events = events
        self.links = links
        self.tell = tell
        self.report = report
        self.fail = fail
        self.serving = False
        self._addressed = False
        self._taps = [attachment.tap for attachment in config.attachments()]
        self._dhcp: Dhcp | None = None
        self._waiting: set[int] = set()  # indices of interfaces without an address yet
        self._asking: set[int] = set()  # indices of those that ask whether anybody has theirs
        self._reported: dict[str, int] = {}  # by address: when a conflict was last spoken of
        self._ready: Callable[[], object] = lambda: None

    def start(self, ready: Callable[[], object]) -> None:
        """Announce static addresses, ask for the others; ``ready`` is called once every interface has one."""
        self._ready = ready
        now = self.stack.clock.now()
        for link in self.stack.ipv6.links:
            link.autoconfiguration.watcher = _Ipv6Reporter(self)
        for interface, attachment in zip(self.stack.interfaces, self.config.attachments(), strict=True):
            if attachment.address is not None:
                user = _StaticUser(self, interface)
                ask = self.config.ask_first
                if ask:
                    self._asking.add(interface.index)
                claim = self.stack.claim(interface)
                claim.claim(attachment.address, user, now, probe=False, keep=True, ask=ask)
                continue
            self._dhcp = self._dhcp or Dhcp(self.stack, self)
            self._waiting.add(interface.index)
            self._dhcp.configure(interface)
        if self._dhcp is not None:
            self.events.set_timer(PATIENCE * SECOND, self._say_that_nobody_answers)
            if self.config.dhcp_limit is not None:
                self.events.set_timer(self.config.dhcp_limit * SECOND, self._give_up)
        self._go_on()

    def taken(self, interface: Interface) -> None:
        """A static address has been announced."""
        self._asking.discard(interface.index)
        self._go_on()

    def address_changed(self, interface: Interface, address: IPv4Interface | None, router: IPv4Address | None) -> None:
        """See LeaseListener."""
        for core in range(1, self.links.count):
            self.links.call(core, self.tell, interface.index, address and str(address), router and str(router))
        if address is not None:
            self._waiting.discard(interface.index)
            self._go_on()
        elif self.serving:
            self.report(f"TAP {self._taps[interface.index]} has lost its address; DHCP asks for another")

    def address_conflict(self, interface: Interface, mac: int) -> None:
        """See LeaseListener."""
        self.conflict(interface.index, str(IPv4Address(interface.ipv4_address)), mac)

    def conflict(self, index: int, address: str, mac: int, fate: str = "the node keeps it too") -> None:
        """Somebody else has an address of the interface: the end before the node serves, a report later."""
        whose = f"{address} on TAP {self._taps[index]} is another machine's already"
        if mac:
            whose += f": it is at {mac.to_bytes(6, 'big').hex(':')}"
        if not self.serving:
            self.fail(NodeError(whose, "Give the node an address that nobody has, or end that machine."))
            return
        now = self.stack.clock.now()
        if now - self._reported.get(address, -REPORT_INTERVAL) >= REPORT_INTERVAL:
            self._reported[address] = now
            self.report(f"{whose}; {fate}")

    def statistics(self) -> dict[str, Any]:
        """Those of DHCP, if it is used."""
        return {} if self._dhcp is None else {"dhcp": self._dhcp.statistics()}

    def _go_on(self) -> None:
        if not self._waiting and not self._asking and not self._addressed:
            self._addressed = True
            self._ready()

    def _say_that_nobody_answers(self) -> None:
        for index, client in self._unbound().items():
            if not client["received"]:
                limit = self.config.dhcp_limit
                how_long = "" if limit is None else f", for {limit} seconds in all"
                self.report(f"no DHCP server answers on TAP {self._taps[index]}; the node goes on asking{how_long}")

    def _give_up(self) -> None:
        """The limit has come: end, if an interface has got nothing."""
        for index, client in self._unbound().items():
            heard = client["received"]
            what = f"of {heard} answers none was of use" if heard else "nobody has answered"
            if client["state"] == CHECKING:
                what = "one is being checked"
            tap, limit = self._taps[index], self.config.dhcp_limit
            remedy = "`netlab up --dhcp` starts a lab with a server; --dhcp-limit gives a slow one more time."
            self.fail(NodeError(f"TAP {tap} has got no address by DHCP in {limit} seconds: {what}", remedy))

    def _unbound(self) -> dict[int, dict[str, Any]]:
        """Of each interface that waits, the counters of its client."""
        counters = self.statistics().get("dhcp", {})
        return {index: counters[str(index)] for index in sorted(self._waiting)}


class _StaticUser(AddressUser):
    """A static address: it is kept whatever happens."""

    def __init__(self, addresses: NodeAddresses, interface: Interface) -> None:
        self.addresses = addresses
        self.interface = interface

    def address_ready(self) -> None:
        self.addresses.taken(self.interface)

    def address_conflict(self, mac: int) -> None:
        self.addresses.address_conflict(self.interface, mac)


class _Ipv6Reporter(Ipv6AddressWatcher):
    """IPv6 is used on the first interface only. Of automatic addresses another one is tried, and nothing lost."""

    def __init__(self, addresses: NodeAddresses) -> None:
        self.addresses = addresses

    def address_duplicate(self, address: OwnAddress, mac: int) -> None:
        if not address.automatic:
            self.addresses.conflict(0, _text(address), mac, "the node does without")

    def address_conflict(self, address: OwnAddress, mac: int) -> None:
        self.addresses.conflict(0, _text(address), mac)


def _text(address: OwnAddress) -> str:
    return str(IPv6Address(address.high << 64 | address.low))


def take_address(stack: Stack, index: int, address: str | None, router: str | None) -> None:
    """What core 0 tells another core: the interface's address, and the router behind it."""
    interface = stack.interfaces[index]
    default = stack.routes.find(0, interface)
    if default is not None:
        stack.routes.remove(EVERYWHERE, IPv4Address(default.gateway), interface)
    stack.ipv4.set_address(interface, None if address is None else IPv4Interface(address))
    if router is not None:
        stack.routes.add(EVERYWHERE, IPv4Address(router), interface, on_link=True)
