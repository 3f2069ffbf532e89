"""The truth of a simulation, and its file."""

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.records import Band, FloatArray
from so2cam.core.times import format_utc
from so2cam.core.units import molec_cm2_per_ppm_m
from so2cam.simulate.geometry import Matrix
from so2cam.simulate.light import BandLight, extinction_per_m
from so2cam.simulate.lines import LineInPlane
from so2cam.simulate.scenario import Scenario
from so2cam.simulate.scene import Scene
from so2cam.simulate.spectrometer import FieldOfView

TRUTH_FORMAT: Final = 2
"""Version of the truth file's format."""
_CURVE_PPM_M: Final = 5000.0
_CURVE_STEPS: Final = 51


@dataclass(frozen=True, slots=True)
class LineTruth:
    """What truly crosses a line, at mid-exposure of every on-band frame. Arrays have the shape (pairs,).

    ``speed_m_s`` is emission rate over integrated column amount: the speed along the line's normal, weighted with
    the column, as one who looks from the camera finds it.
    """

    name: str
    emission_rate_kg_s: FloatArray
    integrated_column_amount_kg_m: FloatArray
    speed_m_s: FloatArray
    peak_column_molec_cm2: FloatArray

    @property
    def mean_emission_rate_kg_s(self) -> float:
        """Mean over the pairs [kg s-1]."""
        return float(np.mean(self.emission_rate_kg_s))


@dataclass(frozen=True, slots=True)
class BandTruth:
    """What a band truly does.

    ``cross_section_cm2``: effective, for small columns and without dilution; ``extinction_per_m``: effective, of the
    air between camera and plume for small distances; ``light_dilution``: share of the band's light from before the
    plume at the vent; ``optical_depth``: of a plume there (SO2, aerosol, dilution) at ``Truth.curve_molec_cm2``.
    """

    cross_section_cm2: float
    extinction_per_m: float
    light_dilution: float
    optical_depth: FloatArray


@dataclass(frozen=True, slots=True)
class SpectraTruth:
    """What the spectrometer truly sees. ``times``: mid-exposure, UTC; ``column_molec_cm2``: mean over its field of view
    and the exposure, shape (spectra,); ``light_dilution``: share of the light at 310 nm from before the plume.
    """

    view: FieldOfView
    times: tuple[datetime, ...]
    column_molec_cm2: FloatArray
    light_dilution: float


@dataclass(frozen=True, slots=True)
class Truth:
    """All that is known exactly of a simulation. ``times``: mid-exposure of the on-band frames, UTC."""

    scenario: Scenario
    seed: int
    times: tuple[datetime, ...]
    lines: tuple[LineTruth, ...]
    registration_matrix: Matrix
    curve_molec_cm2: FloatArray
    bands: dict[Band, BandTruth]
    spectra: SpectraTruth
    vent_distance_m: float
    """Along the line of sight"""

    def line(self, name: str) -> LineTruth:
        """Return the line called ``name``. Raises KeyError where there is none."""
        for line in self.lines:
            if line.name == name:
                return line
        raise KeyError(name)

    @property
    def calibration_slope_molec_cm2(self) -> float:
        """Column density per apparent absorbance [molecules cm-2] for small columns of SO2 alone, without dilution."""
        return 1 / (self.bands[Band.ON].cross_section_cm2 - self.bands[Band.OFF].cross_section_cm2)

    @property
    def absorbance(self) -> FloatArray:
        """Apparent absorbance of a plume at the vent's distance, at ``curve_molec_cm2``."""
        return self.bands[Band.ON].optical_depth - self.bands[Band.OFF].optical_depth


def measure_truth(
    scene: Scene,
    lines: tuple[LineInPlane, ...],
    seconds: FloatArray,
    spectra_seconds: FloatArray,
) -> Truth:
    """Return the truth at times [s] since the start: mid-exposure of frames, and of spectra.

    Raises InputError where a line misses the plume.
    """
    scenario = scene.scenario
    origin = scenario.start
    truths = []
    for line in lines:
        crossings = [line.crossing(scene.field, float(time_s)) for time_s in seconds]
        rate = np.array([crossing.emission_rate_kg_s for crossing in crossings])
        amount = np.array([crossing.integrated_column_amount_kg_m for crossing in crossings])
        if np.any(amount <= 0):
            raise InputError(
                f"the line {line.name!r} misses the plume",
                key="lines",
                remedy="correct lines and plume of the scenario",
            )
        peak = np.array([crossing.peak_column_molec_cm2 for crossing in crossings])
        truths.append(LineTruth(line.name, rate, amount, rate / amount, peak))
    device, model = scene.spectrometer, scenario.spectrometer
    duration = model.integration_time_s * model.coadds
    columns = np.array([device.mean_column(float(time_s), duration) for time_s in spectra_seconds])
    vent = scene.geometry.to_plane(*(np.asarray(part) for part in scene.geometry.to_image(0.0, 0.0)))
    distance = float(vent.distance)
    curve = np.linspace(0, _CURVE_PPM_M, _CURVE_STEPS) * molec_cm2_per_ppm_m()
    return Truth(
        scenario=scenario,
        seed=scene.seed,
        times=tuple(origin + timedelta(seconds=float(time_s)) for time_s in seconds),
        lines=tuple(truths),
        registration_matrix=scene.matrix,
        curve_molec_cm2=curve,
        bands={camera.band: _measure_band(camera.light, curve, distance) for camera in scene.cameras},
        spectra=SpectraTruth(
            view=device.view,
            times=tuple(origin + timedelta(seconds=float(time_s)) for time_s in spectra_seconds),
            column_molec_cm2=columns,
            light_dilution=device.light_dilution,
        ),
        vent_distance_m=distance,
    )


def _measure_band(light: BandLight, curve: FloatArray, distance_m: float) -> BandTruth:
    return BandTruth(
        cross_section_cm2=light.cross_section_cm2,
        extinction_per_m=light.extinction_per_m,
        light_dilution=float(light.diluted(np.array(distance_m))),
        optical_depth=-np.log(light.transmission(curve, distance_m)),
    )


def repeat_truth(truth: Truth, seconds: FloatArray, spectra_seconds: FloatArray) -> Truth:
    """Return the truth of a run whose pairs and spectra are those of ``truth`` again and again, at other times [s]."""
    pairs, spectra = len(truth.times), len(truth.spectra.times)
    at = np.arange(seconds.size) % pairs
    at_spectra = np.arange(spectra_seconds.size) % spectra
    origin = truth.scenario.start
    lines = tuple(
        LineTruth(
            line.name,
            line.emission_rate_kg_s[at],
            line.integrated_column_amount_kg_m[at],
            line.speed_m_s[at],
            line.peak_column_molec_cm2[at],
        )
        for line in truth.lines
    )
    return replace(
        truth,
        times=tuple(origin + timedelta(seconds=float(time_s)) for time_s in seconds),
        lines=lines,
        spectra=replace(
            truth.spectra,
            times=tuple(origin + timedelta(seconds=float(time_s)) for time_s in spectra_seconds),
            column_molec_cm2=truth.spectra.column_molec_cm2[at_spectra],
        ),
    )


def format_truth(truth: Truth) -> str:
    """Return the truth as the text of a JSON file; units stand in the names."""
    scenario, view = truth.scenario, truth.spectra.view
    per_ppm_m = molec_cm2_per_ppm_m()
    document: dict[str, Any] = {
        "format": TRUTH_FORMAT,
        "seed": truth.seed,
        "pairs": len(truth.times),
        "axis_speed_m_s": scenario.plume.speed_m_s,
        "registration_matrix_on_to_off": truth.registration_matrix,
        "effective_cross_section_cm2": {band.value: item.cross_section_cm2 for band, item in truth.bands.items()},
        "calibration_slope_molec_cm2": truth.calibration_slope_molec_cm2,
        "band_curve": {
            "column_molec_cm2": truth.curve_molec_cm2.tolist(),
            "absorbance": truth.absorbance.tolist(),
            **{f"optical_depth_{band.value}": item.optical_depth.tolist() for band, item in truth.bands.items()},
        },
        "cells": [
            {
                "label_ppm_m": label,
                "true_ppm_m": scenario.cells.true_ppm_m(label),
                "column_molec_cm2": scenario.cells.true_ppm_m(label) * per_ppm_m,
            }
            for label in scenario.cells.labels_ppm_m
        ],
        "field_of_view": {"x": view.x, "y": view.y, "radius_px": view.radius_px, "edge_exponent": view.edge},
        "light_dilution": {
            "at_310_nm_at_plume": truth.spectra.light_dilution,
            "vent_distance_m": truth.vent_distance_m,
            "extinction_310_per_m": float(extinction_per_m(scenario.air, 310.0)),
            "extinction_per_m": {band.value: item.extinction_per_m for band, item in truth.bands.items()},
            "at_vent": {band.value: item.light_dilution for band, item in truth.bands.items()},
        },
        "times": [format_utc(time) for time in truth.times],
        "lines": {
            line.name: {
                "mean_emission_rate_kg_s": line.mean_emission_rate_kg_s,
                "mean_integrated_column_amount_kg_m": float(np.mean(line.integrated_column_amount_kg_m)),
                "mean_speed_m_s": float(np.sum(line.emission_rate_kg_s) / np.sum(line.integrated_column_amount_kg_m)),
                "emission_rate_kg_s": line.emission_rate_kg_s.tolist(),
                "integrated_column_amount_kg_m": line.integrated_column_amount_kg_m.tolist(),
                "speed_m_s": line.speed_m_s.tolist(),
                "peak_column_molec_cm2": line.peak_column_molec_cm2.tolist(),
            }
            for line in truth.lines
        },
        "spectra": {
            "times": [format_utc(time) for time in truth.spectra.times],
            "column_molec_cm2": truth.spectra.column_molec_cm2.tolist(),
        },
        "scenario": scenario.model_dump(mode="json"),
    }
    return json.dumps(document, indent=1) + "\n"
