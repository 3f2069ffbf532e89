"""Stacks of images in netCDF, read back with netCDF4 and xarray."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from netCDF4 import Dataset

from so2cam.core.records import Provenance
from so2cam.formats.images.netcdf_stack import NetcdfStack
from so2cam.formats.images.packing import LAYERS, MISSING, layers_of, pack_record, table_of
from so2cam.formats.images.record import ImageRecord
from so2cam.formats.images.stack import LineHistory
from so2cam.formats.images.zarr_stack import ZarrStack

START = datetime(2018, 3, 26, 14, 44, 8, 123000, tzinfo=UTC)
PROVENANCE = Provenance(
    "1.2.3", "Étna", {"a": 1}, "f" * 64, (("on.png", "0" * 64), ("öff.png", "1" * 64)), "so2cam process", START
)
EVERYTHING = layers_of(frozenset({"absorbance", "columns", "flow"}))


@pytest.fixture
def images() -> list[ImageRecord]:
    random = np.random.default_rng(7)
    found = []
    for number in range(66):
        absorbance = random.normal(0.2, 0.1, (5, 7)).astype(np.float32)
        absorbance[1, 1] = np.nan
        absorbance[2, 2] = 8.0
        flow = random.normal(0, 3, (5, 7, 2)).astype(np.float32)
        time = START + timedelta(milliseconds=4001 * number)
        found.append(ImageRecord(time, absorbance, absorbance * np.float32(7e18), flow))
    return found


@pytest.fixture
def file(tmp_path: Path, images: list[ImageRecord]) -> Path:
    path = tmp_path / "images.nc"
    stack = NetcdfStack(path, EVERYTHING, (5, 7))
    for record in images:
        stack.append(record.time, pack_record(record, EVERYTHING))
    stack.close(PROVENANCE, LineHistory())
    return path


def test_the_codes_and_their_scale(file: Path, images: list[ImageRecord]) -> None:
    with Dataset(file) as dataset:
        dataset.set_auto_maskandscale(False)
        assert dataset.data_model == "NETCDF4"
        assert dataset.dimensions["time"].isunlimited()
        for layer in LAYERS:
            variable = dataset[layer.name]
            assert variable.dtype == np.uint16
            assert variable.dimensions == ("time", "y", "x")
            assert variable._FillValue == MISSING
            assert variable.scale_factor == layer.scale_factor
            assert variable.add_offset == layer.add_offset
            assert variable.chunking() == [64, 5, 7]
            assert variable.filters()["zlib"]
            assert variable.filters()["shuffle"]
            expected = np.array([pack_record(record, EVERYTHING)[layer.name][0] for record in images])
            assert np.array_equal(variable[:], expected)
        assert dataset["absorbance_out_of_range"][:].tolist() == [1] * 66


def test_the_metadata(file: Path) -> None:
    with Dataset(file) as dataset:
        assert dataset.Conventions == "CF-1.11"
        assert dataset.title == "SO2 camera images, Étna"
        assert dataset.settings == '{"a":1}'
        assert dataset["time"].units == "milliseconds since 1970-01-01 00:00:00"
        assert dataset["time"].axis == "T"
        assert dataset["x"][:].tolist() == list(range(7))
        assert dataset["input_sha256"][:].tolist() == ["0" * 64, "1" * 64]
        for variable in dataset.variables.values():
            assert variable.long_name
            for name in getattr(variable, "ancillary_variables", "").split():
                assert name in dataset.variables


def test_xarray_reads_values_and_times(file: Path, images: list[ImageRecord]) -> None:
    with xr.open_dataset(file) as data:
        for layer in LAYERS:
            codes = np.array([pack_record(record, EVERYTHING)[layer.name][0] for record in images])
            np.testing.assert_allclose(data[layer.name].values, table_of(layer)[codes], rtol=1e-12, atol=1e-12)
        assert np.isnan(data.absorbance.values[:, 1, 1]).all()
        assert np.isnan(data.absorbance.values[:, 2, 2]).all()
        assert data.time.values[-1] == np.datetime64("2018-03-26T14:48:28.188")


def test_zarr_and_netcdf_hold_the_same(file: Path, images: list[ImageRecord], tmp_path: Path) -> None:
    stack = ZarrStack(tmp_path / "images.zarr", EVERYTHING, (5, 7))
    for record in images:
        stack.append(record.time, pack_record(record, EVERYTHING))
    stack.close(PROVENANCE, LineHistory())
    with xr.open_dataset(file) as one, xr.open_zarr(tmp_path / "images.zarr", chunks=None) as other:
        assert set(one.variables) == set(other.variables)
        assert one.attrs == other.attrs
        for name in one.variables:
            if name not in ("input_file", "input_sha256"):
                xr.testing.assert_equal(one[name], other[name])
                assert one[name].attrs == other[name].attrs


def test_an_abandoned_file_is_closed(tmp_path: Path) -> None:
    stack = NetcdfStack(tmp_path / "images.nc", EVERYTHING, (5, 7))
    stack.abandon()
    stack.abandon()
    (tmp_path / "images.nc").unlink()
