"""Stacks of images in zarr, read back with xarray and with the reader that pictures are drawn from."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from so2cam.core.errors import InputError
from so2cam.core.records import PlumeLine, Provenance
from so2cam.formats.images.packing import LAYERS, MISSING, LayerName, layers_of, pack_record, table_of
from so2cam.formats.images.record import ImageRecord
from so2cam.formats.images.stack import LineHistory, images_per_chunk
from so2cam.formats.images.zarr_stack import ZarrStack, ZarrStackReader

START = datetime(2018, 3, 26, 14, 44, 8, 123000, tzinfo=UTC)
PROVENANCE = Provenance(
    "1.2.3", "Étna", {"a": 1}, "f" * 64, (("on.png", "0" * 64), ("öff.png", "1" * 64)), "so2cam process", START
)
LINE = PlumeLine("near", ((1.0, 2.0), (3.0, 4.0)), -1)
LINES = LineHistory().with_image(0, (LINE,))
EVERYTHING = layers_of(frozenset({"absorbance", "columns", "flow"}))


def records(count: int, shape: tuple[int, int] = (6, 8)) -> list[ImageRecord]:
    random = np.random.default_rng(4)
    found = []
    for number in range(count):
        absorbance = random.normal(0.2, 0.1, shape).astype(np.float32)
        absorbance[0, 0] = np.nan
        flow = None if number == count - 1 else random.normal(0, 3, (*shape, 2)).astype(np.float32)
        time = START + timedelta(seconds=4 * number)
        found.append(ImageRecord(time, absorbance, absorbance * np.float32(7e18), flow, (LINE,)))
    return found


def write(path: Path, images: list[ImageRecord]) -> None:
    stack = ZarrStack(path, EVERYTHING, images[0].absorbance.shape)
    for record in images:
        stack.append(record.time, pack_record(record, EVERYTHING))
    stack.close(PROVENANCE, LINES)


@pytest.mark.parametrize("consolidated", [None, False, True])
def test_xarray_masks_and_scales_without_a_word(tmp_path: Path, consolidated: bool | None) -> None:
    images = records(5)
    write(tmp_path / "images.zarr", images)
    with xr.open_zarr(tmp_path / "images.zarr", consolidated=consolidated, chunks=None) as data:
        assert data.absorbance.dims == ("time", "y", "x")
        assert data.absorbance.shape == (5, 6, 8)
        for layer in LAYERS:
            expected = [table_of(layer)[pack_record(record, EVERYTHING)[layer.name][0]] for record in images]
            np.testing.assert_allclose(data[layer.name].values, expected, rtol=1e-12, atol=1e-12)
        truth = np.array([record.absorbance for record in images])
        np.testing.assert_allclose(data.absorbance.values, truth, atol=0.51e-4)
        assert np.isnan(data.absorbance.values[:, 0, 0]).all()
        assert np.isnan(data.flow_x.values[-1]).all()
        assert data.time.values[1] == np.datetime64("2018-03-26T14:44:12.123")
        assert data.x.values.tolist() == list(range(8))
        assert data.y.values.tolist() == list(range(6))
        assert set(data.coords) == {"time", "x", "y"}
        assert data.input_file.values.tolist() == ["on.png", "öff.png"]
        assert data.absorbance.encoding["_FillValue"] == MISSING
        assert data.column_density.attrs["units"] == "cm-2"
        assert data.attrs["site"] == "Étna"
        assert data.attrs["settings_sha256"] == "f" * 64
        lines = json.loads(data.attrs["plume_lines"])
        assert lines == [
            {"name": "near", "points": [[1, 2], [3, 4]], "side": -1, "plume": "plume", "role": "emission"}
            | {"first_image": 0}
        ]


def test_the_layout_on_the_disk(tmp_path: Path) -> None:
    write(tmp_path / "images.zarr", records(3))
    array = zarr.open_group(str(tmp_path / "images.zarr"), mode="r")["absorbance"]
    assert isinstance(array, zarr.Array)
    assert array.metadata.zarr_format == 3
    assert array.dtype == np.uint16
    assert array.fill_value == MISSING
    assert array.attrs["scale_factor"] == 1e-4
    assert array.attrs["add_offset"] == -1.0
    assert "zstd" in str(array.compressors)


def test_counts_of_values_beyond_the_range_stand_in_the_stack(tmp_path: Path) -> None:
    images = records(3)
    images[1].absorbance[2, :3] = 9.0
    write(tmp_path / "images.zarr", images)
    with xr.open_zarr(tmp_path / "images.zarr", chunks=None) as data:
        assert data.absorbance_out_of_range.values.tolist() == [0, 3, 0]
        assert np.isnan(data.absorbance.values[1, 2, :3]).all()
        assert data.absorbance.attrs["ancillary_variables"] == "absorbance_out_of_range"


@pytest.mark.parametrize(("shape", "expected"), [((486, 648), 2), ((1944, 2592), 1), ((6, 8), 64), ((240, 320), 7)])
def test_chunks_are_whole_images_of_about_a_megabyte(shape: tuple[int, int], expected: int) -> None:
    assert images_per_chunk(shape) == expected


def test_the_reader_gives_images_one_by_one_across_chunks(tmp_path: Path) -> None:
    images = records(70)
    write(tmp_path / "images.zarr", images)
    reader = ZarrStackReader(tmp_path / "images.zarr")
    assert reader.times == tuple(record.time for record in images)
    assert reader.shape == (6, 8)
    assert reader.layers == EVERYTHING
    names: tuple[LayerName, ...] = ("absorbance", "flow_y")
    found = list(reader.images(names))
    assert len(found) == 70
    for number, (codes, record) in enumerate(zip(found, images, strict=True)):
        packed = pack_record(record, EVERYTHING)
        assert set(codes) == set(names)
        for name in names:
            assert np.array_equal(codes[name], packed[name][0])
            assert np.array_equal(reader.image(number, names)[name], codes[name])


def test_what_is_no_stack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a stack of images"):
        ZarrStackReader(tmp_path / "absent.zarr")
    (tmp_path / "other.zarr").mkdir()
    group = zarr.create_group(str(tmp_path / "other.zarr"))
    group.create_array("time", shape=(2,), dtype="int64")
    with pytest.raises(InputError, match="no layer"):
        ZarrStackReader(tmp_path / "other.zarr")


def test_lines_that_change_are_kept_with_the_image_from_which_they_hold() -> None:
    moved = PlumeLine("near", ((2.0, 2.0), (3.0, 4.0)))
    history = LineHistory().with_image(0, (LINE,)).with_image(1, (LINE,)).with_image(2, (moved,))
    assert history.first == (0, 2)
    assert [history.at(number) for number in range(4)] == [(LINE,), (LINE,), (moved,), (moved,)]
    assert [entry["first_image"] for entry in json.loads(history.as_json())] == [0, 2]
    assert LineHistory().at(0) == ()
