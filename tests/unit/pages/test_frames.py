"""Frame messages: what is said of an image, and its numbers, arrive as they were."""

import struct
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so2cam.pages.frames import INVALID_CODE, FrameHeader, decode_frame, encode_frame, encode_values


@given(st.integers(1, 7), st.integers(1, 7), st.text(max_size=20), st.integers(0, 65535))
def test_a_frame_comes_back_as_it_was(rows: int, columns: int, label: str, first: int) -> None:
    pixels = (np.arange(rows * columns) + first).astype(np.uint16).reshape(rows, columns)
    message = encode_frame(pixels, FrameHeader(label=label, unit="DN", saturation=4095))
    length = struct.unpack_from("<I", message)[0]
    assert length % 2 == 0  # pixels start at an even place
    header, found = decode_frame(message)
    np.testing.assert_array_equal(found, pixels)
    assert (header["rows"], header["columns"], header["dtype"]) == (rows, columns, "uint16")
    assert (header["label"], header["unit"], header["saturation"]) == (label, "DN", 4095)
    assert header["invalid"] is header["why"] is header["time"] is None


def test_the_time_is_utc_to_the_millisecond() -> None:
    time = datetime(2026, 1, 15, 14, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=2)))
    header, _ = decode_frame(encode_frame(np.zeros((1, 1), np.uint16), FrameHeader(time=time)))
    assert header["time"] == "2026-01-15T12:00:00.250Z"
    assert FrameHeader(time=time.astimezone(UTC)).time == time


def test_values_keep_their_range_to_a_part_in_65534_and_nan_is_invalid() -> None:
    values = np.linspace(-0.3, 1.2, 1000).reshape(20, 50)
    values[3, 4] = np.nan
    values[5, 6] = np.inf
    header, codes = decode_frame(encode_values(values, FrameHeader(label="Absorbance")))
    back = codes * header["scale"] + header["offset"]
    good = np.isfinite(values)
    assert np.abs(back[good] - values[good]).max() <= 1.5 / 65534 / 2 * 1.001
    assert header["invalid"] == INVALID_CODE
    np.testing.assert_array_equal(codes == INVALID_CODE, ~good)


def test_values_beyond_a_given_range_become_its_ends() -> None:
    header, codes = decode_frame(encode_values(np.array([[-5.0, 0.0, 1.0, 9.0]]), FrameHeader(), low=0.0, high=2.0))
    np.testing.assert_allclose(codes * header["scale"] + header["offset"], [[0, 0, 1, 2]], atol=2e-5)


@pytest.mark.parametrize("value", [np.nan, 3.0])
def test_an_image_of_one_value_or_of_none_is_a_frame_too(value: float) -> None:
    header, codes = decode_frame(encode_values(np.full((2, 2), value), FrameHeader()))
    assert header["scale"] > 0
    assert np.isnan(value) == bool((codes == INVALID_CODE).all())
    if not np.isnan(value):
        np.testing.assert_array_equal(codes * header["scale"] + header["offset"], value)


@pytest.mark.parametrize("pixels", [np.zeros((2, 2)), np.zeros(4, np.uint16), np.zeros((0, 2), np.uint16)])
def test_what_is_no_image_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint16 image"):
        encode_frame(pixels, FrameHeader())


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(ValueError, match="4 bytes"):
        decode_frame(b"abc")
