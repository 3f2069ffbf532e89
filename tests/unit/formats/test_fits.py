import hashlib
import io
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from so2cam.core.errors import FrameFileError
from so2cam.core.records import Band, FrameInfo, FrameKind
from so2cam.formats.fits import read_fits, read_frame, read_header

COUNTS = np.arange(12 * 20).reshape(12, 20)
TIME = datetime(2015, 9, 16, 7, 0, tzinfo=UTC)


def fits_bytes(pixels: Any, *, more: tuple[Any, ...] = (), checksum: bool = False, **keys: Any) -> bytes:
    primary = fits.PrimaryHDU(pixels)
    for key, value in keys.items():
        primary.header[key] = value
    stream = io.BytesIO()
    fits.HDUList([primary, *more]).writeto(stream, checksum=checksum)
    return stream.getvalue()


def info(path: Path) -> FrameInfo:
    return FrameInfo(path=path, band=Band.ON, kind=FrameKind.PLUME, time=TIME, exposure_s=0.1, gain=1.0)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64])
def test_whole_numbers_of_every_size(dtype: type) -> None:
    counts = read_fits(fits_bytes(COUNTS.astype(dtype)), "x.fts")
    assert counts.dtype == np.uint16
    assert counts.flags.c_contiguous
    np.testing.assert_array_equal(counts, COUNTS)


def test_full_range_of_sixteen_bits() -> None:
    pixels = np.array([[0, 32767], [32768, 65535]], np.uint16)
    data = fits_bytes(pixels)
    assert b"BZERO   =                32768" in data
    np.testing.assert_array_equal(read_fits(data, "x.fts"), pixels)


def test_scale_and_zero() -> None:
    plain = fits_bytes(COUNTS.astype(np.int16), BLURRING=0)
    data = plain.replace(b"BLURRING=                    0", b"BSCALE  =                  4.0")
    np.testing.assert_array_equal(read_fits(data, "x.fts"), 4 * COUNTS)
    half = plain.replace(b"BLURRING=                    0", b"BSCALE  =                  0.5")
    with pytest.raises(FrameFileError, match="fractions of counts"):
        read_fits(half, "x.fts")


def test_rows_from_the_top_unless_the_file_says_otherwise() -> None:
    pixels = COUNTS.astype(np.uint16)
    assert read_fits(fits_bytes(pixels, ROWORDER="TOP-DOWN"), "x.fts")[0, 0] == 0
    np.testing.assert_array_equal(read_fits(fits_bytes(pixels, ROWORDER="BOTTOM-UP"), "x.fts"), pixels[::-1])


def test_image_behind_an_empty_first_part() -> None:
    data = fits_bytes(None, more=(fits.ImageHDU(COUNTS.astype(np.uint8)),))
    np.testing.assert_array_equal(read_fits(data, "x.fts"), COUNTS)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(5000), "is not a FITS file"),
        (fits_bytes(None), "holds no image"),
        (fits_bytes(None, more=(fits.BinTableHDU.from_columns([fits.Column("a", "I", array=[1])]),)), "holds no image"),
        (fits_bytes(np.zeros((2, 3, 4), np.uint8)), "3 dimensions, expected 2"),
        (fits_bytes(np.zeros(7, np.uint8)), "1 dimensions, expected 2"),
        (fits_bytes(np.zeros((3, 4), np.float32)), "fractional numbers"),
        (fits_bytes(np.array([[0, -1]], np.int16)), "counts from -1 to 0"),
        (fits_bytes(np.array([[0, 65536]], np.int32)), "counts from 0 to 65536"),
        (fits_bytes(np.array([[0, 999]], np.int16), BLANK=999), "pixels without a value"),
    ],
)
def test_what_is_no_image_of_a_camera(data: bytes, reason: str) -> None:
    with pytest.raises(FrameFileError, match=reason) as caught:
        read_fits(data, "x.fts")
    assert caught.value.remedy


def test_a_file_cut_anywhere_in_its_data_is_refused() -> None:
    table = fits.BinTableHDU.from_columns([fits.Column("roi", "I", array=[0, 0, 84, 64])])
    data = fits_bytes(COUNTS.astype(np.uint16), more=(table,))
    table_ends = len(data) - 2880 + 8
    for size in (1, 100, 2000, 2880, 2881, 2880 + 479, table_ends - 2500, table_ends - 1):
        with pytest.raises(FrameFileError):
            read_fits(data[:size], "x.fts")
    np.testing.assert_array_equal(read_fits(data[:table_ends], "x.fts"), COUNTS)
    alone = fits_bytes(COUNTS.astype(np.uint16))
    np.testing.assert_array_equal(read_fits(alone[: 2880 + 480], "x.fts"), COUNTS)


def test_checksums_are_verified_where_there_are_any() -> None:
    data = bytearray(fits_bytes(COUNTS.astype(np.uint16), checksum=True))
    np.testing.assert_array_equal(read_fits(bytes(data), "x.fts"), COUNTS)
    data[2880 + 7] ^= 1
    with pytest.raises(FrameFileError, match=r"(?i)is damaged: .*sum"):
        read_fits(bytes(data), "x.fts")


def test_damage_gives_an_image_or_one_kind_of_error(tmp_path: Path) -> None:
    source = fits_bytes(COUNTS.astype(np.uint8), EXP="334800.000", GAIN="LOW", STIME="2015-09-16 07:00:03.01")
    path = tmp_path / "x.fts"
    dice = random.Random(4)
    refused = 0
    for _ in range(300):
        damaged = bytearray(source)
        for _ in range(dice.randrange(1, 12)):
            damaged[dice.randrange(1000)] = dice.choice(b" 0123456789'=TFEND-./\xff\x00")
        path.write_bytes(damaged)
        for read in (lambda: read_fits(bytes(damaged), path), lambda: read_header(path)):  # noqa: B023
            try:
                read()
            except FrameFileError:
                refused += 1
    assert refused > 50


def test_odd_cards_and_letters_do_no_harm(tmp_path: Path) -> None:
    data = bytearray(fits_bytes(COUNTS.astype(np.uint8), DESC="sky  clear", EXP="1000"))
    at = data.index(b"sky  clear")
    data[at + 3 : at + 5] = "é".encode()
    path = tmp_path / "x.fts"
    path.write_bytes(data)
    np.testing.assert_array_equal(read_fits(bytes(data), path), COUNTS)
    assert read_header(path).exposure_s == 0.001


# --- headers -----------------------------------------------------------------------------------------------------


def header(tmp_path: Path, **keys: Any) -> Any:
    path = tmp_path / "x.fts"
    path.write_bytes(fits_bytes(COUNTS.astype(np.uint8), **keys))
    return read_header(path)


def test_header_of_an_envicam(tmp_path: Path) -> None:
    found = header(tmp_path, EXP="334800.000", GAIN="LOW", STIME="2015-09-16 07:00:03.01", DARKCORR=0, IS_AA=0)
    assert found.exposure_s == 0.3348
    assert found.gain == "LOW"
    assert found.start == datetime(2015, 9, 16, 7, 0, 3, 10_000, tzinfo=UTC)
    assert found.derived == ()


def test_header_of_other_cameras(tmp_path: Path) -> None:
    assert header(tmp_path, EXPTIME=2.5, GAIN=1.5).exposure_s == 2.5
    assert header(tmp_path, EXPOSURE=0.25).exposure_s == 0.25
    assert header(tmp_path, EXPTIME=0.25, GAIN=1.5).gain == "1.5"
    nothing = header(tmp_path)
    assert (nothing.exposure_s, nothing.gain, nothing.start, nothing.derived) == (None, None, None, ())


def test_computed_images_are_told(tmp_path: Path) -> None:
    assert header(tmp_path, DARKCORR=1, IS_AA=True).derived == ("DARKCORR", "IS_AA")


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"EXP": "long"}, "exposure"),
        ({"EXP": "-5"}, "exposure"),
        ({"EXPTIME": 1e9}, "exposure"),
        ({"EXPTIME": "nan"}, "exposure"),
        ({"STIME": "yesterday"}, "time cannot be read"),
    ],
)
def test_impossible_header_values(tmp_path: Path, keys: dict[str, Any], reason: str) -> None:
    with pytest.raises(FrameFileError, match=reason) as caught:
        header(tmp_path, **keys)
    assert (caught.value.key, caught.value.value) == next((key, str(value)) for key, value in keys.items())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"hello", "is not a FITS file"),
        (fits_bytes(COUNTS.astype(np.uint8))[:1000], "is cut short"),
        (b"SIMPLE  =                    T".ljust(2880) * 501, "header has no end"),
    ],
)
def test_files_without_a_header(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "x.fts"
    path.write_bytes(data)
    with pytest.raises(FrameFileError, match=reason):
        read_header(path)
    with pytest.raises(FrameFileError, match="cannot be read"):
        read_header(tmp_path / "absent.fts")


# --- frames ------------------------------------------------------------------------------------------------------


def test_frame_with_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "x.fts"
    data = fits_bytes(COUNTS.astype(np.uint8))
    path.write_bytes(data)
    frame = read_frame(info(path), width=20, height=12, maximum_dn=255)
    np.testing.assert_array_equal(frame.counts, COUNTS)
    assert frame.sha256 == hashlib.sha256(data).hexdigest()
    with pytest.raises(FrameFileError, match="expected 84 x 64, found 20 x 12 pixels"):
        read_frame(info(path), width=84, height=64, maximum_dn=255)
    with pytest.raises(FrameFileError, match="counts up to 239, more than a 7-bit camera can give"):
        read_frame(info(path), width=20, height=12, maximum_dn=127)
    with pytest.raises(FrameFileError, match="cannot be read"):
        read_frame(info(tmp_path / "absent.fts"), width=20, height=12, maximum_dn=255)
