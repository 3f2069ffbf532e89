"""Numbers as pages write them: no more figures than are known, a true minus, a dash for nothing."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from so2cam.web.parts import number, time_text, with_uncertainty


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (4.9321, 3, "4.93"),
        (0.00123, 2, "0.0012"),
        (1234.5, 3, "1234"),
        (-2.5, 2, "−2.5"),
        (0.0, 3, "0"),
        (9.996, 3, "10.0"),
        (None, 3, "–"),
        (float("nan"), 3, "–"),
    ],
)
def test_a_number_has_its_figures(value: float | None, digits: int, text: str) -> None:
    assert number(value, digits) == text


@pytest.mark.parametrize(
    ("value", "sigma", "texts"),
    [
        (4.9321, 0.1712, ("4.93", "0.17")),
        (512.3, 7.66, ("512.3", "7.7")),
        (1234.5, 98.7, ("1234", "99")),
        (-0.5, 0.0123, ("−0.500", "0.012")),
        (-0.001, 0.73, ("0.00", "0.73")),
        (3.14159, None, ("3.14", "")),
        (3.14159, 0.0, ("3.14", "")),
        (None, 0.1, ("–", "")),
    ],
)
def test_a_value_ends_where_its_uncertainty_does(
    value: float | None, sigma: float | None, texts: tuple[str, str]
) -> None:
    assert with_uncertainty(value, sigma) == texts


def test_times_are_utc() -> None:
    time = datetime(2026, 3, 1, 12, 0, 1, tzinfo=timezone(timedelta(hours=2)))
    assert time_text(time) == "2026-03-01 10:00:01 UTC"
    assert time_text(time.astimezone(UTC), date=False) == "10:00:01 UTC"
    assert time_text(None) == "–"
