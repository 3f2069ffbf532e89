"""Numbers as people type them."""

import pytest

from so2cam.core.errors import InputError
from so2cam.web.instrument.fields import Quantity
from so2cam.web.typed import read_number, read_whole


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5", 1.5),
        (" 1,5 ", 1.5),
        ("−2", -2.0),
        ("–2", -2.0),
        ("12 000", 12000.0),
        ("1\u202f000,5", 1000.5),
        (7, 7.0),
    ],
)
def test_numbers_are_read_as_people_write_them(text: object, value: float) -> None:
    assert read_number(text) == value


@pytest.mark.parametrize(
    ("text", "why"), [("", "is missing"), (None, "is missing"), ("high", "is no number"), ("1,000.5", "is no number")]
)
def test_what_is_no_number_is_refused(text: object, why: str) -> None:
    with pytest.raises(InputError, match=why):
        read_number(text)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_number_is_finite(text: str, whole: bool) -> None:
    with pytest.raises(InputError, match="must be a finite number"):
        read_whole(text) if whole else read_number(text)
    with pytest.raises(InputError, match="Gain must be a finite number"):
        Quantity("gain", "Gain", whole=whole).kept(text)


def test_a_whole_number() -> None:
    assert read_whole("20") == 20
    with pytest.raises(InputError, match="must be a whole number"):
        read_whole("2,5")
