"""Round ends of axes, so that plots beside each other can be read together."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so2cam.web.plot import limits

values = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))


@pytest.mark.parametrize(
    ("known", "options", "found"),
    [
        ([3.2, None, 7.9], {}, (2.0, 8.0, 2.0)),
        ([3.2, math.nan, 7.9], {"zero": True}, (0.0, 8.0, 2.0)),
        ([-0.4, 1.3], {"even": True, "parts": 2}, (-2.0, 2.0, 2.0)),
        ([5.0], {"zero": True}, (0.0, 6.0, 2.0)),
        ([0.0, 0.0], {"even": True}, (-0.5, 0.5, 0.5)),
    ],
)
def test_ends_are_round(known: list[float | None], options: dict[str, bool], found: tuple[float, ...]) -> None:
    assert tuple(limits(known, **options).values()) == pytest.approx(found)


def test_without_values_the_plot_chooses() -> None:
    assert limits([None, math.nan]) == {}


@given(known=st.lists(values, min_size=1), zero=st.booleans(), even=st.booleans(), parts=st.integers(2, 8))
def test_all_values_lie_between_them(known: list[float], zero: bool, even: bool, parts: int) -> None:
    found = limits(known, zero=zero, even=even, parts=parts)
    low, high, step = found["min"], found["max"], found["step"]
    slack = 1e-6 * step + 1e-8 * max(abs(low), abs(high))
    assert low - slack <= min(known)
    assert max(known) <= high + slack
    assert 0 < (high - low) / step <= 2 * parts + 2
    for end in (low, high):
        assert abs(end / step - round(end / step)) < 1e-6 * max(1.0, abs(end / step))
    if zero and not even:
        assert low <= 0 <= high
    if even:
        assert low == -high
