"""The truth of a simulation, and its file."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.records import Band, FloatArray
from so2cam.core.times import format_utc
from so2cam.core.units import molec_cm2_per_ppm_m
from so2cam.simulate.geometry import Matrix
from so2cam.simulate.lines import LineInPlane
from so2cam.simulate.plume import PlumeField
from so2cam.simulate.scenario import Scenario

TRUTH_FORMAT = 1
"""Version of the truth file's format."""


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
class Truth:
    """All that is known exactly of a simulation. ``times``: mid-exposure of the on-band frames, UTC."""

    scenario: Scenario
    seed: int
    times: tuple[datetime, ...]
    lines: tuple[LineTruth, ...]
    registration_matrix: Matrix

    def line(self, name: str) -> LineTruth:
        """Return the line called ``name``. Raises KeyError where there is none."""
        for line in self.lines:
            if line.name == name:
                return line
        raise KeyError(name)

    @property
    def calibration_slope_molec_cm2(self) -> float:
        """Column density per apparent absorbance [molecules cm-2]."""
        cells = self.scenario.cells
        return 1 / (cells.cross_section_on_cm2 - cells.cross_section_off_cm2)


def measure_truth(
    scenario: Scenario, seed: int, field: PlumeField, lines: tuple[LineInPlane, ...], pairs: int, matrix: Matrix
) -> Truth:
    """Return the truth of ``pairs`` pairs. Raises InputError where a line misses the plume."""
    seconds = [pair * scenario.cadence_s + scenario.sensor.exposure_on_s / 2 for pair in range(pairs)]
    truths = []
    for line in lines:
        rate = np.array([line.emission_rate(field, time_s) for time_s in seconds])
        amount = np.array([line.integrated_column_amount(field, time_s) for time_s in seconds])
        if np.any(amount <= 0):
            raise InputError(
                f"the line {line.name!r} misses the plume",
                key="lines",
                remedy="correct lines and plume of the scenario",
            )
        peak = np.array([line.peak_column(field, time_s) for time_s in seconds])
        truths.append(LineTruth(line.name, rate, amount, rate / amount, peak))
    times = tuple(scenario.start + timedelta(seconds=time_s) for time_s in seconds)
    return Truth(scenario, seed, times, tuple(truths), matrix)


def format_truth(truth: Truth) -> str:
    """Return the truth as the text of a JSON file; units stand in the names."""
    cells = truth.scenario.cells
    document: dict[str, Any] = {
        "format": TRUTH_FORMAT,
        "seed": truth.seed,
        "pairs": len(truth.times),
        "axis_speed_m_s": truth.scenario.plume.speed_m_s,
        "registration_matrix_on_to_off": truth.registration_matrix,
        "effective_cross_section_cm2": {
            Band.ON.value: cells.cross_section_on_cm2,
            Band.OFF.value: cells.cross_section_off_cm2,
        },
        "calibration_slope_molec_cm2": truth.calibration_slope_molec_cm2,
        "cells": [
            {"label_ppm_m": label, "column_molec_cm2": label * molec_cm2_per_ppm_m()} for label in cells.labels_ppm_m
        ],
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
        "scenario": truth.scenario.model_dump(mode="json"),
    }
    return json.dumps(document, indent=1) + "\n"
