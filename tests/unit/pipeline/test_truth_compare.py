"""Retrieved against true emission rates, on made series."""

from pathlib import Path

import numpy as np
import pytest

from so2cam.core.errors import InputError, OutputError
from so2cam.core.records import FloatArray
from so2cam.core.truth import TruthRow
from so2cam.pipeline.truth import merged, require_new, variants_of, with_settings
from so2cam.pipeline.truth_compare import compare_series, mean_sigma
from so2cam.simulate import list_scenarios

EXPECTED = np.array([4.0, 5.0, 6.0, 5.0])


def compare(values: FloatArray, random: float = 0.1, systematic: float = 0.2) -> TruthRow:
    return compare_series(
        values,
        np.full(values.size, random),
        np.full(values.size, systematic),
        EXPECTED,
        names=("made", "cells", "flow_raw"),
        seed=1,
        recommended=True,
    )


def test_a_bias_is_a_bias_and_no_scatter() -> None:
    row = compare(1.1 * EXPECTED)
    assert row.bias == pytest.approx(0.1)
    assert row.scatter == pytest.approx(0.0, abs=1e-12)
    assert row.random_within == (1.0, 1.0)
    # Off by 0.4, 0.5, 0.6, 0.5 of a sigma of 0.224: none within 1, and one within 2.
    assert row.within == (0.0, 0.25)
    assert row.retrieved_kg_s == pytest.approx(5.5)


def test_scatter_about_the_bias() -> None:
    row = compare(EXPECTED * np.array([1.02, 0.98, 1.02, 0.98]), random=0.105)
    assert row.bias == pytest.approx(0.0, abs=1e-12)
    assert row.scatter == pytest.approx(0.02)
    # Off by 0.08, 0.1, 0.12 and 0.1.
    assert row.random_within == (0.75, 1.0)


def test_pairs_without_a_value_take_no_part_nor_does_their_truth() -> None:
    row = compare(np.array([np.nan, 5.0, 6.0, 5.0]))
    assert (row.pairs, row.values) == (4, 3)
    assert row.true_kg_s == pytest.approx(16 / 3)
    assert row.bias == pytest.approx(0.0, abs=1e-12)


def test_without_values_nothing_is_known() -> None:
    row = compare(np.full(4, np.nan))
    assert row.values == 0
    assert np.isnan([row.bias, row.scatter, row.stated_mean, *row.within, row.bias_in_sigma]).all()


def test_a_mean_shrinks_what_is_random_and_nothing_else() -> None:
    random, systematic = np.full(16, 0.4), np.full(16, 0.3)
    assert mean_sigma(random, systematic) == pytest.approx(np.hypot(0.1, 0.3))
    row = compare(1.1 * EXPECTED, random=0.2, systematic=0.3)
    assert row.stated_mean == pytest.approx(np.hypot(0.1, 0.3) / 5)
    assert row.bias_in_sigma == pytest.approx(0.1 / row.stated_mean)


def test_what_a_window_shares_shrinks_with_the_number_of_windows_alone() -> None:
    nothing, shared = np.zeros(16), np.full(16, 0.4)
    one, two = np.zeros(16, np.int64), np.repeat([7, 9], 8)
    assert mean_sigma(nothing, nothing, shared=(shared, one)) == pytest.approx(0.4)
    assert mean_sigma(nothing, nothing, shared=(shared, two)) == pytest.approx(0.4 / np.sqrt(2))
    own = np.full(16, 0.4)
    assert mean_sigma(own, np.full(16, 0.3), shared=(shared, one)) == pytest.approx(np.sqrt(0.1**2 + 0.4**2 + 0.3**2))


def test_the_random_part_of_a_shared_lag_is_judged_about_each_window() -> None:
    """Two windows off by 10 % each way: that is what they share, and no pair of them is off beyond it."""
    expected = np.full(8, 5.0)
    offs = np.array([0.52, 0.48, 0.52, 0.48, -0.52, -0.48, -0.52, -0.48])
    row = compare_series(
        expected + offs,
        np.full(8, float(np.hypot(0.5, 0.03))),
        np.full(8, 0.2),
        expected,
        names=("made", "cells", "cross_correlation"),
        seed=1,
        recommended=False,
        shared=(np.full(8, 0.5), np.repeat([1, 2], 4)),
    )
    assert row.random_within == (1.0, 1.0)  # off by 0.02 of 0.03
    assert row.stated_random == pytest.approx(np.hypot(0.5, 0.03) / 5)
    expected_mean = np.sqrt(0.5**2 / 2 + 0.03**2 / 8 + 0.2**2)
    assert row.stated_mean == pytest.approx(expected_mean / 5)


def test_tables_are_merged_and_what_comes_later_counts() -> None:
    first, second = {"a": {"b": 1, "c": 2}}, {"a": {"b": 3}, "d": 4}
    assert merged(first, second) == {"a": {"b": 3, "c": 2}, "d": 4}
    assert first == {"a": {"b": 1, "c": 2}}


@pytest.mark.parametrize("scenario", list_scenarios())
def test_every_scenario_has_ways_with_names_of_their_own(scenario: str) -> None:
    names = [variant.name for variant in variants_of(scenario)]
    assert names
    assert len(set(names)) == len(names)


def test_frames_of_an_earlier_run_are_not_mixed_with_new_ones(tmp_path: Path) -> None:
    require_new(["ideal"], tmp_path)
    (tmp_path / "ideal" / "frames" / "2026-01-15").mkdir(parents=True)
    with pytest.raises(OutputError, match="already holds frames"):
        require_new(["ideal"], tmp_path)


def test_settings_that_make_no_site_are_refused(tmp_path: Path) -> None:
    from so2cam.formats.sitefile import load_site
    from so2cam.simulate import load_scenario, simulate

    made = simulate(load_scenario("ideal"), tmp_path, seed=1, pairs=1)
    loaded = load_site(made.site)
    changed = with_settings(loaded, {"processing": {"emission": {"baseline_fraction": 0.2}}})
    assert changed.site.processing.emission.baseline_fraction == 0.2
    assert changed.settings["processing"]["emission"]["baseline_fraction"] == 0.2
    with pytest.raises(InputError):
        with_settings(loaded, {"processing": {"light_dilution": {"mode": "fixed"}}})
