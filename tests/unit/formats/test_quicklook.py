"""The quicklook: a page for every run, however empty; nothing on it is drawn outside it or with a warning."""

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.errors import OutputError
from so2cam.core.records import PlumeLine
from so2cam.core.results import CalibrationSummary, EmissionSeries, ExampleImage
from so2cam.core.status import EmissionStatus, QualityFlag
from so2cam.formats.quicklook import DPI, SIZE_IN, STATUS_COLOURS, total_reasons, wrap_text, write_quicklook

START = datetime(2018, 3, 26, 14, 44, 8, tzinfo=UTC)
SLOPE = 7.0e18
SUMMARY = (
    ("Distance", "10 312 m to the plume plane"),
    ("Pixel at plume", "7.91 m"),
    ("Background", "sky-surface, order 2"),
    ("Calibration", "3 gas cells, line with offset"),
    ("Pairing", "within 2 s, largest offset 0.42 s"),
    ("Dark frames", "2 of each band"),
    ("Software", "so2cam 0.1.0"),
    ("Settings", "sha256 8d1f0a33b5c24e7d9f6a1b2c3d4e5f60718293a4b5c6d7e8f901a2b3c4d5e6f7"),
)


def make_series(
    pairs: int,
    lines: tuple[str, ...] = ("gas1", "gas2"),
    methods: tuple[str, ...] = ("flow_raw", "cross_correlation"),
    missing: float = 0.1,
    cadence_s: float = 4.0,
    gap_at: int | None = None,
    gap_s: float = 600.0,
) -> EmissionSeries:
    """A run as it may come out: noise on a slow puffing, cross-correlation constant in its windows."""
    rng = np.random.default_rng(7)
    t, n_lines, n_methods = pairs, len(lines), len(methods)
    seconds = cadence_s * np.arange(t)
    if gap_at is not None:
        seconds[gap_at:] += gap_s
    puffing = 1 + 0.35 * np.sin(seconds / 190) + 0.2 * np.sin(seconds / 47)
    amount = np.stack([(0.13 - 0.02 * i) * puffing * rng.normal(1, 0.05, t) for i in range(n_lines)], axis=1)
    speed = np.empty((t, n_lines, n_methods))
    sigma = np.empty_like(speed)
    for m in range(n_methods):
        for i in range(n_lines):
            if m == 0:
                speed[:, i, m] = 5.5 + 0.8 * np.sin(seconds / 300 + i) + rng.normal(0, 0.35, t)
                sigma[:, i, m] = 0.4
            else:
                window = (seconds // 1200).astype(int)
                speed[:, i, m] = (6.2 + rng.normal(0, 0.5, window.max(initial=0) + 1))[window]
                sigma[:, i, m] = 0.6
    reasons = np.array(
        [
            EmissionStatus.FLOW_UNRELIABLE,
            EmissionStatus.LINE_MASKED,
            EmissionStatus.GAP_TOO_LONG,
            EmissionStatus.NO_PLUME,
        ]
    )
    status = np.where(rng.random(speed.shape) < missing, rng.choice(reasons, speed.shape, p=(0.6, 0.2, 0.1, 0.1)), 0)
    if t:
        status[-1, :, 0] = EmissionStatus.NO_NEXT_PAIR
    if n_methods > 1:
        if t < 12:
            status[:, :, 1] = EmissionStatus.TOO_FEW_SAMPLES
        else:
            status[: t // 5, :, 1] = EmissionStatus.LAG_NOT_RESOLVED
    rate = np.where(status == 0, amount[:, :, None] * speed, np.nan)
    total_status = np.where(status[:, 0, :] == 0, 0, int(EmissionStatus.PART_MISSING))
    flags = np.where(rng.random(t) < 0.2, int(QualityFlag.FEW_SKY_PIXELS), 0)
    nothing = np.zeros(t)
    return EmissionSeries(
        times=tuple(START + timedelta(seconds=float(s)) for s in seconds),
        lines=lines,
        speed_methods=methods,
        emission_rate_kg_s=rate,
        random_uncertainty_kg_s=0.09 * np.abs(rate),
        systematic_uncertainty_kg_s=0.24 * np.abs(rate),
        status=status.astype(np.int64),
        plume_speed_m_s=np.where(status == 0, speed, np.nan),
        plume_speed_uncertainty_m_s=np.where(status == 0, sigma, np.nan),
        plume_direction_deg=np.where(status == 0, 85.0, np.nan),
        integrated_column_amount_kg_m=amount,
        integrated_column_amount_uncertainty_kg_m=0.05 * amount,
        total_emission_rate_kg_s=np.where(total_status == 0, rate[:, 0, :], np.nan),
        total_random_uncertainty_kg_s=np.where(total_status == 0, 0.09 * np.abs(rate[:, 0, :]), np.nan),
        total_systematic_uncertainty_kg_s=np.where(total_status == 0, 0.24 * np.abs(rate[:, 0, :]), np.nan),
        total_status=total_status.astype(np.int64),
        background_level=nothing,
        background_noise=nothing + 0.008,
        quality_flags=flags.astype(np.int64),
        pair_offset_s=nothing,
        calibration_slope_molec_cm2=nothing + SLOPE,
        calibration_slope_uncertainty_molec_cm2=nothing + 3e17,
        calibration_offset_molec_cm2=nothing - 1.6e17,
        calibration_offset_uncertainty_molec_cm2=nothing + 5e16,
    )


def without_values(series: EmissionSeries, status: EmissionStatus) -> EmissionSeries:
    """The same run with every value missing for one reason."""
    empty = {
        field.name: np.full_like(getattr(series, field.name), np.nan)
        for field in dataclasses.fields(EmissionSeries)
        if field.name.endswith(("kg_s", "m_s", "deg", "kg_m"))
    }
    return dataclasses.replace(
        series,
        **empty,
        status=np.full_like(series.status, status),
        total_status=np.full_like(series.total_status, EmissionStatus.PART_MISSING),
    )


def make_example(lines: tuple[str, ...] = ("gas1", "gas2")) -> ExampleImage:
    """A plume drifting to the right above a dark slope."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:486, 0:648].astype(float)
    middle = 250 - 0.14 * (x - 180) + 12 * np.sin(x / 60)
    width = 18 + 0.09 * np.clip(x - 150, 0, None)
    puffs = 1 + 0.25 * np.sin(x / 23) * np.cos(y / 31)
    plume = 0.34 * np.exp(-0.5 * ((y - middle) / width) ** 2) * puffs / (1 + np.exp(-(x - 190) / 12))
    absorbance = (plume + rng.normal(0, 0.008, x.shape)).astype(np.float32)
    valid = y < 330 + 0.35 * np.abs(x - 180)
    valid[:6] = False
    absorbance[~valid] = np.nan
    flow = np.stack([2.2 + 0.3 * np.sin(y / 40), -0.35 + 0.2 * np.cos(x / 50)], axis=2).astype(np.float32)
    flow[:40] = np.nan
    plume_lines = tuple(
        PlumeLine(name, (330 + 90 * i, 60.0), (330 + 90 * i, 350.0), (1.0, 0.0)) for i, name in enumerate(lines)
    )
    profiles = {}
    for i, name in enumerate(lines):
        column = SLOPE * np.asarray(absorbance[60:351, 330 + 90 * i], np.float64)
        column[200:206] = np.nan
        profiles[name] = (column, 2296.0)
    return ExampleImage(START, absorbance, valid, plume_lines, flow, profiles)


def make_calibration(*warnings: str) -> CalibrationSummary:
    absorbance = np.array([0.0, 0.131, 0.474])
    curve = np.linspace(0, 0.5, 60)
    return CalibrationSummary(
        description="column = 7.01e18 (± 0.31e18) · absorbance − 1.6e17 molecules cm⁻²; 3 gas cells, line with offset",
        absorbance=absorbance,
        absorbance_uncertainty=np.array([0.004, 0.006, 0.011]),
        column_molec_cm2=np.array([0.0, 7.61e17, 3.147e18]),
        column_uncertainty_molec_cm2=np.array([2e16, 7.6e16, 3.1e17]),
        curve_absorbance=curve,
        curve_column_molec_cm2=SLOPE * curve - 1.6e17,
        curve_uncertainty_molec_cm2=6e16 + 3e17 * curve,
        warnings=warnings,
    )


def write(path: Path, series: EmissionSeries, **changes: object) -> None:
    arguments: dict[str, object] = {
        "site_name": "villarrica-north",
        "volcano": "Villarrica",
        "example": make_example(),
        "calibration": make_calibration(),
        "summary": SUMMARY,
    }
    write_quicklook(path, series, **(arguments | changes))  # type: ignore[arg-type]
