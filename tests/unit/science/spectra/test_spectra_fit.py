"""The fit against simulated truth: columns, honest uncertainties, statuses, masks, starts."""

import numpy as np
import pytest

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.records import FloatArray
from so2cam.core.spectra import FitStatus
from so2cam.core.spectrometer import Fit, LineShapeSettings
from so2cam.formats.reference_spectra import reference_table
from so2cam.science.spectra import kernel
from so2cam.science.spectra.compiled import compiled
from so2cam.science.spectra.fit import fit_spectra
from so2cam.science.spectra.forward import model_spectra
from so2cam.science.spectra.model import FitModel, FitTables, Problem, build_fit
from so2cam.science.spectra.table import SpectralTable

PIXELS = np.linspace(300.0, 330.0, 387)
SHAPE = LineShapeSettings(width_nm=0.6, fit=("width", "exponent", "width_asymmetry", "exponent_asymmetry"))
TRUTH = {
    "so2": 1e18, "o3": 9e18, "ring": 0.12,
    "background_0": 3e4, "background_1": 2e3, "background_2": -2e3, "background_3": -900.0, "offset_0": 120.0,
    "shift_0": 0.06, "shift_1": -0.004,
    "width": 0.56, "exponent": 2.2, "width_asymmetry": 0.1, "exponent_asymmetry": 0.3,
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
def model(tables: FitTables) -> FitModel:
    return build_fit(PIXELS, fit=Fit(window_nm=(310, 320)), line_shape=SHAPE, tables=tables)


def truths(model: FitModel, number: int, seed: int = 1) -> FloatArray:
    """Parameters over 0 to 4000 ppm m, shifts to 0.3 nm."""
    random = np.random.default_rng(seed)
    values = np.tile([TRUTH[name] for name in model.names], (number, 1))
    values[:, model.so2] = random.uniform(0, 4000, number) * MOLEC_CM2_PER_PPM_M
    values[:, model.names.index("shift_0")] = random.uniform(-0.3, 0.3, number)
    values[:, model.names.index("o3")] *= random.uniform(0.8, 1.2, number)
    values[:, model.names.index("width")] *= random.uniform(0.9, 1.1, number)
    return values


def noisy(spectra: FloatArray, share: float = 0.004, seed: int = 2) -> FloatArray:
    random = np.random.default_rng(seed)
    return spectra + random.normal(0, share, spectra.shape) * spectra.mean(axis=1, keepdims=True)


@compiled
def evaluated(
    problem: Problem, q: FloatArray, counts: FloatArray, weight: FloatArray, linear: FloatArray
) -> tuple[float, FloatArray]:
    """Return chi-squared and the Jacobian (P, N) as the fit has them at ``q``; fill ``linear``."""
    work = kernel._workspace(problem)
    chi2, half = kernel._evaluate(problem, q, counts, weight, linear, work)
    kernel._differentiate(problem, q, linear, half, work)
    return chi2, work.jacobian


def test_derivatives_are_those_of_the_model(tables: FitTables) -> None:
    model = build_fit(
        PIXELS, fit=Fit(window_nm=(310, 320)), line_shape=SHAPE, tables=tables, light_dilution=0.2,
        fit_light_dilution=True,
    )  # fmt: skip
    values = np.array([*TRUTH.values(), 0.2])
    values[0] = 3e18
    problem, linear_size = model.problem, len(model.names) - model.problem.free.size
    ordered = np.empty(values.size)
    ordered[model.order] = values
    q, linear = model.full_start.copy(), ordered[:linear_size].copy()
    q[problem.free] = ordered[linear_size:]
    counts = model_spectra(model, values)[0]
    chi2, jacobian = evaluated(problem, q, counts, np.ones(counts.size), linear)
    assert chi2 < 1e-12 * counts @ counts
    for name, at in zip(model.names, model.order, strict=True):
        column, step = model.names.index(name), 1e-5 * max(abs(values[model.names.index(name)]), 0.1)
        more, less = values.copy(), values.copy()
        more[column] += step
        less[column] -= step
        numeric = (model_spectra(model, more)[0] - model_spectra(model, less)[0]) / (2 * step)
        assert jacobian[at] == pytest.approx(numeric, abs=3e-4 * np.abs(numeric).max()), name


def test_exact_spectra_give_back_their_parameters(model: FitModel) -> None:
    values = truths(model, 20)
    found = fit_spectra(model, model_spectra(model, values))
    assert (found.status == FitStatus.OK).all()
    assert found.so2 == pytest.approx(values[:, model.so2], rel=1e-6, abs=1e12)
    assert found.parameter("shift_0")[0] == pytest.approx(values[:, model.names.index("shift_0")], abs=1e-5)
    assert found.parameter("background_0")[0] == pytest.approx(np.full(20, 3e4), rel=1e-4)


@pytest.mark.parametrize("warm", [False, True])
def test_columns_and_uncertainties_are_honest(model: FitModel, warm: bool) -> None:
    values = truths(model, 400)
    truth = values[:, model.so2]
    found = fit_spectra(model, noisy(model_spectra(model, values)), warm=warm)
    assert (found.status == FitStatus.OK).all()
    large = truth > 200 * MOLEC_CM2_PER_PPM_M
    assert abs(np.mean((found.so2 / truth - 1)[large])) < 0.005
    held = np.mean(np.abs(found.so2 - truth) < found.so2_sigma)
    assert 0.62 < held < 0.745  # 68 %, 400 draws: 1 sigma is 2.3 %
    assert found.residual_rms.mean() == pytest.approx(0.0055, rel=0.2)
    assert np.median(found.evaluations) < 16


def test_weak_and_negative_columns_stay_unbiased(model: FitModel) -> None:
    values = truths(model, 200)
    values[:, model.so2] = 0.0
    found = fit_spectra(model, noisy(model_spectra(model, values)))
    pull = found.so2 / found.so2_sigma
    assert (found.so2 < 0).sum() > 60
    assert abs(pull.mean()) < 4 / np.sqrt(200)


def test_far_shifts_are_found_from_a_cold_start(model: FitModel) -> None:
    values = truths(model, 16)
    values[:, model.names.index("shift_0")] = np.linspace(-0.9, 0.9, 16)
    found = fit_spectra(model, noisy(model_spectra(model, values)))
    assert np.abs(found.parameter("shift_0")[0] - np.linspace(-0.9, 0.9, 16)).max() < 0.15
    assert (np.abs(found.so2 - values[:, model.so2]) < 5 * found.so2_sigma).all()


def test_one_call_is_many_calls_and_the_detector_is_the_window(model: FitModel) -> None:
    spectra = noisy(model_spectra(model, truths(model, 3)))
    detector = np.full((3, PIXELS.size), np.nan)
    detector[:, model.window] = spectra
    together = fit_spectra(model, detector)
    for n in range(3):
        alone = fit_spectra(model, spectra[n])
        assert np.array_equal(alone.values[0], together.values[n])
        assert np.array_equal(alone.model[0], together.model[n])
    kept = spectra.copy()
    fit_spectra(model, spectra, mask=np.zeros(spectra.shape, dtype=bool))
    assert np.array_equal(kept, spectra)


def test_bad_pixels_do_not_count(model: FitModel) -> None:
    values = truths(model, 4)
    spectra = noisy(model_spectra(model, values), share=1e-5)
    mask = np.ones(spectra.shape, dtype=bool)
    mask[:, 40] = False
    spoiled = spectra.copy()
    spoiled[:, 40] *= 1.1
    assert np.abs(fit_spectra(model, spoiled).so2 / values[:, 0] - 1).max() > 0.01
    masked = fit_spectra(model, spoiled, mask=mask)
    assert masked.so2 == pytest.approx(values[:, 0], rel=2e-3, abs=2e15)
    spoiled[:, 40] = np.nan
    assert np.array_equal(fit_spectra(model, spoiled).values, masked.values)
    assert np.array_equal(fit_spectra(model, spoiled, mask=mask[0]).values, masked.values)


def test_nothing_invalid_looks_valid(model: FitModel) -> None:
    good = noisy(model_spectra(model, truths(model, 1)))[0]
    few = np.zeros(good.size, dtype=bool)
    few[:14] = True
    rows = np.array([good, np.zeros(good.size), np.full(good.size, np.nan), good])
    mask = np.ones(rows.shape, dtype=bool)
    mask[3] = few
    found = fit_spectra(model, rows, mask=mask)
    assert found.status[0] == FitStatus.OK
    assert found.status[1] in (FitStatus.NO_INFORMATION, FitStatus.NOT_CONVERGED)
    assert found.status[2] == FitStatus.BAD_PIXELS
    assert found.status[3] == FitStatus.BAD_PIXELS
    assert np.isnan(found.values[1:]).all()
    assert np.isnan(found.sigma[1:]).all()
    assert np.array_equal(found.ok, [True, False, False, False])


def test_parameters_that_do_nothing_are_no_information(tables: FitTables) -> None:
    flat = SpectralTable(np.linspace(290, 340, 100), np.zeros(100), "nothing")
    empty = FitTables(solar=tables.solar, so2=tables.so2, o3=(flat,))
    model = build_fit(PIXELS, fit=Fit(window_nm=(310, 320)), line_shape=SHAPE, tables=empty)
    double = FitTables(solar=tables.solar, so2=tables.so2, o3=(tables.so2,))
    twice = build_fit(PIXELS, fit=Fit(window_nm=(310, 320)), line_shape=SHAPE, tables=double)
    values = np.array([TRUTH.get(name, 0.0) for name in model.names])
    spectra = noisy(model_spectra(model, np.tile(values, (2, 1))))
    assert (fit_spectra(model, spectra).status == FitStatus.NO_INFORMATION).all()
    assert (fit_spectra(twice, spectra).status == FitStatus.NO_INFORMATION).all()


def test_bounds_and_evaluations_have_their_status(tables: FitTables, model: FitModel) -> None:
    values = truths(model, 3)
    values[:, model.names.index("shift_0")] = 0.3
    spectra = noisy(model_spectra(model, values))
    tight = Fit(window_nm=(310, 320), maximum_shift_nm=0.1, shift_order=0)
    bound = build_fit(PIXELS, fit=tight, line_shape=LineShapeSettings(width_nm=0.56), tables=tables)
    assert (fit_spectra(bound, spectra).status == FitStatus.AT_BOUND).all()
    short = Fit(window_nm=(310, 320), maximum_evaluations=5)
    hasty = build_fit(PIXELS, fit=short, line_shape=SHAPE.model_copy(update={"width_nm": 1.2}), tables=tables)
    found = fit_spectra(hasty, spectra)
    assert (found.status == FitStatus.NOT_CONVERGED).all()
    assert np.isnan(found.so2).all()
    assert np.isfinite(found.chi2).all()


def test_a_fitted_light_dilution(tables: FitTables) -> None:
    wide = build_fit(
        PIXELS, fit=Fit(window_nm=(306, 322)), line_shape=LineShapeSettings(width_nm=0.56, exponent=2.2), tables=tables,
        fit_light_dilution=True,
    )  # fmt: skip
    values = np.array([{"so2": 5e18, "light_dilution": 0.35}.get(name, TRUTH.get(name, 0.0)) for name in wide.names])
    spectra = noisy(model_spectra(wide, np.tile(values, (100, 1))), share=0.001)
    found = fit_spectra(wide, spectra)
    assert (found.status == FitStatus.OK).all()
    for name in ("so2", "light_dilution"):
        value, sigma = found.parameter(name)
        pull = (value - values[wide.names.index(name)]) / sigma
        assert abs(np.median(pull)) < 0.5
        assert 0.5 < np.mean(np.abs(pull) < 1) < 0.85
    with pytest.raises(ValueError, match="is fitted here"):
        fit_spectra(wide, spectra, light_dilution=0.1)


def test_a_held_light_dilution_for_each_spectrum(model: FitModel) -> None:
    values = truths(model, 3)
    shares = np.array([0.0, 0.2, 0.5])
    spectra = model_spectra(model, values, light_dilution=shares)
    found = fit_spectra(model, spectra, light_dilution=shares)
    assert found.so2 == pytest.approx(values[:, 0], rel=1e-5, abs=1e13)
    assert (fit_spectra(model, spectra[1:]).so2 < 0.9 * values[1:, 0]).all()


def test_starts(model: FitModel) -> None:
    values = truths(model, 5)
    spectra = noisy(model_spectra(model, values))
    cold = fit_spectra(model, spectra)
    started = fit_spectra(model, spectra, start=cold.values)
    assert started.so2 == pytest.approx(cold.so2, abs=0.02 * cold.so2_sigma.min())
    guess = np.full(len(model.names), np.nan)
    guess[model.names.index("shift_0")] = 99.0  # brought back to the bound, where it may start
    assert (fit_spectra(model, spectra, start=guess).status == FitStatus.OK).all()
    with pytest.raises(ValueError, match="start must have shape"):
        fit_spectra(model, spectra, start=np.zeros(3))


def test_shapes_and_names_are_checked(model: FitModel) -> None:
    with pytest.raises(ValueError, match="counts must have 387 columns"):
        fit_spectra(model, np.ones((2, 5)))
    with pytest.raises(ValueError, match="rows of mask"):
        fit_spectra(model, np.ones((3, PIXELS.size)), mask=np.ones((2, PIXELS.size)))
    found = fit_spectra(model, model_spectra(model, truths(model, 1)))
    with pytest.raises(ValueError, match="bro was not fitted"):
        found.parameter("bro")


def test_a_measured_line_shape_that_is_wider_than_the_model(tables: FitTables) -> None:
    offsets = np.linspace(0.0, 2.8, 36)
    shape = SpectralTable(offsets, np.exp(-(((offsets - 1.4) / 0.33) ** 2)) + 0.01)
    with_shape = FitTables(tables.solar, tables.so2, tables.o3, None, tables.ring, shape)
    settings = LineShapeSettings(source="file", file="shape.txt")
    for padding in (1.0, 3.0):
        fit = Fit(window_nm=(310, 320), model_padding_nm=padding)
        model = build_fit(PIXELS, fit=fit, line_shape=settings, tables=with_shape)
        assert model.problem.offset_light.shape[0] == (1 if padding < 2 else 0)
        values = np.array([TRUTH[name] for name in model.names])
        exact = fit_spectra(model, model_spectra(model, values))
        assert exact.values[0] == pytest.approx(values, rel=1e-4)
