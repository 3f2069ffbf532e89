"""A calibration is made again of what a result keeps of it."""

import math

import numpy as np
import pytest

from so2cam.pipeline.calibrated import calibration_again
from so2cam.science.calibration.curve import BandShape, ColumnCurve

AA = np.array([-0.02, 0.0, 0.05, 0.2, 0.5])
SHAPE = BandShape(np.array([0.0, 0.1, 0.3, 0.6]), np.array([0.0, 1e18, 3.5e18, 9e18]))


@pytest.mark.parametrize("shape", [None, SHAPE])
def test_columns_are_those_of_the_curve_that_was_kept(shape: BandShape | None) -> None:
    model, parameters = ("line", [2e16, 1.1e19]) if shape is None else ("band", [2e16, 1.07])
    curve = ColumnCurve(model, np.array(parameters), np.diag([1e30, 1e-4]), 0.6, shape=shape)  # type: ignore[arg-type]
    again = calibration_again(curve.slope_at_zero, curve.offset, shape)
    assert again is not None
    np.testing.assert_allclose(again.curve.column(AA), curve.column(AA), rtol=1e-12)
    assert again.curve.offset == pytest.approx(curve.offset)
    assert again.curve.slope_at_zero == pytest.approx(curve.slope_at_zero)


@pytest.mark.parametrize("slope", [math.nan, 0.0, -1e18])
def test_without_a_slope_there_is_none(slope: float) -> None:
    assert calibration_again((slope, 1e17), (0.0, 0.0), None) is None
    assert calibration_again((1e19, 1e17), (math.nan, math.nan), None) is None
