"""Archived spectra with their fits: the numbers of the catalogue, other windows, and what a fit is made of."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from so2cam.cli.main import cli
from so2cam.core.errors import FrameFileError, InputError, SiteFileError
from so2cam.core.site_station import WatchedFolder
from so2cam.core.spectra import FitStatus
from so2cam.core.spectrometer import Spectrometer
from so2cam.formats.sitefile import spectrometer_of
from so2cam.pipeline.spectra_batch import fit_files, plan_spectra
from so2cam.science.spectra.lamp_lines import HG_LINES
from so2cam.science.spectra.line_shape import super_gaussian
from so2cam.station.catalogue import ColumnRow
from so2cam.station.context import StationContext, open_station
from so2cam.station.spectrometer_lamp import Lamps, super_gaussian_keys
from so2cam.station.spectrometer_sky import KEY, Skies
from so2cam.station.spectrum_fits import SpectrumFits
from so2cam.station.spectrum_windows import windows_of, with_windows
from so2cam.station.watch import FolderWatcher

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StationContext]:
    """A station with the spectra of a simulated volcano, and with the columns that a run over them finds."""
    folder = tmp_path_factory.mktemp("volcano")
    made = CliRunner().invoke(cli, ["simulate", "--out", str(folder), "--pairs", "6", "--seed", "1"])
    assert made.exit_code == 0, made.output
    context = open_station([folder / "site.toml"])
    site = context.sites[0]
    watcher = FolderWatcher(context, site, WatchedFolder(name="spectra", folder=str(folder / "spectra"), settle_s=0.0))
    watcher.look()
    watcher.look()
    spectrometer = spectrometer_of(site.loaded)
    records, _ = fit_files(spectrometer, plan_spectra(spectrometer, [folder / "spectra"]), jobs=1, progress=None)
    rows = [
        ColumnRow(one.info.time, one.info.path.name, *one.parameters["so2"], None, int(one.status)) for one in records
    ]
    context.catalogue.add_columns(site.name, rows)
    yield context
    context.close()


@pytest.fixture
def fits(station: StationContext) -> SpectrumFits:
    return SpectrumFits(station, station.sites[0])


def test_the_numbers_are_those_of_the_catalogue(station: StationContext, fits: SpectrumFits) -> None:
    loaded = station.sites[0].loaded
    newest = fits.nearest()
    assert newest is not None
    rows = fits.columns(newest.time - timedelta(hours=1), newest.time + timedelta(seconds=1)).rows
    assert len(rows) >= 5
    for row in rows:
        file = fits.nearest(row.time)
        assert file is not None
        assert file.name == row.file
        look = fits.look(loaded, file)
        assert look.status is FitStatus.OK
        assert look.column == (row.so2, row.so2_uncertainty)
        assert look.darks > 0
        assert look.dark is not None
        assert look.dark.shape == look.counts.shape == look.wavelengths_nm.shape


def test_a_fit_is_the_sum_of_its_parts(station: StationContext, fits: SpectrumFits) -> None:
    file = fits.nearest()
    assert file is not None
    look = fits.look(station.sites[0].loaded, file)
    parts = look.parts
    assert parts is not None
    assert set(parts.densities) == {"so2", "o3", "ring"}
    measured = parts.so2_measured
    assert measured is not None
    left = measured - parts.densities["so2"]
    assert np.allclose(np.expm1(-left), parts.residual, rtol=1e-9, atol=1e-12, equal_nan=True)
    assert np.sqrt(np.nanmean(parts.residual**2)) == pytest.approx(look.residual_rms)
    # The optical depth of SO2 at a column, as Lambert and Beer have it, within what the line shape blurs.
    assert 0.05 < parts.densities["so2"].max() < look.column[0] * 1e-18


def test_another_window_is_another_fit_and_nothing_else_changes(station: StationContext, fits: SpectrumFits) -> None:
    loaded, file = station.sites[0].loaded, fits.nearest()
    assert file is not None
    before = fits.look(loaded, file)
    tried = fits.look(loaded, file, {"fit": (309.5, 317.0)})
    assert tried.windows["fit"] == (309.5, 317.0)
    assert tried.parts is not None
    assert 309.5 < tried.parts.wavelengths_nm[0] < 309.7
    assert tried.column[0] != before.column[0]
    assert tried.column[1] > before.column[1]  # less to go by
    assert abs(tried.column[0] - before.column[0]) < 4 * tried.column[1]
    assert fits.look(loaded, file) is before
    # As the processor has it with a site file that says so.
    settings = with_windows(spectrometer_of(loaded).spectrometer, {"fit": (309.5, 317.0)})
    site = loaded.site.model_copy(update={"spectrometer": settings})
    assert SpectrumFits(station, station.sites[0]).look(replace(loaded, site=site), file).column == tried.column


def test_windows_that_do_not_go_together_are_refused(station: StationContext, fits: SpectrumFits) -> None:
    loaded, file = station.sites[0].loaded, fits.nearest()
    assert file is not None
    with pytest.raises(InputError, match="must lie below"):
        fits.look(loaded, file, {"fit": (295.0, 318.0)})
    with pytest.raises(InputError, match="at least 1 nm wide"):
        fits.look(loaded, file, {"stray": (293.0, 293.5)})
    outside = fits.look(loaded, file, {"fit": (308.0, 900.0)})
    assert outside.status is FitStatus.WINDOW_OUTSIDE
    assert outside.parts is None
    without = loaded.site.model_copy(update={"spectrometer": None})
    with pytest.raises(SiteFileError, match="no \\[spectrometer\\]"):
        fits.look(replace(loaded, site=without), file)


def test_windows_are_those_in_use() -> None:
    settings = with_windows(Spectrometer(), {"first": (305.0, 315.0)})
    assert list(windows_of(settings)) == ["stray", "fit"]
    dilution = settings.light_dilution.model_copy(update={"mode": "fit"})
    found = windows_of(settings.model_copy(update={"light_dilution": dilution}))
    assert found["first"] == (305.0, 315.0)
    assert list(found) == ["stray", "fit", "first", "second"]


def test_spectra_are_found_by_time(fits: SpectrumFits) -> None:
    newest = fits.nearest()
    assert newest is not None
    assert fits.beside(newest.time, later=True) is None
    before = fits.beside(newest.time, later=False)
    assert before is not None
    assert before.time < newest.time
    assert fits.beside(before.time, later=True) == newest
    middle = before.time + 0.4 * (newest.time - before.time)
    assert fits.nearest(middle) == before
    assert fits.nearest(newest.time + timedelta(days=400)) == newest
    every = fits.columns(newest.time - timedelta(days=1), newest.time + timedelta(seconds=1), most=2)
    assert every.every > 1
    assert every.rows[-1].time == newest.time


def test_a_file_that_is_gone_is_said(station: StationContext, fits: SpectrumFits) -> None:
    file = fits.nearest()
    assert file is not None
    path = station.sites[0].archive.path_of(file)
    kept = path.read_bytes()
    path.unlink()
    try:
        with pytest.raises(FrameFileError, match="cannot be read"):
            fits.look(station.sites[0].loaded, file)
    finally:
        path.write_bytes(kept)


def test_wavelengths_from_sunlight_are_those_of_the_simulated_spectrometer(
    station: StationContext, fits: SpectrumFits
) -> None:
    site = station.sites[0]
    newest = fits.nearest()
    assert newest is not None
    found = Skies(station, site, fits).find(site.loaded, newest.time, count=5)
    assert found.spectra == 5
    assert found.darks > 0
    before, after = found.rms_nm
    assert after < 0.25 * before
    assert found.correction[0] == pytest.approx(0.02, abs=0.005)  # the simulated files state it so much too short
    assert found.keys == {KEY: list(found.correction)}
    shift = found.fit_after.parameters["shift_0"]
    assert abs(shift[0]) < 4 * shift[1]
    assert abs(found.fit_before.parameters["shift_0"][0]) > 4 * shift[1]
    with pytest.raises(InputError, match="1 to 200"):
        Skies(station, site, fits).find(site.loaded, newest.time, count=0)


def test_the_line_shape_comes_from_a_lamp_that_was_given(station: StationContext, tmp_path: Path) -> None:
    site = station.sites[0]
    lamps = Lamps(station, site)
    assert lamps.series(site.loaded) == []
    x = np.linspace(280.0, 420.0, 2048)
    counts = np.full(x.size, 1500.0)
    for line in HG_LINES:
        counts += 3.0 * line.relative_intensity * super_gaussian(x - line.vacuum_nm - 0.03, 0.6, 2.4)
    np.save(tmp_path / "lamp.npy", np.stack([x, counts]))
    kept = lamps.give("../../a lamp.npy", (tmp_path / "lamp.npy").read_bytes())
    assert kept.name == "a_lamp.npy"
    assert kept.is_relative_to(station.folder)
    (series,) = lamps.series(site.loaded)
    found = lamps.find(site.loaded, series, 334.2)
    assert found.record.fwhm_nm[0] == pytest.approx(0.6, abs=0.01)
    assert found.record.wavelength_error_nm == pytest.approx(0.03, abs=0.003)
    assert len(found.lines) >= 3
    (used,) = [line for line in found.lines if line.used]
    assert used.found_nm == pytest.approx(334.27, abs=0.1)
    assert used.top == pytest.approx(1500 + 2100, abs=50)  # no dark was given
    keys = super_gaussian_keys(found)
    assert keys["spectrometer", "line_shape", "width_nm"] == pytest.approx(0.6, abs=0.01)
    assert keys["spectrometer", "line_shape", "exponent"] == pytest.approx(2.4, abs=0.05)
    taken = lamps.write_table(site.loaded, found)
    table = site.loaded.path.parent / taken["spectrometer", "line_shape", "file"]
    assert np.loadtxt(table)[:, 1].max() > 0.5
    with pytest.raises(InputError, match="larger than 4 MB"):
        lamps.give("large", bytes(5_000_000))
    lamps.forget_given()
    assert lamps.series(site.loaded) == []
