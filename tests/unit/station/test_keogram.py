"""The keogram: means in cells of time and place, gaps, and its file."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest

from so2cam.core.errors import InputError
from so2cam.station.keogram import Keogram, draw_keogram

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_cells_hold_means_and_gaps_stay_gaps() -> None:
    keogram = Keogram.empty("line", NOON, NOON + timedelta(hours=1), places=4, steps=6)
    position = np.array([0.05, 0.1, 0.3, 0.6, 1.0])
    assert keogram.add(NOON + timedelta(minutes=1), position, np.array([1.0, 3.0, np.nan, 5.0, 7.0]))
    assert keogram.add(NOON + timedelta(minutes=9), position, np.array([5.0, 7.0, np.nan, 7.0, 9.0]))
    assert not keogram.add(NOON + timedelta(hours=1), position, np.ones(5)), "the end belongs to the next"
    assert not keogram.add(NOON - timedelta(seconds=1), position, np.ones(5))
    columns = keogram.columns_molec_cm2
    np.testing.assert_array_equal(columns[:, 0], [4.0, np.nan, 6.0, 8.0])
    assert np.isnan(columns[:, 1:]).all()


def test_it_is_read_back_and_goes_on(tmp_path: Path) -> None:
    keogram = Keogram.empty("line", NOON, NOON + timedelta(hours=1))
    keogram.add(NOON, np.linspace(0, 1, 50), np.full(50, 1e18))
    keogram.save(tmp_path / "k.npz")
    again = Keogram.load(tmp_path / "k.npz")
    assert (again.line, again.start, again.end) == ("line", keogram.start, keogram.end)
    np.testing.assert_array_equal(again.columns_molec_cm2, keogram.columns_molec_cm2)
    (tmp_path / "bad.npz").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match="is no keogram"):
        Keogram.load(tmp_path / "bad.npz")
    with pytest.raises(ValueError, match="end after"):
        Keogram.empty("line", NOON, NOON)


def test_the_picture_shows_where_the_plume_is() -> None:
    keogram = Keogram.empty("line", NOON, NOON + timedelta(hours=24))
    position = np.linspace(0, 1, 300)
    for minute in range(300, 1200):
        centre = 0.5 + 0.2 * np.sin(minute / 120)
        keogram.add(NOON + timedelta(minutes=minute), position, 4e18 * np.exp(-(((position - centre) / 0.08) ** 2)))
    picture = cv2.imdecode(np.frombuffer(draw_keogram(keogram, site="Villarrica"), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[:2] == (380, 1100)
    left, right = int(0.065 * 1100), int(0.885 * 1100)
    inside = picture[60:320, left:right].astype(int)
    grey = np.abs(inside - inside.mean(axis=2, keepdims=True)).max(axis=2) < 3
    hatched = (grey & (inside.min(axis=2) > 150)).mean(axis=0) > 0.9
    assert hatched[: int(0.19 * hatched.size)].all(), "before the first pair"
    assert not hatched[int(0.25 * hatched.size) : int(0.8 * hatched.size)].any()
    brightest = inside[:, int(0.5 * hatched.size)].sum(axis=1).argmax() / inside.shape[0]
    assert 0.2 < brightest < 0.8
    empty = draw_keogram(Keogram.empty("line", NOON, NOON + timedelta(hours=24)), site="x")
    assert empty.startswith(b"\x89PNG")
