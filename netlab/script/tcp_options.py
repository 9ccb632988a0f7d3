"""The TCP options the language knows: to bytes, and back. Kinds are IANA's; FOEXP is RFC 6994's experiment 0xF989."""

from netlab.script.tree import Option

EOL, NOP, MSS, WSCALE, SACK_OK, SACK, TIMESTAMPS, MD5, FAST_OPEN, EXPERIMENT = 0, 1, 2, 3, 4, 5, 8, 19, 34, 254
FAST_OPEN_MAGIC = b"\xf9\x89"
# By name: kind, and length without values or data of their own.
OPTION_LENGTHS = {"eol": 1, "nop": 1, "mss": 4, "wscale": 3, "sackOK": 2, "sack": 2, "TS": 10, "FO": 2, "FOEXP": 4}
OPTION_LENGTHS["md5"] = 2
KINDS = {
    "eol": EOL,
    "nop": NOP,
    "mss": MSS,
    "wscale": WSCALE,
    "sackOK": SACK_OK,
    "sack": SACK,
    "TS": TIMESTAMPS,
    "md5": MD5,
    "FO": FAST_OPEN,
    "FOEXP": EXPERIMENT,
}
VALUE_BYTES = {"mss": 2, "wscale": 1, "sack": 4, "TS": 4}


def options_length(options: tuple[Option, ...]) -> int:
    """Bytes they take in a header."""
    return sum(map(_length, options))


def _length(option: Option) -> int:
    values = 4 * len(option.values) if option.name == "sack" else 0
    return OPTION_LENGTHS[option.name] + values + len(option.data)


def encode(options: tuple[Option, ...]) -> bytes:
    """The options as they stand in a header."""
    out = bytearray()
    for option in options:
        out.append(KINDS[option.name])
        if option.name in ("eol", "nop"):
            continue
        out.append(_length(option))
        if option.name == "FOEXP":
            out += FAST_OPEN_MAGIC
        for value in option.values:
            out += value.to_bytes(VALUE_BYTES[option.name], "big")
        out += option.data
    return bytes(out)


def decode(data: bytes) -> tuple[Option, ...]:
    """The options of a header; one that is cut short, or unknown, is named by its kind with the rest as its data."""
    names = {kind: name for name, kind in KINDS.items()}
    options = []
    at = 0
    while at < len(data):
        kind = data[at]
        if kind in (EOL, NOP):
            options.append(Option(names[kind]))
            at += 1
            continue
        length = data[at + 1] if at + 1 < len(data) else 0
        if length < 2 or at + length > len(data):
            options.append(Option(f"broken-{kind}", (), data[at:]))
            break
        options.append(_decoded(names.get(kind, f"kind-{kind}"), data[at + 2 : at + length]))
        at += length
    return tuple(options)


def _decoded(name: str, data: bytes) -> Option:
    if name == "FOEXP":
        if data[:2] != FAST_OPEN_MAGIC:
            return Option(f"kind-{EXPERIMENT}", (), data)
        return Option(name, (), data[2:])
    size = VALUE_BYTES.get(name)
    if size is None or len(data) % size:
        return Option(name, (), data)
    return Option(name, tuple(int.from_bytes(data[at : at + size], "big") for at in range(0, len(data), size)))
