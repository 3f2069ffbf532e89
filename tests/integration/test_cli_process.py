"""``so2cam process``: folders, the site file, the time range, interruption, products and the summary."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from so2cam.core.status import EmissionStatus
from so2cam.formats.png import read_png, write_png
from so2cam.pipeline import batch

PAIRS = 7
PRODUCTS = ["emission_rates.csv", "emission_rates.nc", "quicklook.png"]
NO_RUN = "Usage: so2cam process"


# --- folders -----------------------------------------------------------------------------------------------------


def test_an_empty_folder(case: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    case.process(frames=[tmp_path / "empty"]).explained(str(tmp_path / "empty"), "holds no PNG file")


def test_a_missing_folder(case: Any, tmp_path: Path) -> None:
    case.process(frames=[case.frames, tmp_path / "gone"]).explained(str(tmp_path / "gone"), "does not exist")
    assert not case.out.exists()


def test_a_file_for_a_folder(case: Any) -> None:
    case.process(frames=[case.site]).explained(str(case.site), "is not a folder")


def test_only_calibration(case: Any) -> None:
    case.process(frames=[case.frames / "2026-01-15" / "Cal_1"]).explained(
        "no plume frames", "18 cell, 6 clear, 6 dark", "name the folders that hold the sequence"
    )


def test_only_the_sequence(case: Any) -> None:
    case.process(frames=[case.frames / "2026-01-15" / "Seq_1"]).explained("no dark frame matches")


@pytest.mark.parametrize("band", ["A", "B"])
def test_only_one_band(case: Any, band: str) -> None:
    for path in case.plume("B" if band == "A" else "A"):
        path.unlink()
    case.process().explained(
        f"{PAIRS} {'on' if band == 'A' else 'off'}-band plume frames", f"*_fltr{'B' if band == 'A' else 'A'}_*"
    )
    assert not case.out.exists()


def test_one_folder_twice_counts_once(case: Any) -> None:
    case.process().said(f"{PAIRS} pairs")
    before = case.values()
    result = case.process(frames=[case.frames, case.frames, case.frames / "2026-01-15"])
    result.said(f"{PAIRS} pairs")
    assert "skipped" not in result.out
    assert case.values() == before


@pytest.mark.parametrize("form", ["one", "repeated", "equals"])
def test_several_folders(case: Any, form: str) -> None:
    case.process().said(f"{PAIRS} pairs")
    before = case.values()
    day = case.frames / "2026-01-15"
    folders: list[object] = {
        "one": ["--frames", day / "Seq_1", day / "Cal_1"],
        "repeated": ["--frames", day / "Cal_1", "--frames", day / "Seq_1"],
        "equals": [f"--frames={day / 'Cal_1'}", day / "Seq_1"],
    }[form]
    shutil.rmtree(case.out)
    case.run("process", case.site, *folders, "--out", case.out, "--methods", "flow_raw").said(f"{PAIRS} pairs")
    assert case.values() == before


def test_the_site_file_after_the_options(case: Any) -> None:
    case.run("process", "--frames", case.frames, "--out", case.out, case.site, "--methods", "flow_raw").said("7 pairs")


def test_the_site_file_missing(case: Any) -> None:
    result = case.run("process", "--frames", case.frames, "--out", case.out)
    result.failed_with(NO_RUN, "the site file (SITE) is missing", "write the site file before --frames")


def test_the_site_file_swallowed_by_frames(case: Any) -> None:
    result = case.run("process", "--frames", case.frames, case.site, "--out", case.out)
    result.failed_with(NO_RUN, "(SITE) is missing", f"'{case.site}' stands after --frames")


@pytest.mark.parametrize("option", ["--frames", "--out"])
def test_required_options(case: Any, option: str) -> None:
    arguments = {"--frames": case.frames, "--out": case.out}
    del arguments[option]
    case.run("process", case.site, *(x for pair in arguments.items() for x in pair)).failed_with(NO_RUN, option)


@pytest.mark.parametrize("option", ["--frames", "--out"])
def test_an_empty_name_is_not_the_current_folder(case: Any, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(case.frames)
    arguments = {"--frames": case.frames, "--out": case.out, option: ""}
    case.run("process", case.site, *(x for pair in arguments.items() for x in pair)).failed_with("the name is empty")


def test_relative_paths_spaces_and_signs(case: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "Volcán :cat: [bold] 日本"
    case.folder.rename(place)
    monkeypatch.chdir(place)
    case.folder = Path()
    result = case.run("process", "site.toml", "--frames", "frames", "--out", "out [red]", "--methods", "flow_raw")
    result.said("out [red]/emission_rates.csv", f"{PAIRS} pairs")
    link = tmp_path / "link"
    link.symlink_to(place)
    case.run("process", link / "site.toml", "--frames", link / "frames", "--out", link / "o", "--methods", "flow_raw")
    assert (place / "o/emission_rates.csv").read_text() == (place / "out [red]/emission_rates.csv").read_text()


def test_products_inside_the_frames_do_not_disturb_the_next_run(case: Any) -> None:
    out = case.frames / "results"
    for _ in range(2):
        case.run("process", case.site, "--frames", case.frames, "--out", out, "--methods", "flow_raw").said("7 pairs")


# --- the site file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"format = 1\nname = \xff\n", "is not UTF-8 text: line 2"),
        (b"[volcano\n", "is not valid TOML"),
        (b"", "is missing"),
    ],
)
def test_site_files_that_are_none(case: Any, content: bytes | None, message: str) -> None:
    case.site.unlink()
    if content is not None:
        case.site.write_bytes(content)
    case.process().explained(str(case.site), message)
    assert not case.out.exists()


def test_a_folder_for_a_site_file(case: Any) -> None:
    case.run("process", case.folder, "--frames", case.frames, "--out", case.out).explained("is a folder")


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("elevation_deg", "elevation_dg", ("camera.view.elevation_dg", "did you mean elevation_deg?")),
        ("[28.0, 21.0]", "[28.0, 28.0]", ("camera.optics", "lens data contradict each other")),
        ('lines = ["upstream", "downstream"]', 'lines = ["upstream", "wind"]', ("cross_correlation.lines", "'wind'")),
        ('methods = ["flow_raw", "cross_correlation"]', 'methods = ["farneback"]', ("processing.speed.methods",)),
        ("bits = 10", 'bits = "ten"', ("camera.sensor.bits", "whole number")),
        ("tolerance_s = 2.0", "tolerance_s = -2.0", ("processing.pairing.tolerance_s", "must be > 0")),
        ("tolerance_s = 2.0", "tolerance_s = inf", ("processing.pairing.tolerance_s", "finite")),
        ("azimuth_deg = 12.0", "azimuth_deg = 192.0", ("camera.view.azimuth_deg", "not in front of the camera")),
    ],
)
def test_wrong_values_in_the_site_file(case: Any, old: str, new: str, parts: tuple[str, ...]) -> None:
    case.edit_site(old, new)
    for result in (case.process(), case.run("check", case.site)):
        result.explained(*parts)
    assert not case.out.exists()


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("altitude_m = 1900.0", "altitude_m = -500.0", "camera.position.altitude_m"),
        ('"upstream"', '"placeholder"', "lines.placeholder"),
    ],
)
def test_placeholders_of_a_new_installation(case: Any, old: str, new: str, key: str) -> None:
    case.edit_site(old, new)
    refused = case.process()
    refused.explained(f"site.toml: {key}: is a placeholder: emission rates would mean nothing", "so2cam check")
    assert not case.out.exists()


def test_a_line_outside_the_image(case: Any) -> None:
    lines = case.site.read_text().splitlines()
    first = next(number for number, row in enumerate(lines) if row.startswith("start = "))
    for number in (first, first + 1):
        key, value = lines[number].split(" = ")
        x, y = json.loads(value)
        lines[number] = f"{key} = [{x + 400}, {y}]"
    case.replace(case.site, "\n".join(lines).encode())
    case.process().explained("lines[0].start", "outside the image of 648 x 486")


def test_a_line_too_short_for_a_baseline(case: Any) -> None:
    text = case.site.read_text()
    start = text.index("start = [")
    end = text.index("normal", start)
    case.replace(case.site, (text[:start] + "start = [300, 100]\nend = [300, 106]\n" + text[end:]).encode())
    case.process().explained("line 'upstream' of 6 px is too short", "at least 13 px")


@pytest.mark.parametrize("value", ["optical", "flow_raw,flow_raw", "", ",", "flow_raw,winds"])
def test_unknown_methods(case: Any, value: str) -> None:
    case.process("--methods", value).failed_with(
        "--methods", "flow_raw, flow_histogram, flow_hybrid, cross_correlation"
    )


@pytest.mark.parametrize("value", ["yesterday", "2026-13-01", "14:00", "0001-01-01T00:00+14:00", ""])
def test_bad_times(case: Any, value: str) -> None:
    case.process("--start", value).failed_with("--start", repr(value))


# --- the time range ----------------------------------------------------------------------------------------------


def test_start_and_end_limit_the_plume_frames_only(case: Any) -> None:
    case.process("--start", "2026-01-15T14:00:10Z", "--end", "2026-01-15T11:00:25-03:00").said("3 pairs", "3 gas cells")
    assert sorted({row["time"] for row in case.rows()}) == [f"2026-01-15T14:00:{s}.200Z" for s in (10, 15, 20)]


def test_the_end_is_not_included(case: Any) -> None:
    case.process("--end", "2026-01-15T14:00:10.200Z").said("2 pairs")


@pytest.mark.parametrize("option", ["--start", "--end"])
def test_no_overlap(case: Any, option: str) -> None:
    when = "2027-01-01" if option == "--start" else "2025-01-01"
    case.process(option, when).explained(
        "no plume frames", "in the time range given", "2026-01-15T14:00:00", "2026-01-15T14:00:30"
    )
    assert not case.out.exists()


def test_end_before_start(case: Any) -> None:
    case.process("--start", "2026-01-15T15:00Z", "--end", "2026-01-15T14:00Z").explained("--end is not after --start")


def test_frames_that_never_meet(case: Any) -> None:
    for path in case.plume("B"):
        path.rename(path.with_name(path.name.replace("T14", "T16")))
    case.process().explained(
        "none of 7 on-band and 7 off-band plume frames lie within 2 s", "processing.pairing.tolerance_s"
    )


# --- interruption and the folder for the products ----------------------------------------------------------------


@pytest.fixture
def older(case: Any) -> dict[str, bytes]:
    """Products of an earlier run, as they were."""
    case.out.mkdir()
    for name in PRODUCTS:
        (case.out / name).write_bytes(f"older {name}".encode())
    return {name: (case.out / name).read_bytes() for name in PRODUCTS}


def products(case: Any) -> dict[str, bytes]:
    assert case.left_behind() == []
    return {name: (case.out / name).read_bytes() for name in PRODUCTS}


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "place",
    ["plan_run", "build_references", "assemble", "write_emission_netcdf", "write_emission_csv", "write_quicklook"],
)
def test_ctrl_c_anywhere_leaves_older_products(
    case: Any, older: dict[str, bytes], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, place, interrupt)
    result = case.process()
    assert result.code == 130
    assert result.err.strip() == "Error: interrupted: nothing was written, older products are as they were"
    assert products(case) == older


def test_ctrl_c_between_two_pairs(case: Any, older: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    read = batch.FrameReader.read

    def third(reader: Any, info: Any) -> Any:
        if info.path == case.plume("A")[2]:
            raise KeyboardInterrupt
        return read(reader, info)

    monkeypatch.setattr(batch.FrameReader, "read", third)
    assert case.process().code == 130
    assert products(case) == older


def test_a_product_that_fails_leaves_the_others_as_they_were(
    case: Any, older: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object, **__: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(batch, "write_quicklook", full)
    case.process().explained("quicklook.png", "No space left on device", "free space")
    assert products(case) == older


def test_bad_input_leaves_older_products(case: Any, older: dict[str, bytes]) -> None:
    for path in case.files("*_Clear.png"):
        path.unlink()
    case.process().explained("clear-sky")
    assert products(case) == older


def test_a_good_run_replaces_older_products(case: Any, older: dict[str, bytes]) -> None:
    case.process().said(*(f"{case.out / name}" for name in PRODUCTS))
    assert all(products(case)[name] != older[name] for name in PRODUCTS)


@pytest.mark.parametrize("below", [False, True])
def test_out_is_a_file(case: Any, below: bool) -> None:
    case.out.write_text("mine")
    where = case.out / "deeper" if below else case.out
    result = case.run("process", case.site, "--frames", case.frames, "--out", where)
    result.explained(str(case.out), "is a file", "--out")
    assert case.out.read_text() == "mine"


def test_out_cannot_be_written(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    case.out.mkdir()
    access = os.access  # root may write everywhere
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != case.out and access(path, mode))
    case.process().explained(str(case.out), "nothing can be written into this folder")
    assert list(case.out.iterdir()) == []


def test_a_folder_with_the_name_of_a_product(case: Any) -> None:
    (case.out / "emission_rates.csv").mkdir(parents=True)
    case.process().explained("emission_rates.csv: cannot be written")
    assert [path.name for path in case.out.iterdir()] == ["emission_rates.csv"]


def test_sigint_to_the_real_command(case: Any, older: dict[str, bytes]) -> None:
    ready = case.folder / "ready"
    code = (
        "import signal, sys, time, pathlib\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from so2cam.pipeline import batch\n"
        "def wait(*a, **k):\n"
        f"    pathlib.Path({str(ready)!r}).touch()\n"
        "    time.sleep(60)\n"
        "batch.build_references = wait\n"
        "from so2cam.cli.main import main\n"
        "main()\n"
    )
    arguments = [sys.executable, "-c", code, "process", case.site, "--frames", case.frames, "--out", case.out]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(300):
            if ready.exists() or process.poll() is not None:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "nothing was written" in err
    assert "Traceback" not in err
    assert products(case) == older


# --- products and the summary ------------------------------------------------------------------------------------


def test_nothing_valid_is_code_3_with_products_that_say_why(case: Any) -> None:
    case.methods = "cross_correlation"
    result = case.process()
    assert result.code == 3
    assert "0/7" in result.out
    assert "too few pairs in this window for cross-correlation" in result.out
    assert {row["status"] for row in case.rows()} == {"too_few_samples"}
    assert sorted(products(case)) == PRODUCTS


@pytest.mark.parametrize("number", [1, 2])
def test_very_few_pairs(case: Any, number: int) -> None:
    for path in [*case.plume("A")[number:], *case.plume("B")[number:]]:
        path.unlink()
    assert case.process().code == (3 if number == 1 else 0)
    upstream = [row["status"] for row in case.rows() if row["line"] == "upstream"]
    assert upstream == ["ok"] * (number - 1) + ["no_next_pair"]


def test_unpaired_frames_are_counted_and_named(case: Any) -> None:
    names = []
    for path in case.plume("A")[2:4]:
        path.unlink()
    names = [path.name for path in case.plume("B")[2:4]]
    case.process().said("5 pairs", f"2 unpaired frames: {names[0]}, {names[1]}")


def test_long_lists_are_cut(case: Any) -> None:
    folder = case.frames / "odd"
    folder.mkdir()
    for number in range(9):
        (folder / f"picture{number}.png").touch()
    case.process().said("9 files skipped, unreadable-name: picture0.png", "and 4 more")


def test_values_are_there_exactly_where_the_status_is_ok(case: Any) -> None:
    case.methods = None
    for path in case.plume("A")[3:4]:
        path.rename(path.with_name(path.name.replace("_1.0_", "_2.0_")))
    case.process().said("no dark frame")
    with netCDF4.Dataset(case.out / "emission_rates.nc") as dataset:
        dataset.set_auto_mask(False)
        status = dataset["emission_rate_status"][:]
        missing = status != 0
        for name in ("emission_rate", "emission_rate_random_uncertainty", "emission_rate_systematic_uncertainty"):
            assert np.array_equal(~np.isfinite(dataset[name][:]), missing), name
        for name in ("plume_speed", "plume_direction"):
            assert np.array_equal(~np.isfinite(dataset[name][:]), missing), name
        total = dataset["total_emission_rate"][:]
        assert np.array_equal(total, dataset["emission_rate"][:, 0, :], equal_nan=True)
        assert set(np.unique(status)) == {
            EmissionStatus.OK,
            EmissionStatus.NO_DARK,
            EmissionStatus.NO_NEXT_PAIR,
            EmissionStatus.TOO_FEW_SAMPLES,
        }
        settings = json.loads(dataset.settings) if "settings" in dataset.ncattrs() else None
    for row in case.rows():
        filled = [row["emission_rate_kg_s"] != "", row["random_uncertainty_kg_s"] != ""]
        assert filled == [row["status"] == "ok"] * 2, row
    assert settings is None or settings["processing"]["speed"]["methods"] == ["flow_raw", "cross_correlation"]


def test_explicit_total_lines_are_added(case: Any) -> None:
    case.edit_site("[processing.emission]", '[processing.emission]\ntotal_lines = ["upstream", "downstream"]')
    case.process().said("total")
    for time_ in {row["time"] for row in case.rows()}:
        parts = {row["line"]: row for row in case.rows() if row["time"] == time_}
        if parts["total"]["status"] != "ok":
            assert parts["total"]["status"] == "part_missing"
            assert parts["total"]["emission_rate_kg_s"] == ""
            continue
        for column in ("emission_rate_kg_s", "systematic_uncertainty_kg_s"):
            expected = float(parts["upstream"][column]) + float(parts["downstream"][column])
            assert float(parts["total"][column]) == pytest.approx(expected, rel=1e-5)


def test_a_total_with_a_missing_part_is_missing(case: Any) -> None:
    """Two plumes, and one of the lines leaves the area that both bands cover."""
    text = case.site.read_text()
    start = text.rindex("start = [")
    end = text.index("normal", start)
    line = 'start = [100, 1]\nend = [400, 1]\nplume = "second"\n'
    text = text[:start] + line + text[end:].replace('normal = "left"', 'normal = "up"', 1)
    text = text[: text.index("lines = [")] + text[text.index("[processing.emission]") :]
    case.replace(case.site, text.encode())
    case.process().said("7 x downstream flow_raw: the line leaves the area that both bands cover")
    for row in case.rows():
        if row["line"] == "total":
            assert row["status"] == "part_missing"
            assert row["emission_rate_kg_s"] == ""
        if row["line"] == "downstream":
            assert row["status"] == "line_not_covered"


def test_the_command_is_recorded_as_it_was_given(case: Any) -> None:
    case.process()
    with netCDF4.Dataset(case.out / "emission_rates.nc") as dataset:
        recorded = " ".join(str(dataset.getncattr(name)) for name in dataset.ncattrs())
    assert f"so2cam process {case.site} --frames {case.frames} --out {case.out} --methods flow_raw" in recorded


def test_the_same_frames_give_the_same_numbers(case: Any) -> None:
    case.process()
    first = case.values()
    case.process()
    assert case.values() == first


@pytest.mark.skipif(sys.platform == "darwin", reason="the file system takes UTF-8 names only")
def test_names_that_are_not_utf_8(case: Any) -> None:
    strange = os.fsdecode(os.fsencode(case.folder) + b"/fr\xffmes")
    case.frames.rename(strange)
    code = "from so2cam.pipeline import batch\nbatch.write_quicklook = lambda path, *a, **k: path.touch()\n"
    code += "from so2cam.cli.main import main\nmain()\n"
    arguments = [sys.executable, "-c", code, "process", case.site, "--frames", strange, "--out"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*arguments, case.out], capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert b"7 pairs" in done.stdout
    done = subprocess.run([*arguments, strange], capture_output=True, env=environment, check=False)
    assert done.returncode == 2, done.stderr
    assert b"the name holds bytes that are not UTF-8" in done.stderr


def test_images_of_another_size(case: Any) -> None:
    """The same scene on a quarter of the pixels, as another binning gives it."""
    case.process()

    def upstream() -> list[float]:
        rows = [row for row in case.rows() if row["line"] == "upstream" and row["status"] == "ok"]
        return [float(row["emission_rate_kg_s"]) for row in rows]

    full = upstream()
    for path in case.files("*.png"):
        image = read_png(path.read_bytes(), path).astype(np.float64)
        binned = image.reshape(243, 2, 324, 2).mean(axis=(1, 3))
        case.replace(path, write_png(np.rint(binned).astype(np.uint16)))
    text = case.site.read_text()
    for old, new in (("width_px = 648", "width_px = 324"), ("height_px = 486", "height_px = 243"), ("5.6", "11.2")):
        assert old in text
        text = text.replace(old, new)
    rows = []
    for row in text.splitlines():
        key, _, value = row.partition(" = ")
        if key in ("start", "end"):
            x, y = json.loads(value)
            row = f"{key} = [{(x - 0.5) / 2}, {(y - 0.5) / 2}]"
        elif row.startswith("  ["):
            a, b, shift = json.loads(row.strip().rstrip(","))
            # Pixels twice as large, whose centres lie half a small pixel further in.
            row = f"  [{a}, {b}, {(0.5 * (a + b) + shift - 0.5) / 2}],"
        rows.append(row)
    case.replace(case.site, "\n".join(rows).encode())
    case.process().said(f"{PAIRS} pairs")
    assert len(upstream()) == PAIRS - 1
    assert np.mean(upstream()) == pytest.approx(np.mean(full), rel=0.05)
