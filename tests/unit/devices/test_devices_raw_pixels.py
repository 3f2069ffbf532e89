"""Raw pixels: layouts of libcamera's formats, and binning that loses nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so2cam.devices.errors import DeviceDataError, DriverError
from so2cam.devices.raw_pixels import bin_raw, raw_layout, unpack_raw


def test_packed_bits_are_where_the_csi2_standard_says():
    # Four pixels 0x3FF, 0x000, 0x155, 0x2AA: high bytes first, then the low bits, first pixel lowest.
    data = np.array([0xFF, 0x00, 0x55, 0xAA, 0b10_01_00_11], np.uint8)
    layout = raw_layout("SGBRG10_CSI2P", 4, 1, 5, 10)
    assert unpack_raw(data, layout).tolist() == [[0x3FF, 0x000, 0x155, 0x2AA]]


def test_sixteen_bits_of_a_ten_bit_sensor_are_shifted_down():
    data = np.array([1023 << 6, 1 << 6], "<u2").view(np.uint8)
    assert unpack_raw(data, raw_layout("SGBRG16", 2, 1, 4, 10)).tolist() == [[1023, 1]]


def test_padding_is_left_out():
    rows = np.full((3, 64), 0xEE, np.uint8)
    rows[:, :8] = np.arange(12, dtype="<u2").reshape(3, 4).view(np.uint8)
    assert (
        unpack_raw(rows.reshape(-1), raw_layout("R10", 4, 3, 64, None)).tolist() == np.arange(12).reshape(3, 4).tolist()
    )


@pytest.mark.parametrize("name", ["PISP_COMP1", "GBRG_PISP_COMP1", "RGB888", "SGBRG12_CSI2P", "", "SGBRG99"])
def test_other_formats_are_refused(name):
    with pytest.raises(DriverError):
        raw_layout(name, 8, 8, 64, 10)


def test_rows_that_are_too_short_are_refused():
    with pytest.raises(DriverError, match="do not hold"):
        raw_layout("SGBRG10", 8, 8, 15, 10)
    with pytest.raises(DeviceDataError, match="wrong size"):
        unpack_raw(np.zeros(10, np.uint8), raw_layout("SGBRG10", 8, 8, 16, 10))


@settings(max_examples=60, deadline=None)
@given(
    factor=st.sampled_from([1, 2, 3, 4]),
    rows=st.integers(1, 6),
    columns=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
    bits=st.sampled_from([8, 10, 12]),
)
def test_sums_are_exact(factor, rows, columns, seed, bits):
    raw = np.random.default_rng(seed).integers(0, 2**bits, (rows * factor, columns * factor)).astype(np.uint16)
    binned, saturated = bin_raw(raw, factor, saturation_dn=0.98 * (2**bits - 1))
    blocks = raw.astype(np.int64).reshape(rows, factor, columns, factor)
    assert np.array_equal(binned, blocks.sum(axis=(1, 3)))
    assert binned.dtype == np.uint16
    expected = (blocks.max(axis=(1, 3)) >= np.ceil(0.98 * (2**bits - 1))).mean()
    assert saturated == pytest.approx(expected)


def test_sums_that_would_overflow_are_refused():
    with pytest.raises(ValueError, match="exceed 16 bits"):
        bin_raw(np.full((4, 4), 5000, np.uint16), 4, saturation_dn=9999)
    with pytest.raises(ValueError, match="cannot be binned"):
        bin_raw(np.zeros((6, 4), np.uint16), 4, saturation_dn=9999)
