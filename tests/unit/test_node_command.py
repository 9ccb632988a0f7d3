"""What ``netlab node run`` makes of --tap, --ip and --route."""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from netlab.commands.node import _parse_attachments, _parse_ipv6, _parse_route
from netlab.errors import NetlabError
from netlab.node_config import Attachment, StaticRoute
from netlab.node_interfaces import mac_of
from netlab.topology import mac_address, tap_mac_address


def test_each_tap_has_an_address_or_dhcp() -> None:
    assert _parse_attachments(["a", "b"], ["198.18.0.3/16", "dhcp"]) == [
        Attachment("a", IPv4Interface("198.18.0.3/16")),
        Attachment("b", None),
    ]


@pytest.mark.parametrize(
    ("taps", "addresses", "named"),
    [
        (["a", "b"], ["dhcp"], "2 --tap"),
        (["a"], ["198.18.0.300/16"], "198.18.0.300"),
        (["a"], ["198.18.0.3"], "does not say the length"),  # it was taken for /32
        (["a"], ["198.18.0.3/"], "does not say the length"),
        (["a"], ["198.18.0.3/255.255.0.0"], "does not say the length"),
    ],
)
def test_what_is_wrong_with_them_is_said(taps: list[str], addresses: list[str], named: str) -> None:
    with pytest.raises(NetlabError, match=named):
        _parse_attachments(taps, addresses)


def test_a_route_names_network_and_gateway() -> None:
    assert _parse_route("10.0.0.0/8 via 198.18.0.1") == StaticRoute(
        IPv4Network("10.0.0.0/8"), IPv4Address("198.18.0.1")
    )
    for text in ("10.0.0.0/8", "10.0.0.1/8 via 198.18.0.1", "10.0.0.0/8 via gateway"):
        with pytest.raises(NetlabError, match="--route"):
            _parse_route(text)


def test_a_nodes_link_address_is_its_own_and_stays_with_its_tap() -> None:
    taps = [tap_mac_address("198.18.0.3"), "0a:11:22:33:44:55", "0e:11:22:33:44:56", "00:16:3e:00:00:01"]
    addresses = [bytes.fromhex(tap.replace(":", "")) for tap in taps]
    macs = [mac_of(address) for address in addresses]
    assert macs[0].hex(":") == mac_address("198.18.0.3")
    assert len({*macs, *addresses}) == 8
    assert all(mac[0] & 3 == 2 for mac in macs), "locally administered, of one machine"


@pytest.mark.parametrize("text", ["fd00::3", "fd00::3/"])
def test_an_ipv6_address_has_its_prefix_length_too(text: str) -> None:
    with pytest.raises(NetlabError, match="does not say the length"):
        _parse_ipv6([text])
