"""What a path takes: one life of its MTU, for all transports and both versions of IP (RFC 1191, RFC 8201).

It begins as the first link's. A router through whose next link a packet does not fit says so ("fragmentation needed",
"packet too big"), and how long one may be; that is kept for ten minutes, then the first link's is tried again. TCP
makes its segments of that size (``stack.tcp.path_mtu``); of the rest, IP sends in fragments what is longer.

Anyone can forge such a message. So no path is taken to be narrower than MIN_IPV4_MTU or MIN_IPV6_MTU, a message must
name less than the length of the packet that it quotes, which must be one that we may have sent, and it never widens a
path (RFC 5927 section 7, RFC 8201 sections 4 and 6). Whether we did send it is for the transports to see to. On an
IPv4 path that is said to carry less than MIN_IPV4_MTU, packets up to that size leave without DF, as Linux has it:
routers cut them up, and nobody can make us send tiny ones.
"""

from ebbrt.constants import FOREVER
from stack.path_search import PathSearch

MTU_LIFETIME = 600_000_000_000  # nanoseconds; at least 5 minutes, 10 recommended (RFC 1191 section 6.3, RFC 8201 4)
MIN_IPV4_MTU = 552  # Linux's min_pmtu; RFC 791 has every network carry 68 bytes
MIN_IPV6_MTU = 1280  # RFC 8200 section 5
# MTUs that networks have (RFC 1191 section 7.1, and tunnels): for a router that does not say what would fit.
PLATEAUS = (32000, 17914, 8166, 4352, 2002, 1492, 1400, 1280, 1006, MIN_IPV4_MTU)


class PathMtu:
    """Of one path; sizes are those of packets, IP's header counted. version: IP's.

    mtu: the longest packet that is known to pass. It is the first link's until somebody says that less passes, and
    again after ``mtu_expires``, nanoseconds. may_be_cut: routers are to cut packets up (IPv4 alone).
    search: for more than ``mtu``, when long packets have vanished in silence; then nothing longer is sent untried.
    """

    def __init__(self, version: int) -> None:
        self.version = version
        self.mtu = 0
        self.mtu_expires = FOREVER
        self.may_be_cut = False
        self.search: PathSearch | None = None
        self._mtu_before = 0

    def packet_too_big(self, said: int, length: int, now: int) -> bool:
        """A packet of ours of ``length`` bytes did not fit; whether that, with ``said``, made the path narrower.

        said: what would fit, in the message's words; 0: it did not say.
        """
        mtu = self.mtu_for(said, length)
        if mtu == 0:
            return False
        if said != 0 and said < mtu:
            self.may_be_cut = True
        if mtu >= self.mtu:
            return False
        self.lower_mtu(mtu, now)
        if self.search is not None:
            self.search.ceiling = mtu  # until that is old
        return True

    def mtu_for(self, said: int, length: int) -> int:
        """The MTU that a message about a packet of ``length`` bytes means; 0: it cannot be true."""
        if length > self.link_mtu() or said >= length:
            return 0
        if self.version == 6:
            return said if said >= MIN_IPV6_MTU else 0  # RFC 8201 section 4
        return max(said, MIN_IPV4_MTU) if said else plateau_below(length)

    def lower_mtu(self, mtu: int, now: int) -> None:
        """Nothing longer than ``mtu`` is known to pass: send none, for ten minutes."""
        if self.mtu_expires == FOREVER:
            self._mtu_before = self.mtu
        self.mtu = mtu
        self.mtu_expires = now + MTU_LIFETIME

    def raise_mtu(self, mtu: int, now: int) -> None:
        """A packet of ``mtu`` bytes has arrived (RFC 4821 section 7.6.1); at the first link's size all is well."""
        if mtu >= self.link_mtu():
            self.restore_mtu()
        else:
            self.lower_mtu(mtu, now)

    def restore_mtu(self) -> None:
        """Try again what the first link takes: the way may have changed."""
        self.mtu = self.link_mtu()
        self.mtu_expires = FOREVER
        self.may_be_cut = False
        self.search = None

    def renew_mtu(self, now: int) -> bool:
        """``mtu_expires`` has come: use the first link's again (True), or search anew for what passes (False)."""
        if self.search is None:
            self.restore_mtu()
            return True
        self.search.restart(self.link_mtu(), now)
        self.lower_mtu(self.mtu, now)
        return False

    def link_mtu(self) -> int:
        """The longest packet that the first link takes."""
        return self.mtu if self.mtu_expires == FOREVER else self._mtu_before

    def set_link_mtu(self, mtu: int) -> None:
        """The first link takes this much now."""
        if self.mtu_expires == FOREVER:
            self.mtu = mtu
        else:
            self._mtu_before = mtu
            self.mtu = min(self.mtu, mtu)


def plateau_below(mtu: int) -> int:
    """The next smaller MTU that networks have."""
    for plateau in PLATEAUS:
        if plateau < mtu:
            return plateau
    return MIN_IPV4_MTU
