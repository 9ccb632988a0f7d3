"""Links between the ends of a simulation: what is sent at one comes out at the other, when and as the model says.

What a link does to frames is the business of ``netlab.emulation.link``, which the relay between real machines has too.
Here a frame enters at the virtual time, is shown to the captures, and its arrival is put into the simulation's agenda.
"""

from typing import TYPE_CHECKING

from drivers.virtio.memory_port import NO_HEADER, Cable
from netlab.emulation.link import INTACT, Link, flip
from netlab.emulation.settings import LinkSettings

if TYPE_CHECKING:
    from netlab.sim.agenda import Agenda
    from netlab.sim.capture import Capture


class End(Cable):
    """What can be at an end of a link: a port of a node or of a switch, or a test's own. One link at a time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.out: Direction | None = None  # where what is sent here goes
        self.unconnected = 0  # frames that were sent without a link

    def receive(self, frame: bytes, header: bytes) -> None:
        """A frame has come over the link; header: its virtio-net header if the link carries frames whole."""
        raise NotImplementedError

    def carry(self, frame: bytes, header: bytes = NO_HEADER) -> None:
        """Send a frame over the link."""
        if self.out is None:
            self.unconnected += 1
        else:
            self.out.transmit(frame, header)


class Direction:
    """One direction of a link, from the end ``source`` to the end ``target``."""

    def __init__(self, agenda: "Agenda", source: End, target: End, settings: LinkSettings, seed: str) -> None:
        self.source = source
        self.target = target
        self.model = Link(settings, seed)
        self.captures: list[Capture] = []
        self._agenda = agenda
        self._receive = target.receive

    def transmit(self, frame: bytes, header: bytes) -> None:
        """Take a frame in."""
        now = self._agenda.clock.time
        for capture in self.captures:
            capture.write(frame, now)
        for arrival in self.model.transmit(len(frame), now):
            if arrival.flipped_bit != INTACT:
                damaged = bytearray(frame)
                flip(damaged, arrival.flipped_bit)
                self._agenda.add(arrival.at, self._receive, bytes(damaged), header)
            else:
                self._agenda.add(arrival.at, self._receive, frame, header)


class Wire:
    """A link of a simulation: both directions of it."""

    def __init__(self, agenda: "Agenda", a: End, b: End, there: LinkSettings, back: LinkSettings, seed: str) -> None:
        self.name = f"{a.name}-{b.name}"
        self.there = Direction(agenda, a, b, there, f"{seed}/{a.name}>{b.name}")
        self.back = Direction(agenda, b, a, back, f"{seed}/{b.name}>{a.name}")
        a.out = self.there
        b.out = self.back

    def change(self, there: LinkSettings | str, back: LinkSettings | str | None = None) -> None:
        """Be like this from now on; ``back`` is as ``there`` when it is not given."""
        self.there.model.change(settings_of(there))
        self.back.model.change(settings_of(there if back is None else back))

    def statistics(self) -> dict[str, dict[str, int]]:
        """The counts of both directions, by their source."""
        return {way.source.name: way.model.statistics() for way in (self.there, self.back)}


def settings_of(settings: LinkSettings | str) -> LinkSettings:
    """From the text that people write. Raises LinkSettingsError."""
    return settings if isinstance(settings, LinkSettings) else LinkSettings.parse(settings)
