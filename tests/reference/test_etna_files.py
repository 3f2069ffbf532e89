"""Real measurements: frames of an Envicam at Etna, 2015: their names, headers, darks and gas cells."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.records import Band, FloatImage, FrameInfo, FrameKind
from so2cam.core.site import CellSearch, Files
from so2cam.core.times import parse_utc
from so2cam.formats.fits import read_header
from so2cam.formats.folder import FrameScan, SkipCategory, scan_frames
from so2cam.formats.image_files import read_frame
from so2cam.science.calibration.cell_search import CellAssignment, assign_cells
from so2cam.science.imaging.dark_model import mean_exposure_s, modelled_dark, select_offset_and_dark

pytestmark = pytest.mark.data

FILES = Files(naming="envicam", on_band="F01", off_band="F02")


@pytest.fixture(scope="module")
def images(data_dir: Path) -> Path:
    return data_dir / "etna/images"


@pytest.fixture(scope="module")
def reference(data_dir: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((data_dir / "etna/reference_values.json").read_text())
    return found


@pytest.fixture(scope="module")
def scan(images: Path) -> FrameScan:
    return scan_frames([images], FILES)


@pytest.fixture(scope="module")
def cells(scan: FrameScan, reference: dict[str, Any]) -> CellAssignment:
    start, end = (parse_utc(text) for text in reference["common"]["calib_window"])
    search = CellSearch.model_validate(
        {
            "start": start,
            "end": end,
            "cells": [
                {"name": name, "column_molec_cm2": column, "uncertainty_molec_cm2": error}
                for name, (column, error) in reference["common"]["cells_cm2"].items()
            ],
        }
    )
    within = [info for info in scan.frames if start <= info.time < end and info.kind is FrameKind.PLUME]
    levels = {str(info.path): float(pixels(info).mean()) - 12.2 for info in within}
    return assign_cells(scan.frames, levels, search)


def pixels(info: FrameInfo) -> FloatImage:
    return np.asarray(read_frame(info, width=84, height=64, maximum_dn=255).counts, np.float32)


def expected(reference: dict[str, Any], quantity: str) -> dict[str, Any]:
    return next(entry for entry in reference["expectations"] if entry["quantity"].startswith(quantity))


# --- files -------------------------------------------------------------------------------------------------------


def test_all_files_are_accounted_for(scan: FrameScan, images: Path) -> None:
    counts = {
        (band, kind): sum(info.band is band and info.kind is kind for info in scan.frames)
        for band in Band
        for kind in (FrameKind.PLUME, FrameKind.DARK)
    }
    assert counts == {(band, kind): 122 if kind is FrameKind.PLUME else 2 for band, kind in counts}
    assert {info.gain for info in scan.frames} == {1.0}
    assert [item.path.name.split("_")[4] for item in scan.skipped] == ["D0H", "D1H"]
    assert {item.category for item in scan.skipped} == {SkipCategory.UNUSABLE_VALUES}
    assert all("files.gains" in item.reason and "'HIGH'" in item.reason for item in scan.skipped)
    used = {info.path for info in scan.frames} | {item.path for item in scan.skipped}
    assert used == set(images.glob("*.fts"))


def test_plume_window(scan: FrameScan, reference: dict[str, Any]) -> None:
    start, end = (parse_utc(text) for text in reference["common"]["plume_window"])
    known = expected(reference, "number of on-band + off-band files")
    plume = [info for info in scan.frames if info.kind is FrameKind.PLUME and start <= info.start_time <= end]
    on = [info.path.name for info in plume if info.band is Band.ON]
    assert len(plume) == known["expected"] == 178
    assert (len(on), len(plume) - len(on)) == (known["extra"]["n_on"], known["extra"]["n_off"]) == (89, 89)
    assert (on[0], on[-1]) == (known["extra"]["first_on"], known["extra"]["last_on"])
    assert {info.exposure_s for info in plume if info.band is Band.ON} == {0.3348}
    assert {info.exposure_s for info in plume if info.band is Band.OFF} == {0.027679375}


def test_every_name_agrees_with_its_header(scan: FrameScan) -> None:
    for info in scan.frames:
        header = read_header(info.path)
        assert header.start == info.start_time.replace(microsecond=round(info.start_time.microsecond, -4))
        assert info.time == info.start_time + timedelta(seconds=info.exposure_s / 2)
        assert header.exposure_s == info.exposure_s


def test_every_image_can_be_read(scan: FrameScan) -> None:
    for info in scan.frames:
        counts = pixels(info)
        assert counts.shape == (64, 84)
        if info.kind is FrameKind.PLUME and info.start_time > datetime(2015, 9, 16, 7, 10, tzinfo=UTC):
            assert counts[:8].mean() > 1.3 * counts[-8:].mean(), "the sky is above the flank"


def test_other_gains_are_read_once_they_are_named(images: Path) -> None:
    files = FILES.model_copy(update={"gains": {"HIGH": 4.0}})
    darks = [info for info in scan_frames([images], files).frames if info.kind is FrameKind.DARK]
    assert sorted((info.gain, round(info.exposure_s, 7)) for info in darks if info.band is Band.ON) == [
        (1.0, 0.0000124),
        (1.0, 1.0044),
        (4.0, 0.0000124),
        (4.0, 1.0044),
    ]


def test_names_read_by_a_pattern_say_the_same(scan: FrameScan, images: Path) -> None:
    files = Files(
        naming="pattern",
        pattern="EC2_{any}_{any}_{time:%Y%m%d%H%M%S%f}_{band}_Etna.fts",
        on_band="F01",
        off_band="F02",
        kinds={"D0L": "dark", "D1L": "dark", "D0H": "dark", "D1H": "dark"},
        gains={"LOW": 1.0},
    )
    assert scan_frames([images], files) == scan


# --- darks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("band", "low", "high"), [(Band.ON, 12.1, 12.3), (Band.OFF, 12.0, 12.1)])
def test_dark_of_the_plume_frames(scan: FrameScan, band: Band, low: float, high: float) -> None:
    frame = next(info for info in reversed(scan.frames) if info.band is band and info.kind is FrameKind.PLUME)
    darks = [info for info in scan.frames if info.kind is FrameKind.DARK]
    chosen = select_offset_and_dark(frame, darks, exposure_tolerance=0.01, averaging_s=3600.0)
    assert chosen is not None
    offsets, longs = chosen
    assert [info.path.name.split("_")[4] for info in (*offsets, *longs)] == ["D0L", "D1L"]
    dark = modelled_dark(
        pixels(offsets[0]), pixels(longs[0]), mean_exposure_s(offsets), mean_exposure_s(longs), frame.exposure_s
    )
    assert low < float(dark.mean()) < high
    assert (dark.min(), dark.max()) == (12.0, pytest.approx(12 + frame.exposure_s / 1.0044, abs=1e-4))


# --- gas cells ---------------------------------------------------------------------------------------------------


def test_cells_are_found(cells: CellAssignment, reference: dict[str, Any]) -> None:
    known = expected(reference, "number of cell image lists")["extra"]
    assert [held.cell.name for held in cells.cells] == ["a53", "a37", "a57"]
    for held in cells.cells:
        label = held.cell.column_molec_cm2 / MOLEC_CM2_PER_PPM_M
        for band in Band:
            names = [info.path.name for info in held.frames if info.band is band]
            assert names == known[band][held.cell.name]["files"]
            in_run = [info.path.name for info in cells.frames if info.band is band and info.cell_ppm_m == label]
            assert in_run == names


def test_clear_sky_is_found(cells: CellAssignment, reference: dict[str, Any]) -> None:
    known = expected(reference, "number of cell image lists")["extra"]
    for band in Band:
        names = [info.path.name for info in cells.frames if info.kind is FrameKind.CLEAR and info.band is band]
        assert set(known[band]["bg"]["files"]) < set(names)
        assert len(names) == 12, "the ten of the reference, and the last two of the window, which it leaves out"


def test_frames_beside_a_change_are_left_out(cells: CellAssignment, scan: FrameScan) -> None:
    assert len(cells.dropped) == 22
    assert len(cells.dropped) + len(cells.frames) == len(scan.frames)
    in_cells = sum(len(held.frames) for held in cells.cells)
    assert in_cells == 16
