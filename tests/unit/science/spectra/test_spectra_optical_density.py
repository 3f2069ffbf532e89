"""The classic fit: right at any column, honest uncertainties, and what it refuses."""

import numpy as np
import pytest

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.records import FloatArray
from so2cam.core.spectra import FitStatus
from so2cam.core.spectrometer import Fit, LineShapeSettings
from so2cam.formats.reference_spectra import reference_table
from so2cam.science.spectra.forward import model_spectra
from so2cam.science.spectra.model import FitModel, FitTables, build_fit
from so2cam.science.spectra.optical_density import OpticalDensityModel, build_optical_density, fit_optical_density
from so2cam.science.spectra.table import SpectralTable

PIXELS = np.linspace(300.0, 330.0, 387)
FIT = Fit(window_nm=(310, 320))
SHAPE = LineShapeSettings(width_nm=0.6, fit=("width", "exponent"))
TRUTH = {
    "so2": 0.0, "o3": 9e18, "ring": 0.12,
    "background_0": 3e4, "background_1": 2e3, "background_2": -2e3, "background_3": -900.0, "offset_0": 0.0,
    "shift_0": 0.06, "shift_1": -0.004, "width": 0.56, "exponent": 2.2,
}  # fmt: skip


def table(name: str) -> SpectralTable:
    found = reference_table(name)
    return SpectralTable(found.wavelengths_nm, found.values, name)


@pytest.fixture(scope="module")
def tables() -> FitTables:
    return FitTables(
        solar=table("solar-sao2010"),
        so2=table("so2-bogumil2003-293k"),
        o3=(table("o3-serdyuchenko2014-223k"),),
        ring=table("ring"),
    )


@pytest.fixture(scope="module")
def truth(tables: FitTables) -> FitModel:
    return build_fit(PIXELS, fit=FIT, line_shape=SHAPE, tables=tables)


@pytest.fixture(scope="module")
def clear(truth: FitModel) -> FloatArray:
    counts = np.full(PIXELS.size, np.nan)
    counts[truth.window] = model_spectra(truth, [TRUTH[name] for name in truth.names])[0]
    return counts


@pytest.fixture(scope="module")
def model(tables: FitTables, clear: FloatArray) -> OpticalDensityModel:
    return build_optical_density(PIXELS, clear, fit=FIT, line_shape=SHAPE, tables=tables)


def plumes(truth: FitModel, columns: FloatArray) -> FloatArray:
    random = np.random.default_rng(3)
    values = np.tile([TRUTH[name] for name in truth.names], (columns.size, 1))
    values[:, truth.so2] = columns
    values[:, truth.names.index("ring")] *= random.uniform(0.9, 1.1, columns.size)
    values[:, truth.names.index("o3")] *= random.uniform(0.95, 1.05, columns.size)
    first = truth.names.index("background_0")
    values[:, first : first + 4] *= random.uniform(0.6, 1.2, (columns.size, 1))
    spectra = model_spectra(truth, values)
    noise = 0.002 * np.sqrt(spectra * spectra.mean(axis=1, keepdims=True))
    return spectra + noise * random.normal(size=spectra.shape)


def test_any_column_is_recovered_within_its_uncertainty(truth: FitModel, model: OpticalDensityModel) -> None:
    columns = np.repeat([0, 50, 200, 500, 1000, 2000, 3000, 4000, 5000], 12) * MOLEC_CM2_PER_PPM_M
    found = fit_optical_density(model, plumes(truth, columns))
    assert (found.status == FitStatus.OK).all()
    pull = (found.so2 - columns) / found.so2_sigma
    assert np.abs(pull).max() < 4
    assert 0.55 < np.mean(np.abs(pull) < 1) < 0.8
    assert abs(pull.mean()) < 0.4
    assert abs(np.mean((found.so2 / np.maximum(columns, 1) - 1)[columns > 200 * MOLEC_CM2_PER_PPM_M])) < 0.003
    assert found.residual_rms.max() < 0.01
    assert found.parameter("shift_0")[0] == pytest.approx(np.full(columns.size, 0.06), abs=0.02)


def test_the_modelled_counts_are_those_of_the_plume(truth: FitModel, model: OpticalDensityModel) -> None:
    spectra = plumes(truth, np.array([3e18]))
    found = fit_optical_density(model, spectra)
    assert np.abs(found.model / spectra - 1).max() < 0.015


def test_masks_and_dark_pixels(truth: FitModel, model: OpticalDensityModel) -> None:
    spectra = np.repeat(plumes(truth, np.array([2.5e18])), 4, axis=0)
    spectra[1, 30] = -5.0
    spectra[2, 30] = np.nan
    mask = np.ones(spectra.shape, dtype=bool)
    mask[3, 5:] = False
    found = fit_optical_density(model, spectra, mask=mask)
    assert found.status.tolist() == [FitStatus.OK, FitStatus.OK, FitStatus.OK, FitStatus.BAD_PIXELS]
    assert found.so2[1] == found.so2[2] == pytest.approx(found.so2[0], rel=0.01)
    assert np.isnan(found.values[3]).all()


def test_without_ozone_and_ring(tables: FitTables, clear: FloatArray, truth: FitModel) -> None:
    bare = FitTables(solar=tables.solar, so2=tables.so2)
    model = build_optical_density(PIXELS, clear, fit=FIT, line_shape=SHAPE, tables=bare)
    assert model.names[:2] == ("so2", "background_0")
    found = fit_optical_density(model, model_spectra(truth, [TRUTH[n] or 2e18 * (n == "so2") for n in truth.names]))
    assert found.so2[0] == pytest.approx(2e18, rel=0.03)


def test_a_clear_spectrum_that_cannot_serve_is_refused(tables: FitTables, clear: FloatArray) -> None:
    dark = clear.copy()
    dark[150] = 0.0
    with pytest.raises(ValueError, match="must be positive"):
        build_optical_density(PIXELS, dark, fit=FIT, line_shape=SHAPE, tables=tables)
    flat = np.where(np.isnan(clear), np.nan, 1000.0)
    flat[::2] *= 1.5
    with pytest.raises(ValueError, match="could not be fitted"):
        build_optical_density(
            PIXELS, flat, fit=FIT.model_copy(update={"maximum_evaluations": 5}), line_shape=SHAPE, tables=tables
        )
