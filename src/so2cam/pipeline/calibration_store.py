"""Earlier calibrations of a site, for when the spectrometer misses the plume: made under the most similar light.

A file of JSON lines, one calibration each, the newest last. Only whole lines count; a new one is added by writing the
file anew, whole or not at all.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.records import FloatArray
from so2cam.core.status import QualityFlag
from so2cam.core.times import format_utc, parse_utc
from so2cam.pipeline.calibrated import Calibration
from so2cam.science.calibration.curve import BandShape, ColumnCurve
from so2cam.store.atomic import atomic_write_bytes

_APART: Final = timedelta(minutes=30)
"""Calibrations of a run are kept no closer in time than this."""
_KEPT: Final = 2000
_PARAMETERS: Final = {"line": 2, "quadratic": 2, "quadratic_with_offset": 3, "band": 2}
"""How many parameters each curve has."""


@dataclass(frozen=True, slots=True)
class StoredCalibration:
    """One earlier calibration: curve, common uncertainty, and the light it was made under."""

    time: datetime
    curve: ColumnCurve
    scale_uncertainty: float
    light: FloatArray | None


@dataclass(slots=True)
class StoredCalibrations:
    """The calibrations in a file, and those that a run adds. Nothing is written before ``save``."""

    path: Path
    shape: BandShape | None
    earlier: list[StoredCalibration] = field(default_factory=list)
    new: list[StoredCalibration] = field(default_factory=list)

    def nearest(
        self, time: datetime, light: FloatArray | None, changed: Callable[[datetime, datetime], float]
    ) -> Calibration | None:
        """Return the earlier calibration under the most similar light; by the sun's time of day where light is unknown.

        ``changed`` gives relative 1 sigma of what the light of another time does to a slope (``light_change``). Only
        those of before ``time`` count, so that a run over an archive tells what a live run told. Similar is what has
        the least root mean square difference of the spectra's shapes.
        """
        known = [stored for stored in self.earlier if stored.time < time]
        if not known:
            return None
        differences = [(_difference(stored.light, light), stored) for stored in known]
        if any(np.isfinite(difference) for difference, _ in differences):
            chosen = min(differences, key=lambda pair: (pair[0], time - pair[1].time))[1]
        else:
            chosen = min(known, key=lambda stored: (_apart_in_day(stored.time, time), time - stored.time))
        return Calibration(
            chosen.curve,
            float(np.hypot(chosen.scale_uncertainty, changed(chosen.time, time))),
            QualityFlag.CALIBRATION_STORED,
            -1,
        )

    def add(self, time: datetime, calibration: Calibration, light: FloatArray | None) -> None:
        """Remember a calibration of this run, unless there is one of nearly the same time."""
        if all(abs(stored.time - time) >= _APART for stored in (*self.earlier, *self.new)):
            self.new.append(StoredCalibration(time, calibration.curve, calibration.scale_uncertainty, light))

    def save(self) -> None:
        """Write the file with what the run added; as it was where that is nothing. Raises OutputError."""
        if not self.new:
            return
        together = sorted((*self.earlier, *self.new), key=lambda stored: stored.time)[-_KEPT:]
        atomic_write_bytes(self.path, "".join(_line(stored) + "\n" for stored in together).encode())
        self.earlier, self.new = together, []


def load_stored(path: Path, shape: BandShape | None) -> StoredCalibrations:
    """Return the calibrations in ``path``; none where the file does not exist yet.

    A band's curves are those of the site's filters of today, ``shape``. Raises InputError for a line that is none.
    """
    if not path.exists():
        return StoredCalibrations(path, shape)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"the stored calibrations cannot be read: {error}",
            file=path,
            key="processing.calibration.spectrometer.stored",
            remedy="restore the file, or move it away to begin a new one",
        ) from error
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            stored = _parse(line, shape, path, number)
            if stored is not None:
                found.append(stored)
    return StoredCalibrations(path, shape, found)


def _line(stored: StoredCalibration) -> str:
    curve = stored.curve
    return json.dumps(
        {
            "time": format_utc(stored.time),
            "model": curve.model,
            "parameters": curve.parameters.tolist(),
            "covariance": curve.covariance.tolist(),
            "minimum_absorbance": curve.minimum_absorbance,
            "maximum_absorbance": curve.maximum_absorbance,
            "scale_uncertainty": stored.scale_uncertainty,
            "light": None if stored.light is None else [round(float(value), 6) for value in stored.light],
        },
        allow_nan=False,
    )


def _parse(line: str, shape: BandShape | None, path: Path, number: int) -> StoredCalibration | None:
    try:
        return _stored(json.loads(line), shape)
    except KeyError as error:
        problem = f"it lacks {error}"
    except (ValueError, TypeError, RecursionError) as error:
        problem = str(error)
    raise InputError(
        f"line {number} is no stored calibration: {problem}",
        file=path,
        key="processing.calibration.spectrometer.stored",
        remedy="remove the line, or move the file away to begin a new one",
    )


def _stored(data: dict[str, Any], shape: BandShape | None) -> StoredCalibration | None:
    """Return a calibration; None for one of another kind of curve. Raises ValueError, KeyError, TypeError."""
    if not isinstance(data, dict):
        raise TypeError("it is no table of names and values")
    model = data["model"]
    if model not in _PARAMETERS:
        raise ValueError(f"there is no curve {model!r}")
    parameters, covariance = np.array(data["parameters"], float), np.array(data["covariance"], float)
    low, high = float(data["minimum_absorbance"]), float(data["maximum_absorbance"])
    scale = float(data["scale_uncertainty"])
    light = None if data["light"] is None else np.array(data["light"], np.float64)
    if parameters.shape != (_PARAMETERS[model],) or covariance.shape != (parameters.size, parameters.size):
        raise ValueError("parameters and covariance do not fit the curve")
    if not all(np.isfinite(value).all() for value in (parameters, covariance, low, high, scale)) or scale < 0:
        raise ValueError("a value is not finite, or an uncertainty negative")
    if light is not None and (light.ndim != 1 or not np.isfinite(light).all()):
        raise ValueError("the light is no row of finite numbers")
    if (model == "band") != (shape is not None):
        return None
    curve = ColumnCurve(model, parameters, covariance, high, low, shape)
    return StoredCalibration(parse_utc(data["time"]), curve, scale, light)


def _difference(stored: FloatArray | None, light: FloatArray | None) -> float:
    """Return the root mean square difference of two spectra's shapes, infinite where they cannot be compared."""
    if stored is None or light is None or stored.shape != light.shape:
        return float("inf")
    return float(np.sqrt(np.mean((stored - light) ** 2)))


def _apart_in_day(first: datetime, second: datetime) -> float:
    seconds = abs((first - second).total_seconds()) % 86400
    return min(seconds, 86400 - seconds)
