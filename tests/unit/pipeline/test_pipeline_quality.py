"""Quality flags while pairs pass: raised for what they are for, and not for what is in order."""

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so2cam.core.records import Band, Frame, FrameInfo, FrameKind, PlumeLine
from so2cam.core.site import GeoPoint, Site
from so2cam.core.status import EmissionStatus, QualityFlag
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.calibrated import Calibration
from so2cam.pipeline.geometry import LineGeometry, SiteGeometry, Wind, WindField, lines_at_plume
from so2cam.pipeline.quality import MAXIMUM_SKY_GAP_S, QualityChecks, sun_direction_rad
from so2cam.pipeline.steps import AbsorbanceImage, measure_line
from so2cam.science.calibration.curve import fixed_slope
from so2cam.science.emission.lines import LineSamples
from so2cam.science.imaging.background import SkySurface

START = datetime(2018, 3, 26, 14, 44, tzinfo=UTC)
SHAPE = (486, 648)
SKY = np.ones((60, 81), np.bool_)
SKY[44:] = False
EVERYWHERE = np.ones(SHAPE, np.bool_)


def site_with(**changes: Any) -> Site:
    loaded = load_site(Path(__file__).resolve().parents[3] / "examples/villarrica/site.toml")
    settings = loaded.site.model_dump(mode="json")
    for path, value in changes.items():
        table = settings
        *parents, key = path.split("__")
        for parent in parents:
            table = table[parent]
        table[key] = value
    return Site.model_validate(settings)


SITE = site_with()
GEOMETRY = SiteGeometry(SITE, WindField(SITE, Path())).at(START)


def frame(counts: np.ndarray[Any, np.dtype[np.uint16]], seconds: float, band: Band = Band.ON) -> Frame:
    info = FrameInfo(
        path=Path(f"{seconds}{band}.png"),
        time=START + timedelta(seconds=seconds),
        band=band,
        kind=FrameKind.PLUME,
        exposure_s=0.1,
        gain=1.0,
    )
    return Frame(info, counts, "00" * 32)


def counts(seed: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    return np.random.default_rng(seed).normal(500, 4, SHAPE).astype(np.uint16)


def sky_image(sky_off: np.ndarray[Any, np.dtype[np.float64]], absorbance: Any = None) -> AbsorbanceImage:
    values = np.zeros(SHAPE) if absorbance is None else absorbance
    return AbsorbanceImage(
        absorbance=values.astype(np.float32),
        valid=EVERYWHERE,
        in_sky=EVERYWHERE,
        background_level=0.0,
        noise=0.006,
        structure=0.001,
        sky_share=0.5,
        log_off=np.zeros(SHAPE, np.float32),
        surface=SkySurface(np.zeros(6), np.zeros(6), 2, SKY, SKY, 0.001),
        sky_off=np.where(SKY, sky_off, np.nan),
    )


def clear(level: float = 6.0, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float64]]:
    y, x = np.mgrid[-1:1:60j, -1:1:81j]
    return np.asarray(level + 0.1 * x - 0.05 * y**2 + 0.001 * np.random.default_rng(seed).standard_normal(x.shape))


def cloud(depth: float, at: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    y, x = np.mgrid[-1:1:60j, -1:1:81j]
    return np.asarray(depth * np.exp(-(((x - at) / 0.25) ** 2) - ((y + 0.5) / 0.3) ** 2))


def flags_of(checks: QualityChecks, images: Iterable[AbsorbanceImage], cadence_s: float = 4.0) -> list[QualityFlag]:
    return [
        checks.of_image(START + timedelta(seconds=cadence_s * index), image, GEOMETRY)
        for index, image in enumerate(images)
    ]


# -- frames that come again ---------------------------------------------------------------------------------------


def test_a_camera_that_hangs() -> None:
    checks = QualityChecks(SITE)
    first, second = counts(1), counts(2)
    assert checks.of_frames(frame(first, 0), frame(second, 0, Band.OFF)) is QualityFlag.NONE
    assert checks.of_frames(frame(counts(3), 4), frame(second.copy(), 4, Band.OFF)) is QualityFlag.STALE_FRAME
    assert checks.of_frames(frame(counts(4), 8), frame(counts(5), 8, Band.OFF)) is QualityFlag.NONE
    # The counts of an earlier frame but the last, and those of the other band, are no sign of a camera that hangs.
    assert checks.of_frames(frame(first, 12), frame(counts(4), 12, Band.OFF)) is QualityFlag.NONE


def test_a_frame_that_two_pairs_share_is_not_stale() -> None:
    checks = QualityChecks(SITE)
    shared = frame(counts(2), 2, Band.OFF)
    assert checks.of_frames(frame(counts(1), 0), frame(counts(9), -2, Band.OFF), shared) is QualityFlag.NONE
    assert checks.of_frames(frame(counts(3), 4), shared, frame(counts(4), 6, Band.OFF)) is QualityFlag.NONE
    assert checks.of_frames(frame(counts(5), 8), frame(counts(4), 10, Band.OFF), None) is QualityFlag.STALE_FRAME


# -- sky -----------------------------------------------------------------------------------------------------------


def test_a_clear_sky_that_drifts_is_not_flagged() -> None:
    images = (sky_image(clear(6 + 0.0005 * index, index)) for index in range(6))
    assert set(flags_of(QualityChecks(SITE), images)) == {QualityFlag.NONE}


def test_a_cloud_is_seen_by_its_shape() -> None:
    [found] = flags_of(QualityChecks(SITE), [sky_image(clear() + cloud(0.3, 0.3) + cloud(0.2, -0.6))])
    assert found is QualityFlag.CLOUD_IN_BACKGROUND


def test_a_thin_cloud_is_seen_by_its_passing() -> None:
    x = np.linspace(-1, 1, 81)
    thin = [sky_image(clear(seed=index) + 0.01 * np.sin(9 * x + index)) for index in range(2)]
    alone = [flags_of(QualityChecks(SITE), [image])[0] for image in thin]
    assert alone == [QualityFlag.NONE, QualityFlag.NONE]
    assert flags_of(QualityChecks(SITE), thin) == [QualityFlag.NONE, QualityFlag.CLOUD_IN_BACKGROUND]


def test_a_cloud_before_the_sun_dims_all_of_the_sky() -> None:
    images = [sky_image(clear(level, index)) for index, level in enumerate((6.0, 5.9, 5.9))]
    cloudy = QualityFlag.CLOUD_IN_BACKGROUND
    assert flags_of(QualityChecks(SITE), images) == [QualityFlag.NONE, cloudy, QualityFlag.NONE]
    # After a long gap the sun's own way may have done it.
    apart = flags_of(QualityChecks(SITE), images, cadence_s=MAXIMUM_SKY_GAP_S + 1)
    assert set(apart) == {QualityFlag.NONE}


def test_an_image_of_few_blocks_tells_nothing() -> None:
    small = replace(
        sky_image(clear()),
        valid=np.ones((24, 32), np.bool_),
        surface=SkySurface(np.zeros(6), np.zeros(6), 2, np.ones((3, 4), np.bool_), np.ones((3, 4), np.bool_), 0.001),
        sky_off=np.arange(12.0).reshape(3, 4),
    )
    checks = QualityChecks(SITE)
    assert flags_of(checks, [small, small]) == [QualityFlag.NONE, QualityFlag.NONE]


# -- sun -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "place", "azimuth_deg", "elevation_deg"),
    [
        # NREL SPA, the worked example of Reda and Andreas 2004: zenith 50.11162, azimuth 194.34024.
        (datetime(2003, 10, 17, 19, 30, 30, tzinfo=UTC), (39.742476, -105.1786), 194.34024, 90 - 50.11162),
        # At the equinox (2024 March 20, 03:06 UTC) the sun stands overhead at the equator when its hour angle is zero.
        (datetime(2024, 3, 20, 12, 7, 25, tzinfo=UTC), (0.0, 0.0), None, 89.8),
    ],
)
def test_where_the_sun_is(
    time: datetime, place: tuple[float, float], azimuth_deg: float | None, elevation_deg: float
) -> None:
    azimuth, elevation = sun_direction_rad(time, GeoPoint(latitude=place[0], longitude=place[1], altitude_m=0))
    assert math.degrees(elevation) == pytest.approx(elevation_deg, abs=0.15)
    if azimuth_deg is not None:
        assert math.degrees(azimuth) == pytest.approx(azimuth_deg, abs=0.05)


def test_the_sun_in_view() -> None:
    azimuth, elevation = sun_direction_rad(START, SITE.camera.position)
    assert elevation > math.radians(10)
    view = {"azimuth_deg": math.degrees(azimuth) - 5, "elevation_deg": math.degrees(elevation) + 4}
    towards = site_with(**{f"camera__view__{key}": value for key, value in view.items()})
    geometry = SiteGeometry(SITE, WindField(SITE, Path())).at(START)
    into = replace(
        geometry,
        camera=replace(
            geometry.camera,
            azimuth_rad=math.radians(view["azimuth_deg"]),
            elevation_rad=math.radians(view["elevation_deg"]),
        ),
    )
    checks = QualityChecks(towards)
    assert checks.of_image(START, sky_image(clear()), into) & QualityFlag.SUN_IN_VIEW
    # An hour and a half later it has gone on by 20 degrees.
    later = checks.of_image(START + timedelta(minutes=90), sky_image(clear()), into)
    assert not later & QualityFlag.SUN_IN_VIEW


# -- the plume's direction -----------------------------------------------------------------------------------------


def toward_camera(site: Site, geometry: LineGeometry) -> bool:
    found = QualityChecks(site).of_image(START, sky_image(clear()), geometry)
    return bool(found & QualityFlag.PLUME_TOWARD_CAMERA)


@pytest.mark.parametrize(("azimuth_deg", "flagged"), [(81.3, False), (171.3 + 35, False), (171.3 + 25, True)])
def test_a_plume_plane_along_the_view(azimuth_deg: float, flagged: bool) -> None:
    site = site_with(
        plume_plane__orientation="azimuth",
        plume_plane__azimuth_deg=azimuth_deg,
        plume_plane__orientation_uncertainty_deg=2.0,
    )
    geometry = SiteGeometry(site, WindField(site, Path())).at(START)
    assert geometry.status is EmissionStatus.OK
    assert toward_camera(site, geometry) is flagged
    # The direction is given: what the wind was elsewhere does not change it.
    windy = replace(geometry, wind=Wind(5.0, 1.0, azimuth_deg + 90, 10.0))
    assert toward_camera(site, windy) is flagged


@pytest.mark.parametrize(("from_deg", "flagged"), [(81.3, False), (171.3 - 20, True), (351.3 + 12, True)])
def test_a_wind_along_the_view(from_deg: float, flagged: bool) -> None:
    windy = replace(GEOMETRY, wind=Wind(5.0, 1.0, from_deg, 10.0))
    assert toward_camera(SITE, windy) is flagged


def test_a_plume_so_much_along_the_view_that_it_has_no_distance() -> None:
    nowhere = replace(GEOMETRY, status=EmissionStatus.PLUME_ALONG_VIEW, plane=None, lines={})
    assert toward_camera(SITE, nowhere)


# -- plume beyond the image ----------------------------------------------------------------------------------------


def to_border(start_y: float, end_y: float) -> LineSamples:
    template = lines_at_plume(SITE)[0]
    line = PlumeLine.straight("line", (300.0, start_y), (300.0, end_y), (-1.0, 0.0))
    count = round(end_y - start_y)
    position = (np.arange(count) + 0.5) / count
    return replace(
        template,
        line=line,
        x=np.full(count, 300.0),
        y=start_y + (end_y - start_y) * position,
        position=position,
        distance_m=np.full(count, 5000.0),
        piece_m=np.full(count, 2.0),
        normal_step_m=np.full(count, 2.0),
        normal=np.tile([-1.0, 0.0], (count, 1)),
    )


@pytest.mark.parametrize(
    ("middle", "start_y", "mode", "flagged"),
    [
        (20.0, 2.0, "sky-surface", True),
        (150.0, 2.0, "sky-surface", False),
        (60.0, 40.0, "sky-surface", False),  # the line, not the image, cuts the plume
        (20.0, 2.0, "clear-sky", False),  # the level of the sky is not known
    ],
)
def test_a_plume_that_leaves_the_image(middle: float, start_y: float, mode: str, flagged: bool) -> None:
    site = site_with(processing__background__mode=mode)
    y = np.arange(SHAPE[0])[:, None] + np.zeros(SHAPE[1])
    plume = 0.2 * np.exp(-(((y - middle) / 25) ** 2))
    image = sky_image(clear(), plume)
    found = measure_line(image, to_border(start_y, 300.0), Calibration(fixed_slope(1e19, 0.0)), site, EVERYWHERE)
    assert found.status is EmissionStatus.OK
    assert bool(found.flags & QualityFlag.PLUME_LEAVES_IMAGE) is flagged


def test_uneven_sky_at_the_border_is_no_plume() -> None:
    y = np.arange(SHAPE[0])[:, None] + np.zeros(SHAPE[1])
    weak = 0.015 * np.exp(-(((y - 150) / 25) ** 2)) + 0.004 * (y < 40)
    image = replace(sky_image(clear(), weak), structure=0.002, noise=0.001)
    line = to_border(2.0, 300.0)
    found = measure_line(image, line, Calibration(fixed_slope(1e19, 0.0)), SITE, EVERYWHERE)
    assert not found.flags & QualityFlag.PLUME_LEAVES_IMAGE
    smooth = replace(image, structure=0.0)
    found = measure_line(smooth, line, Calibration(fixed_slope(1e19, 0.0)), SITE, EVERYWHERE)
    assert found.flags & QualityFlag.PLUME_LEAVES_IMAGE
