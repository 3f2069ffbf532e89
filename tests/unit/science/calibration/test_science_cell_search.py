from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.records import Band, FloatArray, FrameInfo, FrameKind
from so2cam.core.site import CellSearch
from so2cam.science.calibration.cell_search import CellAssignment, Segment, assign_cells, find_cells

SKY, WEAK, MIDDLE, STRONG = 1.0, 0.80, 0.72, 0.55
"""Shares of the light that sky and cells let through."""
BASE = [SKY] * 4 + [WEAK] * 5 + [SKY] * 3 + [STRONG] * 4 + [SKY] * 4
START = datetime(2024, 3, 1, 12, tzinfo=UTC)
CADENCE_S = 5.0
COLUMNS = {"thin": 4e17, "thick": 2e18}


def series(shares: list[float], *, drift: float = 0.0, curve: float = 0.0, noise: float = 0.0) -> FloatArray:
    position = np.linspace(-1, 1, len(shares))
    light = np.exp(drift * position + curve * position**2)
    light *= 1 + noise * np.random.default_rng(3).standard_normal(len(shares))
    return np.asarray(500 * np.array(shares) * light, np.float64)


def find(shares: list[float], **changes: float) -> tuple[Segment, ...]:
    return find_cells(CADENCE_S * np.arange(len(shares)), series(shares, **changes))


def outline(segments: tuple[Segment, ...]) -> list[tuple[str, int, int]]:
    return [(segment.kind, segment.first, segment.last) for segment in segments]


EXPECTED = [("background", 0, 3), ("cell", 4, 8), ("background", 9, 11), ("cell", 12, 15), ("background", 16, 19)]


# --- segments ----------------------------------------------------------------------------------------------------


def test_steps_make_segments_and_their_edges_are_left_out() -> None:
    segments = find(BASE)
    assert outline(segments) == EXPECTED
    assert [segment.used for segment in segments] == [(0, 1, 2), (5, 6, 7), (10,), (13, 14), (17, 18, 19)]
    assert [segment.level for segment in segments] == pytest.approx([500, 400, 500, 275, 500])
    assert [segment.depth for segment in segments] == pytest.approx(
        [0, -np.log(WEAK), 0, -np.log(STRONG), 0], abs=1e-12
    )


@pytest.mark.parametrize("drift", [-0.1, 0.1])
@pytest.mark.parametrize("curve", [-0.03, 0.0, 0.03])
def test_drifting_sky(drift: float, curve: float) -> None:
    segments = find(BASE, drift=drift, curve=curve)
    assert outline(segments) == EXPECTED
    cells = [segment.depth for segment in segments if segment.kind == "cell"]
    assert cells == pytest.approx([-np.log(WEAK), -np.log(STRONG)], abs=0.01)


def test_noise() -> None:
    assert outline(find(BASE, noise=0.004)) == EXPECTED


def test_half_covered_frames_are_in_no_segment() -> None:
    shares = [SKY] * 4 + [0.9] + [WEAK] * 5 + [0.85, 0.93] + [SKY] * 4
    segments = find(shares)
    assert outline(segments) == [("background", 0, 3), ("cell", 5, 9), ("background", 12, 15)]
    assert segments[1].used == (6, 7, 8)


def test_a_cell_that_is_moved_slowly() -> None:
    slide = list(np.exp(np.linspace(0, np.log(WEAK), 12)[1:-1]))
    shares = [SKY] * 12 + slide[:2] + [WEAK] * 12 + [SKY] * 12
    segments = find(shares)
    assert [segment.kind for segment in segments] == ["background", "cell", "background"]
    assert segments[1].used == tuple(range(15, 25))
    assert segments[0].used == tuple(range(12))


def test_cells_exchanged_without_sky_between_them() -> None:
    kinds = [segment.kind for segment in find([SKY] * 4 + [STRONG] * 4 + [MIDDLE] * 4 + [WEAK] * 4 + [SKY] * 4)]
    assert kinds == ["background", "cell", "cell", "cell", "background"]
    kinds = [segment.kind for segment in find([SKY] * 4 + [STRONG] * 4 + [MIDDLE] * 4 + [STRONG - 0.1] * 4 + [SKY] * 4)]
    assert kinds == ["background", "cell", "cell", "cell", "background"]


def test_cell_at_the_start_or_end() -> None:
    segments = find([WEAK] * 4 + [SKY] * 4 + [STRONG] * 4)
    assert outline(segments) == [("cell", 0, 3), ("background", 4, 7), ("cell", 8, 11)]
    assert segments[0].used == (0, 1, 2)


def test_short_cells_keep_their_frames() -> None:
    segments = find([SKY] * 4 + [WEAK] * 2 + [SKY] * 4 + [STRONG] * 3 + [SKY] * 4)
    assert [segment.used for segment in segments if segment.kind == "cell"] == [(4, 5), (10, 11, 12)]


def test_one_odd_frame_splits_neither_sky_nor_cell() -> None:
    shares = [SKY] * 3 + [0.7] + [SKY] * 3 + [WEAK] * 4 + [0.3] + [WEAK] * 4 + [SKY] * 3
    segments = [segment for segment in find(shares) if segment.kind == "cell"]
    assert len(segments) == 1
    assert (segments[0].first, segments[0].last) == (7, 15)
    assert 11 not in segments[0].members


def test_a_single_brighter_frame_between_two_cells_is_not_needed() -> None:
    segments = find([SKY] * 4 + [WEAK] * 4 + [SKY] + [MIDDLE] * 4 + [SKY] * 4)
    assert [segment.kind for segment in segments] == ["background", "cell", "cell", "background"]


def test_nothing_but_sky() -> None:
    assert outline(find([SKY] * 6)) == [("background", 0, 5)]
    assert find([SKY]) == ()
    assert find_cells(np.empty(0), np.empty(0)) == ()


@pytest.mark.parametrize(
    ("times", "signal", "reason"),
    [
        ([0, 1], [1, 2, 3], "one signal for each time"),
        ([0, 0, 1], [1, 2, 3], "increase"),
        ([0, 1, np.nan], [1, 2, 3], "finite"),
        ([0, 1, 2], [1, 0, 3], "positive"),
        ([0, 1, 2], [1, np.nan, 3], "positive"),
    ],
)
def test_what_is_no_series(times: list[float], signal: list[float], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        find_cells(np.array(times), np.array(signal))


# --- frames ------------------------------------------------------------------------------------------------------


def frames(shares: list[float], *, off_after_s: float = 2.0) -> tuple[list[FrameInfo], dict[str, float]]:
    """Return frames of both bands, the off band with dips of windows alone, and their levels."""
    found: list[FrameInfo] = []
    levels: dict[str, float] = {}
    for band, delay_s, dip in ((Band.ON, 0.0, None), (Band.OFF, off_after_s, 0.93)):
        for index, level in enumerate(series(shares, drift=0.02)):
            path = Path(f"{index:02d}_{band}")
            time = START + timedelta(seconds=CADENCE_S * index + delay_s)
            found.append(FrameInfo(path, band, FrameKind.PLUME, time, 0.1, 1.0))
            levels[str(path)] = float(level if dip is None else 500 * (dip if shares[index] < SKY else 1.0))
    return found, levels


def search(columns: dict[str, float] = COLUMNS, *, end_s: float = CADENCE_S * len(BASE)) -> CellSearch:
    cells = [
        {"name": name, "column_molec_cm2": column, "uncertainty_molec_cm2": 0.2 * column}
        for name, column in columns.items()
    ]
    return CellSearch.model_validate({"start": START, "end": START + timedelta(seconds=end_s), "cells": cells})


def numbers(found: CellAssignment, band: Band, label: float | None) -> list[int]:
    return [
        int(info.path.name[:2])
        for info in found.frames
        if info.band is band and info.kind is (FrameKind.CLEAR if label is None else FrameKind.CELL)
        if info.cell_ppm_m == label
    ]


def test_deeper_dips_are_larger_columns() -> None:
    infos, levels = frames(BASE)
    found = assign_cells(infos, levels, search())
    assert [(held.cell.name, len(held.frames)) for held in found.cells] == [("thin", 6), ("thick", 4)]
    for band in Band:
        assert numbers(found, band, 4e17 / MOLEC_CM2_PER_PPM_M) == [5, 6, 7]
        assert numbers(found, band, 2e18 / MOLEC_CM2_PER_PPM_M) == [13, 14]
        assert numbers(found, band, None) == [0, 1, 2, 10, 17, 18, 19]
    assert len(found.dropped) == 16
    assert {info.kind for info in found.dropped} == {FrameKind.PLUME}
    assert {info.path for info in (*found.frames, *found.dropped)} == {info.path for info in infos}


def test_order_of_the_cells_in_the_site_file_does_not_matter() -> None:
    infos, levels = frames(BASE)
    other = search(dict(reversed(COLUMNS.items())))
    assert assign_cells(infos, levels, search()) == assign_cells(infos, levels, other)


def test_off_band_frames_between_two_steps_are_dropped() -> None:
    shares = [SKY] * 4 + [WEAK] * 2 + [SKY] * 4 + [STRONG] * 2 + [SKY] * 4
    infos, levels = frames(shares, off_after_s=2.4)
    found = assign_cells(infos, levels, search(end_s=200))
    assert numbers(found, Band.ON, 4e17 / MOLEC_CM2_PER_PPM_M) == [4, 5]
    assert numbers(found, Band.OFF, 4e17 / MOLEC_CM2_PER_PPM_M) == [4], "behind frame 5 the cell is taken away"


def test_exposure_and_gain_make_no_dip() -> None:
    infos, levels = frames(BASE)
    changed = [replace(info, exposure_s=0.2, gain=1.5) if i % 2 else info for i, info in enumerate(infos)]
    for info in changed:
        levels[str(info.path)] *= info.exposure_s * info.gain
    found = assign_cells(changed, levels, search())
    assert numbers(found, Band.ON, 4e17 / MOLEC_CM2_PER_PPM_M) == [5, 6, 7]


def test_frames_outside_and_of_other_kinds_stay_as_they_are() -> None:
    infos, levels = frames(BASE + [STRONG] * 5)
    dark = replace(infos[5], kind=FrameKind.DARK, path=Path("dark"))
    named = replace(infos[6], kind=FrameKind.CELL, cell_ppm_m=304.0, path=Path("cell"))
    found = assign_cells([dark, named, *infos], levels, search())
    assert found.frames[:2] == (dark, named)
    assert sum(info.kind is FrameKind.PLUME for info in found.frames) == 10
    assert len(found.cells) == 2


def test_frames_without_a_level_are_dropped() -> None:
    infos, levels = frames(BASE)
    del levels["06_on"], levels["14_off"]
    levels["01_on"] = float("nan")
    found = assign_cells(infos, levels, search())
    assert {"06_on", "14_off", "01_on"} <= {str(info.path) for info in found.dropped}
    assert numbers(found, Band.ON, 4e17 / MOLEC_CM2_PER_PPM_M) == [5, 7]


@pytest.mark.parametrize(
    ("shares", "columns", "reason"),
    [
        (BASE, {"a": 1e17, "b": 2e17, "c": 3e17}, r"show 2 dips: 12:00:20-12:00:40 \(-.*\), .*; cells named: 3"),
        (BASE, {"a": 1e17}, "show 2 dips.*; cells named: 1"),
        ([SKY] * 20, COLUMNS, "show 0 dips; cells named: 2"),
        ([SKY] * 4 + [WEAK] * 4 + [SKY] * 4 + [WEAK] * 4 + [SKY] * 4, COLUMNS, "cannot be told apart"),
    ],
)
def test_dips_that_are_not_the_cells(shares: list[float], columns: dict[str, float], reason: str) -> None:
    infos, levels = frames(shares)
    with pytest.raises(ValueError, match=reason):
        assign_cells(infos, levels, search(columns))


def test_no_frames_or_only_one_band() -> None:
    infos, levels = frames(BASE)
    with pytest.raises(ValueError, match="no usable on-band frames from 2024-03-01T12:00:00"):
        assign_cells(infos, {}, search())
    with pytest.raises(ValueError, match=r"no off-band frame .* shows clear sky"):
        assign_cells([info for info in infos if info.band is Band.ON], levels, search())
