"""Which addresses and routes a node is refused, with the reason."""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface

import pytest

from netlab.host_addresses import check_addresses, objection
from netlab.node_config import Attachment, NodeConfig, NodeError, StaticRoute
from stack.ipv6.settings import Ipv6Settings


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("0.0.0.0/16", "who has none"),
        ("0.1.2.3/8", "who has none"),
        ("127.0.0.1/8", "loopback"),
        ("224.0.0.1/16", "multicast"),
        ("239.255.255.255/32", "multicast"),
        ("240.0.0.1/4", "reserved"),
        ("255.255.255.255/32", "broadcast"),
        ("198.18.0.0/16", "the network 198.18.0.0/16 itself"),
        ("198.18.255.255/16", "the broadcast address"),
        ("198.18.0.4/30", "itself"),
        ("198.18.0.7/30", "broadcast"),
        ("198.18.0.3/0", "no other side"),
    ],
)
def test_what_no_host_has_in_ipv4(address: str, reason: str) -> None:
    assert reason in objection(IPv4Interface(address))


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("::/64", "who has none"),
        ("::1/128", "loopback"),
        ("ff02::1/64", "multicast"),
        ("::ffff:198.18.0.3/96", "IPv4"),
        ("fd00::/64", "any router's"),
        ("fd00::1/0", "no other side"),
    ],
)
def test_what_no_host_has_in_ipv6(address: str, reason: str) -> None:
    assert reason in objection(IPv6Interface(address))


@pytest.mark.parametrize(
    "address", ["198.18.0.3/16", "198.18.0.2/31", "198.18.0.3/31", "169.254.1.1/16", "10.0.0.1/32"]
)
def test_what_a_host_can_have_in_ipv4(address: str) -> None:
    assert objection(IPv4Interface(address)) == ""


@pytest.mark.parametrize("address", ["fd00::3/64", "fe80::3/64", "fd00::/127", "fd00::3/128"])
def test_what_a_host_can_have_in_ipv6(address: str) -> None:
    assert objection(IPv6Interface(address)) == ""


def config(
    address: str | None = "198.18.0.3/16", *, more: tuple[Attachment, ...] = (), **fields: object
) -> NodeConfig:
    own = None if address is None else IPv4Interface(address)
    return NodeConfig(application=None, tap="a", address=own, more=more, **fields)  # type: ignore[arg-type]


def test_addresses_and_taps_are_each_for_one_interface() -> None:
    check_addresses(config(more=(Attachment("b", IPv4Interface("198.19.0.3/16")), Attachment("c", None))))
    with pytest.raises(NodeError, match="TAP a is named twice"):
        check_addresses(config(more=(Attachment("a", None),)))
    with pytest.raises(NodeError, match=r"TAP b and TAP a cannot both have 198\.18\.0\.3"):
        check_addresses(config(more=(Attachment("b", IPv4Interface("198.18.0.3/24")),)))
    with pytest.raises(NodeError, match="TAP a cannot have ff02::1/64: ff00::/8 is multicast"):
        check_addresses(config(ipv6=Ipv6Settings((IPv6Interface("ff02::1/64"),))))


@pytest.mark.parametrize(
    ("network", "gateway", "reason"),
    [
        ("10.0.0.0/8", "10.0.0.1", "on no network of a TAP"),
        ("10.0.0.0/8", "198.18.0.3", "the node itself"),
        ("10.0.0.0/8", "198.18.255.255", "broadcast"),
        ("10.0.0.0/8", "198.18.0.0", "itself"),
        ("224.0.0.0/4", "198.18.0.1", "multicast"),
        ("127.0.0.0/8", "198.18.0.1", "loopback"),
        ("255.255.255.255/32", "198.18.0.1", "broadcast"),
        ("0.0.0.0/8", "198.18.0.1", "who has none"),
    ],
)
def test_a_route_that_leads_nowhere(network: str, gateway: str, reason: str) -> None:
    route = StaticRoute(IPv4Network(network), IPv4Address(gateway))
    with pytest.raises(NodeError, match=reason):
        check_addresses(config(routes=(route,)))


def test_routes_that_lead_somewhere() -> None:
    for network in ("0.0.0.0/0", "0.0.0.0/1", "10.0.0.0/8"):
        check_addresses(config(routes=(StaticRoute(IPv4Network(network), IPv4Address("198.18.0.1")),)))
