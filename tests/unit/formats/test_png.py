import hashlib
import zlib
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from so2cam.core.errors import FrameFileError
from so2cam.core.records import Band, FrameInfo, FrameKind
from so2cam.formats.png import read_frame, read_png, write_png

SIGNATURE = b"\x89PNG\r\n\x1a\n"
FILTERS = (
    cv2.IMWRITE_PNG_FILTER_NONE,
    cv2.IMWRITE_PNG_FILTER_SUB,
    cv2.IMWRITE_PNG_FILTER_UP,
    cv2.IMWRITE_PNG_FILTER_AVG,
    cv2.IMWRITE_PNG_FILTER_PAETH,
    cv2.IMWRITE_PNG_ALL_FILTERS,
)


def image(height: int = 12, width: int = 17) -> npt.NDArray[np.uint16]:
    return np.random.default_rng(1).integers(0, 65536, (height, width), dtype=np.uint16)


def chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def png(header: bytes, compressed: bytes, extra: bytes = b"") -> bytes:
    return SIGNATURE + chunk(b"IHDR", header) + extra + chunk(b"IDAT", compressed) + chunk(b"IEND", b"")


def header(width: int, height: int, bits: int = 16, colour: int = 0, tail: bytes = b"\0\0\0") -> bytes:
    return width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((bits, colour)) + tail


def encode(pixels: npt.NDArray[np.uint16], level: int, row_filter: int) -> bytes:
    done, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, level, cv2.IMWRITE_PNG_FILTER, row_filter])
    assert done
    return data.tobytes()


@pytest.mark.parametrize("level", [0, 1, 5])
@pytest.mark.parametrize("row_filter", FILTERS)
def test_files_of_other_programs(level: int, row_filter: int) -> None:
    smooth = (np.add.outer(np.arange(40), np.arange(50)) * 7).astype(np.uint16)
    for pixels in (image(), smooth):
        read = read_png(encode(pixels, level, row_filter), "x.png")
        assert read.dtype == np.uint16
        np.testing.assert_array_equal(read, pixels)


def test_written_files_are_read_by_us_and_others() -> None:
    for pixels in (image(), image(1, 1), image(1, 9), image(9, 1)):
        data = write_png(pixels, {"Title": "Láscar", "exposure_s": "0.1"})
        np.testing.assert_array_equal(read_png(data, "x.png"), pixels)
        np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), pixels)
    assert b"Title\0L\xe1scar" in data


def test_result_can_be_written_to() -> None:
    read_png(write_png(image()), "x.png")[0, 0] = 3


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        (np.zeros((2, 2), np.uint8), None),
        (np.zeros(4, np.uint16), None),
        (np.zeros((0, 4), np.uint16), None),
        (np.zeros((1, 20_001), np.uint16), None),
        (np.zeros((2, 2), np.uint16), {"": "x"}),
        (np.zeros((2, 2), np.uint16), {"k": "火"}),
        (np.zeros((2, 2), np.uint16), {"k": "a\0b"}),
    ],
)
def test_what_cannot_be_written_is_refused(counts: npt.NDArray[np.uint16], text: dict[str, str] | None) -> None:
    with pytest.raises(ValueError):
        write_png(counts, text)


def test_every_truncation_is_found(capfd: pytest.CaptureFixture[str]) -> None:
    data = write_png(image(), {"a": "b"})
    for length in range(len(data)):
        with pytest.raises(FrameFileError, match=r"x\.png"):
            read_png(data[:length], "x.png")
    assert capfd.readouterr() == ("", "")


def test_every_flipped_bit_is_found(capfd: pytest.CaptureFixture[str]) -> None:
    data = write_png(image(4, 5), {"a": "b"})
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(FrameFileError):
                read_png(bytes(damaged), "x.png")
    assert capfd.readouterr() == ("", "")


RAW = bytes(4 * (1 + 2 * 5))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "not a PNG"),
        (SIGNATURE, "cut short"),
        (SIGNATURE + chunk(b"IEND", b""), "no image header"),
        (SIGNATURE + chunk(b"IHDR", b"\0"), "no image header"),
        (png(header(5, 4, bits=8), zlib.compress(bytes(24))), "is 8-bit greyscale, expected 16-bit greyscale"),
        (png(header(5, 4, colour=2), zlib.compress(RAW)), "is 16-bit colour, expected 16-bit greyscale"),
        (png(header(5, 4, colour=9), zlib.compress(RAW)), "colour type 9"),
        (png(header(5, 4, tail=b"\0\0\1"), zlib.compress(RAW)), "interlaced"),
        (png(header(5, 4, tail=b"\1\0\0"), zlib.compress(RAW)), "compression is unknown"),
        (png(header(0, 4), zlib.compress(RAW)), "claims 0 x 4"),
        (png(header(20_001, 4), zlib.compress(RAW)), "claims 20001 x 4"),
        (png(header(20_000, 20_000), zlib.compress(RAW)), "claims 20000 x 20000"),
        (png(header(5, 4), b""), "does not hold just 5 x 4"),
        (png(header(5, 4), b"rubbish"), "cannot be decompressed"),
        (png(header(5, 4), zlib.compress(RAW)[:-1]), "does not hold just 5 x 4"),
        (png(header(5, 4), zlib.compress(RAW)[:-1] + b"\0"), "cannot be decompressed"),
        (png(header(5, 4), zlib.compress(RAW[:-1])), "does not hold just 5 x 4"),
        (png(header(5, 4), zlib.compress(bytes(10_000_000))), "does not hold just 5 x 4"),
        (png(header(5, 4), zlib.compress(b"\7" + RAW[1:])), "unknown filter"),
        (png(header(5, 4), zlib.compress(RAW), chunk(b"XYZZ", b"")), "unknown type"),
    ],
)
def test_damage_and_other_kinds_are_named(data: bytes, reason: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FrameFileError, match=reason) as caught:
        read_png(data, "x.png")
    assert caught.value.file == "x.png"
    assert caught.value.remedy
    assert capfd.readouterr() == ("", "")


def test_other_parts_of_a_file_do_not_change_the_pixels() -> None:
    pixels = image(5, 6)
    plain = encode(pixels, 1, cv2.IMWRITE_PNG_FILTER_PAETH)
    extra = chunk(b"gAMA", (200_000).to_bytes(4, "big")) + chunk(b"tRNS", b"\0\5") + chunk(b"acTL", bytes(8))
    np.testing.assert_array_equal(read_png(plain[:33] + extra + plain[33:], "x.png"), pixels)


def info_of(path: Path) -> FrameInfo:
    return FrameInfo(path, Band.ON, FrameKind.PLUME, datetime(2024, 1, 1, tzinfo=UTC), 0.1, 1.0)


def test_frame(tmp_path: Path) -> None:
    pixels = image() // 64
    path = tmp_path / "a.png"
    path.write_bytes(write_png(pixels))
    frame = read_frame(info_of(path), width=17, height=12, maximum_dn=1023)
    assert frame.info == info_of(path)
    assert frame.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    np.testing.assert_array_equal(frame.counts, pixels)


def test_frame_of_another_camera_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(write_png(np.full((12, 17), 4095, np.uint16)))
    with pytest.raises(FrameFileError, match="expected 648 x 486, found 17 x 12"):
        read_frame(info_of(path), width=648, height=486, maximum_dn=1023)
    with pytest.raises(FrameFileError, match="counts up to 4095, more than a 10-bit camera can give"):
        read_frame(info_of(path), width=17, height=12, maximum_dn=1023)


def test_missing_frame_and_folder_are_explained(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path, Path("a\0b.png")):
        with pytest.raises(FrameFileError, match="cannot be read") as caught:
            read_frame(info_of(path), width=17, height=12, maximum_dn=1023)
        assert caught.value.remedy


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with path.open("wb") as stream:
        stream.truncate(400_000_000)
    with pytest.raises(FrameFileError, match="too large"):
        read_frame(info_of(path), width=17, height=12, maximum_dn=1023)


@pytest.mark.data
def test_every_real_image_as_opencv_reads_it(data_dir: Path) -> None:
    for path in sorted((data_dir / "villarrica").rglob("*.png")):
        data = path.read_bytes()
        pixels = read_png(data, path)
        assert pixels.shape == (486, 648)
        np.testing.assert_array_equal(pixels, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))
        with pytest.raises(FrameFileError):
            read_png(data[: len(data) // 2], path)
