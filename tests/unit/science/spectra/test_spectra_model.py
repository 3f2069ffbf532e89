"""The forward model against the same physics written out in numpy, and what cannot be built."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from so2cam.core.spectrometer import Fit, LineShapeSettings
from so2cam.formats.reference_spectra import reference_table
from so2cam.science.spectra.forward import model_spectra
from so2cam.science.spectra.line_shape import super_gaussian
from so2cam.science.spectra.model import FitModel, FitTables, build_fit
from so2cam.science.spectra.table import SpectralTable

PIXELS = np.linspace(290.0, 340.0, 700)
SHAPE = LineShapeSettings(width_nm=0.6, fit=("width", "exponent", "width_asymmetry", "exponent_asymmetry"))
TRUTH = {
    "so2": 2.5e18, "o3": 9e18, "no2": 2e16, "ring": 0.12,
    "background_0": 2e4, "background_1": 3e3, "background_2": -2e3, "background_3": 500.0, "offset_0": 150.0,
    "shift_0": 0.083, "shift_1": -0.004,
    "width": 0.55, "exponent": 2.2, "width_asymmetry": 0.15, "exponent_asymmetry": 0.3,
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
        no2=table("no2-vandaele1998-220k"),
        ring=table("ring"),
    )


@pytest.fixture(scope="module")
def build(tables: FitTables) -> Callable[..., FitModel]:
    def made(**more: Any) -> FitModel:
        settings: dict[str, Any] = {"fit": Fit(window_nm=(310, 320)), "line_shape": SHAPE, "tables": tables}
        return build_fit(PIXELS, **(settings | more))

    return made


def written_out(tables: FitTables, model: FitModel, truth: dict[str, float], dilution: float) -> np.ndarray:
    """The model on a grid of 0.002 nm, each pixel summed by itself."""
    grid = np.arange(306.0, 324.0, 0.002)
    scaled = (grid - 315) / 5
    solar = tables.solar.at(grid) / tables.solar.at(np.arange(*_reach(model), 0.01)).mean()
    polynomial = sum(truth[f"background_{n}"] * scaled**n for n in range(4))
    assert tables.no2 is not None
    assert tables.ring is not None
    sky = np.exp(
        -truth["o3"] * tables.o3[0].at(grid) - truth["no2"] * tables.no2.at(grid) - truth["ring"] * tables.ring.at(grid)
    )
    share = 1 - (1 - dilution) ** ((310 / grid) ** 4)
    light = solar * polynomial * sky * (share + (1 - share) * np.exp(-truth["so2"] * tables.so2.at(grid)))
    distance = model.wavelengths_nm - 315
    seen = model.wavelengths_nm + truth["shift_0"] + truth["shift_1"] * distance
    out = np.empty(seen.size)
    for p, place in enumerate(seen):
        # A detector at wavelength x records the source at y by the line shape at x - y.
        weight = super_gaussian(
            place - grid, truth["width"], truth["exponent"], truth["width_asymmetry"], truth["exponent_asymmetry"]
        )
        out[p] = weight @ light / weight.sum() + truth["offset_0"]
    return out


def _reach(model: FitModel) -> tuple[float, float]:
    step = model.problem.step_nm
    first = model.wavelengths_nm[0] - model.problem.pixels[0] * step
    return first, first + (model.problem.solar.size - 0.5) * step


@pytest.mark.parametrize("dilution", [0.0, 0.4])
def test_model_is_the_physics_written_out(build: Callable[..., FitModel], tables: FitTables, dilution: float) -> None:
    model = build(light_dilution=dilution)
    assert model.names == tuple(TRUTH)
    found = model_spectra(model, np.array(list(TRUTH.values())))[0]
    expected = written_out(tables, model, TRUTH, dilution)
    assert np.abs(found / expected - 1).max() < 2e-4
    assert np.sqrt(np.mean((found / expected - 1) ** 2)) < 5e-5


def test_dilution_is_of_310_nm_and_may_be_given_for_each_spectrum(build: Callable[..., FitModel]) -> None:
    model, held = build(), build(light_dilution=0.3)
    values = np.tile(list(TRUTH.values()), (2, 1))
    both = model_spectra(model, values, light_dilution=[0.0, 0.3])
    assert both[0] == pytest.approx(model_spectra(model, values[0])[0])
    assert both[1] == pytest.approx(model_spectra(held, values[0])[0])
    assert (both[1] > both[0]).mean() > 0.99


def test_window_is_strictly_within_and_names_follow_the_settings(build: Callable[..., FitModel]) -> None:
    model = build()
    inside = (PIXELS > 310) & (PIXELS < 320)
    assert np.array_equal(PIXELS[model.window], PIXELS[inside])
    small = build(
        fit=Fit(window_nm=(310, 320), background_order=1, offset_order=-1, shift_order=-1),
        line_shape=LineShapeSettings(width_nm=0.6, fit=("width",)),
        fit_light_dilution=True,
        window_nm=(312, 322),
    )
    assert small.names == ("so2", "o3", "no2", "ring", "background_0", "background_1", "width", "light_dilution")
    assert small.wavelengths_nm[0] > 312
    assert small.lower[-2] == pytest.approx(0.15)
    assert small.so2 == 0


def test_two_ozone_tables_have_two_names(tables: FitTables) -> None:
    two = FitTables(tables.solar, tables.so2, (tables.o3[0], table("o3-serdyuchenko2014-243k")))
    model = build_fit(PIXELS, fit=Fit(), line_shape=LineShapeSettings(), tables=two)
    assert model.names[:3] == ("so2", "o3", "o3_2")


def test_what_cannot_be_built_is_refused(build: Callable[..., FitModel], tables: FitTables) -> None:
    with pytest.raises(ValueError, match="lies outside the spectrum"):
        build(window_nm=(335, 345))
    with pytest.raises(ValueError, match="increase strictly"):
        build_fit(PIXELS[::-1], fit=Fit(), line_shape=SHAPE, tables=tables)
    with pytest.raises(ValueError, match="pixels, too few for"):
        build_fit(PIXELS[::20], fit=Fit(window_nm=(310, 320)), line_shape=SHAPE, tables=tables)
    with pytest.raises(ValueError, match="no such table is given"):
        build(line_shape=LineShapeSettings(source="file", file="shape.txt"))
    with pytest.raises(ValueError, match="below 1"):
        build(light_dilution=1.0)
    short = SpectralTable(np.linspace(311, 319, 500), np.ones(500), "short table")
    with pytest.raises(ValueError, match="short table covers"):
        build(tables=FitTables(solar=tables.solar, so2=short))


def test_parameters_that_make_no_spectrum(build: Callable[..., FitModel]) -> None:
    model = build()
    values = np.array(list(TRUTH.values()))
    values[model.names.index("shift_0")] = 50.0
    assert np.isnan(model_spectra(model, values)).all()
    with pytest.raises(ValueError, match="15 columns"):
        model_spectra(model, values[:-1])
    with pytest.raises(ValueError, match="finite"):
        model_spectra(model, np.full(15, np.nan))
    with pytest.raises(ValueError, match="below 1"):
        model_spectra(model, np.array(list(TRUTH.values())), light_dilution=1.2)
