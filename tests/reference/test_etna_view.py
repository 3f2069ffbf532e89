"""Real measurements: where the spectrometer at Etna looked on 16 September 2015, and what it makes of the camera.

The spectrometer's results are in local time, two hours ahead of UTC.
"""

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from so2cam.core.records import FloatArray
from so2cam.core.times import parse_utc
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.batch import process_folders
from so2cam.pipeline.run_images import ImageRequest
from so2cam.science.calibration.correlation_map import Stack
from so2cam.science.calibration.field_of_view import ViewSearch, ViewStatus, search_by_correlation
from so2cam.science.calibration.matching import match_columns
from so2cam.science.calibration.regression import PointFitStatus, fit_points
from so2cam.science.calibration.view_weights import disc_weights, mean_in_view

pytestmark = pytest.mark.data

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/etna/site.toml"
LOCAL = timedelta(hours=2)
SO2 = "(SO2_Hermans_298_air_conv_satCorr1e18)"


@pytest.fixture(scope="module")
def images(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Stack, FloatArray]:
    """Absorbance images (T, 64, 84), NaN where masked, and their times [s since 1970]."""
    out = tmp_path_factory.mktemp("etna")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("so2cam.pipeline.batch.write_quicklook", lambda path, *_, **__: path.touch())
        process_folders(
            load_site(EXAMPLE),
            [data_dir / "etna/images"],
            out,
            start=parse_utc("2015-09-16T07:06Z"),
            end=parse_utc("2015-09-16T07:22Z"),
            command="test",
            images=ImageRequest(("netcdf",), ("absorbance",)),
        )
    with xr.open_dataset(out / "images.nc") as data:
        times = data.time.values.astype("datetime64[ms]").astype(np.float64) / 1e3
        return data.absorbance.values.astype(np.float32), times


@pytest.fixture(scope="module")
def spectra(data_dir: Path) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mid-exposure times [s since 1970], columns and their 1 sigma [molecules cm-2]; each lasted 10 s."""
    with (data_dir / "etna/doas_results/f01_so2_std.dat").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    start = [datetime.fromisoformat(row["StartDateAndTime"]).replace(tzinfo=UTC) - LOCAL for row in rows]
    return (
        np.array([time.timestamp() + 5.0 for time in start]),
        np.array([float(row[f"Fit Coefficient {SO2}"]) for row in rows]),
        np.array([float(row[f"Fit Coefficient Error {SO2}"]) for row in rows]),
    )


@pytest.fixture(scope="module")
def averaged(
    images: tuple[Stack, FloatArray], spectra: tuple[FloatArray, FloatArray, FloatArray]
) -> tuple[Stack, FloatArray, FloatArray]:
    """Means of the images under each spectrum, with that spectrum's column and 1 sigma."""
    stack, times = images
    under = np.abs(times[None, :] - spectra[0][:, None]) <= 5.0
    weights = under / np.maximum(under.sum(axis=1, keepdims=True), 1)
    seen = weights.sum(axis=1) > 0
    flat = np.nan_to_num(stack.reshape(times.size, -1))
    mean = (weights[seen] @ flat).reshape(-1, *stack.shape[1:])
    mean[:, ~np.isfinite(stack).all(axis=0)] = np.nan
    return mean.astype(np.float32), spectra[1][seen], spectra[2][seen]


@pytest.fixture(scope="module")
def view(averaged: tuple[Stack, FloatArray, FloatArray]) -> ViewSearch:
    stack, column, sigma = averaged
    return search_by_correlation(stack, np.isfinite(stack), column, sigma)


def test_the_view_is_where_it_is_known_to_be(averaged: tuple[Stack, FloatArray, FloatArray], view: ViewSearch) -> None:
    """Published at (636, 496) of 1344 x 1024 pixels, that is (40, 31) of these, which are 16 times larger."""
    assert 34 <= len(averaged[1]) <= 40
    assert view.status is ViewStatus.OK
    assert np.hypot(view.x - 40, view.y - 31) < 1.5
    assert view.correlation > 0.87
    assert max(view.sigma[:2]) < 1.5
    assert abs(view.x - 40) < 2 * view.sigma[0]
    assert abs(view.y - 31) < 2 * view.sigma[1]
    assert view.radius < 3


def test_a_rival_is_named(view: ViewSearch) -> None:
    """The plume is so alike along its axis that a place up the plume correlates too, but less."""
    assert view.rival[2] < view.correlation
    assert np.hypot(view.rival[0] - view.x, view.rival[1] - view.y) > 5


def test_every_image_by_interpolated_columns_gives_the_same_place(
    images: tuple[Stack, FloatArray], spectra: tuple[FloatArray, FloatArray, FloatArray], view: ViewSearch
) -> None:
    stack, times = images
    length = np.full(spectra[0].size, 10.0)
    points = match_columns(times, np.full(times.size, 0.5), spectra[0], length, *spectra[1:], maximum_gap_s=10.0)
    assert points.matched.all()
    found = search_by_correlation(stack, np.isfinite(stack), points.column, points.column_sigma)
    assert np.hypot(found.x - 40, found.y - 31) < 1.5
    assert found.correlation > 0.87
    assert found.effective_times < 40, "interpolated columns are not independent"


def test_calibration(averaged: tuple[Stack, FloatArray, FloatArray], view: ViewSearch) -> None:
    """About 1e19 molecules cm-2 per absorbance, as the gas cells and filters of this camera have it."""
    stack, column, sigma = averaged
    weights = disc_weights((64, 84), view.x, view.y, view.radius)
    absorbance = np.array([mean_in_view(image, np.isfinite(image), weights)[0] for image in stack])
    fit = fit_points(absorbance, column, np.full(column.size, 0.01), sigma, "line")
    assert fit.status is PointFitStatus.OK
    assert fit.curve is not None
    slope, uncertainty = fit.curve.slope_at_zero
    assert 0.5e19 < slope < 2.5e19
    assert 0.05 < uncertainty / slope < 0.33
    assert fit.correlation > 0.85
