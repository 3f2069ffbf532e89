import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from so2cam.core.errors import FrameFileError
from so2cam.core.records import Band, FrameInfo, FrameKind
from so2cam.formats.image_files import IMAGE_SUFFIXES, is_fits, read_frame, suffix_of
from so2cam.formats.png import write_png

COUNTS = np.arange(12 * 20, dtype=np.uint16).reshape(12, 20)


def info(path: Path) -> FrameInfo:
    time = datetime(2015, 9, 16, 7, 0, tzinfo=UTC)
    return FrameInfo(path=path, band=Band.ON, kind=FrameKind.PLUME, time=time, exposure_s=0.1, gain=1.0)


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.fts", "a.FIT", "a.b.fits"])
def test_format_by_ending(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.lower().endswith("png"):
        path.write_bytes(write_png(COUNTS))
    else:
        stream = io.BytesIO()
        fits.PrimaryHDU(COUNTS).writeto(stream)
        path.write_bytes(stream.getvalue())
    frame = read_frame(info(path), width=20, height=12, maximum_dn=255)
    np.testing.assert_array_equal(frame.counts, COUNTS)
    assert is_fits(path) == (not name.lower().endswith("png"))


@pytest.mark.parametrize("name", ["a.tif", "png", ".png", "a"])
def test_other_formats(tmp_path: Path, name: str) -> None:
    with pytest.raises(FrameFileError, match="of no format that so2cam reads"):
        read_frame(info(tmp_path / name), width=20, height=12, maximum_dn=255)


def test_the_ending_must_be_true(tmp_path: Path) -> None:
    path = tmp_path / "a.fts"
    path.write_bytes(write_png(COUNTS))
    with pytest.raises(FrameFileError, match="is not a FITS file"):
        read_frame(info(path), width=20, height=12, maximum_dn=255)


def test_endings() -> None:
    assert suffix_of("EC2_1.FTS") == "fts"
    assert suffix_of("a.tar.gz") == "gz"
    assert suffix_of("noending") == ""
    assert {"png", "fts", "fit", "fits"} == IMAGE_SUFFIXES
