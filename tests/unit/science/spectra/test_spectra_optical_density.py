"""The classic fit: right at any column, honest uncertainties, and what it refuses."""

from dataclasses import replace

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


@pytest.mark.parametrize("drift_nm", [-0.6, -0.3, -0.1, -0.02, 0.02, 0.1, 0.3, 0.6])
def test_spectra_that_drifted_from_the_clear_one(truth: FitModel, model: OpticalDensityModel, drift_nm: float) -> None:
    values = np.tile([TRUTH[name] for name in truth.names], (3, 1))
    values[:, truth.so2] = columns = np.array([0.0, 2e17, 2e18])
    values[:, truth.names.index("shift_0")] += drift_nm
    found = fit_optical_density(model, model_spectra(truth, values))
    assert (found.status == FitStatus.OK).all()
    assert found.so2 == pytest.approx(columns, rel=5e-3, abs=3e15)
    assert found.parameter("shift_0")[0] == pytest.approx(0.06 + drift_nm, abs=2e-3)


def test_a_copy_of_the_clear_spectrum_is_no_information(clear: FloatArray, model: OpticalDensityModel) -> None:
    found = fit_optical_density(model, clear)
    assert found.status.tolist() == [FitStatus.NO_INFORMATION], "a residual of nothing gives no uncertainty"
    assert np.isnan(found.so2).all()


def test_without_a_shift(tables: FitTables, clear: FloatArray, truth: FitModel) -> None:
    held = FIT.model_copy(update={"shift_order": -1})
    values = [TRUTH[name] if not name.startswith("shift") else 0.0 for name in truth.names]
    still = np.full(PIXELS.size, np.nan)
    still[truth.window] = model_spectra(truth, values)[0]
    values[truth.so2] = 2e18
    model = build_optical_density(PIXELS, still, fit=held, line_shape=SHAPE, tables=tables)
    assert model.names == ("so2", "o3", "ring", *(f"background_{n}" for n in range(4)))
    found = fit_optical_density(model, model_spectra(truth, values))
    assert found.so2[0] == pytest.approx(2e18, rel=2e-3)
    assert np.isfinite(found.sigma).all()


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


@pytest.mark.parametrize("room_nm", [0.003, 0.0071, 0.011, 0.0137, 0.019])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_shift_beyond_its_bound_is_no_column(
    truth: FitModel, model: OpticalDensityModel, room_nm: float, sign: int
) -> None:
    values = np.array([TRUTH[name] for name in truth.names])
    values[truth.so2], values[truth.names.index("shift_0")] = 2e18, model.shift_nm + sign * 0.1
    bounded = replace(model, shift_nm=sign * model.shift_nm, maximum_shift_nm=model.shift_nm + room_nm)
    found = fit_optical_density(bounded, model_spectra(truth, values))
    assert found.status.tolist() == [FitStatus.AT_BOUND]
    assert np.isnan(found.values).all()
    assert np.isnan(found.sigma).all()


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
