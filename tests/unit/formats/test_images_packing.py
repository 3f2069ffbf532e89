"""Images as 16-bit codes: scales, rounding, what is missing and what lies beyond."""

from datetime import UTC, datetime

import numpy as np
import pytest

from so2cam.formats.images.packing import (
    LARGEST,
    LAYERS,
    MISSING,
    Layer,
    layers_of,
    pack,
    pack_record,
    table_of,
    unpack,
)
from so2cam.formats.images.record import ImageRecord

ABSORBANCE, COLUMNS, FLOW_X, FLOW_Y = LAYERS
TIME = datetime(2018, 3, 26, 14, 44, 8, 123000, tzinfo=UTC)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_zero_is_read_back_as_exactly_zero(layer: Layer) -> None:
    codes, beyond = pack(np.zeros((2, 3), np.float32), layer)
    assert beyond == 0
    assert np.array_equal(unpack(codes, layer), np.zeros((2, 3), np.float32))


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_values_are_kept_to_half_a_step(layer: Layer) -> None:
    values = np.random.default_rng(1).uniform(layer.lowest, layer.highest, (50, 60))
    codes, beyond = pack(values, layer)
    assert beyond == 0
    assert codes.dtype == np.uint16
    error = np.abs(table_of(layer)[codes] - values)
    assert error.max() <= 0.5 * layer.scale_factor * (1 + 1e-6)
    assert error.mean() == pytest.approx(layer.scale_factor / 4, rel=0.05)


def test_ranges_and_steps() -> None:
    assert (ABSORBANCE.lowest, ABSORBANCE.highest) == (-1.0, pytest.approx(5.5534))
    assert (COLUMNS.lowest, COLUMNS.highest) == (-1e19, pytest.approx(5.5534e19))
    assert FLOW_X.highest == pytest.approx(163.83)
    assert FLOW_X.scale_factor <= 0.01
    # Far below the noise of a pixel, about 0.01, and of its column with a slope of 7e18 molecules cm-2.
    assert ABSORBANCE.scale_factor <= 1e-4
    assert COLUMNS.scale_factor < 0.02 * 0.01 * 7e18


def test_known_codes() -> None:
    codes, _ = pack(np.array([[-1.0, -0.99994, 0.5, 5.5534]]), ABSORBANCE)
    assert codes.tolist() == [[0, 1, 15000, LARGEST]]


def test_what_lies_beyond_is_missing_and_counted() -> None:
    values = np.array([[-1.1, -1.00006, 5.55346, 7.0, np.inf, -np.inf, np.nan, 0.1]])
    codes, beyond = pack(values, ABSORBANCE)
    assert beyond == 6
    assert codes.tolist() == [[MISSING] * 7 + [11000]]
    assert np.isnan(unpack(codes, ABSORBANCE)[0, :7]).all()


def test_nan_alone_is_not_counted() -> None:
    codes, beyond = pack(np.full((3, 3), np.nan), COLUMNS)
    assert beyond == 0
    assert (codes == MISSING).all()


def test_unpacked_values_are_float32_and_pack_to_the_same_codes() -> None:
    for layer in LAYERS:
        codes = np.arange(MISSING + 1, dtype=np.uint16).reshape(256, 256)
        values = unpack(codes, layer)
        assert values.dtype == np.float32
        again, beyond = pack(values, layer)
        assert beyond == 0
        assert np.array_equal(again, codes)


def test_a_record_is_packed_into_the_layers_that_are_wanted() -> None:
    flow = np.zeros((2, 3, 2), np.float32)
    flow[..., 0], flow[..., 1] = 1.5, -2.5
    record = ImageRecord(TIME, np.full((2, 3), 0.25, np.float32), None, flow)
    packed = pack_record(record, layers_of(frozenset({"columns", "flow"})))
    assert set(packed) == {"column_density", "flow_x", "flow_y"}
    assert (packed["column_density"][0] == MISSING).all()
    assert packed["column_density"][1] == 0
    assert np.array_equal(unpack(packed["flow_x"][0], FLOW_X), flow[..., 0])
    assert np.array_equal(unpack(packed["flow_y"][0], FLOW_Y), flow[..., 1])


def test_a_record_holds_images_of_one_shape() -> None:
    image = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="rows and columns"):
        ImageRecord(TIME, np.zeros((0, 3), np.float32))
    with pytest.raises(ValueError, match="column_molec_cm2"):
        ImageRecord(TIME, image, np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match="flow_px_s"):
        ImageRecord(TIME, image, None, np.zeros((2, 3), np.float32))
