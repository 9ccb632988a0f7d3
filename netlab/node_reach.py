"""Whether a node is reached: what of the way to it can be seen from here, and whether it answers for its addresses.

Before ``netlab node run`` says "ready" it looks at each TAP (is it up, a port of a bridge that is up and has other
ports, or used by this machine itself?), and asks for each of the node's addresses, by ARP or Neighbor Discovery, on
the kernel's side of the TAP. So a question takes the whole way that a neighbour's would: device, rings, driver, stack.
The asker's link address is that of the TAP itself, so a bridge keeps the answers, and nobody else hears any of it.
"""

import errno
import socket
import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, ip_interface
from typing import Any

from drivers.virtio.tap import hardware_address
from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import InterruptHandler
from netlab import interfaces
from netlab.node import Node
from netlab.node_interfaces import NodeInterface
from stack.ipv6.constants import NEIGHBOR_ADVERTISEMENT, PREFERRED
from stack.ipv6.link import group_mac, solicited_node
from stack.wire.discovery import solicitation

ANSWER_TIME = 1_000_000_000  # nanoseconds that the node has to answer all questions
ETH_P_ALL = 3
BROADCAST = b"\xff" * 6
ETHERNET_ARP, ETHERNET_IPV6 = b"\x08\x06", b"\x86\xdd"
ARP_REQUEST = b"\x00\x01\x08\x00\x06\x04\x00\x01"  # RFC 826: Ethernet, IPv4, their lengths, the operation
ARP_REPLY = ARP_REQUEST[:-1] + b"\x02"
ICMPV6 = 58

Address = IPv4Address | IPv6Address


class Reach:
    """Finds out whether a node is reached, and calls ``then`` with what stands in the way, a line each.

    It looks around when it is made, which takes too long for an event, and asks in ``begin``.
    """

    def __init__(self, node: Node, then: Callable[[list[str]], object]) -> None:
        self.node = node
        self.then = then
        self._links = interfaces.links()
        self._said: list[str] = []
        self._askers: list[Asker] = []

    def begin(self) -> None:
        """Ask, from within an event of core 0; ``then`` is called at the latest after ANSWER_TIME."""
        for interface in self.node.interfaces:
            name = interface.tap.name
            seen = obstacles(name, _own(interface), self._links) if name in self._links else []
            self._said += seen
            try:
                self._askers.append(Asker(name, addresses_of(interface), self.node.events, self._go_on))
            except OSError as error:
                if error.errno != errno.ENETDOWN or not seen:
                    self._said.append(f"whether the node answers on TAP {name} was not tried: {error.strerror}")
        self._timer = self.node.events.set_timer(ANSWER_TIME, self._finish)
        self._go_on()

    def _go_on(self) -> None:
        if not any(asker.unanswered for asker in self._askers):
            self._finish()

    def _finish(self) -> None:
        self._timer.stop()
        for asker in self._askers:
            asker.close()
            self._said += [f"the node does not answer for {each} on TAP {asker.tap}" for each in asker.unanswered]
        self.then(self._said)


class Asker(InterruptHandler):
    """Asks on one TAP, as a neighbour would, who has each of ``addresses``; ``answered`` is called when all are told.

    Raises OSError where the TAP is down, and without CAP_NET_RAW.
    """

    def __init__(
        self, tap: str, addresses: list[Address], events: EventManager, answered: Callable[[], object]
    ) -> None:
        self.tap = tap
        self.unanswered = list(addresses)
        self._mac = hardware_address(tap)
        self._events = events
        self._answered = answered
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
        try:
            self._socket.bind((tap, ETH_P_ALL))
            for address in addresses:
                self._socket.send(question(self._mac, address))
        except OSError:
            self._socket.close()
            raise
        events.watch(self._socket.fileno(), self)

    def interrupt(self) -> None:
        """Take what is seen on the TAP, in both directions."""
        while self.unanswered:
            try:
                address = answer_in(self._socket.recv(1 << 16), self._mac)
            except OSError:  # nothing more, or the TAP is gone
                return
            if address in self.unanswered:
                self.unanswered.remove(address)
                if not self.unanswered:
                    self._answered()

    def close(self) -> None:
        """Look no longer."""
        self._events.unwatch(self._socket.fileno())
        self._socket.close()


def _own(interface: NodeInterface) -> IPv4Interface:
    ours = interface.interface
    return IPv4Interface((ours.ipv4_address, ours.ipv4_mask.bit_count()))


def addresses_of(interface: NodeInterface) -> list[Address]:
    """What the node answers for on an interface, now."""
    link6 = interface.interface.link6
    ipv6 = [] if link6 is None else [each for each in link6.addresses if each.state == PREFERRED]
    return [_own(interface).ip, *(IPv6Address(each.high << 64 | each.low) for each in ipv6)]


def obstacles(tap: str, own: IPv4Interface, links: dict[str, dict[str, Any]]) -> list[str]:
    """What of the way to the node on ``tap`` is missing, as far as this machine shows.

    links: its interfaces, as ``interfaces.links`` has them.
    """
    link = links[tap]
    if "UP" not in link["flags"]:
        return [f"TAP {tap} is down, and nobody reaches the node: ip link set {tap} up"]
    said = []
    if own.network.prefixlen == 32:
        said.append(f"{own} leaves nobody else on the link of TAP {tap}: the node answers no neighbour")
    master = link.get("master")
    if master is None:
        said += _obstacles_here(tap, own, link)
    elif links.get(master, {}).get("linkinfo", {}).get("info_kind") == "bridge":
        said += _obstacles_on_bridge(tap, master, links)
    return said


def _obstacles_here(tap: str, own: IPv4Interface, link: dict[str, Any]) -> list[str]:
    """The TAP is no port: this machine itself has to be the peer."""
    here = [ip_interface(address) for address in interfaces.addresses(link)]
    ipv4 = [address for address in here if isinstance(address, IPv4Interface)]
    if any(own.ip in address.network for address in ipv4):
        return []
    if ipv4:
        has = ", ".join(map(str, ipv4))
        return [f"this machine has {has} on TAP {tap}, which is not in one network with {own}"]
    return [
        f"TAP {tap} leads nowhere: it is no port of a bridge, and this machine has no IPv4 address on it. "
        f"ip link set {tap} master BRIDGE, or ip address add ... dev {tap}"
    ]


def _obstacles_on_bridge(tap: str, bridge: str, links: dict[str, dict[str, Any]]) -> list[str]:
    said = []
    if "UP" not in links[bridge]["flags"]:
        said.append(f"the bridge {bridge} of TAP {tap} is down: ip link set {bridge} up")
    else:
        state = links[tap]["linkinfo"].get("info_slave_data", {}).get("state", "forwarding")
        if state != "forwarding":
            said.append(f"the bridge {bridge} does not forward frames of TAP {tap} yet: the port is {state}")
    others = [name for name, link in links.items() if link.get("master") == bridge and name != tap]
    if not any("LOWER_UP" in links[name]["flags"] for name in others) and not interfaces.addresses(links[bridge]):
        said.append(f"nobody else is on the bridge {bridge} of TAP {tap}: no other port of it is up")
    return said


def question(mac: bytes, address: Address) -> bytes:
    """The frame with which a neighbour at ``mac`` asks who has the address.

    By ARP it is a probe (RFC 5227 section 2.1.1), which changes nobody's cache; by Neighbor Discovery (RFC 4861
    section 4.3) it comes from the link-local address that ``mac`` makes.
    """
    if isinstance(address, IPv4Address):
        packet = ARP_REQUEST + mac + bytes(4) + bytes(6) + address.packed
        return BROADCAST + mac + ETHERNET_ARP + packet
    target = int(address) >> 64, int(address) & (1 << 64) - 1
    high, low = solicited_node(target[1])
    identifier = bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]  # RFC 4291 appendix A
    source, group = b"\xfe\x80" + bytes(6) + identifier, struct.pack(">QQ", high, low)
    message = solicitation(target, int.from_bytes(mac, "big"))
    message = message[:2] + _checksum(source, group, message) + message[4:]
    header = struct.pack(">IHBB", 6 << 28, len(message), ICMPV6, 255) + source + group
    return group_mac(low).to_bytes(6, "big") + mac + ETHERNET_IPV6 + header + message


def answer_in(frame: bytes, mac: bytes) -> Address | None:
    """The address that a frame tells ``mac`` the owner of, or None."""
    if frame[:6] != mac:
        return None
    if frame[12:14] == ETHERNET_ARP and frame[14:22] == ARP_REPLY and len(frame) >= 42:
        return IPv4Address(frame[28:32])
    is_icmpv6 = frame[12:14] == ETHERNET_IPV6 and frame[20:21] == bytes([ICMPV6])
    if is_icmpv6 and frame[54:55] == bytes([NEIGHBOR_ADVERTISEMENT]) and len(frame) >= 78:
        return IPv6Address(frame[62:78])
    return None


def _checksum(source: bytes, destination: bytes, message: bytes) -> bytes:
    """ICMPv6's (RFC 8200 section 8.1), of a message of even length."""
    pseudo = source + destination + struct.pack(">II", len(message), ICMPV6)
    total: int = sum(struct.unpack(f">{(len(pseudo) + len(message)) // 2}H", pseudo + message))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")
