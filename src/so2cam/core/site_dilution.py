"""The models of the site file's ``[processing.light_dilution]``: light scattered in between camera and plume."""

from typing import Literal, Self

from pydantic import Field, model_validator

from so2cam.core.site_types import Name, NotNegative, Point, Positive, Table


class TerrainRegion(Table):
    """Dark ground in the image whose distance is known: a point, or a line through several."""

    name: Name
    points: tuple[Point, ...] = Field(min_length=1, description="(x, y) in the on-band image")
    distance_m: Positive | tuple[Positive, ...] | None = Field(
        default=None,
        description="along the line of sight: one for all points, or one for each, and linear in between; from "
        "terrain_model if absent",
    )
    distance_uncertainty_m: Positive | None = Field(
        default=None, description="1 sigma of each distance, independent of the others; 5 % if absent"
    )

    @model_validator(mode="after")
    def _one_distance_each(self) -> Self:
        if isinstance(self.distance_m, tuple) and len(self.distance_m) != len(self.points):
            raise ValueError(
                f"distance_m: {len(self.points)} points need as many distances, or one for all "
                f"(found {len(self.distance_m)})"
            )
        if self.distance_m is None and self.distance_uncertainty_m is not None:
            raise ValueError("distance_uncertainty_m goes with distance_m: give both, or neither")
        return self

    @property
    def distances_m(self) -> tuple[float, ...] | None:
        """The distance [m] of each point; None where it comes from the terrain model."""
        if self.distance_m is None or isinstance(self.distance_m, tuple):
            return self.distance_m
        return (self.distance_m,) * len(self.points)

    @property
    def distance_sigma_m(self) -> float | None:
        """1 sigma [m] of the distances: as given, or 5 % of their mean; None where they come from the model."""
        known = self.distances_m
        if known is None:
            return None
        return self.distance_uncertainty_m or 0.05 * sum(known) / len(known)


class LightDilution(Table):
    """Light that air between camera and plume scatters in (Campion 2015): how its extinction is found.

    ``none``: not corrected. ``fixed``: the extinctions given. ``terrain``: from dark ground of known distance in the
    images. ``spectrum``: from what the spectra of recalculation_min tell together, with the spectrometer's
    light_dilution.mode = "fit". What is said of terrain holds for that mode.
    """

    mode: Literal["none", "fixed", "terrain", "spectrum"] = "none"
    on_extinction_per_km: float | None = Field(default=None, ge=0, le=1, description="for fixed: of the on band")
    on_extinction_uncertainty_per_km: float | None = Field(default=None, ge=0, le=1, description="for fixed: 1 sigma")
    off_extinction_per_km: float | None = Field(default=None, ge=0, le=1, description="for fixed: of the off band")
    off_extinction_uncertainty_per_km: float | None = Field(default=None, ge=0, le=1, description="for fixed: 1 sigma")
    regions: tuple[TerrainRegion, ...] = Field(
        default=(), max_length=50, description="dark ground; with a terrain_model all that is in the image if absent"
    )
    terrain_model: str | None = Field(
        default=None, min_length=1, description="GeoTIFF, ESRI ASCII grid or SRTM tile, relative to the site file"
    )
    terrain_crs: str | None = Field(
        default=None, min_length=1, description="its coordinates, like EPSG:32718, where the file does not tell"
    )
    recalculation_min: Positive = Field(
        default=30.0, description="time between two extinctions; for spectrum the time over which spectra share one"
    )
    minimum_distance_span_m: Positive = Field(default=500.0, description="least difference of the ground's distances")
    brightness_limits: tuple[float, float] = Field(
        default=(0.01, 0.9), description="of ground that counts, over that of the sky above it; snow lies above"
    )
    darkest_share: float = Field(
        default=0.5, gt=0, le=1, description="share of the pixels at each distance that counts, the darkest ones"
    )
    airlight_uncertainty: float = Field(
        default=0.05, ge=0, le=1, description="1 sigma, relative, of the sky's brightness taken for that of the air"
    )
    surface_trend: float = Field(
        default=0.1, ge=0, le=1, description="1 sigma: by how much the furthest ground may be brighter than the nearest"
    )
    airlight_ratio: float = Field(
        default=1.0,
        gt=0,
        le=2,
        description="brightness of the air before the plume over that of the sky behind it; not for spectrum",
    )
    airlight_ratio_uncertainty: float = Field(default=0.1, ge=0, le=1, description="1 sigma")
    wavelength_exponent: float = Field(
        default=4.0, ge=0, le=5, description="for spectrum: extinction goes with the wavelength to minus this; air 4"
    )
    wavelength_exponent_uncertainty: NotNegative = Field(default=0.5, le=3, description="for spectrum: 1 sigma")
    variation_in_view: float = Field(
        default=0.15,
        ge=0,
        le=1,
        description="for spectrum: relative standard deviation of the columns within the spectrometer's view, which "
        "looks like dilution; what it does is taken out, with an uncertainty as large",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        self._fixed_values()
        low, high = self.brightness_limits
        if not 0 <= low < high <= 1:
            raise ValueError("brightness_limits must be (lowest, highest) with 0 <= lowest < highest <= 1")
        names = [region.name for region in self.regions]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"regions: two regions are called {repeated[0]!r}")
        if self.mode != "terrain":
            return self
        without = [region.name for region in self.regions if region.distance_m is None]
        if self.terrain_model is None and not self.regions:
            raise ValueError('mode = "terrain" needs regions with their distances, or terrain_model')
        if self.terrain_model is None and without:
            raise ValueError(f"regions: {without[0]!r} needs distance_m, or a terrain_model that tells it")
        if self.terrain_model is None:
            known = [distance for region in self.regions for distance in region.distances_m or ()]
            span = max(known) - min(known)
            if span < self.minimum_distance_span_m:
                raise ValueError(
                    f"regions: their distances differ by {span:g} m, and minimum_distance_span_m is "
                    f"{self.minimum_distance_span_m:g} m: add nearer or further ground"
                )
        return self

    def _fixed_values(self) -> None:
        given = {
            name: getattr(self, name)
            for name in (
                "on_extinction_per_km",
                "on_extinction_uncertainty_per_km",
                "off_extinction_per_km",
                "off_extinction_uncertainty_per_km",
            )
        }
        missing = [name for name, value in given.items() if value is None]
        if self.mode == "fixed" and missing:
            raise ValueError(f'mode = "fixed" needs {", ".join(missing)}')
        if self.mode != "fixed" and len(missing) < len(given):
            name = next(name for name, value in given.items() if value is not None)
            raise ValueError(f'{name} is used with mode = "fixed" only; remove it or set the mode')
