"""CPU masks as sysfs has them: 32-bit words, hexadecimal, comma between."""

import pytest

from netlab.links import mask_text, mask_value


@pytest.mark.parametrize(
    ("mask", "text"),
    [(0, "00000000"), (1 << 1, "00000002"), (1 << 31, "80000000"), (1 << 32, "00000001,00000000")],
)
def test_a_mask_is_written_and_read(mask: int, text: str):
    assert mask_text(mask) == text
    assert mask_value(f"{text}\n") == mask
