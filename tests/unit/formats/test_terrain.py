"""Reading terrain models: what is written comes back around the camera, and damaged files give one clear error."""

import sys
from pathlib import Path

import numpy as np
import pytest
from pyproj import Geod, Transformer

from so2cam.core.errors import InputError
from so2cam.core.site import GeoPoint
from so2cam.formats.terrain import read_terrain

rasterio = pytest.importorskip("rasterio")

CAMERA = GeoPoint(latitude=-39.3774, longitude=-71.946386, altitude_m=1172)
VENT = GeoPoint(latitude=-39.42, longitude=-71.93, altitude_m=2847)
UTM = "EPSG:32718"


def cone(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    distance = Geod(ellps="WGS84").inv(
        np.full_like(longitude, VENT.longitude), np.full_like(latitude, VENT.latitude), longitude, latitude
    )[2]
    return np.maximum(2847 - 0.35 * distance, 900.0)


def placed(west: float, north: float, step: float, other: float) -> object:
    """Return the transform of a north-up grid from its upper left corner."""
    return rasterio.Affine(step, 0.0, west, 0.0, -other, north)


def write(path: Path, heights: np.ndarray, transform: object, crs: str | None, **extra: object) -> Path:
    with rasterio.open(
        path, "w", height=heights.shape[0], width=heights.shape[1], count=1, dtype=heights.dtype,
        transform=transform, crs=crs, **extra,
    ) as dataset:  # fmt: skip
        dataset.write(heights, 1)
    return path


def geographic(path: Path, step_deg: float = 1 / 3600, driver: str = "GTiff", **extra: object) -> Path:
    west, north = -72.05, -39.30
    columns, rows = round(0.2 / step_deg), round(0.2 / step_deg)
    longitude = west + (np.arange(columns) + 0.5) * step_deg
    latitude = north - (np.arange(rows) + 0.5) * step_deg
    heights = cone(*np.meshgrid(latitude, longitude, indexing="ij")).astype(np.float32)
    return write(
        path,
        heights,
        placed(west, north, step_deg, step_deg),
        "EPSG:4326",
        driver=driver,
        **extra,
    )


def check(grid, tolerance: float = 4.0) -> None:  # type: ignore[no-untyped-def]
    """Every height of the grid is that of the cone at its place: azimuth and distance from the camera."""
    rows, columns = grid.heights_m.shape
    east, north = np.meshgrid(
        grid.east_m + grid.step_m * np.arange(columns), grid.north_m + grid.step_m * np.arange(rows)
    )
    longitude, latitude, _ = Geod(ellps="WGS84").fwd(
        np.full(east.shape, CAMERA.longitude),
        np.full(east.shape, CAMERA.latitude),
        np.degrees(np.arctan2(east, north)),
        np.hypot(east, north),
    )
    expected = cone(latitude, longitude)
    away = np.hypot(expected - 2847, 0) > 60  # not the apex, which no grid has
    difference = np.abs(grid.heights_m - expected)[away]
    assert np.isfinite(difference).all()
    assert np.percentile(difference, 99.5) < tolerance


def test_degrees(tmp_path: Path) -> None:
    grid = read_terrain(geographic(tmp_path / "dem.tif"), CAMERA, reach_m=6500, vent=VENT)
    check(grid)
    assert 20 < grid.step_m < 32
    assert grid.camera_altitude_m == 1172
    assert grid.east_m <= -6500
    assert grid.north_m <= -6500


def test_projected_metres(tmp_path: Path) -> None:
    to_map = Transformer.from_crs("EPSG:4326", UTM, always_xy=True)
    x0, y0 = to_map.transform(CAMERA.longitude, CAMERA.latitude)
    x = x0 - 8000 + 25 * (np.arange(640) + 0.5)
    y = y0 + 8000 - 25 * (np.arange(640) + 0.5)
    longitude, latitude = Transformer.from_crs(UTM, "EPSG:4326", always_xy=True).transform(*np.meshgrid(x, y))
    path = write(
        tmp_path / "utm.tif", cone(latitude, longitude).astype(np.int16),
        placed(x0 - 8000, y0 + 8000, 25, 25), UTM,
    )  # fmt: skip
    check(read_terrain(path, CAMERA, reach_m=6000, vent=VENT))


def test_a_finer_model_is_averaged_to_the_step(tmp_path: Path) -> None:
    grid = read_terrain(geographic(tmp_path / "dem.tif"), CAMERA, reach_m=6000, step_m=100.0)
    assert grid.heights_m.shape == (121, 121)
    check(grid, tolerance=12.0)


def test_esri_ascii_needs_its_coordinates(tmp_path: Path) -> None:
    path = geographic(tmp_path / "dem.asc", step_deg=1 / 1200, driver="AAIGrid")
    path.with_suffix(".prj").unlink(missing_ok=True)
    Path(f"{path}.aux.xml").unlink(missing_ok=True)
    with pytest.raises(InputError, match="in which coordinates") as caught:
        read_terrain(path, CAMERA, reach_m=6000)
    assert "terrain_crs" in str(caught.value)
    check(read_terrain(path, CAMERA, reach_m=6000, crs="EPSG:4326"), tolerance=8.0)
    with pytest.raises(InputError, match="no coordinate system"):
        read_terrain(path, CAMERA, reach_m=6000, crs="nonsense")


def test_an_srtm_tile(tmp_path: Path) -> None:
    count = 1201
    latitude = -39.0 - np.arange(count) / 1200
    longitude = -72.0 + np.arange(count) / 1200
    heights = cone(*np.meshgrid(latitude, longitude, indexing="ij")).astype(">i2")
    heights[5, 5] = -32768
    path = tmp_path / "S40W072.hgt"
    path.write_bytes(heights.tobytes())
    # The camera lies 4.6 km from the tile's edge.
    grid = read_terrain(path, CAMERA, reach_m=4400, vent=None)
    check(grid, tolerance=8.0)
    other = tmp_path / "terrain.hgt"
    other.write_bytes(heights.tobytes())
    with pytest.raises(InputError, match="cannot be read") as caught:
        read_terrain(other, CAMERA, reach_m=4400)
    assert "keep that name" in str(caught.value)


def test_unknown_heights_are_nan(tmp_path: Path) -> None:
    plain = geographic(tmp_path / "dem.tif")
    with rasterio.open(plain) as dataset:
        heights, transform = dataset.read(1), dataset.transform
    declared, silent = heights.copy(), heights.copy()
    declared[:300] = -1.0
    silent[:300] = -32768
    one = write(tmp_path / "declared.tif", declared, transform, "EPSG:4326", nodata=-1.0)
    two = write(tmp_path / "silent.tif", silent, transform, "EPSG:4326")
    for path in (one, two):
        grid = read_terrain(path, CAMERA, reach_m=7000)
        assert np.isnan(grid.heights_m[-1]).all()  # north is last
        known = grid.heights_m[np.isfinite(grid.heights_m)]
        assert known.min() >= 890
        assert 0.4 < known.size / grid.heights_m.size < 0.6


def test_beyond_the_file_is_unknown(tmp_path: Path) -> None:
    grid = read_terrain(geographic(tmp_path / "dem.tif"), CAMERA, reach_m=15_000)
    assert np.isnan(grid.heights_m[-1]).all()
    assert np.isfinite(grid.heights_m).any()


def test_feet_become_metres(tmp_path: Path) -> None:
    plain = geographic(tmp_path / "dem.tif")
    with rasterio.open(plain) as dataset:
        heights, transform = dataset.read(1), dataset.transform
    path = write(tmp_path / "feet.tif", (heights / 0.3048).astype(np.float32), transform, "EPSG:4326")
    with rasterio.open(path, "r+") as dataset:
        dataset.units = ["ft"]
    check(read_terrain(path, CAMERA, reach_m=6000))


def test_bad_files_give_one_error(tmp_path: Path) -> None:
    text = tmp_path / "dem.tif"
    text.write_text("no picture")
    truncated = tmp_path / "cut.tif"
    truncated.write_bytes(geographic(tmp_path / "whole.tif").read_bytes()[:50_000])
    nowhere = tmp_path / "nowhere.tif"
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        write(nowhere, np.ones((20, 20), np.float32), None, "EPSG:4326")
    elsewhere = write(
        tmp_path / "etna.tif", np.ones((20, 20), np.float32),
        placed(14.9, 37.8, 0.01, 0.01), "EPSG:4326",
    )  # fmt: skip
    no_heights = write(
        tmp_path / "radiance.tif", np.full((40, 40), 5e6, np.float32),
        placed(-72.05, -39.3, 0.005, 0.005), "EPSG:4326",
    )  # fmt: skip
    for path, says in (
        (tmp_path / "gone.tif", "no such file"),
        (text, "cannot be read"),
        (truncated, "cannot be read"),
        (nowhere, "where it lies"),
        (elsewhere, "does not reach the camera"),
        (no_heights, "no heights in metres"),
    ):
        with pytest.raises(InputError, match=says) as caught:
            read_terrain(path, CAMERA, reach_m=5000)
        assert caught.value.file == path
        assert caught.value.remedy


def test_the_vent_must_be_covered(tmp_path: Path) -> None:
    path = write(
        tmp_path / "small.tif", np.full((40, 40), 1000, np.float32),
        placed(-71.96, -39.37, 0.0005, 0.0005), "EPSG:4326",
    )  # fmt: skip
    read_terrain(path, CAMERA, reach_m=1000)
    with pytest.raises(InputError, match="does not reach the vent"):
        read_terrain(path, CAMERA, reach_m=1000, vent=VENT)


def test_without_rasterio_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(InputError, match="rasterio") as caught:
        read_terrain(tmp_path / "dem.tif", CAMERA, reach_m=1000)
    assert "so2cam[terrain]" in str(caught.value)
