"""Static routes: which next hop leads to an address, by the longest prefix that matches (RFC 1122 section 3.3.1.2)."""

from ipaddress import IPv4Address, IPv4Network

from stack.interface import Interface


class Route:
    """Packets for ``network`` go to ``gateway`` on ``interface``. on_link: that is there, whatever its address."""

    def __init__(self, network: IPv4Network, gateway: IPv4Address, interface: Interface, on_link: bool) -> None:
        self.network = network
        self.gateway = int(gateway)
        self.interface = interface
        self.on_link = on_link
        self.first = int(network.network_address)
        self.mask = int(network.netmask)


class RouteTable:
    """The routes of one stack; ``generation`` changes with them, and tells paths to look again."""

    def __init__(self) -> None:
        self.generation = 0
        self._routes: list[Route] = []  # longest prefix first

    def add(self, network: IPv4Network, gateway: IPv4Address, interface: Interface, on_link: bool = False) -> None:
        """Add a route. Raises ValueError when the gateway is not on the interface's own network.

        on_link: it need not be: it answers ARP on the interface's link, whatever its address.
        """
        if not on_link and (int(gateway) ^ interface.ipv4_address) & interface.ipv4_mask:
            raise ValueError(f"the gateway {gateway} is not in the network of its interface")
        self._routes.append(Route(network, gateway, interface, on_link))
        self._routes.sort(key=lambda route: -route.network.prefixlen)
        self._note_on_link(interface)
        self.change()

    def change(self) -> None:
        """Something that paths depend on has changed."""
        self.generation += 1

    def remove(self, network: IPv4Network, gateway: IPv4Address, interface: Interface) -> None:
        """Take back a route that was added."""
        self._routes = [
            route
            for route in self._routes
            if (route.network, route.gateway, route.interface) != (network, int(gateway), interface)
        ]
        self._note_on_link(interface)
        self.change()

    def _note_on_link(self, interface: Interface) -> None:
        """Tell ARP whom it is to take for neighbours besides those in the interface's network."""
        routes = [route for route in self._routes if route.on_link and route.interface is interface]
        interface.arp.on_link = {route.gateway for route in routes}

    def find(self, destination: int, interface: Interface | None = None) -> Route | None:
        """The route to an IPv4 address with the longest prefix, on ``interface`` or on any; or None."""
        for route in self._routes:
            if destination & route.mask == route.first and (interface is None or route.interface is interface):
                return route
        return None
