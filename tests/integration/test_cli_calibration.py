"""``so2cam process`` with a spectrometer and with light dilution: what a technician may ask for, and may get wrong."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray

from so2cam.cli.main import run
from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.results import NO_FIT
from so2cam.core.status import EmissionStatus, QualityFlag
from so2cam.pipeline import batch, calibration_products
from so2cam.simulate import load_scenario, simulate
from so2cam.simulate.scenario import Scenario

PAIRS = 26
NO_TEXT = "no calibration: the spectrometer gives none at this time, and there is no other"
SEARCH = """
[processing.calibration.spectrometer]
{more}
minimum_points = 10

[processing.calibration.spectrometer.field_of_view]
minimum_images = 10
reduction = 2
{view}
"""


def made(name: str, folder: Path, pairs: int = PAIRS) -> Path:
    """Simulate a scenario with a quarter of the pixels into ``folder``, and fit its spectra as a person would."""
    settings = load_scenario(name).model_dump(mode="json")
    settings["view"]["optics"].update(width_px=324, height_px=243, pixel_pitch_um=11.2)
    settings["lines"]["length_px"] = 115
    settings["spectrometer"].update(radius_px=5.8, across_px=settings["spectrometer"]["across_px"] / 2)
    settings["misregistration"]["shift_px"] = [6.0, -4.5]
    simulate(Scenario.model_validate_json(json.dumps(settings)), folder, seed=1, pairs=pairs)
    site, columns = folder / "site.toml", folder / "columns"
    assert run(["spectra", str(site), "--spectra", str(folder / "spectra"), "--out", str(columns)]) == 0
    return folder


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("baseline", tmp_path_factory.mktemp("baseline"))


@pytest.fixture(scope="module")
def missed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("missed", tmp_path_factory.mktemp("missed"), 16)


@pytest.fixture(scope="module")
def diluted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("diluted", tmp_path_factory.mktemp("diluted"), 20)


@pytest.fixture
def without_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawings take longer than all else: a stand-in."""

    def stand_in(path: Path, *_: object, **__: object) -> None:
        path.write_bytes(b"page")

    monkeypatch.setattr(batch, "write_quicklook", stand_in)
    monkeypatch.setattr(calibration_products, "write_calibration_page", stand_in)


pytestmark = pytest.mark.usefixtures("without_pages")


class Volcano:
    """A simulated run with a site file of its own."""

    def __init__(self, call: Callable[..., Any], source: Path, folder: Path) -> None:
        folder.mkdir()
        self.call, self.source, self.folder = call, source, folder
        self.site, self.out = folder / "site.toml", folder / "out"
        self.text = (source / "site.toml").read_text()
        if (source / "terrain.asc").exists():
            shutil.copy(source / "terrain.asc", folder)

    def replace(self, pattern: str, text: str) -> None:
        changed, count = re.subn(pattern, lambda _: text, self.text, count=1, flags=re.DOTALL | re.MULTILINE)
        assert count == 1, pattern
        self.text = changed

    def calibrate(self, source: str = "spectrometer", more: str = "", view: str = "", model: str = "band") -> None:
        self.replace(r'^source = "cells"', f'source = "{source}"')
        self.replace(r'^model = "band"', f'model = "{model}"')
        self.text += SEARCH.format(more=more, view=view)

    def dilution(self, table: str) -> None:
        self.replace(
            r"^\[processing\.light_dilution\].*?(?=^\[spectrometer)", f"[processing.light_dilution]\n{table}\n\n"
        )

    def process(self, *extra: object, columns: Path | str | None = "columns.nc", frames: Path | None = None) -> Any:
        self.site.write_text(self.text)
        given = () if columns is None else ("--columns", self.source / "columns" / columns)
        where = self.source / "frames" if frames is None else frames
        return self.call(
            "process", self.site, "--frames", where, "--out", self.out, "--methods", "flow_raw", *given, *extra
        )

    def check(self) -> Any:
        self.site.write_text(self.text)
        return self.call("check", self.site)

    def product(self, name: str = "emission_rates.nc") -> xarray.Dataset:
        with xarray.open_dataset(self.out / name) as opened:
            return opened.load()

    @property
    def truth(self) -> float:
        known = json.loads((self.source / "truth.json").read_text())
        return float(np.mean(known["lines"]["upstream"]["emission_rate_kg_s"][:-1]))

    def rates(self) -> Any:
        return np.asarray(self.product()["total_emission_rate"].values[:, 0])

    def flags(self) -> QualityFlag:
        found = self.product()["image_quality_flags"].values.astype(int)
        return QualityFlag(int(np.bitwise_or.reduce(found)))


@pytest.fixture
def volcano(call: Callable[..., Any], tmp_path: Path) -> Callable[[Path], Volcano]:
    """Return a function that makes a run of a fixture's folder."""

    def of(source: Path) -> Volcano:
        return Volcano(call, source, tmp_path / "run")

    return of


Make = Callable[[Path], Volcano]


# --- where columns come from -------------------------------------------------------------------------------------


def test_spectra_beside_frames_and_neither_test_nor_dark_among_the_points(
    volcano: Make, baseline: Path, tmp_path: Path
) -> None:
    run = volcano(baseline)
    run.calibrate()
    frames, spectra = tmp_path / "frames", tmp_path / "spectra"
    shutil.copytree(baseline / "frames", frames)
    shutil.copytree(baseline / "spectra", spectra)
    some = sorted(frames.rglob("*_Plume.png"))[:4]
    for path in some:
        shutil.copy(path, path.with_name(path.name.replace("_Plume", "_Test").replace("T1400", "T1401")))
    plume = sorted(spectra.rglob("*_Plume.npy"))
    for path in plume[:3]:
        shutil.copy(path, path.with_name(path.name.replace("_Plume", "_Test").replace("T1400", "T1402")))
    outcome = run.process("--spectra", spectra, columns=None, frames=frames)
    outcome.said("4 test frames not used", "points of the spectrometer")
    emission, points = run.product(), run.product("calibration.nc")
    assert run.rates()[:-1].mean() == pytest.approx(run.truth, rel=0.06)
    assert points.sizes["point"] <= PAIRS
    inputs = [str(name) for name in emission["input_file"].values]
    assert not [name for name in inputs if "Test" in name]
    assert [name for name in inputs if name.endswith("_Dark.npy")]
    assert set(points["point_time"].values) <= set(emission["time"].values)


def test_columns_of_csv_and_netcdf_give_nearly_the_same(volcano: Make, baseline: Path) -> None:
    run = volcano(baseline)
    run.calibrate()
    found = {}
    for name in ("columns.nc", "columns.csv"):
        assert run.process("--end", "2026-01-15T14:01:30Z", columns=name).code == 0
        found[name] = float(np.nanmean(run.rates()))
    assert found["columns.csv"] == pytest.approx(found["columns.nc"], rel=0.01)


def test_spectra_and_columns_exclude_each_other(volcano: Make, baseline: Path) -> None:
    run = volcano(baseline)
    run.calibrate()
    run.process("--spectra", baseline / "spectra").failed_with("exclude each other")


@pytest.mark.parametrize("source", ["spectrometer", "joint"])
def test_a_spectrometer_without_columns(volcano: Make, baseline: Path, source: str) -> None:
    run = volcano(baseline)
    run.calibrate(source)
    run.process(columns=None).explained("processing.calibration.source", source, "--spectra DIR")
    assert not run.out.exists()


def test_columns_that_nothing_asks_for(volcano: Make, baseline: Path) -> None:
    run = volcano(baseline)
    outcome = run.process("--spectra", baseline / "spectra", "--end", "2026-01-15T14:00:20Z", columns=None)
    outcome.said("Warning: --spectra is not used", "processing.calibration.source")
    assert "calibration.nc" not in outcome.out


def test_spectra_of_another_time(volcano: Make, baseline: Path) -> None:
    run = volcano(baseline)
    run.calibrate()
    run.replace(
        r"^\[spectrometer\.detector\]", "[spectrometer.files]\nutc_offset_hours = 1.0\n\n[spectrometer.detector]"
    )
    outcome = run.process("--spectra", baseline / "spectra", columns=None)
    outcome.explained("all 26 spectra of the plume lie beside the time", "2026-01-15T13:00:00", "utc_offset_hours")
    assert not run.out.exists()


def test_columns_of_another_time(volcano: Make, baseline: Path, tmp_path: Path) -> None:
    run = volcano(baseline)
    run.calibrate()
    table = (baseline / "columns" / "columns.csv").read_text().replace("T14:", "T13:")
    (tmp_path / "columns.csv").write_text(table)
    run.process(columns=tmp_path / "columns.csv").explained(
        "no column of the spectrometer lies within 15 s",
        "2026-01-15T13:00:00",
        "2026-01-15T14:00:00",
        "utc_offset_hours",
    )


def test_constant_columns(volcano: Make, baseline: Path, tmp_path: Path) -> None:
    run = volcano(baseline)
    run.calibrate()
    header, *rows = (baseline / "columns" / "columns.csv").read_text().splitlines()
    at = header.split(",").index("so2_molec_cm2")
    same = []
    for row in rows:
        fields = row.split(",")
        fields[at] = "1e18"
        same.append(",".join(fields))
    (tmp_path / "columns.csv").write_text("\n".join([header, *same]) + "\n")
    outcome = run.process(columns=tmp_path / "columns.csv")
    assert outcome.code == 3
    assert NO_TEXT in outcome.out
    assert "field of view not found" in outcome.err
    assert np.isnan(run.rates()).all()


def test_saturated_spectra(volcano: Make, baseline: Path) -> None:
    run = volcano(baseline)
    run.calibrate()
    run.replace(r"^saturation_counts = [0-9.]+", "saturation_counts = 5000.0")
    run.process("--spectra", baseline / "spectra", columns=None).explained("gives a column to calibrate with", "satur")


def test_spectra_without_darks(volcano: Make, baseline: Path) -> None:
    run = volcano(baseline)
    run.calibrate()
    outcome = run.process("--spectra", baseline / "spectra" / "2026-01-15" / "Seq_1", columns=None)
    outcome.explained("dark")
    assert not run.out.exists()


# --- what it is calibrated by ------------------------------------------------------------------------------------


def test_rolling_begins_without_and_renews(volcano: Make, baseline: Path) -> None:
    run = volcano(baseline)
    run.calibrate(more='policy = "rolling"\nrefit_s = 10.0\nwindow_s = 600.0')
    run.process().said(NO_TEXT)
    emission, learnt = run.product(), run.product("calibration.nc")
    status = emission["emission_rate_status"].values[:, 0, 0]
    first = int(np.flatnonzero(status == EmissionStatus.OK)[0])
    assert 10 <= first <= 20  # ten images, or fifteen for another search, and the time to the next fit
    assert set(status[:first]) == {EmissionStatus.NO_CALIBRATION}
    assert np.isfinite(run.rates()[first:-1]).all()
    numbers = emission["calibration_number"].values
    assert numbers[0] == -1
    assert numbers[-1] == learnt.sizes["calibration"] - 1 >= 1
    assert list(learnt["calibration_status"].values).count("ok") == learnt.sizes["calibration"]
    assert learnt["correlation"].shape == (121, 162)


@pytest.mark.parametrize(("source", "model"), [("spectrometer", "quadratic"), ("joint", "line")])
def test_models_and_cells_together(volcano: Make, baseline: Path, source: str, model: str) -> None:
    run = volcano(baseline)
    run.calibrate(source, model=model)
    run.process().said("points of the spectrometer" + (" and 3 gas cells" if source == "joint" else ""))
    assert run.rates()[:-1].mean() == pytest.approx(run.truth, rel=0.08)
    learnt = run.product("calibration.nc")
    assert str(learnt["calibration_model"].values[-1]).startswith(model)


@pytest.mark.parametrize("kind", ["given", "inversion"])
def test_fields_of_view(volcano: Make, baseline: Path, kind: str) -> None:
    view = json.loads((baseline / "truth.json").read_text())["field_of_view"]
    run = volcano(baseline)
    given = f"x = {view['x']}\ny = {view['y']}\nradius_px = {view['radius_px']}" if kind == "given" else ""
    run.calibrate(view=f'source = "{kind}"\n{given}')
    assert run.process().code == 0
    assert run.rates()[:-1].mean() == pytest.approx(run.truth, rel=0.08)
    learnt = run.product("calibration.nc")
    if kind == "given":
        assert learnt.sizes["search"] == 0
    else:
        found = (float(learnt["field_of_view_x"][-1]), float(learnt["field_of_view_y"][-1]))
        assert found == pytest.approx((view["x"], view["y"]), abs=8)


def test_a_given_view_beside_the_image(volcano: Make, baseline: Path) -> None:
    run = volcano(baseline)
    run.calibrate(view='source = "given"\nx = 400.0\ny = 100.0\nradius_px = 10.0')
    run.process().failed_with("field_of_view.x", "outside the image")


# --- the plume missed --------------------------------------------------------------------------------------------


def test_missed_without_anything_else(volcano: Make, missed: Path) -> None:
    run = volcano(missed)
    run.calibrate()
    outcome = run.process()
    assert outcome.code == 3
    assert NO_TEXT in outcome.out
    assert "field of view not found" in outcome.err
    assert "columns of the spectrometer: " in outcome.err
    learnt = run.product("calibration.nc")
    assert set(learnt["point_calibration"].values) == {NO_FIT}
    assert float(np.abs(learnt["point_column"]).max()) < 60 * MOLEC_CM2_PER_PPM_M
    assert learnt.sizes["calibration"] == 0
    assert np.isnan(run.product()["emission_rate"].values).all()


def test_missed_with_gas_cells(volcano: Make, missed: Path) -> None:
    run = volcano(missed)
    run.calibrate("joint")
    outcome = run.process()
    outcome.said("3 gas cells", "no points of the spectrometer", "field of view not found")
    assert run.rates()[:-1].mean() == pytest.approx(run.truth, rel=0.08)
    assert set(run.product()["calibration_number"].values) == {-1}


def test_missed_with_a_stored_calibration(
    volcano: Make, missed: Path, baseline: Path, call: Any, tmp_path: Path
) -> None:
    first = Volcano(call, baseline, tmp_path / "first")
    first.calibrate(more='stored = "stored.jsonl"')
    first.process().said("points of the spectrometer")
    (line,) = (first.folder / "stored.jsonl").read_text().splitlines()
    known = float(first.product()["emission_rate_systematic_uncertainty"][:-1].mean() / first.rates()[:-1].mean())
    run = volcano(missed)
    run.calibrate(more='stored = "stored.jsonl"')
    earlier = json.loads(line)
    earlier["time"] = "2026-01-14T14:03:00.000Z"
    stored = json.dumps(earlier) + "\n"
    (run.folder / "stored.jsonl").write_text(stored)
    outcome = run.process()
    outcome.said("a stored calibration of an earlier time", "calibrated by an earlier calibration")
    assert run.flags() & QualityFlag.CALIBRATION_STORED
    assert run.rates()[:-1].mean() == pytest.approx(run.truth, rel=0.15)
    relative = float(run.product()["emission_rate_systematic_uncertainty"][:-1].mean() / run.rates()[:-1].mean())
    assert relative > np.hypot(known, 0.03)  # a day later, at the same hour
    assert (run.folder / "stored.jsonl").read_text() == stored


def test_a_stored_file_that_is_none(volcano: Make, missed: Path) -> None:
    run = volcano(missed)
    run.calibrate(more='stored = "stored.jsonl"')
    (run.folder / "stored.jsonl").write_text("nonsense\n")
    run.process().explained("line 1 is no stored calibration")
    run.check().explained("line 1 is no stored calibration")


def test_interrupted_while_products_are_written(volcano: Make, baseline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = volcano(baseline)
    run.calibrate(more='stored = "stored.jsonl"')
    run.out.mkdir()
    (run.out / "calibration.nc").write_bytes(b"older")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(calibration_products, "write_calibration_page", interrupted)
    assert run.process().code == 130
    assert [path.name for path in run.out.iterdir()] == ["calibration.nc"]
    assert (run.out / "calibration.nc").read_bytes() == b"older"
    assert not (run.folder / "stored.jsonl").exists()


# --- light dilution ----------------------------------------------------------------------------------------------

MODEL = 'mode = "terrain"\nterrain_model = "terrain.asc"\nterrain_crs = "EPSG:4326"'
FIXED = """mode = "fixed"
on_extinction_per_km = 0.066
on_extinction_uncertainty_per_km = 0.005
off_extinction_per_km = 0.052
off_extinction_uncertainty_per_km = 0.005"""


@pytest.mark.parametrize("way", ["regions", "model", "fixed"])
def test_dilution_is_corrected_in_images_and_columns(volcano: Make, diluted: Path, way: str) -> None:
    if way == "model":
        pytest.importorskip("rasterio")
    run = volcano(diluted)
    run.calibrate(view=given_view(diluted))
    if way != "regions":
        run.dilution(MODEL if way == "model" else FIXED)
    run.process().said("Light dilution: extinction 0.06")
    emission = run.product()
    mean = float(run.rates()[:-1].mean())
    systematic = float(emission["total_emission_rate_systematic_uncertainty"][:-1].mean())
    assert abs(mean - run.truth) < min(2 * systematic, 0.12 * run.truth)
    assert np.isfinite(emission["extinction"].values).all()
    assert np.isnan(emission["spectral_extinction"].values).all()
    assert emission["clean_air_extinction"].values[0] == pytest.approx(9.3e-5, rel=0.03)


def test_dilution_left_alone_is_too_low(volcano: Make, diluted: Path) -> None:
    run = volcano(diluted)
    run.calibrate(view=given_view(diluted))
    run.dilution('mode = "none"')
    assert run.process().code == 0
    assert run.rates()[:-1].mean() < 0.85 * run.truth
    assert "run_extinction" not in run.product()


def test_dilution_that_is_not_found(volcano: Make, diluted: Path) -> None:
    run = volcano(diluted)
    run.replace(r'^mode = "terrain"[^\n]*', 'mode = "terrain"\nbrightness_limits = [0.98, 0.99]')
    outcome = run.process(columns=None)
    outcome.said("light dilution should be corrected, but is not known yet")
    assert run.flags() & QualityFlag.DILUTION_UNKNOWN
    assert np.isnan(run.product()["extinction"].values).all()
    assert run.rates()[:-1].mean() < 0.85 * run.truth


def given_view(source: Path) -> str:
    """Return the true field of view as the site file gives it: short runs need no search."""
    view = json.loads((source / "truth.json").read_text())["field_of_view"]
    return f'source = "given"\nx = {view["x"]}\ny = {view["y"]}\nradius_px = {view["radius_px"]}'


def with_dilution(source: Path, target: Path, share: float, sigma: float) -> Path:
    """Write columns as a fit with light dilution would have found them."""
    from netCDF4 import Dataset

    shutil.copy(source, target)
    with Dataset(target, "a") as dataset:
        dataset["light_dilution"][:] = share
        dataset["light_dilution_uncertainty"][:] = sigma
    return target


@pytest.mark.parametrize(("share", "apart"), [(0.30, False), (0.60, True)])
def test_terrain_and_spectra_are_compared(
    volcano: Make, diluted: Path, tmp_path: Path, share: float, apart: bool
) -> None:
    run = volcano(diluted)
    run.text += '\n[spectrometer.light_dilution]\nmode = "fit"\n'
    columns = with_dilution(diluted / "columns" / "columns.nc", tmp_path / "columns.nc", share, 0.03)
    spectra = len((diluted / "columns" / "columns.csv").read_text().splitlines()) - 1
    outcome = run.process(columns=columns)
    outcome.said("Light dilution: extinction 0.06", f"by {spectra} spectra", "sigma apart")
    assert ("below that of the spectra" in outcome.err) == apart
    emission = run.product()
    expected = (-np.log1p(-share) - np.log1p(0.15**2)) / 5300  # columns vary by 0.15 within the view
    assert emission["spectral_extinction"].values[0] == pytest.approx(expected, rel=0.06)
    assert (abs(emission["extinction_difference"].values) > 2).any() == apart
    assert int(emission["spectra_with_light_dilution"]) == spectra


def test_dilution_from_spectra(volcano: Make, diluted: Path, tmp_path: Path) -> None:
    run = volcano(diluted)
    run.dilution('mode = "spectrum"')
    run.text += '\n[spectrometer.light_dilution]\nmode = "fit"\n'
    columns = with_dilution(diluted / "columns" / "columns.nc", tmp_path / "columns.nc", 0.30, 0.03)
    run.process(columns=columns).said("Light dilution: extinction 0.06")
    assert run.rates()[2:-1].mean() == pytest.approx(run.truth, rel=0.12)
    extinction = run.product()["extinction"].values
    assert np.isnan(extinction[0]).all()
    assert np.isfinite(extinction[1:]).all()


def test_columns_with_and_without_dilution_are_not_mixed_up(volcano: Make, diluted: Path, tmp_path: Path) -> None:
    run = volcano(diluted)
    run.calibrate()
    columns = with_dilution(diluted / "columns" / "columns.nc", tmp_path / "columns.nc", 0.30, 0.03)
    run.process(columns=columns).explained("spectrometer.light_dilution.mode", "holds columns with a light dilution")
    run.text += '\n[spectrometer.light_dilution]\nmode = "fit"\n'
    run.process().explained("holds columns without a light dilution")


# --- check -------------------------------------------------------------------------------------------------------


def test_check_tells_how_a_site_is_calibrated(volcano: Make, diluted: Path) -> None:
    pytest.importorskip("rasterio")
    run = volcano(diluted)
    run.calibrate(more='stored = "stored.jsonl"')
    run.dilution(MODEL)
    run.check().said(
        "calibration: spectrometer, band, whole; field of view by correlation; 0 stored calibrations in stored.jsonl",
        "light dilution: terrain, ",
        "is valid",
    )
    (run.folder / "terrain.asc").unlink()
    run.check().explained("terrain.asc")


@pytest.mark.parametrize(
    ("source", "more", "extra", "says"),
    [
        ("spectrometer", 'policy = "rolling"\nwindow_s = 30.0', "", "window_s: 30 s hold the 10 images"),
        ("spectrometer", 'policy = "rolling"\nrefit_s = 4000.0', "", "refit_s: is longer than window_s"),
        ("joint", 'stored = "a.jsonl"', "", "none is taken from it"),
        ("cells", 'stored = "a.jsonl"', "", "stored: is not used"),
        ("joint", "", '\n[spectrometer.light_dilution]\nmode = "fit"\n', "do not calibrate the same thing"),
    ],
)
def test_check_speaks_of_what_is_risky(
    volcano: Make, baseline: Path, source: str, more: str, extra: str, says: str
) -> None:
    run = volcano(baseline)
    run.calibrate(source, more)
    run.text += extra
    run.check().said(says)


def test_check_without_a_spectrometer(volcano: Make, diluted: Path) -> None:
    run = volcano(diluted)
    run.calibrate()
    run.replace(r"^\[spectrometer\.detector\].*?(?=^\[processing\.calibration\.spectrometer\])", "")
    run.check().said("without a [spectrometer] table", "whether it is in the columns nobody can tell")


def test_joint_has_no_quadratic(volcano: Make, baseline: Path) -> None:
    run = volcano(baseline)
    run.calibrate("joint", model="quadratic")
    run.check().failed_with('source = "joint" needs model')


# --- pages -------------------------------------------------------------------------------------------------------


def test_pages_are_drawn_whole(volcano: Make, missed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    run = volcano(missed)
    run.calibrate()
    assert run.process().code == 3
    for name in ("quicklook.png", "calibration.png"):
        assert (run.out / name).read_bytes().startswith(b"\x89PNG")
