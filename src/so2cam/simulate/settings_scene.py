"""The settings of a scenario that say what lies behind and between: sky, clouds, terrain, air."""

from typing import Literal

from pydantic import Field

from so2cam.core.site import NotNegative, Point, Positive, Table
from so2cam.simulate.settings_plume import Fraction


class Sky(Table):
    """The sky behind the plume. Its logarithm is a quadratic surface in x and y, that differs with wavelength."""

    gradient: NotNegative = Field(default=1.0, description="scale of the clear-sky frames' surface")
    difference: NotNegative = Field(default=1.0, description="scale of the change from there to the plume's sky")
    drift: NotNegative = Field(default=1.0, description="scale of the change with time, some percent per hour")


class Clouds(Table):
    """Clouds that pass over the sky, behind the plume."""

    contrast: float = Field(
        default=0.0, ge=0, le=1, description="logarithm of how much brighter than the sky they are, at 330 nm"
    )
    on_over_off: float = Field(default=0.75, ge=0, le=1.5, description="that of the on band over that of the off band")
    cover: Fraction = Field(default=0.4, description="share of the sky")
    size_px: float = Field(default=90.0, ge=10, le=300)
    speed_px_s: Point = Field(default=(0.5, 0.1), description="(x, y)")


class Air(Table):
    """The air above and between."""

    o3_slant_molec_cm2: NotNegative = Field(default=1.6e19, description="ozone on the sunlight's way")
    ring: float = Field(default=0.03, ge=0, le=0.2, description="share of the sky's light that is Raman scattered")
    extinction_310_per_m: float = Field(
        default=0.0, ge=0, le=1e-3, description="scattering of the air between camera and plume, at 310 nm"
    )
    haze: Fraction = Field(default=0.1, description="share of it that is due to haze, and not to molecules")
    haze_angstrom: float = Field(default=1.3, ge=0, le=3)


class Ridge(Table):
    """A ridge in front of the mountain, that rises towards one side of the image."""

    distance_m: Positive
    side: Literal["left", "right"]
    height_deg: float = Field(ge=0.2, le=30, description="elevation of its top at the image's edge, from the camera")
    width_deg: float = Field(default=10.0, ge=1, le=60, description="how far it reaches into the image")


class Terrain(Table):
    """The mountain, and ridges before it."""

    rock: float = Field(default=0.24, ge=0, le=2, description="brightness of bare ground over that of the sky")
    snow: float = Field(default=0.62, ge=0, le=2, description="brightness of snow over that of the sky")
    snow_cover: Fraction = Field(default=0.5, description="0: none, 0.5: patches, 1: all white")
    relief: NotNegative = Field(default=1.0, description="scale of the ground's differences in brightness")
    ridges: tuple[Ridge, ...] = Field(default=(), max_length=8)
