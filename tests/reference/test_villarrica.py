"""Real measurements: one sequence of Villarrica, 2018, against what is known of it and what PyCam makes of it."""

import json
import math
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from so2cam.cli.main import run
from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.records import Band, FrameKind
from so2cam.core.site import Registration, Site
from so2cam.formats.sitefile import LoadedSite, load_site
from so2cam.pipeline.batch import RunReport, process_folders
from so2cam.pipeline.frames import DarkLibrary, FrameReader
from so2cam.pipeline.geometry import camera_model, plume_plane
from so2cam.pipeline.plan import RunPlan, plan_run
from so2cam.pipeline.references import References, build_references
from so2cam.pipeline.steps import LogImage, absorbance_image, band_log_image
from so2cam.science.geometry.plume import plume_distance_m

pytestmark = pytest.mark.data

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/villarrica/site.toml"


@pytest.fixture(scope="module")
def villarrica(data_dir: Path) -> Path:
    return data_dir / "villarrica"


@pytest.fixture(scope="module")
def loaded() -> LoadedSite:
    return load_site(EXAMPLE)


@pytest.fixture(scope="module")
def report(loaded: LoadedSite, villarrica: Path, tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    return process_folders(loaded, [villarrica], tmp_path_factory.mktemp("out"), command="test")


@pytest.fixture(scope="module")
def reference(villarrica: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((villarrica / "setup/reference_values.json").read_text())
    return found


def prepared(site: Site, folder: Path) -> tuple[RunPlan, References, DarkLibrary, FrameReader]:
    plan = plan_run(site, [folder])
    reader = FrameReader(site)
    darks = DarkLibrary([frame for frame in plan.frames if frame.kind is FrameKind.DARK], site.processing, reader)
    return plan, build_references(site, plan.frames, darks, reader), darks, reader


# --- the run -----------------------------------------------------------------------------------------------------


def test_all_pairs_and_lines(report: RunReport) -> None:
    assert len(report.series.times) == 6
    assert report.series.lines == ("near", "far")
    assert report.failures == ()
    assert report.lost_pairs == ()
    assert report.plan.skipped == ()


def test_off_band_frames_between_the_on_band_frames_stay_alone(report: RunReport) -> None:
    assert len(report.plan.unpaired) == 6
    assert {frame.band for frame in report.plan.unpaired} == {Band.OFF}
    assert np.abs(report.series.pair_offset_s).max() < 1.0


def test_emission_rates_by_optical_flow(report: RunReport) -> None:
    flow = report.series.emission_rate_kg_s[:, :, report.series.speed_methods.index("flow_raw")]
    valid = np.isfinite(flow)
    assert valid.mean() >= 0.8
    assert 0.3 <= np.median(flow[valid]) <= 1.2
    assert np.isfinite(flow[:-1]).all(), "only the last pair has no next one"


def test_every_value_is_there_or_says_why(report: RunReport) -> None:
    series = report.series
    missing = series.status != 0
    for values in (
        series.emission_rate_kg_s,
        series.random_uncertainty_kg_s,
        series.systematic_uncertainty_kg_s,
        series.plume_speed_m_s,
        series.plume_speed_uncertainty_m_s,
        series.plume_direction_deg,
    ):
        assert np.array_equal(~np.isfinite(values), missing)
    assert np.array_equal(~np.isfinite(series.total_emission_rate_kg_s), series.total_status != 0)
    for values in (series.integrated_column_amount_kg_m, series.background_level, series.background_noise):
        assert np.isfinite(values).all()


def test_uncertainties_are_of_sensible_size(report: RunReport) -> None:
    series = report.series
    good = series.status == 0
    relative = np.hypot(series.random_uncertainty_kg_s, series.systematic_uncertainty_kg_s)[good]
    relative /= series.emission_rate_kg_s[good]
    assert relative.min() > 0.05
    assert relative.max() < 0.6


def test_the_cells_curvature_is_warned_of(report: RunReport) -> None:
    assert any("column per absorbance rises by" in warning for warning in report.warnings)


def test_products(report: RunReport) -> None:
    assert [path.name for path in report.products] == ["emission_rates.nc", "emission_rates.csv", "quicklook.png"]
    with netCDF4.Dataset(report.products[0]) as dataset:
        assert {name: len(dim) for name, dim in dataset.dimensions.items()}["time"] == 6
    rows = report.products[1].read_text().splitlines()
    assert len(rows) == 1 + 6 * 3 * 2


def test_the_command_line_says_it_in_words(
    villarrica: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("so2cam.pipeline.batch.write_quicklook", lambda path, *_, **__: path.touch())
    assert run(["process", str(EXAMPLE), "--frames", str(villarrica), "--out", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    for part in ("6 pairs, 2018-03-26T14:44:08.700Z", "6 unpaired frames: 2018-03-26T144412_fltrB", "3 gas cells"):
        assert part in captured.out
    dilution, curve = captured.err.split("Warning: ")[1:3]
    assert "the plume is 5.3 km away" in dilution
    assert curve.startswith("column per absorbance rises by")


# --- like for like with PyCam ------------------------------------------------------------------------------------


def test_cells_with_the_off_band_not_registered(
    loaded: LoadedSite, villarrica: Path, reference: dict[str, Any]
) -> None:
    """As PyCam takes them: see ``about`` in the reference values."""
    calibration = loaded.site.processing.calibration.model_copy(update={"label_weights": False})
    processing = loaded.site.processing.model_copy(update={"calibration": calibration})
    site = loaded.site.model_copy(update={"registration": Registration(), "processing": processing})
    _, references, _, _ = prepared(site, villarrica)
    ours = {f"{cell.column_ppm_m:g} ppm m": cell.absorbance for cell in references.cells}
    assert ours == pytest.approx(reference["cells"], abs=0.005)
    assert references.calibration is not None
    slope = references.calibration.curve.slope_at_zero[0] / MOLEC_CM2_PER_PPM_M
    assert slope == pytest.approx(reference["cell_slope_ppmm_per_absorbance"], rel=0.01)


def test_geometry(loaded: LoadedSite, reference: dict[str, Any]) -> None:
    optics = loaded.site.camera.optics
    expected = reference["geometry"]
    assert optics.focal_length_m == pytest.approx(expected["camera_focal_length_m"], rel=1e-6)
    x, y = np.meshgrid(np.arange(optics.width_px, dtype=float), np.arange(optics.height_px, dtype=float))
    distance = plume_distance_m(camera_model(loaded.site), plume_plane(loaded.site), x, y)
    step = distance * optics.pixel_pitch_m / optics.focal_length_m
    for name in ("mean", "min", "max"):
        assert getattr(distance, name)() == pytest.approx(expected["plume_distance_m"][name], rel=0.005)
        assert getattr(step, name)() == pytest.approx(expected["pixel_step_m"][name], rel=0.01)


def test_the_registration_is_that_of_the_setup(loaded: LoadedSite, villarrica: Path) -> None:
    """Whatever its name says, the file takes on-band pixels to the places in the off band where to look."""
    file = np.load(villarrica / "setup/registration_off_to_on.npy")
    assert np.array(loaded.site.registration.matrix) == pytest.approx(file[:2], rel=1e-6)


def test_the_registration_lays_one_mountain_on_the_other(loaded: LoadedSite, villarrica: Path) -> None:
    """Edges of snow and rock in the lower half fall together with the matrix, and not without or the other way."""
    plan, references, darks, reader = prepared(loaded.site, villarrica)
    sensor = loaded.site.camera.sensor
    forth = references.matrix
    back = np.linalg.inv(np.vstack([forth, [0, 0, 1]]))[:2]
    logs = []
    for info, band, matrix in (
        (plan.pairs[1].on, 0, None),
        (plan.pairs[1].off, 1, forth),
        (plan.pairs[1].off, 1, back),
        (plan.pairs[1].off, 1, None),
    ):
        frame, dark = reader.read(info), darks.dark_for(info)
        assert frame is not None
        assert dark is not None
        logs.append(band_log_image(frame.counts, dark, references.bands[band], info, sensor, matrix))

    def likeness(other: LogImage) -> float:
        edges = []
        for image in (logs[0], other):
            smooth = image.values[250:478, 16:632].reshape(57, 4, 154, 4).mean(axis=(1, 3))
            edges.append(np.hypot(*np.gradient(smooth)))
        good = np.isfinite(edges[0]) & np.isfinite(edges[1])
        assert good.mean() > 0.2
        return float(np.corrcoef(edges[0][good], edges[1][good])[0, 1])

    with_matrix, backwards, without = (likeness(other) for other in logs[1:])
    assert with_matrix > 0.6
    assert max(backwards, without) < 0.3


def test_pycam_line_files_give_the_lines_of_the_example(loaded: LoadedSite, villarrica: Path, tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    start, end = text.index("[[lines]]"), text.index("[processing.pairing]")
    inline = text[start:end]
    assert inline.count("[[lines]]") == 2
    by_file = "".join(
        f'[[lines]]\nname = "{name}"\nfile = "plume_line_{number}.txt"\n\n'
        for number, name in enumerate(("near", "far"), start=1)
    )
    (tmp_path / "site.toml").write_text(text[:start] + by_file + text[end:])
    for number in (1, 2):
        name = f"plume_line_{number}.txt"
        (tmp_path / name).write_bytes((villarrica / "setup" / name).read_bytes())
    other = load_site(tmp_path / "site.toml")
    assert other.site.plume_lines == loaded.site.plume_lines
    assert other.settings == loaded.settings


# --- the off band counts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("on_factor", "off_factor"), [(0.8, 0.8), (0.8, 1.0), (1.0, 0.8)])
def test_what_both_bands_share_cancels(
    loaded: LoadedSite, villarrica: Path, on_factor: float, off_factor: float
) -> None:
    """Ash or droplets over the plume dim both bands: nothing changes. Dimming one band alone is seen in full."""
    plan, references, darks, reader = prepared(loaded.site, villarrica)
    pair = plan.pairs[2]
    sensor = loaded.site.camera.sensor
    settings = loaded.site.processing.background.model_copy(update={"mode": "clear-sky"})

    def image(factors: tuple[float, float]) -> Any:
        logs = []
        for info, reference, matrix, factor in zip(
            (pair.on, pair.off), references.bands, (None, references.matrix), factors, strict=True
        ):
            frame, dark = reader.read(info), darks.dark_for(info)
            assert frame is not None
            assert dark is not None
            counts = frame.counts.copy()
            # A part of the image only, plume and sky, so that no level of a whole frame can take it up.
            part = (slice(100, 300), slice(150, 400))
            light = (frame.counts[part] - dark.counts[part]) * factor
            fresh = frame.counts[part] < sensor.saturation_dn
            counts[part] = np.where(fresh, np.rint(light + dark.counts[part]), frame.counts[part]).astype(np.uint16)
            logs.append(band_log_image(counts, dark, reference, info, sensor, matrix))
        made = absorbance_image(logs[0], logs[1], references.bands, settings, matrix=references.matrix)
        assert made is not None
        return made

    before, after = image((1.0, 1.0)), image((on_factor, off_factor))
    # Inside the part in both bands, which see it 88 rows apart.
    inside = (slice(110, 200), slice(180, 380))
    both = (before.valid & after.valid)[inside]
    assert both.mean() > 0.5
    change = (after.absorbance - before.absorbance)[inside][both]
    expected = math.log(off_factor) - math.log(on_factor)
    noise = before.noise
    assert np.median(change) == pytest.approx(expected, abs=0.25 * noise)
    assert np.abs(change - expected).mean() < noise
