"""What one direction of a link does to frames, as values and as a person writes it.

    delay=25ms,jitter=2ms,rate=100mbit,limit=100,loss=1%,reorder=1%:5ms,duplicate=0.1%,corrupt=0.01%,gilbert=1%/30%

| key | says | without it |
|---|---|---|
| ``delay`` | how long a frame travels, *one way*: 25 ms each way are a round trip of 50 ms | 0 |
| ``jitter`` | a frame takes up to this much more or less than the delay, evenly; frames keep their order | 0 |
| ``rate`` | bits per second, of frames without preamble and check sequence, as the kernel's ``tbf`` counts | any |
| ``limit`` | frames that may wait for their turn while another one is being sent; further ones are dropped | 1000 |
| ``limit_bytes`` | the same in bytes; with both, whichever is met first | none |
| ``loss`` | the share of frames that is lost, each independently | 0 |
| ``gilbert`` | loss in bursts, as Gilbert and Elliott have it: ``p/r[/1-h[/1-k]]`` | none |
| ``reorder`` | the share of frames that comes later by so much, so that others overtake them | none |
| ``duplicate`` | the share of frames that comes twice | 0 |
| ``corrupt`` | the share of frames in which one bit is turned over | 0 |

A share has its ``%``: whether ``loss=1`` is everything or one in a hundred, nobody can know. So have times and rates
their unit; 0 needs none.

Of ``gilbert``: ``p`` is how likely a frame turns the link from good to bad, ``r`` from bad to good; ``1-h`` of the
frames are lost while it is bad (100%), ``1-k`` while it is good (0%). The names are those of tc-netem(8).

Read next: ``link.py``, which does what this says.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from decimal import Decimal
from fractions import Fraction
from typing import Any

from netlab.errors import UsageError

DEFAULT_LIMIT = 1000  # frames, as tc-netem(8)
_UNITS_OF_TIME = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_UNITS_OF_RATE = {"bit": 1, "kbit": 1_000, "mbit": 1_000_000, "gbit": 1_000_000_000}
_UNITS_OF_SIZE = {"": 1, "b": 1, "kb": 1_000, "mb": 1_000_000, "kib": 1 << 10, "mib": 1 << 20}
_NUMBER = r"\d{1,18}(?:\.\d{1,400})?"
_QUANTITY = re.compile(rf"({_NUMBER})([a-z]*)")
_SHARE = re.compile(rf"({_NUMBER}(?:e-\d{{1,3}})?)(%?)")  # without the sign: understood, to say what is missing
_LONGEST = 3600 * 1_000_000_000  # ns: of a delay; longer is a slip
_FASTEST = 10**12  # bits per second


class LinkSettingsError(UsageError):
    """Settings that no link can have, or a text that says none."""


@dataclass(frozen=True, slots=True)
class Gilbert:
    """Loss in bursts: probabilities, 0 to 1, by their names in the literature; ``one_minus_h`` is loss while bad."""

    p: float
    r: float
    one_minus_h: float = 1.0
    one_minus_k: float = 0.0

    def __post_init__(self) -> None:
        for share in (self.p, self.r, self.one_minus_h, self.one_minus_k):
            _check_share("gilbert", share)

    def mean_loss(self) -> float:
        """The share of frames that is lost in the long run."""
        if not self.p + self.r:
            return self.one_minus_k
        return (self.p * self.one_minus_h + self.r * self.one_minus_k) / (self.p + self.r)


@dataclass(frozen=True, slots=True)
class Reorder:
    """A share of the frames arrives ``by`` nanoseconds later than in its turn."""

    share: float
    by: int

    def __post_init__(self) -> None:
        _check_share("reorder", self.share)
        _check_time("reorder", self.by)


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """One direction of a link. Times are nanoseconds, ``rate`` bits per second (0: any), shares 0 to 1.

    ``limit`` and ``limit_bytes`` bound the queue in front of the rate; with neither it is ``DEFAULT_LIMIT`` frames.
    Raises LinkSettingsError for what cannot be.
    """

    delay: int = 0
    jitter: int = 0
    rate: int = 0
    limit: int | None = None
    limit_bytes: int | None = None
    loss: float = 0.0
    gilbert: Gilbert | None = None
    reorder: Reorder | None = None
    duplicate: float = 0.0
    corrupt: float = 0.0

    def __post_init__(self) -> None:
        for name in ("loss", "duplicate", "corrupt"):
            _check_share(name, getattr(self, name))
        _check_time("delay", self.delay)
        if not 0 <= self.jitter <= self.delay:
            raise LinkSettingsError(
                f"a jitter of {_time_text(self.jitter)} with a delay of {_time_text(self.delay)}",
                "It is taken from the delay or added to it, and no frame arrives before it was sent.",
            )
        if not 0 <= self.rate <= _FASTEST:
            raise LinkSettingsError(f"a rate of {self.rate} bit/s", "Write it as 100mbit; leave it out for any rate.")
        if (self.limit or 0) < 0 or (self.limit_bytes or 0) < 0:
            raise LinkSettingsError("a queue's limit is a number of frames, or of bytes")
        if (self.limit is not None or self.limit_bytes is not None) and not self.rate:
            raise LinkSettingsError(
                "a limit without a rate", "Frames queue for their turn only where there is a rate."
            )

    @classmethod
    def parse(cls, text: str) -> "LinkSettings":
        """What ``text`` says, of the form at the top of this file. Raises LinkSettingsError with the part at fault."""
        values: dict[str, Any] = {}
        for part in filter(None, text.replace(" ", "").lower().split(",")):
            key, equals, value = part.partition("=")
            if not equals or key not in _FORMS:
                raise LinkSettingsError(
                    f"a link has no {part!r}", f"Write KEY=VALUE, by comma, of: {', '.join(_FORMS)}."
                )
            if key in values:
                raise LinkSettingsError(f"{key} is said twice in {text!r}")
            values[key] = _FORMS[key][0](part, value)
        return cls(**values)

    def __str__(self) -> str:
        """The text that `parse` makes these settings of; empty when nothing is set."""
        values = [(field.name, getattr(self, field.name), field.default) for field in fields(self)]
        return ",".join(f"{name}={_FORMS[name][1](value)}" for name, value, default in values if value != default)


def _check_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise LinkSettingsError(f"{name} of {share * 100:.12g}%", "A share is 0% to 100%.")


def _check_time(name: str, nanoseconds: int) -> None:
    if not 0 <= nanoseconds <= _LONGEST:
        raise LinkSettingsError(f"{name} of {nanoseconds} ns", "It is 0 to 3600 s.")


def _quantity(part: str, text: str, units: dict[str, int], example: str) -> int:
    found = _QUANTITY.fullmatch(text)
    if found is not None and not found[2] and not Fraction(found[1]):
        return 0  # in any unit
    if found is not None and not found[2] and "" not in units:
        raise LinkSettingsError(f"{part!r} has no unit", f"Write the value as {example}.")
    if found is None or found[2] not in units:
        raise LinkSettingsError(f"{part!r} is not understood", f"Write the value as {example}.")
    quantity = Fraction(found[1]) * units[found[2]]
    if quantity.denominator != 1:
        raise LinkSettingsError(f"{part!r} is not a whole number", f"Write the value as {example}.")
    return quantity.numerator


def _time(part: str, text: str) -> int:
    return _quantity(part, text, _UNITS_OF_TIME, "25ms; the units are ns, us, ms and s")


def _rate(part: str, text: str) -> int:
    return _quantity(part, text, _UNITS_OF_RATE, "100mbit; the units are bit, kbit, mbit and gbit")


def _size(part: str, text: str) -> int:
    return _quantity(part, text, _UNITS_OF_SIZE, "150kb; the units are b, kb, mb, kib and mib")


def _count(part: str, text: str) -> int:
    return _quantity(part, text, {"": 1}, "100, a number of frames")


def _share(part: str, text: str) -> float:
    found = _SHARE.fullmatch(text)
    if found is None:
        raise LinkSettingsError(f"{part!r} is not understood", "Write a share as 1%.")
    number = Fraction(found[1])
    if number and not found[2]:
        raise LinkSettingsError(
            f"{part!r} has a share without %: {found[1]}",
            f"Write {found[1]}% if you mean so many of a hundred, or {_plain(number * 100)}% if the share of all.",
        )
    return float(number / 100)


def _gilbert(part: str, text: str) -> Gilbert:
    shares = [_share(part, share) for share in text.split("/")]
    if not 2 <= len(shares) <= 4:
        raise LinkSettingsError(f"{part!r} is not understood", "Write p/r, p/r/1-h or p/r/1-h/1-k, as gilbert=1%/30%.")
    return Gilbert(*shares)


def _reorder(part: str, text: str) -> Reorder:
    share, colon, by = text.partition(":")
    if not colon:
        raise LinkSettingsError(f"{part!r} does not say how much later", "Write it as reorder=1%:5ms.")
    return Reorder(_share(part, share), _time(part, by))


def _time_text(nanoseconds: int) -> str:
    for unit, size in reversed(_UNITS_OF_TIME.items()):
        if nanoseconds % size == 0 and (nanoseconds or unit == "s"):
            return f"{nanoseconds // size}{unit}"
    return f"{nanoseconds}ns"


def _rate_text(rate: int) -> str:
    for unit, size in reversed(_UNITS_OF_RATE.items()):
        if rate % size == 0:
            return f"{rate // size}{unit}"
    return f"{rate}bit"


def _share_text(share: float) -> str:
    """In percent, with so many digits that `_share` makes the same number of it."""
    return f"{_plain(Fraction(repr(share)) * 100)}%"


def _plain(number: Fraction) -> str:
    """A decimal number without an exponent, and without zeros at its end."""
    text = f"{Decimal(number.numerator) / Decimal(number.denominator):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _gilbert_text(gilbert: Gilbert) -> str:
    return "/".join(map(_share_text, (gilbert.p, gilbert.r, gilbert.one_minus_h, gilbert.one_minus_k)))


def _reorder_text(reorder: Reorder) -> str:
    return f"{_share_text(reorder.share)}:{_time_text(reorder.by)}"


_FORMS: dict[str, tuple[Callable[[str, str], Any], Callable[[Any], str]]] = {  # how each is read, and written
    "delay": (_time, _time_text),
    "jitter": (_time, _time_text),
    "rate": (_rate, _rate_text),
    "limit": (_count, str),
    "limit_bytes": (_size, str),
    "loss": (_share, _share_text),
    "gilbert": (_gilbert, _gilbert_text),
    "reorder": (_reorder, _reorder_text),
    "duplicate": (_share, _share_text),
    "corrupt": (_share, _share_text),
}


def parse_link(text: str) -> tuple[str, str | None, str | None]:
    """What ``--link MACHINE[:to|:from]:SETTINGS`` says: the machine, what is set to it, and from it."""
    machine, colon, settings = text.partition(":")
    if not colon:
        raise UsageError(f"--link {text!r} names no settings", "Write it as node:delay=25ms, or node:to:loss=1%.")
    way, colon, rest = settings.partition(":")
    if colon and way in ("to", "from"):
        return (machine, rest, None) if way == "to" else (machine, None, rest)
    return machine, settings, settings
