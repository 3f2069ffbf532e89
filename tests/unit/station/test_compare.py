"""Two series of emission rates beside each other: known answers."""

from pathlib import Path

import numpy as np
import pytest

from so2cam.core.errors import InputError
from so2cam.formats.report_page import mean_parts
from so2cam.formats.siteedit import edit_text
from so2cam.station.compare import RateSeries, compare_series, processing_changes, thinned

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "bench" / "site.toml"


def series(times: list[int], rate: list[float], random: float = 0.1, systematic: float = 0.3) -> RateSeries:
    values = np.array(rate, np.float64)
    return RateSeries(
        np.array(times, np.int64), values, np.full(values.shape, random), np.full(values.shape, systematic)
    )


def test_a_known_line_is_found() -> None:
    a = series([0, 1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0, 6.0])
    b = series([0, 1, 2, 3, 4], [2.5, 4.5, 6.5, 8.5, 12.5])
    found = compare_series(a, b)
    assert found.slope == pytest.approx(2.0)
    assert found.offset == pytest.approx(0.5)
    assert found.slope_uncertainty == pytest.approx(0.0, abs=1e-9)
    assert found.correlation == pytest.approx(1.0)
    assert found.difference.tolist() == pytest.approx([1.5, 2.5, 3.5, 4.5, 6.5])
    assert found.mean_difference == pytest.approx(3.7)
    assert found.median_difference == pytest.approx(3.5)
    assert found.difference_scatter == pytest.approx(np.std([1.5, 2.5, 3.5, 4.5, 6.5], ddof=1))
    assert found.ratio == pytest.approx(6.5 / 3)


def test_only_times_of_both_sides_with_values_count() -> None:
    a = series([0, 10, 20, 30], [1.0, np.nan, 3.0, 4.0])
    b = series([10, 20, 30, 40], [2.0, 5.0, np.nan, 9.0])
    found = compare_series(a, b)
    assert found.time_ms.tolist() == [20]
    assert (found.a.tolist(), found.b.tolist()) == ([3.0], [5.0])
    assert (found.side_a.valid, found.side_a.values) == (3, 4)
    assert (found.side_b.valid, found.side_b.values) == (3, 4)
    assert found.mean_difference == 2.0
    assert not found.has_line
    assert np.isnan(found.correlation)


def test_sides_have_medians_and_means_with_their_uncertainty() -> None:
    side = compare_series(series([0, 1, 2, 3], [1, 2, 3, 10], 0.4, 0.3), series([0], [1])).side_a
    assert (side.median, side.mean) == (2.5, 4.0)
    assert side.random == pytest.approx(0.2)  # 0.4 / sqrt(4)
    assert side.systematic == pytest.approx(0.3)
    assert side.sigma == pytest.approx(np.hypot(0.2, 0.3))


def test_what_is_the_same_is_the_same() -> None:
    a = series([0, 1, 2, 3], [1.0, 2.0, 4.0, 3.0])
    found = compare_series(a, a)
    assert (found.mean_difference, found.ratio, found.difference_scatter) == (0.0, 1.0, 0.0)
    assert found.slope == pytest.approx(1.0)
    assert found.offset == pytest.approx(0.0, abs=1e-9)


def test_series_that_never_meet_are_refused() -> None:
    with pytest.raises(InputError, match="no time is in both"):
        compare_series(series([0], [1.0]), series([1], [1.0]))


def test_values_that_do_not_vary_have_no_line() -> None:
    found = compare_series(series([0, 1, 2], [2.0, 2.0, 2.0]), series([0, 1, 2], [1.0, 2.0, 3.0]))
    assert not found.has_line
    assert np.isnan(found.correlation)


def test_nothing_valid_has_no_mean() -> None:
    random, systematic = mean_parts(np.array([np.nan]), np.array([0.1]), np.array([0.1]))
    assert np.isnan(random)
    assert np.isnan(systematic)


def test_a_plot_gets_means_of_neighbours() -> None:
    x, y = thinned([0.0, 1.0, 2.0, 3.0, 4.0], np.array([1.0, 3.0, np.nan, np.nan, 5.0]), 3)
    assert x == [0.5, 2.5, 4.0]
    assert y == [2.0, None, 5.0]
    assert thinned([0.0, 1.0], np.array([1.0, 2.0]), 10) == ([0.0, 1.0], [1.0, 2.0])


def test_settings_that_numbers_do_not_depend_on_are_left_out() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    other = edit_text(text, [(("processing", "background", "mode"), "polynomial"), (("alarms", "standard"), False)])
    (change,) = processing_changes(text, other, EXAMPLE)
    assert change.key == ("processing", "background", "mode")
    assert change.after == "polynomial"
