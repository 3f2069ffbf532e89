"""What makes a pair doubtful, told while pairs pass: clouds, the sun, a plume along the view, a camera that hangs.

Nothing here changes a number. What is kept are the frames and the sky of the pair before, so that a live run and one
over an archive tell the same.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from so2cam.core.records import Band, FloatArray, Frame
from so2cam.core.site import GeoPoint, Site
from so2cam.core.status import EmissionStatus, QualityFlag
from so2cam.pipeline.geometry import LineGeometry, Wind
from so2cam.pipeline.steps import AbsorbanceImage
from so2cam.science.geometry.camera import CameraModel
from so2cam.science.imaging.quality import check_clouds, check_plume_angle, check_sun, is_stale, sky_blocks

MAXIMUM_SKY_GAP_S: Final = 300.0
"""The sky of two pairs further apart is not compared: in that time the sun alone changes its shape."""
_BLOCKS: Final = (12, 16)


@dataclass(frozen=True, slots=True)
class _Sky:
    """The off band's sky of a pair, as means over blocks."""

    time: datetime
    blocks: FloatArray


class QualityChecks:
    """Flags pairs in order of time. It holds the last frame of each band and the sky of the last image."""

    def __init__(self, site: Site) -> None:
        self._saturation_dn = site.camera.sensor.saturation_dn
        self._place = site.camera.position
        # A plume whose direction the site file gives does not turn with the wind.
        self._by_wind = site.plume_plane.orientation != "azimuth"
        self._frames: dict[Band, Frame] = {}
        self._sky: _Sky | None = None
        self._sun: tuple[datetime, bool] | None = None

    def of_frames(self, *frames: Frame | None) -> QualityFlag:
        """Return ``STALE_FRAME`` where a frame has the counts of the one before it of its band.

        ``frames`` in order of time within each band. A frame seen before, as two pairs share one, is left out.
        """
        flags = QualityFlag.NONE
        for frame in frames:
            if frame is None:
                continue
            before = self._frames.get(frame.info.band)
            if before is not None and frame.info.time <= before.info.time:
                continue
            self._frames[frame.info.band] = frame
            if before is not None and is_stale(frame.counts, before.counts, saturation_dn=self._saturation_dn):
                flags |= QualityFlag.STALE_FRAME
        return flags

    def of_image(self, time: datetime, image: AbsorbanceImage, geometry: LineGeometry) -> QualityFlag:
        """Return what the sky of a pair and the direction of sun and plume call for."""
        flags = QualityFlag.NONE
        if self._is_cloudy(time, image):
            flags |= QualityFlag.CLOUD_IN_BACKGROUND
        if self._sun_in_view(time, geometry.camera):
            flags |= QualityFlag.SUN_IN_VIEW
        if self._drifts_along_view(geometry):
            flags |= QualityFlag.PLUME_TOWARD_CAMERA
        return flags

    def _is_cloudy(self, time: datetime, image: AbsorbanceImage) -> bool:
        rows, columns = image.sky_off.shape
        size = (min(_BLOCKS[0], rows), min(_BLOCKS[1], columns))
        known = sky_blocks(image.sky_off, np.isfinite(image.sky_off), blocks=size)
        # Pixels of the whole image over blocks: a block of which half is sky is a little noisier than that.
        noise = image.noise / math.sqrt(max(image.valid.size / known.size, 1.0))
        before, self._sky = self._sky, _Sky(time, known)
        apart = math.nan if before is None else (time - before.time).total_seconds()
        if before is None or not 0 < apart <= MAXIMUM_SKY_GAP_S:
            return check_clouds(known, noise).cloudy
        return check_clouds(known, noise, before.blocks, apart).cloudy

    def _sun_in_view(self, time: datetime, camera: CameraModel) -> bool:
        minute = time.replace(second=0, microsecond=0)  # in which the sun moves by a quarter of the margin
        if self._sun is None or self._sun[0] != minute:
            self._sun = (minute, check_sun(camera, *sun_direction_rad(minute, self._place)).in_view)
        return self._sun[1]

    def _drifts_along_view(self, geometry: LineGeometry) -> bool:
        if geometry.status is EmissionStatus.PLUME_ALONG_VIEW:
            return True
        view = geometry.camera.azimuth_rad
        if self._by_wind and geometry.wind is not None:
            return check_plume_angle(_across_rad(geometry.wind), view).along_view
        return geometry.plane is not None and check_plume_angle(geometry.plane.normal_azimuth_rad, view).along_view


def _across_rad(wind: Wind) -> float:
    """Return the azimuth [rad] of the normal of the vertical plane in which a wind blows."""
    return math.radians(wind.direction_from_deg + 90)


def sun_direction_rad(time: datetime, place: GeoPoint) -> tuple[float, float]:
    """Return the sun's azimuth, clockwise from north, and its elevation, with refraction [rad]; ``time`` in UTC.

    By astral (the low-accuracy formulae of Meeus 1998, chapter 25): good to 0.02 degrees.
    """
    from astral import Observer
    from astral.sun import azimuth, elevation

    observer = Observer(place.latitude, place.longitude)
    return math.radians(azimuth(observer, time)), math.radians(elevation(observer, time))
