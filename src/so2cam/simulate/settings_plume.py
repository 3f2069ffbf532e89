"""The settings of a scenario that say what leaves the volcano and what carries it."""

from typing import Annotated, Literal

from pydantic import Field

from so2cam.core.site import NotNegative, Positive, Table

Fraction = Annotated[float, Field(ge=0, le=1)]


class EmissionSource(Table):
    """How much SO2 leaves the vent."""

    mean_kg_s: Positive = Field(default=5.0, description="mean emission rate, of all vents together")
    pulsation: float = Field(default=0.2, ge=0, le=0.6, description="relative 1 sigma of pulsations of 30 to 120 s")
    puffs: Fraction = Field(default=0.0, description="share of the emission that leaves in single puffs")
    puff_period_s: float = Field(default=60.0, ge=5, le=3600, description="mean time from puff to puff")
    puff_length_s: float = Field(default=6.0, ge=1, le=600, description="duration (Gaussian sigma) of a puff")
    rise: float = Field(
        default=0.0, ge=-0.9, le=10, description="relative change of the emission over the first hour; then it stays"
    )
    texture_contrast: float = Field(default=0.3, ge=0, le=0.8, description="relative 1 sigma of turbulent texture")
    texture_length_m: float = Field(default=20.0, gt=0, le=200, description="size (Gaussian sigma) of finest texture")


class PlumeShape(Table):
    """How the plume moves: along a straight inclined axis, growing linearly."""

    speed_m_s: float = Field(default=10.0, ge=0.5, le=60, description="along the axis, at the upstream line")
    toward: Literal["left", "right"] = Field(default="left", description="the side of the image it drifts to")
    inclination_deg: float = Field(default=35.0, ge=10, le=80, description="of the axis, above the horizontal")
    half_width_m: Positive = Field(default=58.0, description="half-width where the axis begins, inside the crater")
    opening: float = Field(default=0.235, ge=0, le=1, description="growth of the half-width per metre of axis")
    spreading: Literal["entraining", "divergence-free"] = Field(
        default="entraining",
        description="entraining: the speed stays while the plume widens (air enters it along the line of sight); "
        "divergence-free: the wind has no divergence in the plume's plane and slows down as the plume widens",
    )
    aerosol_optical_depth: NotNegative = Field(
        default=0.03, description="at 320 nm, per 1e18 molecules cm-2 of SO2 on the line of sight"
    )
    aerosol_angstrom: float = Field(default=1.0, ge=-1, le=4, description="extinction goes with 1/wavelength to this")


class WindChanges(Table):
    """What the wind does beside blowing along the axis."""

    shear: float = Field(
        default=0.0, ge=-0.8, le=0.8, description="speed at the plume's upper edge against the axis, relative; linear"
    )
    gusts: float = Field(default=0.0, ge=0, le=0.3, description="relative 1 sigma of the speed in time, 25 to 140 s")
    turbulence: float = Field(
        default=0.0, ge=0, le=0.4, description="1 sigma of each component of the velocity over the speed"
    )
    eddy_m: float = Field(default=260.0, ge=60, le=5000, description="wavelength of the middle ones of the eddies")


class SecondVent(Table):
    """Another vent beside the first, with a plume of its own in the same plane."""

    right_m: float = Field(default=-90.0, ge=-2000, le=2000, description="from the first vent, as seen from the camera")
    inclination_deg: float = Field(default=48.0, ge=10, le=80, description="of its axis, above the horizontal")
    share: float = Field(default=0.4, gt=0, lt=1, description="of the emission")
    half_width_m: Positive = 40.0
    speed_factor: float = Field(default=0.8, ge=0.2, le=3, description="speed of its plume over that of the first")
