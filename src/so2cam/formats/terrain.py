"""Terrain models: GeoTIFF, ESRI ASCII grids and SRTM tiles (.hgt), on a metric grid around the camera.

rasterio (the extra ``terrain``) reads and reprojects them. The grid's projection is azimuthal equidistant about the
camera, so that azimuths and distances from it are those on the ellipsoid.
"""

import math
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.records import FloatArray
from so2cam.core.site import GeoPoint
from so2cam.core.terrain import TerrainGrid

_MOST_POINTS: Final = 3000
"""Most grid points each way: a finer model is averaged."""
_PLAUSIBLE_M: Final = (-600.0, 9000.0)
_FEET: Final = {"ft": 0.3048, "foot": 0.3048, "feet": 0.3048, "us-ft": 1200 / 3937, "us survey foot": 1200 / 3937}
_REMEDY_CRS: Final = (
    "add the .prj file that belongs to it, or name its coordinates with terrain_crs (EPSG:4326 are degrees of WGS84)"
)


def read_terrain(
    path: Path,
    camera: GeoPoint,
    *,
    reach_m: float,
    vent: GeoPoint | None = None,
    step_m: float | None = None,
    crs: str | None = None,
) -> TerrainGrid:
    """Return the terrain within ``reach_m`` of the camera (a square), and further where the model is smaller: NaN.

    ``step_m`` is the grid's; the model's own resolution if absent. ``crs`` names the file's coordinates where it does
    not (ESRI ASCII). Heights must be above sea level, like the camera's altitude. Raises InputError, with the file
    and a remedy, where rasterio is missing, the file is no terrain model, its coordinates are unknown, or it does not
    reach the camera (or ``vent``).
    """
    rasterio = _rasterio()
    if not reach_m > 0 or (step_m is not None and not step_m > 0):
        raise ValueError(f"reach and step must be above 0, found {reach_m}, {step_m}")
    if not path.is_file():
        raise InputError("there is no such file", file=path, remedy="correct terrain_model")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            warnings.simplefilter("ignore", PendingDeprecationWarning)  # rasterio's own use of its affine package
            with rasterio.open(path) as dataset:
                return _read(rasterio, dataset, path, camera, vent, reach_m, step_m, crs)
    except rasterio.errors.RasterioError as error:
        raise _unreadable(path, error) from error


def _rasterio() -> ModuleType:
    try:
        import rasterio
        import rasterio.enums
        import rasterio.errors
        import rasterio.warp
        import rasterio.windows
    except ImportError as error:
        raise InputError(
            "reading a terrain model needs the package rasterio, which is not installed",
            key="terrain_model",
            remedy="install so2cam with the extra that brings it: pip install 'so2cam[terrain]'",
        ) from error
    return cast(ModuleType, rasterio)


def _unreadable(path: Path, error: Exception) -> InputError:
    remedy = "give a GeoTIFF, an ESRI ASCII grid (.asc) or an SRTM tile (.hgt)"
    if path.suffix.lower() == ".hgt":
        remedy = "an SRTM tile tells its place by its name, like S40W072.hgt: keep that name, and all of the file"
    reason = " ".join(str(error).split())
    return InputError(f"cannot be read as a terrain model: {reason}", file=path, remedy=remedy)


def _read(
    rasterio: Any,
    dataset: Any,
    path: Path,
    camera: GeoPoint,
    vent: GeoPoint | None,
    reach_m: float,
    step_m: float | None,
    crs: str | None,
) -> TerrainGrid:
    source_crs = _coordinates(rasterio, dataset, path, crs)
    if dataset.transform.is_identity:
        raise InputError("does not say where it lies", file=path, remedy="give a georeferenced terrain model")
    for name, point in (("camera", camera), ("vent", vent)):
        if point is not None:
            _require_inside(rasterio, dataset, source_crs, path, name, point)
    local = rasterio.crs.CRS.from_proj4(
        f"+proj=aeqd +lat_0={camera.latitude!r} +lon_0={camera.longitude!r} +datum=WGS84 +units=m +no_defs"
    )
    square = (-reach_m, -reach_m, reach_m, reach_m)
    window = _window(rasterio, dataset, rasterio.warp.transform_bounds(local, source_crs, *square, densify_pts=21))
    # A step as fine as the file's, unless that makes too many; then the file is read averaged.
    native = _native_step(rasterio, dataset, source_crs, local, camera)
    step = max(step_m or native, 2 * reach_m / _MOST_POINTS)
    shrink = max(int(step / native), 1)
    shape = (max(math.ceil(window.height / shrink), 2), max(math.ceil(window.width / shrink), 2))
    masked = dataset.read(
        1,
        window=window,
        out_shape=shape,
        masked=True,
        resampling=rasterio.enums.Resampling.average if shrink > 1 else rasterio.enums.Resampling.nearest,
    )
    heights = _metres(dataset, masked, path)
    across, down = window.width / shape[1], window.height / shape[0]
    a, b, _, d, e, _ = dataset.transform[:6]
    corner = _place(dataset, window.col_off, window.row_off)
    transform = rasterio.Affine(a * across, b * down, corner[0], d * across, e * down, corner[1])
    count = 2 * math.ceil(reach_m / step) + 1
    first = -(count // 2) * step
    placed = np.full((count, count), np.nan)
    rasterio.warp.reproject(
        heights,
        placed,
        src_transform=transform,
        src_crs=source_crs,
        src_nodata=np.nan,
        # From the upper left corner of the first pixel, whose centre is the grid's first point.
        dst_transform=rasterio.Affine(step, 0.0, first - step / 2, 0.0, -step, -first + step / 2),
        dst_crs=local,
        dst_nodata=np.nan,
        resampling=rasterio.enums.Resampling.bilinear,
    )
    if not np.isfinite(placed).any():
        raise InputError(
            f"has no heights within {reach_m:g} m of the camera", file=path, remedy="give a model of the volcano"
        )
    return TerrainGrid(np.ascontiguousarray(placed[::-1]), first, first, step, camera.altitude_m)


def _coordinates(rasterio: Any, dataset: Any, path: Path, crs: str | None) -> Any:
    if crs is not None:
        try:
            return rasterio.crs.CRS.from_user_input(crs)
        except rasterio.errors.CRSError as error:
            raise InputError(
                "is no coordinate system", key="terrain_crs", value=crs, remedy="give a code, like EPSG:32718"
            ) from error
    if dataset.crs is None:
        raise InputError("does not say in which coordinates it is", file=path, remedy=_REMEDY_CRS)
    return dataset.crs


def _place(dataset: Any, column: float, row: float) -> tuple[float, float]:
    """Return the place (x, y), in the file's coordinates, of a pixel's corner."""
    a, b, c, d, e, f = dataset.transform[:6]
    return a * column + b * row + c, d * column + e * row + f


def _pixel(dataset: Any, x: float, y: float) -> tuple[float, float]:
    """Return (column, row), from the upper left corner of the first pixel, of a place in the file's coordinates."""
    a, b, c, d, e, f = dataset.transform[:6]
    across, down, area = x - c, y - f, a * e - b * d
    return (e * across - b * down) / area, (a * down - d * across) / area


def _require_inside(rasterio: Any, dataset: Any, crs: Any, path: Path, name: str, point: GeoPoint) -> None:
    x, y = rasterio.warp.transform("EPSG:4326", crs, [point.longitude], [point.latitude])
    column, row = _pixel(dataset, x[0], y[0])
    if not (0 <= column <= dataset.width and 0 <= row <= dataset.height):
        raise InputError(
            f"does not reach the {name} at {point.latitude:g}, {point.longitude:g}",
            file=path,
            remedy="give a model that covers the camera and the volcano, or correct terrain_crs",
        )


def _window(rasterio: Any, dataset: Any, bounds: tuple[float, float, float, float]) -> Any:
    """Return the part of the file within ``bounds``, with two pixels around, cut at the file's edge."""
    columns, rows = zip(
        *(_pixel(dataset, x, y) for x in (bounds[0], bounds[2]) for y in (bounds[1], bounds[3])), strict=True
    )
    left, right = max(math.floor(min(columns)) - 2, 0), min(math.ceil(max(columns)) + 2, dataset.width)
    top, bottom = max(math.floor(min(rows)) - 2, 0), min(math.ceil(max(rows)) + 2, dataset.height)
    return rasterio.windows.Window(left, top, max(right - left, 1), max(bottom - top, 1))


def _native_step(rasterio: Any, dataset: Any, crs: Any, local: Any, camera: GeoPoint) -> float:
    """Return the length [m] of the file's pixels at the camera, the shorter side."""
    x, y = rasterio.warp.transform("EPSG:4326", crs, [camera.longitude], [camera.latitude])
    column, row = _pixel(dataset, x[0], y[0])
    corners = [_place(dataset, *place) for place in ((column, row), (column + 1, row), (column, row + 1))]
    east, north = rasterio.warp.transform(crs, local, [corner[0] for corner in corners], [c[1] for c in corners])
    sides = [math.hypot(east[i] - east[0], north[i] - north[0]) for i in (1, 2)]
    return max(min(sides), 0.5)


def _metres(dataset: Any, masked: Any, path: Path) -> FloatArray:
    heights = np.asarray(np.ma.filled(masked.astype(np.float64), np.nan))
    heights = heights * dataset.scales[0] + dataset.offsets[0]
    heights *= _FEET.get((dataset.units[0] or "m").strip().lower(), 1.0)
    wrong = (heights < _PLAUSIBLE_M[0]) | (heights > _PLAUSIBLE_M[1])
    known = np.isfinite(heights)
    # One value again and again, such as -32768, is what the file has for unknown and does not declare.
    is_filled = np.unique(heights[wrong]).size == 1 and not wrong[known].all()
    if known.any() and wrong[known].mean() > 0.5 and not is_filled:
        raise InputError(
            f"holds no heights in metres: most lie outside of {_PLAUSIBLE_M[0]:g} to {_PLAUSIBLE_M[1]:g}",
            file=path,
            remedy="give a model of the ground's height",
        )
    heights[wrong | ~known] = np.nan
    return np.asarray(heights, np.float64)
