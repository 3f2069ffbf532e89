"""Damaged, odd and missing frames: what can go on goes on and is counted; else one message, and nothing is written."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from so2cam.formats.png import read_png, write_png

PAIRS = 7


def counts_of(path: Path) -> np.ndarray[Any, np.dtype[np.uint16]]:
    return read_png(path.read_bytes(), path)


def eight_bit(data: bytes) -> bytes:
    image = np.right_shift(read_png(data, "frame"), 2).astype(np.uint8)
    return bytes(cv2.imencode(".png", image)[1].tobytes())


def small(data: bytes) -> bytes:
    return write_png(np.ascontiguousarray(read_png(data, "frame")[::2, ::2]))


def beyond_10_bit(data: bytes) -> bytes:
    image = read_png(data, "frame").copy()
    image[100, 100] = 1024
    return write_png(image)


DAMAGES = [
    pytest.param(lambda data: data[: len(data) // 2], "is cut short", id="truncated"),
    pytest.param(lambda data: b"", "is empty", id="empty"),
    pytest.param(lambda data: b"no image at all", "is not a PNG file", id="text"),
    pytest.param(lambda data: data[:-400] + bytes(388) + data[-12:], "is damaged", id="zeros"),
    pytest.param(small, "expected 648 x 486, found 324 x 243", id="wrong size"),
    pytest.param(eight_bit, "is 8-bit greyscale, expected 16-bit", id="8 bit"),
    pytest.param(beyond_10_bit, "has counts up to 1024, more than a 10-bit camera", id="11 bit"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_a_damaged_plume_frame_costs_one_pair(case: Any, damage: Any, message: str) -> None:
    victim = case.plume("A")[2]
    case.replace(victim, damage(victim.read_bytes()))
    result = case.process()
    result.said(f"{PAIRS - 1} pairs", "1 pairs lost to unreadable frames", "1 unreadable files", victim.name, message)
    assert len({row["time"] for row in case.rows()}) == PAIRS - 1


def test_a_damaged_off_band_frame_is_named(case: Any) -> None:
    victim = case.plume("B")[0]
    case.replace(victim, victim.read_bytes()[:1000])
    case.process().said("1 pairs lost", f"1 unreadable files: {victim.name} (is cut short")


@pytest.mark.parametrize(("damage", "message"), DAMAGES[:2])
@pytest.mark.parametrize("kind", ["Dark", "Clear"])
def test_a_damaged_calibration_frame_is_left_out_and_counted(case: Any, damage: Any, message: str, kind: str) -> None:
    victim = case.files(f"*fltrA*_{kind}.png")[1]
    case.replace(victim, damage(victim.read_bytes()))
    case.process().said(f"{PAIRS} pairs", "1 unreadable files", victim.name, message)


def test_all_plume_frames_of_a_band_damaged(case: Any) -> None:
    for path in case.plume("B"):
        case.replace(path, path.read_bytes()[:5000])
    case.process().explained(f"none of {PAIRS} pairs could be read", "is cut short", "fltrB", "_Plume.png")
    assert not case.out.exists()


def test_all_pairs_lost_names_a_plume_frame_even_where_a_dark_is_broken_too(case: Any) -> None:
    for path in [*case.plume("A"), case.files("*fltrA*_Dark.png")[0]]:
        case.replace(path, b"")
    case.process().explained("_Plume.png: none of")


@pytest.mark.parametrize("kind", ["Dark", "Clear"])
def test_all_frames_of_a_reference_damaged(case: Any, kind: str) -> None:
    for path in case.files(f"*_{kind}.png"):
        case.replace(path, b"")
    case.process().explained("dark" if kind == "Dark" else "clear-sky")
    assert not case.out.exists()


def test_a_folder_named_like_a_frame_is_searched_like_any_folder(case: Any) -> None:
    victim = case.plume("A")[1]
    victim.unlink()
    victim.mkdir()
    case.process().said(f"{PAIRS - 1} pairs", "1 unpaired frames", victim.name.replace("A_1.0_400", "B_1.0_100"))


def test_a_link_to_nothing_is_counted(case: Any) -> None:
    victim = case.plume("A")[1]
    victim.unlink()
    victim.symlink_to("gone.png")
    case.process().said(f"{PAIRS - 1} pairs", "1 files skipped, not-a-file", victim.name)


def test_a_camera_of_another_size_altogether(case: Any) -> None:
    for path in case.files("*.png"):
        case.replace(path, small(path.read_bytes()))
    case.process().explained(
        "no dark frame matches", "3 unreadable, the first", "Dark.png has the wrong size: expected 648 x 486"
    )
    assert not case.out.exists()


def test_a_camera_of_more_bits_than_the_site_file_says(case: Any) -> None:
    case.edit_site("bits = 10", "bits = 8")
    case.process().explained("no on-band clear-sky frame", "3 unreadable", "more than a 8-bit camera can give")


def test_a_registration_that_leads_out_of_the_image(case: Any) -> None:
    case.edit_site("16.28", "916.28")
    case.process().explained("registration.matrix", "takes no pixel of the on-band image into the off-band image")


def test_exchanged_bands(case: Any) -> None:
    text = case.site.read_text().replace("fltrA", "x").replace("fltrB", "fltrA").replace('"x"', '"fltrB"')
    case.replace(case.site, text.encode())
    case.process().explained("processing.calibration", "does not rise with absorbance")


def test_links_and_copies_of_frames_change_nothing(case: Any) -> None:
    case.process()
    before = case.values()
    (case.frames / "again").symlink_to(case.plume("A")[0].parent)
    shutil.copytree(case.plume("A")[0].parent, case.frames / "copy")
    case.process().said(f"{2 * PAIRS} files skipped, duplicate")
    assert case.values() == before


def test_duplicates_under_names_of_the_other_generation(case: Any) -> None:
    case.process()
    before = case.values()
    for path in case.plume("A"):
        copy = case.frames / "second" / path.name.replace("_1.0_", "_1ag_")
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    case.process().said(f"{PAIRS} pairs", f"{PAIRS} files skipped, duplicate")
    assert case.values() == before


def test_test_frames_never_count(case: Any) -> None:
    case.process()
    before = case.values()
    wild = write_png(np.random.default_rng(1).integers(0, 1024, (486, 648)).astype(np.uint16))
    for path in [*case.plume("A"), *case.plume("B"), *case.files("*_Dark.png")]:
        name = path.name.replace("_Plume", "_Test").replace("_Dark", "_Test")
        path.with_name(name).write_bytes(wild)
    case.process().said(f"{2 * PAIRS + 6} test frames not used")
    assert case.values() == before


def test_locked_frames_are_counted(case: Any) -> None:
    victim = case.plume("B")[3]
    victim.with_suffix(".lock").touch()
    case.process().said(f"{PAIRS - 1} pairs", f"1 files skipped, locked: {victim.name}", "1 unpaired frames")


def test_an_empty_sidecar_leaves_its_frame_in_use(case: Any) -> None:
    case.process()
    before = case.values()
    case.plume("A")[0].with_suffix(".json").touch()
    case.process().said(f"{PAIRS} pairs", "1 files skipped, bad-sidecar")
    assert case.values() == before


def test_a_clock_that_is_set_back_loses_frames_rather_than_their_order(case: Any) -> None:
    """Stamps of a second run of the clock over the first: their order is not known, so they are not used."""
    for index, path in enumerate([*case.plume("A"), *case.plume("B")]):
        number = index % PAIRS
        # The two frames in the middle were taken later, after the clock had gone back by a minute.
        late = 60.0 if number in (3, 4) else 0.0
        sensor_ns = int((100.0 + 5 * number + late) * 1e9)
        path.with_suffix(".json").write_text(f'{{"SensorTimestamp": {sensor_ns}}}')
    case.process().said(f"{PAIRS - 2} pairs", "4 files skipped, clock-set-back")
    times = [row["time"] for row in case.rows()]
    assert times == sorted(times)


@pytest.mark.parametrize("bands", ["AB", "A", "B"])
def test_no_darks_at_all(case: Any, bands: str) -> None:
    for band in bands:
        for path in case.files(f"*fltr{band}*_Dark.png"):
            path.unlink()
    exposure = "400.000 ms" if bands[0] == "A" else "100.000 ms"
    case.process().explained("no dark frame matches", f"{'on' if bands[0] == 'A' else 'off'} band", exposure, "Dark")
    assert not case.out.exists()


def test_darks_for_the_clear_sky_but_not_for_the_plume(case: Any) -> None:
    for path in case.plume("A"):
        path.rename(path.with_name(path.name.replace("400000ss", "500000ss")))
    case.process().explained("no dark frame matches", "on band, gain 1, exposure 500.000 ms")
    assert not case.out.exists()


@pytest.mark.parametrize(("old", "new"), [("_1.0_", "_2.0_"), ("400000ss", "800000ss")])
def test_pairs_without_their_dark_are_missing_and_the_rest_goes_on(case: Any, old: str, new: str) -> None:
    for path in case.plume("A")[2:4]:
        path.rename(path.with_name(path.name.replace(old, new)))
    case.process().said(f"{PAIRS} pairs", "2 x upstream flow_raw", "no dark frame of the same band, gain and exposure")
    status = [row["status"] for row in case.rows() if row["line"] == "upstream"]
    assert status == ["ok", "ok", "no_dark", "no_dark", "ok", "ok", "no_next_pair"]


@pytest.mark.parametrize("band", ["A", "B"])
def test_no_clear_sky(case: Any, band: str) -> None:
    for path in case.files(f"*fltr{band}*_Clear.png"):
        path.unlink()
    case.process().explained(f"no {'on' if band == 'A' else 'off'}-band clear-sky frame", "none found", "type Clear")
    assert not case.out.exists()


def test_no_cells_and_then_a_fixed_slope(case: Any) -> None:
    for path in case.files("*ppmm.png"):
        path.unlink()
    case.process().explained("no gas-cell frames", "none found", 'source = "fixed"')
    assert not case.out.exists()
    case.edit_site('source = "cells"', 'source = "fixed"\nslope_molec_cm2 = 7.1e18\nslope_uncertainty_molec_cm2 = 3e17')
    case.process().said("upstream")
    good = [row for row in case.rows() if row["status"] == "ok"]
    assert len(good) == 3 * (PAIRS - 1)
    assert all(float(row["systematic_uncertainty_kg_s"]) > 0.04 * float(row["emission_rate_kg_s"]) for row in good)


def test_a_cell_that_one_band_lacks_is_left_out_aloud(case: Any) -> None:
    for path in case.files("*fltrB*_400ppmm.png"):
        path.unlink()
    case.process().said("the 400 ppm m cell is left out of the calibration", "no off-band frame", "2 gas cells")


def test_cells_of_one_label_only(case: Any) -> None:
    """One cell tells the scale of the bands' own curve; a line needs two."""
    case.edit_site('model = "band"', 'model = "line"')
    for path in [*case.files("*_0ppmm.png"), *case.files("*_1200ppmm.png")]:
        path.unlink()
    case.process().explained("processing.calibration", "needs 2 cells of different column density")


def test_cells_whose_columns_fall_with_absorbance(case: Any) -> None:
    case.edit_site('model = "band"', 'model = "line"')
    for path in case.files("*_400ppmm.png"):
        path.unlink()
    for path in [*case.files("*_0ppmm.png"), *case.files("*_1200ppmm.png")]:
        path.rename(path.with_name(path.name.replace("_1200ppmm", "_100ppmm").replace("_0ppmm", "_2000ppmm")))
    case.process().explained("processing.calibration", "cells or labels are mixed up", "2000 ppm m: absorbance")


def test_a_label_that_does_not_fit_the_others_is_warned_of(case: Any) -> None:
    for path in case.files("*_0ppmm.png"):
        path.rename(path.with_name(path.name.replace("_0ppmm", "_5000ppmm")))
    case.process().said("Warning: the 5000 ppm m cell", "absorbs no more than the 1200 ppm m cell")


@pytest.mark.parametrize("region", ["[-20, -20, -5, -5]", "[1000, 1000, 2000, 2000]"])
def test_a_cell_region_outside_the_image(case: Any, region: str) -> None:
    case.edit_site('source = "cells"', f'source = "cells"\nregion = {region}')
    case.process().explained("processing.calibration.region", "outside the image of 648 x 486")


def test_a_wholly_white_sequence_gives_no_number(case: Any) -> None:
    case.methods = None
    white = write_png(np.full((486, 648), 1023, np.uint16))
    for path in [*case.plume("A"), *case.plume("B")]:
        case.replace(path, white)
    result = case.process()
    assert result.code == 3
    assert {row["status"] for row in case.rows()} <= {"no_sky", "line_masked"}
    assert all(row["emission_rate_kg_s"] == "" for row in case.rows())


@pytest.mark.parametrize("level", [30, 500, 900])
def test_frames_without_any_structure_give_no_emission_rate(case: Any, level: int) -> None:
    case.methods = None
    flat = write_png(np.full((486, 648), level, np.uint16))
    for path in [*case.plume("A"), *case.plume("B")]:
        case.replace(path, flat)
    assert case.process().code == 3
    assert all(row["emission_rate_kg_s"] == "" for row in case.rows())


def test_a_saturated_plume_is_masked(case: Any) -> None:
    for path in case.plume("A")[2:5]:
        image = counts_of(path).copy()
        image[50:400, 100:500] = 1023
        case.replace(path, write_png(image))
    result = case.process()
    assert result.code == 0
    assert "too many saturated, dark or masked pixels on the line" in result.out
    assert "3 pairs flagged: more than 0.1 % of the pixels of a band are saturated" in result.out
    assert [row["status"] for row in case.rows() if row["line"] == "upstream"].count("line_masked") == 3
