"""Tables and line shapes: widths, derivatives, sampling and what is refused."""

import numpy as np
import pytest

from so2cam.science.spectra.line_shape import (
    full_width_half_maximum_nm,
    measured_shape,
    shape_scales,
    super_gaussian,
    super_gaussian_derivatives,
)
from so2cam.science.spectra.table import SpectralTable

OFFSETS = np.arange(-2.0, 2.0005, 0.001)
SHAPES = [(0.6, 2.0, 0.0, 0.0), (0.5, 2.4, 0.2, 0.5), (0.8, 1.5, -0.3, -0.2), (0.3, 4.0, 0.5, -1.0)]


@pytest.mark.parametrize("shape", SHAPES)
def test_width_is_the_full_width_at_half_maximum(shape: tuple[float, float, float, float]) -> None:
    assert full_width_half_maximum_nm(OFFSETS, super_gaussian(OFFSETS, *shape)) == pytest.approx(shape[0], abs=1e-5)


def test_exponent_two_is_a_gaussian() -> None:
    sigma = 0.6 / (2 * np.sqrt(2 * np.log(2)))
    assert super_gaussian(OFFSETS, 0.6) == pytest.approx(np.exp(-0.5 * (OFFSETS / sigma) ** 2), abs=1e-14)


def test_asymmetry_widens_the_side_of_longer_wavelengths() -> None:
    right, left = shape_scales(0.6, 2.0, 0.2)
    assert right / left == pytest.approx(1.2 / 0.8)
    values = super_gaussian(OFFSETS, 0.6, 2.0, 0.2)
    assert values[OFFSETS > 0].sum() > 1.4 * values[OFFSETS < 0].sum()


@pytest.mark.parametrize("shape", SHAPES)
def test_analytic_derivatives(shape: tuple[float, float, float, float]) -> None:
    offsets = OFFSETS[::37]
    analytic = super_gaussian_derivatives(offsets, *shape)
    for n in range(4):
        more, less = list(shape), list(shape)
        more[n] += 1e-6
        less[n] -= 1e-6
        numeric = (super_gaussian(offsets, *more) - super_gaussian(offsets, *less)) / 2e-6
        assert analytic[n] == pytest.approx(numeric, abs=1e-7)


@pytest.mark.parametrize("shape", [(0.0, 2.0, 0, 0), (0.6, 1.0, 0, 1.5), (0.6, 2.0, 1.0, 0), (np.nan, 2.0, 0, 0)])
def test_impossible_shapes_are_refused(shape: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="no line shape"):
        super_gaussian(OFFSETS, *shape)


def test_measured_shape_is_centred_on_its_table_wherever_that_starts() -> None:
    x = np.linspace(0.0, 2.8, 36)
    made = measured_shape(SpectralTable(x, np.exp(-(((x - 1.4) / 0.3) ** 2)) + 0.01), 0.01)
    assert made.size % 2 == 1
    assert made.sum() == pytest.approx(1)
    assert abs(int(np.argmax(made)) - made.size // 2) <= 1
    elsewhere = measured_shape(SpectralTable(x + 302.0, np.exp(-(((x - 1.4) / 0.3) ** 2)) + 0.01), 0.01)
    assert elsewhere == pytest.approx(made, abs=1e-9)


def test_measured_shapes_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="wider"):
        measured_shape(SpectralTable(np.array([0.0, 0.01]), np.array([1.0, 1.0])), 0.01)
    with pytest.raises(ValueError, match="positive"):
        measured_shape(SpectralTable(np.linspace(0, 1, 20), np.full(20, -1.0)), 0.01)


def test_width_of_a_shape_that_does_not_fall_is_not_a_number() -> None:
    assert np.isnan(full_width_half_maximum_nm(np.arange(5.0), np.array([0.9, 1.0, 0.9, 0.8, 0.7])))


def test_table_at_its_rows_and_between() -> None:
    x = np.linspace(300.0, 330.0, 301)
    table = SpectralTable(x, np.sin(x))
    assert table.at(x) == pytest.approx(np.sin(x), abs=1e-12)
    between = np.linspace(305.03, 320.07, 97)
    assert table.at(between) == pytest.approx(np.sin(between), abs=1e-6)
    assert table.at(between, "linear") == pytest.approx(np.sin(between), abs=2e-3)
    assert np.abs(table.at(between, "linear") - np.sin(between)).max() > 1e-4
    assert table.shifted(0.5).at(np.array([310.5])) == pytest.approx(np.sin(310.0), abs=1e-6)
    assert table.at(np.empty(0)).size == 0


@pytest.mark.parametrize(
    ("x", "y", "match"),
    [
        ([1.0, 1.0, 2.0], [0.0, 0.0, 0.0], "increase strictly"),
        ([3.0, 2.0, 1.0], [0.0, 0.0, 0.0], "increase strictly"),
        ([1.0, 2.0, 3.0], [0.0, np.nan, 0.0], "row 2"),
        ([1.0, 2.0], [0.0, 0.0, 0.0], "two columns"),
        ([1.0], [0.0], "at least 2 rows"),
    ],
)
def test_tables_that_are_none_are_refused(x: list[float], y: list[float], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        SpectralTable(np.array(x), np.array(y))


def test_nothing_is_extrapolated() -> None:
    with pytest.raises(ValueError, match=r"covers 300\.00 to 310\.00 nm"):
        SpectralTable(np.linspace(300, 310, 11), np.ones(11), "so2").at(np.array([299.9]))
