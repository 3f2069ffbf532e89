"""Mistakes that would give numbers that look valid, and what is said of them instead."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from so2cam.core.errors import InputError, OutputError
from so2cam.core.records import Band, FrameInfo, FrameKind
from so2cam.core.site import Site
from so2cam.core.status import EmissionStatus
from so2cam.formats.sitefile import LoadedSite, load_site
from so2cam.pipeline.batch import process_folders
from so2cam.pipeline.geometry import lines_at_plume
from so2cam.pipeline.processor import frame_interval_s
from so2cam.simulate import SimulationResult, load_scenario, simulate

START = datetime(2026, 1, 15, 14, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def volcano(tmp_path_factory: pytest.TempPathFactory) -> SimulationResult:
    return simulate(load_scenario("baseline"), tmp_path_factory.mktemp("volcano"), seed=8, pairs=14)


def changed(result: SimulationResult, **changes: Any) -> LoadedSite:
    """The site with changes, keyed by dotted name with ``__`` for the dots."""
    loaded = load_site(result.site)
    settings = loaded.settings
    for name, value in changes.items():
        *tables, key = name.split("__")
        table = settings
        for part in tables:
            table = table[int(part)] if isinstance(table, list) else table[part]
        table[key] = value
    return LoadedSite(Site.model_validate(settings), loaded.path, loaded.sha256, settings)


def test_normals_the_wrong_way_round_are_said(volcano: SimulationResult, tmp_path: Path) -> None:
    loaded = changed(
        volcano,
        lines__0__normal="right",
        lines__1__normal="right",
        processing__speed__methods=["flow_raw"],
        processing__speed__cross_correlation__lines=None,
    )
    report = process_folders(loaded, [volcano.frames], tmp_path / "out", command="test")
    assert np.nanmedian(report.series.total_emission_rate_kg_s) < 0
    assert any("lines.normal in the site file is the wrong way round" in text for text in report.warnings)


def test_a_lag_is_not_given_to_another_plume(volcano: SimulationResult, tmp_path: Path) -> None:
    loaded = load_site(volcano.site)
    settings = loaded.settings
    settings["lines"].append(
        {"name": "other", "start": [500, 100], "end": [600, 100], "normal": "up", "plume": "another"}
    )
    site = Site.model_validate(settings)
    report = process_folders(
        LoadedSite(site, loaded.path, loaded.sha256, settings), [volcano.frames], tmp_path / "out", command="test"
    )
    index = report.series.speed_methods.index("cross_correlation")
    assert set(report.series.status[:, 2, index].tolist()) == {EmissionStatus.NO_SECOND_LINE}
    assert np.isnan(report.series.total_emission_rate_kg_s[:, index]).all()


def test_raw_data_are_no_place_for_products(volcano: SimulationResult) -> None:
    before = sorted(volcano.frames.rglob("*"))
    with pytest.raises(OutputError, match="products would lie among the raw data"):
        process_folders(load_site(volcano.site), [volcano.frames], volcano.frames, command="test")
    assert sorted(volcano.frames.rglob("*")) == before


def test_a_vent_on_the_other_side_of_the_earth(volcano: SimulationResult) -> None:
    loaded = changed(volcano, volcano__vent__longitude=71.5)
    with pytest.raises(InputError, match="farther than any SO2 camera sees"):
        lines_at_plume(loaded.site)


def test_a_plume_whose_distance_is_unknown_within_its_uncertainty(volcano: SimulationResult) -> None:
    view = load_site(volcano.site).site.camera.view.azimuth_deg
    loaded = changed(
        volcano,
        plume_plane__orientation="azimuth",
        plume_plane__azimuth_deg=view + 30,
        plume_plane__orientation_uncertainty_deg=45.0,
    )
    with pytest.raises(InputError, match="direction is too uncertain"):
        lines_at_plume(loaded.site)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("processing__emission__total_lines", [], "at least 1"),
        ("processing__emission__total_lines", ["upstream", "upstream"], "counted twice"),
        ("lines__1__plume", "another", "cross different plumes"),
    ],
)
def test_totals_and_pairs_of_lines_without_sense(
    volcano: SimulationResult, key: str, value: object, reason: str
) -> None:
    with pytest.raises(ValidationError, match=reason):
        changed(volcano, **{key: value})


def frame(seconds: float, sensor_s: float | None, *, resolution: float = 1.0, exposure: float = 0.4) -> FrameInfo:
    time = START + timedelta(seconds=seconds)
    return FrameInfo(
        Path("a.png"), Band.ON, FrameKind.PLUME, time, exposure, 1.0, None, resolution, sensor_timestamp_s=sensor_s
    )


def test_interval_by_the_monotonic_clock() -> None:
    assert frame_interval_s(frame(0, 100.0), frame(4, 104.35)) == (pytest.approx(4.35), 1e-3)
    # The clock of the stamps was set forward by a minute in between.
    assert frame_interval_s(frame(0, 100.0), frame(64, 104.35)) == (pytest.approx(4.35), 1e-3)
    # The computer was, or may have been, started anew in between.
    assert frame_interval_s(frame(0, 100.0), frame(40, 33.0))[0] == 40
    assert frame_interval_s(frame(0, 10.0), frame(90, 60.0))[0] == 90


def test_interval_by_stamps_is_as_good_as_they_are() -> None:
    interval, sigma = frame_interval_s(frame(0, None), frame(4, None))
    assert (interval, sigma) == (4, pytest.approx(np.sqrt(2 / 12)))
    assert frame_interval_s(frame(0, None, resolution=1e-3), frame(4, None))[1] == pytest.approx(np.sqrt(1 / 12))
