"""A learning switch that joins any number of links.

It learns behind which of its ports an address is from the frames that come from there (IEEE 802.1Q section 8.7), sends
a frame for an address it knows there alone, and every other frame to all ports but the one it came by. It takes no
time and has no queue of its own: the links have both.
"""

from collections import OrderedDict

from ebbrt.clock import Clock
from netlab.sim.wire import End

AGEING_TIME = 300_000_000_000  # ns without a frame from an address, the recommended 300 s
MOST_ADDRESSES = 8192  # the one heard of longest ago is forgotten for another
GROUP = 1  # the bit in an address's first byte that makes it that of a group


class SwitchPort(End):
    """One of its ports."""

    def __init__(self, switch: "Switch", number: int) -> None:
        super().__init__(f"{switch.name}.{number}")
        self._switch = switch

    def receive(self, frame: bytes, header: bytes) -> None:
        """See End."""
        self._switch.forward(self, frame, header)


class Switch:
    """Ports are made as links are added to it."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self.ports: list[SwitchPort] = []
        self.forwarded = 0
        self.flooded = 0
        self.dropped = 0  # for an address behind the port it came by, or too short to have one
        self._clock = clock
        self._addresses: OrderedDict[bytes, tuple[SwitchPort, int]] = OrderedDict()  # heard of longest ago first

    def add_port(self) -> SwitchPort:
        """One more port."""
        self.ports.append(SwitchPort(self, len(self.ports)))
        return self.ports[-1]

    def forward(self, port: SwitchPort, frame: bytes, header: bytes) -> None:
        """Take a frame that has come by ``port``."""
        if len(frame) < 14:
            self.dropped += 1
            return
        destination = frame[:6]
        self._learn(frame[6:12], port)
        target = None if destination[0] & GROUP else self._find(destination)
        if target is port:
            self.dropped += 1
        elif target is not None:
            self.forwarded += 1
            target.carry(frame, header)
        else:
            self.flooded += 1
            for other in self.ports:
                if other is not port:
                    other.carry(frame, header)

    def _learn(self, source: bytes, port: SwitchPort) -> None:
        if source[0] & GROUP:
            return
        self._addresses[source] = port, self._clock.now()
        self._addresses.move_to_end(source)
        if len(self._addresses) > MOST_ADDRESSES:
            self._addresses.popitem(last=False)

    def _find(self, address: bytes) -> SwitchPort | None:
        port, heard = self._addresses.get(address, (None, 0))
        return port if port is not None and self._clock.now() - heard <= AGEING_TIME else None

    def statistics(self) -> dict[str, int]:
        """Frames by what became of them, and addresses known."""
        return {
            "forwarded": self.forwarded,
            "flooded": self.flooded,
            "dropped": self.dropped,
            "addresses": len(self._addresses),
        }
