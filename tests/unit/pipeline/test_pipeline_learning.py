"""What a run learns: the order in which it becomes known, and which images of a long run are looked at."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so2cam.core.errors import InputError
from so2cam.core.records import Band, FrameInfo, FrameKind, FramePair
from so2cam.core.site import Site
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.columns import ColumnPoint, ColumnSet
from so2cam.pipeline.learning import evenly, in_order, known_at, require_columns, with_columns

START = datetime(2026, 1, 15, 14, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def info(seconds: float, band: Band, exposure_s: float = 1.0) -> FrameInfo:
    return FrameInfo(Path(f"{seconds}{band}"), band, FrameKind.PLUME, at(seconds), exposure_s, 1.0)


def pair(
    seconds: float, off_s: float | None = None, later_s: float | None = None, exposure_s: float = 1.0
) -> FramePair:
    off = info(seconds if off_s is None else off_s, Band.OFF, exposure_s)
    later = None if later_s is None else info(later_s, Band.OFF, exposure_s)
    return FramePair(info(seconds, Band.ON, exposure_s), off, later)


def column(seconds: float, exposure_s: float = 2.0) -> ColumnPoint:
    return ColumnPoint(at(seconds), exposure_s, 1e18, 1e16)


def site_with(**calibration: Any) -> Site:
    loaded = load_site(Path(__file__).resolve().parents[3] / "examples/villarrica/site.toml")
    settings = loaded.site.model_dump(mode="json")
    settings["processing"]["calibration"].update(calibration)
    return Site.model_validate(settings)


def test_a_pair_is_known_when_its_last_exposure_ends() -> None:
    assert known_at(pair(10)) == at(10.5)
    assert known_at(pair(10, off_s=12)) == at(12.5)
    assert known_at(pair(10, off_s=8)) == at(10.5)
    assert known_at(pair(10, off_s=8, later_s=14)) == at(14.5)


def test_pairs_and_columns_in_the_order_in_which_they_become_known() -> None:
    first, second, waiting = pair(0), pair(8), pair(4, off_s=2, later_s=20)
    early, late = column(-2), column(7)  # known at -1 and 8 s
    assert in_order([first, second, waiting], [late, early]) == [early, first, late, second, waiting]


def test_a_column_that_ends_with_a_pair_comes_first() -> None:
    one, other = pair(10), column(9.5, 2.0)
    assert known_at(one) == other.end
    assert in_order([one], [other]) == [other, one]


@given(st.lists(st.integers(0, 50), max_size=12), st.lists(st.integers(0, 50), max_size=12))
def test_the_order_loses_nothing_and_never_looks_ahead(pairs: list[int], columns: list[int]) -> None:
    made, points = [pair(s) for s in pairs], [column(s) for s in columns]
    events = in_order(made, points)
    assert len(events) == len(made) + len(points)
    times = [event.end if isinstance(event, ColumnPoint) else known_at(event) for event in events]
    assert times == sorted(times)
    # Of what becomes known at one time the given order stays.
    assert [e for e in events if isinstance(e, FramePair)] == sorted(made, key=known_at)


@given(st.integers(0, 300), st.integers(1, 60))
def test_images_taken_evenly(count: int, wanted: int) -> None:
    pairs = [pair(4 * index) for index in range(count)]
    chosen = evenly(pairs, wanted)
    assert len(chosen) == min(count, wanted)
    assert [item.time for item in chosen] == sorted(item.time for item in chosen)
    if count > wanted > 1:
        assert (chosen[0], chosen[-1]) == (pairs[0], pairs[-1])
        apart = np.diff([item.time.timestamp() for item in chosen]) / 4
        assert apart.max() - apart.min() <= 1.001


def test_images_with_a_column_near() -> None:
    site = site_with(source="spectrometer", spectrometer={"maximum_gap_s": 10.0})
    pairs = [pair(seconds) for seconds in (0, 5, 14, 16, 30, 41)]
    chosen = with_columns(pairs, [column(50), column(5)], site)
    assert [item.time for item in chosen] == [at(seconds) for seconds in (0, 5, 14, 41)]
    assert with_columns(pairs, [], site) == []


def test_columns_are_asked_for_where_they_are_needed() -> None:
    some = ColumnSet((column(0),), {})
    assert require_columns(site_with(), None) == ColumnSet((), {})
    assert require_columns(site_with(source="spectrometer"), some) is some
    with pytest.raises(InputError, match="spectrometer's columns") as caught:
        require_columns(site_with(source="spectrometer"), None)
    assert caught.value.key == "processing.calibration.source"
    assert "--spectra" in str(caught.value.remedy)
