import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from so2cam.core.errors import FrameFileError, InputError, SiteFileError
from so2cam.core.records import Band, FrameInfo, FrameKind
from so2cam.core.site import Files
from so2cam.formats.folder import FrameScan, SkipCategory, scan_frames
from so2cam.formats.naming import frame_naming

ENVICAM = Files(naming="envicam", on_band="F01", off_band="F02")
STIME = "2015-09-16 07:00:03.01"
ON = "EC2_1106307_1R02_2015091607000301_F01_Etna.fts"


def fits_file(path: Path, **keys: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    primary = fits.PrimaryHDU(np.zeros((4, 6), np.uint8))
    for key, value in keys.items():
        primary.header[key] = value
    stream = io.BytesIO()
    primary.writeto(stream)
    path.write_bytes(stream.getvalue())
    return path


def envicam(folder: Path, name: str = ON, **keys: Any) -> Path:
    return fits_file(folder / name, **({"EXP": "334800.000", "GAIN": "LOW", "STIME": STIME} | keys))


def pattern(text: str, **settings: Any) -> Files:
    return Files.model_validate({"naming": "pattern", "pattern": text, "on_band": "A", "off_band": "B"} | settings)


def read(path: str | Path, files: Files) -> tuple[FrameInfo, ...]:
    naming = frame_naming(files)
    named = naming.parse(Path(path))
    return naming.frames(named, naming.header(named))


def reasons(scan: FrameScan) -> list[tuple[str, SkipCategory, str]]:
    return [(item.path.name, item.category, item.reason) for item in scan.skipped]


# --- Envicam -----------------------------------------------------------------------------------------------------


def test_envicam_frame(tmp_path: Path) -> None:
    envicam(tmp_path)
    (info,) = scan_frames([tmp_path], ENVICAM).frames
    assert (info.band, info.kind, info.gain, info.exposure_s) == (Band.ON, FrameKind.PLUME, 1.0, 0.3348)
    assert info.start_time == datetime(2015, 9, 16, 7, 0, 3, 10_000, tzinfo=UTC)
    assert info.time == info.start_time + timedelta(seconds=0.1674)
    assert info.time_resolution_s == 0.01


@pytest.mark.parametrize("name", [ON.replace(".fts", ".FITS"), ON.replace("_Etna", ""), ON.replace("Etna", "a_b")])
def test_envicam_names_with_other_ends(tmp_path: Path, name: str) -> None:
    envicam(tmp_path, name)
    (info,) = scan_frames([tmp_path], ENVICAM).frames
    assert info.band is Band.ON


def test_envicam_darks_belong_to_both_bands(tmp_path: Path) -> None:
    path = envicam(tmp_path, ON.replace("F01", "D0L"), EXP="12.400")
    scan = scan_frames([tmp_path], ENVICAM)
    assert [(info.path, info.band, info.kind, info.exposure_s) for info in scan.frames] == [
        (path, Band.OFF, FrameKind.DARK, 12.4e-6),
        (path, Band.ON, FrameKind.DARK, 12.4e-6),
    ]
    assert scan.skipped == ()


def test_envicam_gain_that_the_site_file_does_not_have(tmp_path: Path) -> None:
    envicam(tmp_path)
    name = ON.replace("F01", "D1H")
    envicam(tmp_path, name, GAIN="HIGH")
    ((skipped, category, reason),) = reasons(scan_frames([tmp_path], ENVICAM))
    assert (skipped, category) == (name, SkipCategory.UNUSABLE_VALUES)
    assert reason == "the gain is a word that files.gains does not have (found 'HIGH')"
    files = ENVICAM.model_copy(update={"gains": {"High": 5.5}})
    assert sorted({info.gain for info in scan_frames([tmp_path], files).frames}) == [1.0, 5.5]


def test_envicam_exposure_missing(tmp_path: Path) -> None:
    fits_file(tmp_path / ON, STIME=STIME)
    ((_, category, reason),) = reasons(scan_frames([tmp_path], ENVICAM))
    assert category is SkipCategory.UNUSABLE_VALUES
    assert reason == "name, header and files.exposure_s do not tell the exposure"
    (info,) = scan_frames([tmp_path], ENVICAM.model_copy(update={"exposure_s": 0.5})).frames
    assert (info.exposure_s, info.gain) == (0.5, 1.0)


def test_envicam_name_and_header_must_agree(tmp_path: Path) -> None:
    envicam(tmp_path, ON, STIME="2015-09-16 07:00:04.00")
    assert len(scan_frames([tmp_path], ENVICAM).frames) == 1
    envicam(tmp_path, ON, STIME="2015-09-16 07:00:04.02")
    ((_, category, reason),) = reasons(scan_frames([tmp_path], ENVICAM))
    assert category is SkipCategory.UNUSABLE_VALUES
    assert reason.startswith("the name's time is 1.01 s before the header's STIME")


def test_envicam_offset_of_the_clock_moves_name_and_header(tmp_path: Path) -> None:
    envicam(tmp_path)
    (info,) = scan_frames([tmp_path], ENVICAM.model_copy(update={"utc_offset_hours": 2.0})).frames
    assert info.start_time == datetime(2015, 9, 16, 5, 0, 3, 10_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "keys", "category", "reason"),
    [
        (
            ON.replace("F01", "F03"),
            {},
            SkipCategory.UNREADABLE_NAME,
            "the band tag is neither F01 nor F02 (found 'F03')",
        ),
        (ON.replace("20150916", "20151316"), {}, SkipCategory.UNREADABLE_NAME, "the name is not made like EC2_"),
        ("notes.fits", {}, SkipCategory.UNREADABLE_NAME, "the name is not made like EC2_"),
        (ON, {"DARKCORR": 1}, SkipCategory.DERIVED, "is a computed image, not a frame: its header has DARKCORR set"),
        (ON, {"EXP": "soon"}, SkipCategory.UNUSABLE_VALUES, "EXP: the header's exposure is not from 0 to 3600 s"),
        (ON, {"EXP": "0"}, SkipCategory.UNUSABLE_VALUES, "the exposure is 0 s"),
        (ON, {"GAIN": 0}, SkipCategory.UNUSABLE_VALUES, "the gain is not within 0.001 and 1000"),
    ],
)
def test_envicam_files_that_are_skipped(
    tmp_path: Path, name: str, keys: dict[str, Any], category: SkipCategory, reason: str
) -> None:
    envicam(tmp_path, name, **keys)
    ((skipped, found, text),) = reasons(scan_frames([tmp_path], ENVICAM))
    assert (skipped, found) == (name, category)
    assert text.startswith(reason)


def test_envicam_folder_like_any_other(tmp_path: Path) -> None:
    envicam(tmp_path / "a")
    envicam(tmp_path / "b")
    locked = ON.replace("F01", "F02")
    envicam(tmp_path / "a", locked)
    (tmp_path / "a" / locked.replace(".fts", ".lock")).write_bytes(b"")
    (tmp_path / "a" / "picture.png").write_bytes(b"")
    (tmp_path / "a" / f"._{ON}").write_bytes(b"")
    (tmp_path / "b" / ON.replace("0301", "0401")).write_bytes(b"cut")
    scan = scan_frames([tmp_path], ENVICAM)
    assert [info.path for info in scan.frames] == [tmp_path / "a" / ON]
    assert [item[1] for item in reasons(scan)] == [
        SkipCategory.LOCKED,
        SkipCategory.DUPLICATE,
        SkipCategory.UNUSABLE_VALUES,
    ]


def test_folder_without_files_of_the_format(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"")
    with pytest.raises(InputError, match="holds no FITS file"):
        scan_frames([tmp_path], ENVICAM)


# --- patterns ----------------------------------------------------------------------------------------------------

CAM = "cam_{band}_{time:%Y%m%d_%H%M%S%f}_{exposure_ms}ms_{kind}.png"


def test_pattern_with_everything() -> None:
    (info,) = read("cam_a_20240301_12000050_20.5ms_Clear.PNG", pattern(CAM, stamp="end", utc_offset_hours=1))
    assert (info.band, info.kind, info.exposure_s, info.gain) == (Band.ON, FrameKind.CLEAR, 0.0205, 1.0)
    assert info.time == datetime(2024, 3, 1, 11, 0, 0, 489_750, tzinfo=UTC)
    assert info.start_time == datetime(2024, 3, 1, 11, 0, 0, 479_500, tzinfo=UTC)
    assert info.time_resolution_s == 0.01


def test_pattern_words() -> None:
    files = pattern(CAM, kinds={"sky": "clear", "shut": "dark", "GAS": "cell"})
    name = "cam_B_20240301_120000_20ms_{}.png"
    name = name.replace("120000", "12000000")
    assert read(name.format("SKY"), files)[0].kind is FrameKind.CLEAR
    assert read(name.format("test"), files)[0].kind is FrameKind.TEST
    (cell,) = read(name.format("304.5ppmm"), files)
    assert (cell.kind, cell.cell_ppm_m) == (FrameKind.CELL, 304.5)
    with pytest.raises(FrameFileError, match="gas cell whose column is not in its name"):
        read(name.format("gas"), files)
    with pytest.raises(FrameFileError, match="type is unknown"):
        read(name.format("moon"), files)
    (dark,) = read(name.format("shut"), files)
    assert dark.band is Band.OFF


def test_pattern_without_kinds_is_plume_but_for_words_in_the_band() -> None:
    files = pattern("{time:%Y%m%d%H%M%S}_{band}_{exposure_us}.png", kinds={"cap": "dark", "zenith": "clear"})
    assert read("20240301120000_A_500.png", files)[0].kind is FrameKind.PLUME
    darks = read("20240301120000_CAP_500.png", files)
    assert [(info.band, info.kind) for info in darks] == [(Band.ON, FrameKind.DARK), (Band.OFF, FrameKind.DARK)]
    assert [info.kind for info in read("20240301120000_dark_500.png", files)] == [FrameKind.DARK] * 2
    with pytest.raises(FrameFileError, match="is a clear frame whose name has no band"):
        read("20240301120000_zenith_500.png", files)
    with pytest.raises(FrameFileError, match="band tag is neither A nor B"):
        read("20240301120000_C_500.png", files)


def test_pattern_darks_of_both_bands_by_their_kind() -> None:
    files = pattern("{time:%Y%m%d%H%M%S}_{band}_{kind}_{exposure_us}.png", kinds={"none": "dark"})
    assert len(read("20240301120000_none_dark_500.png", files)) == 2
    with pytest.raises(FrameFileError, match="is a plume frame whose name has no band"):
        read("20240301120000_none_plume_500.png", files)


def test_pattern_with_cell_labels_and_gain() -> None:
    files = pattern("{band}_{time:%Y%m%d%H%M%S}_{gain}_{exposure_s}_{cell_ppm_m}.png", gains={"2": 4.0})
    (info,) = read("A_20240301120000_2_0.5_1257.png", files)
    assert (info.kind, info.cell_ppm_m, info.gain) == (FrameKind.CELL, 1257.0, 4.0)
    assert read("A_20240301120000_3_0.5_1257.png", files)[0].gain == 3.0
    files = pattern(
        "{band}_{time:%Y%m%d%H%M%S}_{exposure_s}_{kind}_{cell_ppm_m}.png", kinds={"gas": "cell", "p": "plume"}
    )
    assert read("A_20240301120000_0.5_gas_94.png", files)[0].cell_ppm_m == 94.0
    assert read("A_20240301120000_0.5_p_0.png", files)[0].cell_ppm_m is None


def test_pattern_leaves_exposure_to_the_site_file() -> None:
    text = "{band}_{time:%Y%m%d%H%M%S}.png"
    with pytest.raises(FrameFileError, match=r"name and files.exposure_s do not tell the exposure"):
        read("A_20240301120000.png", pattern(text))
    (info,) = read("A_20240301120000.png", pattern(text, exposure_s=0.2))
    assert info.exposure_s == 0.2


def test_pattern_leaves_exposure_and_gain_to_the_header(tmp_path: Path) -> None:
    files = pattern("{band}_{time:%Y%m%d%H%M%S}.fit", gains={"LO": 2.0}, exposure_s=9)
    assert read(fits_file(tmp_path / "A_20240301120000.fit", EXPTIME=0.7, GAIN="lo"), files)[0].gain == 2.0
    (info,) = read(fits_file(tmp_path / "B_20240301120000.fit", EXPTIME=0.7, STIME="1999-01-01 00:00:00"), files)
    assert (info.exposure_s, info.gain) == (0.7, 1.0)


def test_header_is_not_opened_where_the_name_says_all() -> None:
    files = pattern("{band}_{time:%Y%m%d%H%M%S}_{gain}_{exposure_s}.fits")
    assert len(read("absent/A_20240301120000_1_0.5.fits", files)) == 1


def test_bias_frames_have_no_exposure(tmp_path: Path) -> None:
    files = pattern("{band}_{time:%Y%m%d%H%M%S}.fit", kinds={"bias": "dark"})
    path = fits_file(tmp_path / "bias_20240301120000.fit", EXPTIME=0)
    assert [info.exposure_s for info in read(path, files)] == [0.0, 0.0]


def test_pattern_scan_with_sidecar(tmp_path: Path) -> None:
    name = "A_20240301120000"
    (tmp_path / f"{name}.png").write_bytes(b"")
    (tmp_path / "B_other.png").write_bytes(b"")
    (tmp_path / f"{name}.json").write_text(json.dumps({"ExposureTime": 400_000, "AnalogueGain": 1.5}))
    scan = scan_frames([tmp_path], pattern("{band}_{time:%Y%m%d%H%M%S}.png", stamp="middle"))
    (info,) = scan.frames
    assert (info.exposure_s, info.gain) == (0.4, 1.5)
    assert info.time == datetime(2024, 3, 1, 12, tzinfo=UTC)
    ((skipped, category, reason),) = reasons(scan)
    assert (skipped, category) == ("B_other.png", SkipCategory.UNREADABLE_NAME)
    assert "does not fit the pattern" in reason


def test_pattern_of_any_format(tmp_path: Path) -> None:
    (tmp_path / "A_20240301120000_x.png").write_bytes(b"")
    fits_file(tmp_path / "A_20240301120001_y.fts", EXPTIME=1)
    (tmp_path / "A_20240301120002_z.txt").write_bytes(b"")
    scan = scan_frames([tmp_path], pattern("{band}_{time:%Y%m%d%H%M%S}_{any}", exposure_s=1))
    assert len(scan.frames) == 2
    assert scan.skipped == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{time:%Y%m%d%H%M%S}.png", r"has no \{band\}"),
        ("{band}.png", "has no time"),
        ("{band}_{time:%Y%m%d%H%M%S}.tif", r"does not end in \.png"),
        ("{band}_{time:%Y%m%d%H%M%S}_{coadds}.png", "which spectra have"),
        ("{band}_{time:%Y%m%d%H%M%S}_{who}.png", "unknown field"),
    ],
)
def test_patterns_that_are_none(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(SiteFileError, match=reason) as caught:
        scan_frames([tmp_path], pattern(text))
    assert (caught.value.key, caught.value.value) == ("files.pattern", text)
    assert caught.value.remedy
