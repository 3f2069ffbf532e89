"""Real measurements: ten minutes of Etna, 2015, by the command line, against what is known of them."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from so2cam.cli.main import run
from so2cam.core.records import Band, FrameKind
from so2cam.core.status import EmissionStatus
from so2cam.core.times import parse_utc
from so2cam.formats.sitefile import LoadedSite, load_site
from so2cam.pipeline.batch import RunReport, process_folders
from so2cam.pipeline.frames import DarkLibrary, FrameReader
from so2cam.pipeline.geometry import SiteGeometry, WindField, camera_model, plume_plane, resolve_view
from so2cam.pipeline.plan import RunPlan
from so2cam.science.geometry.plume import plume_distance_m

pytestmark = pytest.mark.data

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/etna/site.toml"
START, END = "2015-09-16T07:10Z", "2015-09-16T07:20Z"
CELLS = ("a53", "a37", "a57")


@pytest.fixture(scope="module")
def images(data_dir: Path) -> Path:
    return data_dir / "etna/images"


@pytest.fixture(scope="module")
def reference(data_dir: Path) -> dict[str, Any]:
    return dict(json.loads((data_dir / "etna/reference_values.json").read_text()))


@pytest.fixture(scope="module")
def loaded() -> LoadedSite:
    return load_site(EXAMPLE)


@pytest.fixture(scope="module")
def report(loaded: LoadedSite, images: Path, tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("so2cam.pipeline.batch.write_quicklook", lambda path, *_, **__: path.touch())
        out = tmp_path_factory.mktemp("out")
        return process_folders(loaded, [images], out, start=parse_utc(START), end=parse_utc(END), command="test")


@pytest.fixture(scope="module")
def plan(report: RunReport) -> RunPlan:
    return report.plan


def expected(reference: dict[str, Any], test: str, quantity: str) -> float:
    return next(
        float(entry["expected"])
        for entry in reference["expectations"]
        if entry["test"].endswith(test) and entry["quantity"].startswith(quantity)
    )


def median_rate(report: RunReport, method: str) -> tuple[float, float]:
    """Return the median emission rate by a method [kg s-1], and 1 sigma of all of it."""
    series = report.series
    index = series.speed_methods.index(method)
    rates = series.emission_rate_kg_s[:, 0, index]
    good = np.isfinite(rates)
    # What is random in each pair is hardly so in the median of many.
    random = np.median(series.random_uncertainty_kg_s[good, 0, index]) / np.sqrt(good.sum())
    systematic = np.median(series.systematic_uncertainty_kg_s[good, 0, index])
    return float(np.median(rates[good])), float(np.hypot(random, systematic))


# --- the site ----------------------------------------------------------------------------------------------------


def test_the_view_by_the_landmark(reference: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(EXAMPLE)]) == 0
    out, err = capsys.readouterr()
    found = re.search(r"view by the landmark: azimuth ([\d.]+) ± ([\d.]+), elevation ([\d.]+) ± ([\d.]+) degrees", out)
    assert found is not None, out
    azimuth, azimuth_sigma, elevation, elevation_sigma = map(float, found.groups())
    # Theirs is a formula for small angles, exact to 0.0135 degrees here.
    assert azimuth == pytest.approx(expected(reference, "find_viewdir", "cam_azim ["), abs=0.02)
    assert elevation == pytest.approx(expected(reference, "find_viewdir", "cam_elev ["), abs=0.01)
    assert 0.4 < azimuth_sigma < 0.7
    assert 0.4 < elevation_sigma < 0.7
    assert "is valid" in out
    assert out.splitlines()[-1].endswith("with 1 warning"), "none of the compass, which was known to 10 degrees only"
    assert "light_dilution.mode" in err


def test_the_distance_of_the_plume(loaded: LoadedSite, reference: dict[str, Any]) -> None:
    """As aimed, without the landmark: that is what the reference value is of."""
    site = loaded.site
    wind = WindField(site, EXAMPLE.parent).constant
    assert wind is not None
    assert wind.direction_from_deg == reference["common"]["wind"]["dir_deg_from_north"]
    optics = site.camera.optics
    y, x = np.mgrid[0 : optics.height_px, 0 : optics.width_px].astype(np.float64)
    distance = plume_distance_m(camera_model(site), plume_plane(site, wind), x, y)
    there = expected(reference, "geometry", "mean camera-plume distance")
    assert there == pytest.approx(10909.873, abs=1e-3)
    assert distance.mean() == pytest.approx(there, rel=0.005)


def test_check_gives_the_distance_along_the_wind(loaded: LoadedSite, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(EXAMPLE)]) == 0
    found = re.search(r"line pcs: 35 px, (\d+) m at ([\d.]+) ± ([\d.]+) km", capsys.readouterr().out)
    assert found is not None
    site, _ = resolve_view(loaded.site)
    geometry = SiteGeometry(site, WindField(site, EXAMPLE.parent)).at(parse_utc(START))
    line = geometry.lines["pcs"]
    assert float(found[1]) == pytest.approx(line.piece_m.sum(), abs=0.6)
    assert float(found[2]) == pytest.approx(line.distance_m.mean() / 1000, abs=0.006)


# --- the run -----------------------------------------------------------------------------------------------------


def test_all_pairs(report: RunReport, plan: RunPlan, reference: dict[str, Any]) -> None:
    frames = [frame for frame in plan.frames if frame.kind is FrameKind.PLUME]
    assert len(frames) == expected(reference, "dataset", "number of on-band + off-band files")
    assert len(report.series.times) in (88, 89)
    assert len(plan.pairs) == len(report.series.times)
    assert [frame.path.name for frame in plan.unpaired] == ["EC2_1106307_1R02_2015091607105839_F01_Etna.fts"]
    assert report.failures == ()
    assert report.lost_pairs == ()


def test_the_off_band_is_interpolated_in_time(report: RunReport, plan: RunPlan) -> None:
    for pair in plan.pairs:
        assert pair.later_off is not None
        assert pair.off.time < pair.on.time < pair.later_off.time
    assert not report.series.pair_offset_s.any()


def test_cells_are_found_in_both_bands(report: RunReport, plan: RunPlan, loaded: LoadedSite) -> None:
    assert "cells found: " + ", ".join(CELLS) == re.sub(r" \(\d+ frames\)", "", plan.notes[0].split(";")[0])
    search = loaded.site.processing.calibration.search
    assert search is not None
    assert tuple(cell.name for cell in search.cells) == CELLS
    cells = [frame for frame in plan.frames if frame.kind is FrameKind.CELL]
    assert {(round(frame.cell_ppm_m or 0), frame.band) for frame in cells} == {
        (label, band) for label in (166, 343, 769) for band in Band
    }
    np.testing.assert_allclose(
        report.calibration.column_molec_cm2, [cell.column_molec_cm2 for cell in search.cells], rtol=1e-6
    )
    np.testing.assert_allclose(
        report.calibration.column_uncertainty_molec_cm2, [cell.uncertainty_molec_cm2 for cell in search.cells]
    )
    assert (np.diff(report.calibration.absorbance) > 0.05).all()
    for cell in cells:
        assert search.start <= cell.time < search.end


def test_the_dark_is_made_of_offset_and_dark_current(report: RunReport, plan: RunPlan, loaded: LoadedSite) -> None:
    darks = [frame for frame in plan.frames if frame.kind is FrameKind.DARK and frame.gain == 1]
    assert sorted({frame.exposure_s for frame in darks}) == pytest.approx([1.2e-5, 1.0], rel=0.1)
    pair = plan.pairs[0]
    assert all(abs(frame.exposure_s / pair.on.exposure_s - 1) > 0.01 for frame in darks)
    reader = FrameReader(loaded.site)
    library = DarkLibrary(darks, loaded.site.processing, reader)
    dark = library.dark_for(pair.on)
    assert dark is not None
    assert len(reader.hashes) == 2, "one offset and one dark of low gain"
    used = [Path(name).name for name in reader.hashes]
    assert [name.split("_")[4] for name in sorted(used)] == ["D0L", "D1L"]
    assert set(reader.hashes) <= {path for path, _ in hashes(report)}
    matching = loaded.site.processing.model_copy(
        update={"dark": loaded.site.processing.dark.model_copy(update={"model": "matching"})}
    )
    assert DarkLibrary(darks, matching, reader).dark_for(pair.on) is None, "no dark has the frames' own exposure"


def hashes(report: RunReport) -> list[tuple[str, str]]:
    with xr.open_dataset(report.products[0]) as data:
        return list(zip(data.input_file.values.tolist(), data.input_sha256.values.tolist(), strict=True))


def test_emission_rates(report: RunReport) -> None:
    series = report.series
    flow = series.emission_rate_kg_s[:, 0, series.speed_methods.index("flow_raw")]
    assert np.isfinite(flow).sum() >= 60
    assert 0.5 < np.nanmedian(flow) < 2
    speed = series.plume_speed_m_s[:, 0, series.speed_methods.index("flow_raw")]
    assert 1.5 < np.nanmedian(speed) < 8
    # The plume drifts to the left, away from the crater.
    direction = series.plume_direction_deg[:, 0, series.speed_methods.index("flow_raw")]
    assert 225 < np.nanmedian(direction) < 330


def test_flow_and_wind_agree(report: RunReport) -> None:
    flow, wind = median_rate(report, "flow_raw"), median_rate(report, "wind")
    assert abs(flow[0] - wind[0]) < 2 * np.hypot(flow[1], wind[1])
    assert flow[1] < 0.35 * flow[0]
    assert 0.3 * wind[0] < wind[1] < wind[0], "the wind was not measured: 2 of 4 m/s"
    assert not any("disagree" in warning for warning in report.warnings)


def test_every_value_is_there_or_says_why(report: RunReport) -> None:
    series = report.series
    assert np.array_equal(~np.isfinite(series.emission_rate_kg_s), series.status != EmissionStatus.OK)
    assert np.array_equal(~np.isfinite(series.total_emission_rate_kg_s), series.total_status != EmissionStatus.OK)
    assert set(np.unique(series.status[:, 0, 1])) <= {EmissionStatus.OK, EmissionStatus.NO_SKY}
    seen = np.flatnonzero(series.status[:, 0, 1] == EmissionStatus.OK)
    assert series.status[seen[-1], 0, 0] == EmissionStatus.NO_NEXT_PAIR


def test_the_command_line(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("so2cam.pipeline.batch.write_quicklook", lambda path, *_, **__: path.touch())
        arguments = [str(EXAMPLE), "--frames", str(images), "--start", START, "--end", "2015-09-16T07:12Z"]
        code = run(["process", *arguments, "--out", str(tmp_path), "--methods", "wind"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    for part in ("14 pairs, 2015-09-16T07:11:0", "Cells found: a53", "3 gas cells, line with offset", "wind"):
        assert part in captured.out
    assert "column per absorbance rises" in captured.err
