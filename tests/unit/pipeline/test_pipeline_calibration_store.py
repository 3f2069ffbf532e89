"""Stored calibrations: round trip, lines that are none, and which of them is taken."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so2cam.core.errors import InputError
from so2cam.core.records import FloatArray
from so2cam.core.status import QualityFlag
from so2cam.pipeline.calibrated import Calibration
from so2cam.pipeline.calibration_store import StoredCalibrations, load_stored
from so2cam.science.calibration.curve import BandShape, ColumnCurve

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
SHAPE = BandShape(np.linspace(0, 1, 20), 1e19 * np.linspace(0, 1, 20) * (1 + 0.1 * np.linspace(0, 1, 20)))
FLAT, STEEP = np.ones(30), np.linspace(0.5, 1.5, 30)


def line(slope: float = 8e18, offset: float = 1e16) -> ColumnCurve:
    covariance = np.array([[4e32, -1e33], [-1e33, 9e34]])
    return ColumnCurve("line", np.array([offset, slope]), covariance, 0.4, -0.01)


def band(scale: float = 1.1) -> ColumnCurve:
    return ColumnCurve("band", np.array([1e16, scale]), np.diag([4e32, 4e-4]), 0.4, -0.01, SHAPE)


def calibration(curve: ColumnCurve) -> Calibration:
    return Calibration(curve, 0.03, number=7)


def stored(path: Path, *entries: tuple[datetime, float, FloatArray | None]) -> StoredCalibrations:
    made = StoredCalibrations(path, None)
    for time, slope, light in entries:
        made.add(time, calibration(line(slope)), light)
    made.save()
    return load_stored(path, None)


def by_hours(made: datetime, now: datetime) -> float:
    """What another time adds to the uncertainty: a hundredth an hour."""
    return (now - made).total_seconds() / 360_000


def slope_at(store: StoredCalibrations, time: datetime, light: FloatArray | None = None) -> float | None:
    found = store.nearest(time, light, by_hours)
    return None if found is None else found.curve.slope_at_zero[0]


@pytest.mark.parametrize(("curve", "shape"), [(line(), None), (band(), SHAPE)])
def test_what_is_saved_comes_back(tmp_path: Path, curve: ColumnCurve, shape: BandShape | None) -> None:
    path = tmp_path / "calibrations.jsonl"
    store = load_stored(path, shape)
    assert store.earlier == []
    store.add(NOON, calibration(curve), STEEP)
    assert not path.exists(), "nothing is written before it is saved"
    store.save()
    back = load_stored(path, shape)
    [entry] = back.earlier
    assert entry.time == NOON
    assert entry.scale_uncertainty == 0.03
    assert entry.light is not None
    np.testing.assert_allclose(entry.light, STEEP, atol=1e-6)
    grid = np.linspace(-0.05, 0.6, 40)
    np.testing.assert_array_equal(entry.curve.column(grid), curve.column(grid))
    np.testing.assert_array_equal(entry.curve.column_uncertainty(grid), curve.column_uncertainty(grid))
    assert (entry.curve.minimum_absorbance, entry.curve.maximum_absorbance) == (-0.01, 0.4)


def test_a_stored_calibration_is_flagged_and_less_certain(tmp_path: Path) -> None:
    found = stored(tmp_path / "c", (NOON, 8e18, None)).nearest(NOON + timedelta(hours=24), None, by_hours)
    assert found is not None
    assert found.flags == QualityFlag.CALIBRATION_STORED
    assert found.scale_uncertainty == pytest.approx(np.hypot(0.03, 0.24))
    assert found.number == -1


def test_saving_keeps_what_was_there_and_adds_in_order_of_time(tmp_path: Path) -> None:
    path = tmp_path / "c"
    stored(path, (NOON, 1e18, None))
    second = load_stored(path, None)
    second.add(NOON - timedelta(days=2), calibration(line(2e18)), None)
    second.save()
    times = [json.loads(text)["time"] for text in path.read_text().splitlines()]
    assert times == ["2026-01-13T12:00:00.000Z", "2026-01-15T12:00:00.000Z"]
    before = path.read_bytes()
    second.save()
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["c"]


def test_calibrations_of_nearly_one_time_are_kept_once(tmp_path: Path) -> None:
    store = StoredCalibrations(tmp_path / "c", None)
    for minutes in (0, 10, 29, 31, 55, 61):
        store.add(NOON + timedelta(minutes=minutes), calibration(line()), None)
    assert [entry.time for entry in store.new] == [NOON + timedelta(minutes=minutes) for minutes in (0, 31, 61)]
    store.save()
    store.add(NOON + timedelta(minutes=5), calibration(line()), None)
    assert store.new == []


def test_nearest_by_light(tmp_path: Path) -> None:
    entries = ((NOON, 1e18, FLAT), (NOON + timedelta(hours=3), 2e18, STEEP), (NOON + timedelta(hours=5), 3e18, None))
    store = stored(tmp_path / "c", *entries)
    tomorrow = NOON + timedelta(days=1)
    assert slope_at(store, tomorrow, STEEP + 0.02) == 2e18
    assert slope_at(store, tomorrow, FLAT + 0.02) == 1e18
    # Light of another detector cannot be compared: the time of day tells.
    assert slope_at(store, tomorrow + timedelta(hours=3), np.ones(7)) == 2e18
    # Of equal light the newer one.
    store = stored(tmp_path / "d", (NOON, 1e18, FLAT), (NOON + timedelta(hours=3), 2e18, FLAT))
    assert slope_at(store, tomorrow, FLAT) == 2e18


def test_nearest_by_time_of_day(tmp_path: Path) -> None:
    late = NOON.replace(hour=23)
    store = stored(tmp_path / "c", (NOON, 1e18, None), (late, 2e18, None))
    later = NOON + timedelta(days=40)
    assert slope_at(store, later + timedelta(hours=1)) == 1e18
    assert slope_at(store, later.replace(hour=20)) == 2e18
    assert slope_at(store, later.replace(hour=1)) == 2e18, "an hour after midnight is near an hour before it"
    # Without light of the day, calibrations that know theirs count by their time too.
    store = stored(tmp_path / "d", (NOON, 1e18, FLAT), (late, 2e18, FLAT))
    assert slope_at(store, later.replace(hour=20)) == 2e18


def test_nothing_from_the_future(tmp_path: Path) -> None:
    store = stored(tmp_path / "c", (NOON, 1e18, FLAT), (NOON + timedelta(hours=2), 2e18, STEEP))
    assert slope_at(store, NOON) is None
    assert slope_at(store, NOON - timedelta(days=1), STEEP) is None
    assert slope_at(store, NOON + timedelta(hours=1), STEEP) == 1e18
    # Nor what this very run learns.
    fresh = StoredCalibrations(tmp_path / "d", None)
    fresh.add(NOON, calibration(line()), None)
    assert fresh.nearest(NOON + timedelta(hours=1), None, by_hours) is None


def test_curves_of_another_kind_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "c"
    store = StoredCalibrations(path, SHAPE)
    store.add(NOON, calibration(band()), None)
    store.save()
    assert load_stored(path, None).earlier == []
    assert len(load_stored(path, SHAPE).earlier) == 1
    stored(tmp_path / "d", (NOON, 1e18, None))
    assert load_stored(tmp_path / "d", SHAPE).earlier == []


def entry(**changes: Any) -> str:
    data: dict[str, Any] = {
        "time": "2026-01-15T12:00:00.000Z",
        "model": "line",
        "parameters": [1e16, 8e18],
        "covariance": [[1e32, 0], [0, 1e34]],
        "minimum_absorbance": 0.0,
        "maximum_absorbance": 0.4,
        "scale_uncertainty": 0.03,
        "light": None,
    }
    return json.dumps(data | changes)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "null",
        "7",
        '"line"',
        "{}",
        entry()[:-20],
        entry(time="yesterday"),
        entry(time=5),
        entry(parameters=["a", "b"]),
        entry(parameters=[1e16, float("nan")]),
        entry(parameters=[1e16]),
        entry(covariance=[[1.0]]),
        entry(covariance="none"),
        entry(model="spline"),
        entry(maximum_absorbance=None),
        entry(maximum_absorbance=float("nan")),
        entry(scale_uncertainty="much"),
        entry(scale_uncertainty=-1.0),
        entry(scale_uncertainty=float("nan")),
        entry(covariance=[[float("inf"), 0], [0, 1e34]]),
        entry(light={"a": 1}),
        entry(light=[1.0, float("nan")]),
        "\x00\x00\x00",
        "[" * 100_000,
    ],
)
def test_lines_that_are_no_calibration(tmp_path: Path, text: str) -> None:
    path = tmp_path / "calibrations.jsonl"
    content = entry() + "\n\n" + text + "\n"
    path.write_text(content)
    with pytest.raises(InputError, match="line 3 is no stored calibration") as caught:
        load_stored(path, None)
    assert caught.value.file == path
    assert caught.value.remedy
    assert path.read_text() == content


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "calibrations.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        load_stored(path, None)
    with pytest.raises(InputError, match="cannot be read"):
        load_stored(tmp_path, None)
