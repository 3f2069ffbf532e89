"""Each reference table against the originals beside the checkout, and against the bands of measured sky spectra."""

from pathlib import Path

import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import least_squares

from so2cam.core.records import FloatArray
from so2cam.formats.reference_spectra import ReferenceTable, air_to_vacuum_nm, read_reference_file, reference_table

pytestmark = pytest.mark.data

STEP_NM = 0.01
FWHM_PER_SIGMA = 2.3548


@pytest.fixture(scope="module")
def originals(data_dir: Path) -> Path:
    return data_dir / "reference_spectra"


def smoothed(x: FloatArray, y: FloatArray, grid: FloatArray, fwhm_nm: float = 0.6) -> FloatArray:
    return np.asarray(gaussian_filter1d(CubicSpline(x, y)(grid), fwhm_nm / STEP_NM / FWHM_PER_SIGMA))


def at_06_nm(table: ReferenceTable, grid: FloatArray) -> FloatArray:
    return smoothed(table.wavelengths_nm, table.values, grid)


def differential_ratio(numerator: FloatArray, denominator: FloatArray, x: FloatArray) -> float:
    """How much larger the bands of one spectrum are than those of another, beside a cubic polynomial."""
    scale = float(np.abs(denominator).max())
    design = np.column_stack([denominator / scale, np.vander((x - x.mean()) / 5, 4)])
    return float(np.linalg.lstsq(design, numerator / scale, rcond=None)[0][0])


def test_solar(originals: Path) -> None:
    table = reference_table("solar-sao2010")
    x, y = read_reference_file(originals / "sao2010.txt")
    keep = (x > table.wavelengths_nm[0] - 1e-6) & (x < table.wavelengths_nm[-1] + 1e-6)
    np.testing.assert_allclose(table.wavelengths_nm, x[keep], rtol=0, atol=1e-6)
    np.testing.assert_allclose(table.values, y[keep], rtol=1e-5)


def test_so2_of_bogumil(originals: Path) -> None:
    table = reference_table("so2-bogumil2003-293k")
    x, y = read_reference_file(originals / "SO2_293K.txt")
    keep = (x > 270) & (x < 395)
    np.testing.assert_allclose(table.wavelengths_nm, x[keep], rtol=0, atol=1e-6)
    np.testing.assert_allclose(table.values, y[keep], rtol=1e-6)


def test_so2_of_vandaele_is_the_original_brought_to_vacuum(originals: Path) -> None:
    table = reference_table("so2-vandaele2009-298k")
    air, y = read_reference_file(originals / "SO2_Vandaele_2009_298K.txt")
    x = air_to_vacuum_nm(air)
    keep = (x > table.wavelengths_nm[0] - 0.001) & (x < table.wavelengths_nm[-1] + 0.001)
    np.testing.assert_allclose(table.wavelengths_nm, x[keep], rtol=0, atol=1e-4)
    np.testing.assert_allclose(table.values, y[keep], rtol=6e-4, atol=1e-26)  # four digits against five


def test_ozone(originals: Path) -> None:
    table = reference_table("o3-serdyuchenko2014-223k")
    x, y = read_reference_file(originals / "Serdyuchenko_O3_223K.txt")
    grid = np.arange(300.0, 340.0, STEP_NM)
    ours, theirs = at_06_nm(table, grid), smoothed(x, y, grid)
    inner = slice(200, -200)
    np.testing.assert_allclose(ours[inner], theirs[inner], rtol=6e-3)
    assert np.corrcoef(ours[inner], theirs[inner])[0, 1] > 0.999999
    # Smoothed at full resolution too, and no wider than before: the bands of the original, whose noise averages out.
    point_to_point = [np.std(np.diff(values, 3)) for values in (table.values, np.interp(table.wavelengths_nm, x, y))]
    assert point_to_point[0] < 0.1 * point_to_point[1]
    bands = (grid > 315) & (grid < 335)
    assert differential_ratio(ours[bands], theirs[bands], grid[bands]) == pytest.approx(1.0, abs=0.004)


def test_ring(originals: Path) -> None:
    table = reference_table("ring")
    x, y = read_reference_file(originals / "Ring.txt")
    grid = np.arange(297.0, 338.0, STEP_NM)
    inner = (grid > 300) & (grid < 335)
    ours, theirs = at_06_nm(table, grid)[inner], smoothed(x, y, grid)[inner]
    assert np.corrcoef(ours, theirs)[0, 1] > 0.9998
    assert np.polyfit(theirs, ours, 1)[0] == pytest.approx(1.0, abs=0.005)  # so Ring coefficients are comparable
    assert np.abs(ours - theirs).max() < 0.005
    fine = np.corrcoef(np.interp(grid, table.wavelengths_nm, table.values)[inner], np.interp(grid, x, y)[inner])[0, 1]
    assert fine > 0.9999


@pytest.mark.parametrize(("first_nm", "expected"), [(308.0, 0.920), (310.0, 0.896)])
def test_so2_tables_differ_as_documented(first_nm: float, expected: float) -> None:
    grid = np.arange(300.0, 330.0, STEP_NM)
    window = (grid > first_nm) & (grid < first_nm + 10)
    bogumil = at_06_nm(reference_table("so2-bogumil2003-293k"), grid)[window]
    vandaele = at_06_nm(reference_table("so2-vandaele2009-298k"), grid)[window]
    assert differential_ratio(bogumil, vandaele, grid[window]) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("name", ["so2-bogumil2003-293k", "so2-vandaele2009-298k"])
def test_so2_and_ozone_lie_on_the_wavelengths_of_sunlight(data_dir: Path, name: str) -> None:
    """A plume spectrum of Masaya, fitted with a free shift of each absorber against the solar lines."""
    stored = np.loadtxt(data_dir / "masaya/spectrum_00448.txt")
    x, counts = stored[:, 0], stored[:, 1] - np.loadtxt(data_dir / "masaya/dark.txt")[:, 1]
    counts = counts - counts[(x > 281) & (x < 290)].mean()
    window = (x > 308) & (x < 320)
    x, counts = x[window], counts[window] / counts[window].max()
    grid = np.arange(306.0, 322.0, STEP_NM)
    tables = [reference_table(key) for key in ("solar-sao2010", name, "o3-serdyuchenko2014-223k", "ring")]
    solar, so2, ozone, ring = (CubicSpline(table.wavelengths_nm, table.values) for table in tables)
    sunlight, filling = solar(grid) / 1e14, ring(grid)
    background = np.vander((x - 314) / 6, 4)

    def residual(p: FloatArray) -> FloatArray:
        depth = p[0] * 1e18 * so2(grid + p[6]) + p[1] * 1e19 * ozone(grid + p[7]) + p[2] * filling
        seen = gaussian_filter1d(sunlight * np.exp(-depth), p[5] / STEP_NM / FWHM_PER_SIGMA)
        modelled = np.interp(x + p[3] + p[4] * (x - 314) / 6, grid, seen)
        design = np.column_stack([modelled[:, None] * background, np.ones_like(x)])
        return np.asarray(counts - design @ np.linalg.lstsq(design, counts, rcond=None)[0])

    fit = least_squares(residual, [1, 1, 0.1, 0, 0, 0.6, 0, 0], x_scale=[1, 1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05])
    assert fit.x[0] == pytest.approx(1.0, abs=0.15)
    assert abs(fit.x[6]) < 0.03  # an air wavelength would show as 0.09 nm
    assert abs(fit.x[7]) < 0.03
