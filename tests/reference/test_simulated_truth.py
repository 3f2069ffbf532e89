"""The whole chain against volcanoes whose emission rate is known exactly."""

from pathlib import Path

import numpy as np
import pytest

from so2cam.cli.demo import compare
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.batch import process_folders
from so2cam.simulate import load_scenario, simulate


def errors_percent(folder: Path, scenario: str, seed: int, pairs: int) -> dict[tuple[str, str], float]:
    simulated = simulate(load_scenario(scenario), folder, seed=seed, pairs=pairs)
    report = process_folders(load_site(simulated.site), [simulated.frames], folder / "results", command="test")
    rows = compare(report.series, simulated.truth)
    assert all(row.values >= 0.9 * row.pairs for row in rows)
    return {(row.line, row.method): row.error_percent for row in rows}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_baseline_within_3_percent_by_flow_and_6_by_cross_correlation(tmp_path: Path, seed: int) -> None:
    errors = errors_percent(tmp_path, "baseline", seed, 60)
    for line in ("upstream", "downstream"):
        assert abs(errors[line, "flow_raw"]) < 3
        assert abs(errors[line, "cross_correlation"]) < 6


def test_plume_to_the_right(tmp_path: Path) -> None:
    errors = errors_percent(tmp_path, "eastward", 4, 40)
    assert abs(errors["upstream", "flow_raw"]) < 3
    assert abs(errors["upstream", "cross_correlation"]) < 6


def test_weak_plume_within_its_uncertainty(tmp_path: Path) -> None:
    simulated = simulate(load_scenario("weak"), tmp_path, seed=1, pairs=40)
    report = process_folders(load_site(simulated.site), [simulated.frames], tmp_path / "results", command="test")
    series = report.series
    truth = np.stack([line.emission_rate_kg_s for line in simulated.truth.lines], axis=1)
    flow = series.emission_rate_kg_s[:, :, series.speed_methods.index("flow_raw")]
    assert np.nanmean(flow) == pytest.approx(np.mean(truth[:-1]), rel=0.05)
    sigma = np.hypot(series.random_uncertainty_kg_s[:, :, 0], series.systematic_uncertainty_kg_s[:, :, 0])
    good = np.isfinite(flow)
    assert np.mean(np.abs(flow - truth)[good] < 2 * sigma[good]) > 0.9
