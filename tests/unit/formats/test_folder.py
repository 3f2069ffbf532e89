import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from so2cam.core.errors import InputError
from so2cam.core.records import Band, FrameKind
from so2cam.core.site import Files
from so2cam.formats.folder import FrameScan, SkipCategory, scan_frames

FILES = Files()
ON = "2024-11-01T090000_fltrA_1.0_9977ss_Plume.png"
OFF = "2024-11-01T090000_fltrB_1.0_9977ss_Plume.png"


def put(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")


def categories(scan: FrameScan) -> list[tuple[str, SkipCategory]]:
    return [(item.path.name, item.category) for item in scan.skipped]


@pytest.mark.parametrize(
    "layout",
    ["", "2024-11-01", "2024/11/01/09", "2024-11-01/2024/11/01/09", "2024-11-01/Seq_2", "Cal_1", "test_images"],
)
def test_every_layout(tmp_path: Path, layout: str) -> None:
    put(tmp_path / layout, ON, OFF)
    scan = scan_frames([tmp_path], FILES)
    assert [info.path for info in scan.frames] == [tmp_path / layout / OFF, tmp_path / layout / ON]
    assert scan.skipped == ()


def test_order_is_by_time_then_band_then_name(tmp_path: Path) -> None:
    put(tmp_path / "b", "2024-11-01T090002_fltrA_1.0_9977ss_Plume.png", "2024-11-01T090001_fltrB_1.0_9977ss_Plume.png")
    put(tmp_path / "a", "2024-11-01T090003_fltrA_1.0_9977ss_Plume.png", "2024-11-01T090001_fltrA_1.0_9977ss_Plume.png")
    frames = scan_frames([tmp_path], FILES).frames
    assert [(info.start_time.second, str(info.band)) for info in frames] == [
        (1, "off"),
        (1, "on"),
        (2, "on"),
        (3, "on"),
    ]


def test_what_is_ignored_and_what_is_named(tmp_path: Path) -> None:
    put(
        tmp_path,
        ON,
        "._" + ON,
        f".{ON}.0123456789abcdef.tmp",
        "2024-11-01T090000_1000ss_1coadd_Plume.npy",
        "notes.txt",
        "quicklook.png",
        "2022-08-07T111111_fltr_1ag_1ss_onesmask.png",
        "2018-03-26T143355_fltrA_1ag_1399829ss_1257ppmm_darkcorr.png",
        OFF,
        OFF.replace(".png", ".lock"),
    )
    put(tmp_path / ".Trash-1000", OFF)
    scan = scan_frames([tmp_path], FILES)
    assert [info.path.name for info in scan.frames] == [ON]
    assert sorted(categories(scan)) == [
        ("2018-03-26T143355_fltrA_1ag_1399829ss_1257ppmm_darkcorr.png", SkipCategory.DERIVED),
        ("2022-08-07T111111_fltr_1ag_1ss_onesmask.png", SkipCategory.DERIVED),
        (OFF, SkipCategory.LOCKED),
        ("quicklook.png", SkipCategory.UNREADABLE_NAME),
    ]
    assert all(item.reason for item in scan.skipped)


def test_reason_names_the_value(tmp_path: Path) -> None:
    put(tmp_path, ON.replace("fltrA", "fltrC"))
    (item,) = scan_frames([tmp_path], FILES).skipped
    assert item.reason == "the band tag is neither fltrA nor fltrB (found 'fltrC')"


def test_overlapping_folders_count_once(tmp_path: Path) -> None:
    put(tmp_path / "a" / "b", ON)
    inner, outer = tmp_path / "a" / "b", tmp_path / "a"
    for folders in ([outer, inner], [inner, outer], [inner, inner], [inner, tmp_path / "a" / ".." / "a"]):
        scan = scan_frames(folders, FILES)
        assert len(scan.frames) == 1
        assert scan.skipped == ()


def test_copies_keep_the_first_in_natural_order(tmp_path: Path) -> None:
    for folder in ("Seq_10", "Seq_2"):
        put(tmp_path / folder, ON)
    put(tmp_path / "Seq_11", ON.replace("1.0", "1ag").replace("Plume", "plume"))
    scan = scan_frames([tmp_path], FILES)
    assert [info.path.parent.name for info in scan.frames] == ["Seq_2"]
    assert [(item.path.parent.name, item.category) for item in scan.skipped] == [
        ("Seq_10", SkipCategory.DUPLICATE),
        ("Seq_11", SkipCategory.DUPLICATE),
    ]
    assert str(tmp_path / "Seq_2" / ON) in scan.skipped[0].reason


def test_one_second_may_hold_many_darks_and_cells(tmp_path: Path) -> None:
    put(
        tmp_path,
        *(f"2024-11-01T230000_fltrA_1.0_{exposure}ss_Dark.png" for exposure in (1000, 1500, 2000)),
        *(f"2024-11-01T230000_fltrA_1.0_1000ss_{label}ppmm.png" for label in (0, 304)),
    )
    scan = scan_frames([tmp_path], FILES)
    assert len(scan.frames) == 5
    assert scan.skipped == ()


def test_links_and_odd_files(tmp_path: Path) -> None:
    data, links = tmp_path / "data", tmp_path / "links"
    put(data, ON)
    links.mkdir()
    try:
        (links / ON).symlink_to(data / ON)
        (links / OFF).symlink_to(data / "nothing.png")
        (links / "self.png").symlink_to(links / "self.png")
        (links / "loop").symlink_to(links, target_is_directory=True)
        (data / "up").symlink_to(tmp_path, target_is_directory=True)
    except OSError:
        pytest.skip("this system does not allow links")
    scan = scan_frames([links, data], FILES)
    assert [info.path for info in scan.frames] == [data / ON]
    assert sorted(categories(scan)) == sorted([(OFF, SkipCategory.NOT_A_FILE), ("self.png", SkipCategory.NOT_A_FILE)])
    assert len(scan_frames([links], FILES).frames) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    put(tmp_path, OFF)
    os.mkfifo(tmp_path / ON)
    os.mkfifo(tmp_path / OFF.replace(".png", ".json"))
    scan = scan_frames([tmp_path], FILES)
    assert len(scan.frames) == 1
    assert categories(scan) == [(ON, SkipCategory.NOT_A_FILE)]


def test_names_that_are_no_text(tmp_path: Path) -> None:
    put(tmp_path, ON)
    try:
        put(tmp_path, "line\nbreak.png", "\udcff_fltrA_1.0_9977ss_Plume.png", "\x1b[2J.png")
    except OSError:
        pytest.skip("this system does not allow such names")
    scan = scan_frames([tmp_path], FILES)
    assert len(scan.frames) == 1
    assert {item.category for item in scan.skipped} == {SkipCategory.UNREADABLE_NAME}
    assert all(item.reason.isprintable() for item in scan.skipped)


def test_folders_that_give_nothing_are_explained(tmp_path: Path) -> None:
    (tmp_path / "file.png").write_bytes(b"")
    put(tmp_path / "empty", "a.txt")
    put(tmp_path / "good", ON)
    for folders, reason in (
        ([tmp_path / "none"], "does not exist"),
        ([tmp_path / "file.png"], "is not a folder"),
        ([tmp_path / "good", tmp_path / "empty"], "no PNG file"),
        ([], "no folder"),
    ):
        with pytest.raises(InputError, match=reason) as caught:
            scan_frames(folders, FILES)
        assert caught.value.remedy


# --- sidecars ------------------------------------------------------------------------------------------------------


def side(folder: Path, name: str, content: object) -> None:
    put(folder, name)
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).with_suffix(".json").write_text(text, encoding="utf-8")


def test_sidecar_wins_over_the_name(tmp_path: Path) -> None:
    content = {"ExposureTime": 20_000, "AnalogueGain": 1.25, "SensorTimestamp": 5_000_000_000, "Lux": [1, None]}
    side(tmp_path, ON, content)
    (info,) = scan_frames([tmp_path], FILES).frames
    assert (info.exposure_s, info.gain, info.sensor_timestamp_s) == (0.02, 1.25, 5.0)
    assert info.start_time == datetime(2024, 11, 1, 9, 0, 0, tzinfo=UTC)
    assert info.time == info.start_time + timedelta(seconds=0.01)


def test_sidecar_may_say_little(tmp_path: Path) -> None:
    side(tmp_path, ON, {"Unknown": "x"})
    scan = scan_frames([tmp_path], FILES)
    assert (scan.frames[0].exposure_s, scan.frames[0].gain, scan.frames[0].sensor_timestamp_s) == (0.009977, 1.0, None)
    assert scan.skipped == ()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        '{"ExposureTime": NaN}',
        '{"ExposureTime": 0}',
        '{"ExposureTime": -5}',
        '{"ExposureTime": 1e400}',
        '{"ExposureTime": "9977"}',
        '{"ExposureTime": true}',
        '{"ExposureTime": null}',
        '{"ExposureTime": 1e12}',
        '{"ExposureTime": ' + "9" * 400 + "}",
        '{"ExposureTime": ' + "9" * 5000 + "}",
        '{"AnalogueGain": 0}',
        '{"AnalogueGain": 1e9}',
        '{"SensorTimestamp": -Infinity}',
        "[" * 100_000,
        " " * 4_000_001,
        "\udcff",
    ],
)
def test_broken_sidecar_leaves_the_name_in_force(tmp_path: Path, content: str) -> None:
    put(tmp_path, ON)
    sidecar = (tmp_path / ON).with_suffix(".json")
    sidecar.write_bytes(content.encode("utf-8", "surrogateescape"))
    scan = scan_frames([tmp_path], FILES)
    (info,) = scan.frames
    assert (info.exposure_s, info.gain, info.sensor_timestamp_s) == (0.009977, 1.0, None)
    assert [(item.path, item.category) for item in scan.skipped] == [(sidecar, SkipCategory.BAD_SIDECAR)]
    assert len(scan.skipped[0].reason) < 800


# --- the clock -----------------------------------------------------------------------------------------------------


def run(folder: Path, periods: list[tuple[int, int, int]], bands: str = "AB") -> None:
    """Write frames every 4 s: (true start, seconds the clock is fast, count) with the computer started at true 0.

    A negative count means that the computer is restarted before the period.
    """
    zero = datetime(2024, 11, 1, 9, 0, 0, tzinfo=UTC)
    started = 0
    for begin, fast, count in periods:
        if count < 0:
            started = begin - 30
        for index in range(abs(count)):
            true_s = begin + 4 * index
            for number, band in enumerate(bands):
                stamp = zero + timedelta(seconds=true_s + fast)
                sensor_s = true_s - started + 0.9 * (index % 2) + 0.01 * number + 100
                name = f"{stamp:%Y-%m-%dT%H%M%S}_fltr{band}_1.0_{9977 + index % 7}ss_Plume.png"
                side(folder, name, {"SensorTimestamp": int(sensor_s * 1e9)})


def test_clock_set_back_ten_minutes(tmp_path: Path) -> None:
    run(tmp_path, [(0, 0, 300), (1201, -600, 300)])
    scan = scan_frames([tmp_path], FILES)
    assert {item.category for item in scan.skipped} == {SkipCategory.CLOCK_SET_BACK}
    last_before = datetime(2024, 11, 1, 9, 0, 0, tzinfo=UTC) + timedelta(seconds=4 * 299)
    assert len(scan.skipped) == pytest.approx(2 * 600 / 4, abs=4)
    for item in scan.skipped:
        assert "by about 600 s" in item.reason or "by about 601 s" in item.reason or "by about 599 s" in item.reason
    for band in Band:
        frames = [info for info in scan.frames if info.band is band]
        assert len([info for info in frames if info.start_time <= last_before]) == 300
        sensor = [info.sensor_timestamp_s for info in frames]
        assert sensor == sorted(sensor, key=lambda value: value or 0.0)


@pytest.mark.parametrize(
    "periods",
    [
        [(0, 0, 100), (1000, 0, -100)],
        [(0, 0, 100), (500, 3600, 100)],
        [(0, 0, 100), (401, -1, 100)],
        [(0, 0, 100), (2000, -600, 100), (3000, -600, -100)],
        [(0, 600, 100), (1200, 0, 100)],
    ],
    ids=["restart", "forward", "one second", "back over a gap, then restart", "back without overlap"],
)
def test_nothing_is_dropped_where_the_order_is_clear(tmp_path: Path, periods: list[tuple[int, int, int]]) -> None:
    run(tmp_path, periods, bands="A")
    scan = scan_frames([tmp_path], FILES)
    assert scan.skipped == ()
    assert len(scan.frames) == sum(abs(count) for _, _, count in periods)


def test_set_back_then_restart_drops_the_overlap_only(tmp_path: Path) -> None:
    run(tmp_path, [(0, 0, 100), (401, -100, 100), (1000, -100, -100)], bands="A")
    scan = scan_frames([tmp_path], FILES)
    assert len(scan.skipped) == pytest.approx(25, abs=1)
    times = [info.start_time for info in scan.frames]
    assert len(times) == 300 - len(scan.skipped)


def test_darks_and_unknown_clocks_do_not_matter(tmp_path: Path) -> None:
    run(tmp_path, [(0, 0, 20)], bands="A")
    put(tmp_path, "2024-11-01T090002_fltrA_1.0_5ss_Dark.png")
    scan = scan_frames([tmp_path], FILES)
    assert scan.skipped == ()
    assert [info.kind for info in scan.frames].count(FrameKind.DARK) == 1


def test_twenty_thousand_names(tmp_path: Path) -> None:
    zero = datetime(2024, 11, 1, tzinfo=UTC)
    for index in range(10_000):
        stamp = f"{zero + timedelta(seconds=4 * index):%Y-%m-%dT%H%M%S}"
        for band in "AB":
            os.close(os.open(tmp_path / f"{stamp}_fltr{band}_1.0_9977ss_Plume.png", os.O_CREAT | os.O_WRONLY))
    scan = scan_frames([tmp_path], FILES)
    assert len(scan.frames) == 20_000


@pytest.mark.data
def test_real_folders(data_dir: Path) -> None:
    scan = scan_frames([data_dir / "villarrica" / "sequence", data_dir / "villarrica" / "calibration"], FILES)
    assert scan.skipped == ()
    kinds = [info.kind for info in scan.frames]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        FrameKind.PLUME: 18,
        FrameKind.CELL: 18,
        FrameKind.DARK: 6,
        FrameKind.CLEAR: 6,
    }
    times = [info.time for info in scan.frames]
    assert times == sorted(times)
