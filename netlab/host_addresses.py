"""Which addresses a node can have, and which gateways its routes.

An address that belongs to no single machine of the network is refused with the reason: a node that had it would be
"ready", and nobody could reach it.
"""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface

from netlab.node_config import NodeConfig, NodeError, StaticRoute

NO_HOSTS_IPV4 = {  # RFC 6890
    IPv4Network("0.0.0.0/8"): "the addresses of who has none yet",
    IPv4Network("127.0.0.0/8"): "loopback",
    IPv4Network("224.0.0.0/4"): "multicast",
    IPv4Network("240.0.0.0/4"): "reserved, and at its end everybody's broadcast address",
}


def check_addresses(config: NodeConfig) -> None:
    """Raise NodeError for an address, a TAP or a route that cannot be."""
    taps: set[str] = set()
    addresses: dict[IPv4Address, str] = {}
    for attachment in config.attachments():
        if attachment.tap in taps:
            raise NodeError(f"TAP {attachment.tap} is named twice", "Each interface of a node has a TAP of its own.")
        taps.add(attachment.tap)
        own = attachment.address
        for interface in (own, *(attachment.ipv6.addresses if attachment.ipv6 else ())):
            reason = interface and objection(interface)
            if reason:
                raise NodeError(f"TAP {attachment.tap} cannot have {interface}: {reason}", "Take a host's address.")
        if own is not None and own.ip in addresses:
            raise NodeError(f"TAP {attachment.tap} and TAP {addresses[own.ip]} cannot both have {own.ip}")
        if own is not None:
            addresses[own.ip] = attachment.tap
    networks = [attachment.address for attachment in config.attachments() if attachment.address is not None]
    for route in config.routes:
        _check_route(route, networks)


def objection(interface: IPv4Interface | IPv6Interface) -> str:
    """Why no host can have the address in that network; empty when one can."""
    address, network = interface.ip, interface.network
    if isinstance(interface, IPv6Interface):
        return _objection_ipv6(interface)
    for block, name in NO_HOSTS_IPV4.items():
        if address in block:
            return f"{block} is {name}"
    if network.prefixlen == 0:
        return "a network of all addresses has no other side"
    if network.prefixlen < 31 and address == network.network_address:  # RFC 3021: one of two has neither
        return f"it is the address of the network {network} itself"
    if network.prefixlen < 31 and address == network.broadcast_address:
        return f"it is the broadcast address of {network}"
    return ""


def _objection_ipv6(interface: IPv6Interface) -> str:
    address, network = interface.ip, interface.network
    if address.is_unspecified:
        return ":: is the address of who has none yet"
    if address.is_loopback:
        return "::1 is loopback"
    if address.is_multicast:
        return "ff00::/8 is multicast"
    if address.ipv4_mapped is not None:
        return "::ffff:0:0/96 is IPv4's, within a machine"
    if network.prefixlen == 0:
        return "a network of all addresses has no other side"
    if network.prefixlen < 127 and address == network.network_address:  # RFC 4291 section 2.6.1; RFC 6164
        return f"it is any router's on {network}"
    return ""


def _check_route(route: StaticRoute, interfaces: list[IPv4Interface]) -> None:
    """Raise NodeError for a route that leads nowhere."""
    for block, name in NO_HOSTS_IPV4.items():
        if route.network.subnet_of(block):
            raise NodeError(f"no route can lead to {route.network}: {block} is {name}")
    text = f"the route to {route.network} cannot lead via {route.gateway}"
    remedy = "Name a router, on the network of one of the TAPs."
    reached = [interface for interface in interfaces if route.gateway in interface.network]
    if not reached:
        raise NodeError(f"{text}: that is on no network of a TAP with a static address", remedy)
    for interface in reached:
        if route.gateway == interface.ip:
            raise NodeError(f"{text}: that is the node itself", remedy)
        reason = objection(IPv4Interface((route.gateway, interface.network.prefixlen)))
        if reason:
            raise NodeError(f"{text}: {reason}", remedy)
