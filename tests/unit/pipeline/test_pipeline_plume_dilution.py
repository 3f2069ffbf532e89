"""What the uncertainty of extinction, distance and airlight does to a corrected absorbance, by simulation."""

import numpy as np
import pytest

from so2cam.pipeline.plume_dilution import PlumeDilution
from so2cam.science.imaging.light_dilution import (
    DilutionState,
    StateUncertainty,
    correct_optical_depth,
    dilute_optical_depth,
)

ON, OFF = DilutionState(1.0e-4, 5200.0), DilutionState(0.8e-4, 5200.0)


@pytest.mark.parametrize("depths", [(0.35, 0.05), (0.02, 0.0)])
def test_errors_are_those_of_drawn_extinctions_distances_and_airlights(depths: tuple[float, float]) -> None:
    on, off = (
        dilute_optical_depth(np.full((1, 1), depth, np.float32), state)
        for depth, state in zip(depths, (ON, OFF), strict=True)
    )
    uncertainty = StateUncertainty(1e-5, 0.8e-5, 0.6, 0.04, 0.05)
    dilution = PlumeDilution(ON, OFF, uncertainty, 1.7, 5200.0)
    parts = dilution.errors(on[0].astype(float), off[0].astype(float), np.array([5200.0]))
    assert dilution.extinctions == (1.0e-4, 0.8e-4, 1e-5, 0.8e-5)
    rng = np.random.default_rng(5)
    drawn = []
    for common, own_on, own_off, far, bright in rng.standard_normal((3000, 5)):
        distance, ratio = 5200 * (1 + 0.04 * far), 1 + 0.05 * bright
        by_on = ON.extinction_per_m + 1e-5 * (np.sqrt(0.6) * common + np.sqrt(0.4) * own_on)
        by_off = OFF.extinction_per_m + 0.8e-5 * (np.sqrt(0.6) * common + np.sqrt(0.4) * own_off)
        true_on, _ = correct_optical_depth(on, DilutionState(by_on, distance, ratio))
        true_off, _ = correct_optical_depth(off, DilutionState(by_off, distance, ratio))
        drawn.append(float(true_on[0, 0] - true_off[0, 0]))
    assert np.std(drawn) == pytest.approx(np.sqrt(sum(float(part[0]) ** 2 for part in parts)), rel=0.08)
