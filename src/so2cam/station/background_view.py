"""The sky background of a pair for those who set it up: absorbance before and after, sky surface and mask, profiles."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

import numpy as np

from so2cam.core.records import FloatArray, FloatImage, FramePair
from so2cam.core.status import STATUS_TEXT, EmissionStatus
from so2cam.formats.sitefile import LoadedSite
from so2cam.pages import FrameHeader, encode_values
from so2cam.pipeline.steps import Sky, sky_areas, sky_of
from so2cam.science.emission.lines import sample_image
from so2cam.science.imaging.background import blocks_to_pixels, evaluate_surface
from so2cam.science.imaging.background_modes import (
    BACKGROUND_STATUS_TEXT,
    BackgroundMode,
    BackgroundStatus,
    SkyAreas,
    correct_background,
    needed_areas,
)
from so2cam.station.plain import all_known
from so2cam.station.setup_pairs import PairLook, SetupPairs, uncorrected

Quantity = Literal["after", "before", "sky", "mask", "on", "off"]
_TITLES: Final[Mapping[str, tuple[str, str]]] = {
    "after": ("absorbance above the sky", ""),
    "before": ("absorbance without a background", ""),
    "sky": ("absorbance of the fitted sky", ""),
    "mask": ("0 terrain, 1 sky beside or behind plume, 2 sky that is fitted", ""),
    "on": ("on band", "ln DN/s"),
    "off": ("off band", "ln DN/s"),
}
_KEYS: Final = {
    "scale": "scale_rectangle",
    "y_gradient": "y_gradient_rectangle",
    "x_gradient": "x_gradient_rectangle",
    "y_profile": "y_profile",
    "x_profile": "x_profile",
}
"""Keys of the site file by the fields of ``SkyAreas``."""
_LONGEST: Final = 800
_MOST_LEFT: Final = 0.08
"""Mean absorbance of plume-free sky beyond which a background is wrong: some 200 ppm m of SO2. A sky that one piece of
it stands for differs by less."""


@dataclass(frozen=True, slots=True)
class Area:
    """An area of sky: (x0, y0, x1, y1), whether the site file gives it, and whether the mode uses it.

    Profiles have no width here: x0 = x1 for a column, y0 = y1 for a row.
    """

    key: str
    corners: tuple[int, int, int, int]
    given: bool
    used: bool


@dataclass(frozen=True, slots=True)
class Cut:
    """Profiles along pixels: ``at`` (N,) is the pixel, or the distance along a line; None where there is no value.

    ``on`` and ``off`` are both bands' log intensity, ``sky_on`` and ``sky_off`` the sky surface's. ``areas`` are
    (key, first, last) of the areas of sky that it crosses.
    """

    at: tuple[float, ...]
    on: tuple[float | None, ...]
    off: tuple[float | None, ...]
    sky_on: tuple[float | None, ...]
    sky_off: tuple[float | None, ...]
    before: tuple[float | None, ...]
    after: tuple[float | None, ...]
    areas: tuple[tuple[str, float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class BackgroundLook:
    """What a draft's background makes of a pair. ``why`` says why there is none; numbers are then None, or what
    is wrong with it.

    ``level``: mean optical depth (on - off) of the fitted sky against the clear-sky frames; ``noise`` 1 sigma of one
    pixel; ``structure`` what of the sky no surface follows; ``sky_share`` of the image that is plume-free sky.
    """

    time: datetime
    shape: tuple[int, int]
    why: str
    level: float | None
    noise: float | None
    structure: float | None
    sky_share: float | None
    sky_mean: float | None
    areas: tuple[Area, ...]
    images: Mapping[str, FloatImage] = field(repr=False)
    surfaces: tuple[FloatImage, FloatImage] | None = field(repr=False)

    def message(self, quantity: Quantity) -> bytes | None:
        """Return an image as a message of the viewer; None where there is none."""
        image = self.images.get(quantity)
        if image is None:
            return None
        label, unit = _TITLES[quantity]
        return encode_values(image, FrameHeader(label=label, unit=unit, time=self.time))

    def row(self, y: int) -> Cut:
        """Return the profiles along a row."""
        columns = self.shape[1]
        return self._cut(
            np.arange(columns, dtype=np.float64), np.full(columns, float(y)), self._crossed(y, along_x=True)
        )

    def column(self, x: int) -> Cut:
        """Return the profiles along a column."""
        rows = self.shape[0]
        return self._cut(np.full(rows, float(x)), np.arange(rows, dtype=np.float64), self._crossed(x, along_x=False))

    def along(self, start: tuple[float, float], end: tuple[float, float]) -> Cut:
        """Return the profiles along a line from ``start`` to ``end`` (x, y), a sample a pixel."""
        length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
        count = max(int(np.ceil(length)), 2)
        return self._cut(np.linspace(start[0], end[0], count), np.linspace(start[1], end[1], count), (), length)

    def _crossed(self, place: int, *, along_x: bool) -> tuple[tuple[str, float, float], ...]:
        found = []
        for area in self.areas:
            x0, y0, x1, y1 = area.corners
            first, last, low, high = (x0, x1, y0, y1) if along_x else (y0, y1, x0, x1)
            if not (area.used or area.given):
                continue
            if first < last and low - 4 * (low == high) <= place <= high + 4 * (low == high):
                found.append((area.key, float(first), float(last)))
        return tuple(found)

    def _cut(
        self, x: FloatArray, y: FloatArray, areas: tuple[tuple[str, float, float], ...], length: float | None = None
    ) -> Cut:
        step = max(1, -(-x.size // _LONGEST))
        x, y = x[::step], y[::step]
        if length is not None:
            at = np.linspace(0.0, length, x.size)
        else:
            at = x if x.size > 1 and x[0] != x[-1] else y

        def of(image: FloatImage | None) -> tuple[float | None, ...]:
            if image is None:
                return (None,) * x.size
            return all_known(sample_image(image, np.isfinite(image), x, y))

        on_sky, off_sky = (None, None) if self.surfaces is None else self.surfaces
        images = self.images
        return Cut(
            tuple(float(value) for value in at),
            of(images["on"]),
            of(images["off"]),
            of(on_sky),
            of(off_sky),
            of(images["before"]),
            of(images.get("after")),
            areas,
        )


def look_at_background(pairs: SetupPairs, loaded: LoadedSite, pair: FramePair) -> BackgroundLook:
    """Return what the draft's background makes of a pair.

    Raises So2camError subclasses where a frame cannot be read or calibration files are missing.
    """
    look = pairs.look(loaded, pair)
    settings = look.chain.site.processing.background
    on, off = look.on, look.off
    valid = on.valid & off.valid
    shape = (valid.shape[0], valid.shape[1])
    sky = sky_of(on, off, valid, settings)
    references = look.chain.references.bands
    clear = references[0].log_clear - references[1].log_clear
    before = np.where(valid, off.values - on.values + np.float32(clear), np.float32(np.nan)).astype(np.float32)
    mask = sky.above.astype(np.float32)
    images: dict[str, FloatImage] = {
        "before": before,
        "mask": mask,
        "on": _where(on.values, on.valid),
        "off": _where(off.values, off.valid),
    }
    surfaces = None
    if sky.surface is not None:
        order = sky.surface.order
        surfaces = evaluate_surface(sky.surface.on, order, shape), evaluate_surface(sky.surface.off, order, shape)
        images["sky"] = surfaces[1] - surfaces[0] + np.float32(clear)
        mask[blocks_to_pixels(sky.surface.plume_free, shape)] = 2
    image, found, sky_mean = look.image, sky_areas(on, off, sky, settings), None
    if image is not None:
        images["after"] = image.absorbance
        if sky.surface is not None:
            quiet = image.absorbance[blocks_to_pixels(sky.surface.plume_free, shape) & image.valid]
            sky_mean = float(np.mean(quiet)) if quiet.size else None
    return BackgroundLook(
        time=pair.time,
        shape=shape,
        why=(uncorrected(look.record) or _left(sky_mean)) if image is not None else _why(look, sky, found, clear),
        level=None if image is None else image.background_level,
        noise=None if image is None else image.noise,
        structure=None if image is None else image.structure,
        sky_share=None if sky.surface is None else sky.surface.sky_share,
        sky_mean=sky_mean,
        areas=_areas(found, look),
        images=images,
        surfaces=surfaces,
    )


def _left(sky_mean: float | None) -> str:
    """Say that plume-free sky is not at zero; nothing where it is."""
    if sky_mean is None or abs(sky_mean) <= _MOST_LEFT:
        return ""
    return (
        f"an absorbance of {sky_mean:.3f} is left in plume-free sky, where it should be 0: an area of sky has plume or "
        "cloud in it, or is unlike the rest of the sky"
    )


def _why(look: PairLook, sky: Sky, areas: SkyAreas, clear: float) -> str:
    """Say why there is no background."""
    settings = look.chain.site.processing.background
    if look.status is not EmissionStatus.NO_SKY:
        return STATUS_TEXT[look.status]
    if sky.surface is None:
        share = float(np.mean(sky.above))
        return f"too little plume-free sky to fit a surface: {100 * share:.0f} % of the image lies above the skyline"
    if settings.mode in ("sky-surface", "clear-sky"):
        return STATUS_TEXT[look.status]
    mode = BackgroundMode(settings.mode)
    difference = look.on.values - look.off.values
    found = correct_background(
        difference, clear, look.on.valid & look.off.valid, mode, areas, order=settings.order
    ).status
    missing = [_KEYS[name] for name in needed_areas(mode) if name in _KEYS and getattr(areas, name) is None]
    if found is BackgroundStatus.NO_AREA and missing:
        return f"{BACKGROUND_STATUS_TEXT[found]}: {', '.join(missing)}"
    return BACKGROUND_STATUS_TEXT[found] if found is not BackgroundStatus.OK else STATUS_TEXT[look.status]


def _areas(found: SkyAreas, look: PairLook) -> tuple[Area, ...]:
    settings = look.chain.site.processing.background
    used = () if settings.mode == "sky-surface" else needed_areas(BackgroundMode(settings.mode))
    made = []
    for name, key in _KEYS.items():
        area = getattr(found, name)
        if area is None:
            continue
        if name == "y_profile":
            corners = (area.x, area.y0, area.x, area.y1)
        elif name == "x_profile":
            corners = (area.x0, area.y, area.x1, area.y)
        else:
            corners = tuple(area)
        whole = tuple(round(float(value)) for value in corners)
        made.append(Area(key, whole, getattr(settings, key) is not None, name in used))  # type: ignore[arg-type]
    return tuple(made)


def _where(image: FloatImage, valid: np.ndarray) -> FloatImage:
    return np.where(valid, image, np.float32(np.nan)).astype(np.float32)
