"""The models of the site file's ``[processing.calibration]``: from absorbance to column density."""

from datetime import datetime
from typing import Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from so2cam.core.site_types import Finite, Name, NotNegative, Positive, Table

_SAME_TIME_S = 1e-3
_SAME_LABEL_PPM_M = 0.5


class SearchedCell(Table):
    """A gas cell that was held before the camera."""

    name: Name
    column_molec_cm2: Positive
    uncertainty_molec_cm2: Positive = Field(description="1 sigma")


class CellSearch(Table):
    """Cell and clear-sky frames among frames that are not named as such: found by how much light they let through.

    Within the time given the camera looks at plume-free sky, with and without cells before it.
    """

    start: AwareDatetime = Field(description="UTC, like 2015-09-16T06:59:00Z")
    end: AwareDatetime = Field(description="UTC, not included")
    cells: tuple[SearchedCell, ...] = Field(min_length=1, max_length=20)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not 0 < (self.end - self.start).total_seconds() <= 86400:
            raise ValueError("end must be after start, by a day at most")
        columns = [cell.column_molec_cm2 for cell in self.cells]
        if len(set(columns)) < len(columns):
            raise ValueError("two cells have the same column, and could not be told apart")
        return self


class CalibrationExclusion(Table):
    """Points left out of the calibration: one, or all of a range of times; with cell_ppm_m, frames of a gas cell."""

    name: Name = Field(description="by which it is found again; each its own")
    time: AwareDatetime | None = Field(default=None, description="mid-exposure of one image, UTC, within 1 ms")
    start: AwareDatetime | None = Field(default=None, description="UTC; with end: a range of times")
    end: AwareDatetime | None = Field(default=None, description="UTC, not included")
    cell_ppm_m: NotNegative | None = Field(
        default=None, description="label of a gas cell; without a time all of its frames"
    )
    note: str = Field(default="", max_length=500, description="why it is left out")
    by: str = Field(default="", max_length=100, description="who left it out")

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if (self.start is None) != (self.end is None):
            raise ValueError("start and end belong together: give both, or neither")
        if self.time is not None and self.start is not None:
            raise ValueError("give time, or start and end, not both")
        if self.start is not None and self.end is not None and not self.start < self.end:
            raise ValueError("end must be after start")
        if self.time is None and self.start is None and self.cell_ppm_m is None:
            raise ValueError("give time, start and end, or cell_ppm_m: it leaves nothing out")
        return self

    def covers(self, time: datetime) -> bool:
        """Return whether ``time`` is one that is left out; any is, where none is given."""
        if self.time is not None:
            return abs((time - self.time).total_seconds()) <= _SAME_TIME_S
        return self.start is None or self.end is None or self.start <= time < self.end


class FieldOfView(Table):
    """The spectrometer's field of view in the on-band image: given, or found where absorbance follows its columns."""

    source: Literal["correlation", "inversion", "given"] = Field(
        default="correlation",
        description="correlation: where absorbance correlates best with the columns (Luebcke 2013); inversion: a "
        "regularised inversion, then a super-Gaussian fitted to it; given: x, y and radius_px as they are",
    )
    x: NotNegative | None = Field(default=None, description="centre, pixels of the on-band image; for given")
    y: NotNegative | None = Field(default=None, description="centre, pixels of the on-band image; for given")
    radius_px: Positive | None = Field(default=None, description="for given")
    position_uncertainty_px: NotNegative = Field(default=2.0, description="1 sigma, each way; for given")
    reduction: int = Field(default=4, ge=1, le=64, description="the search works on means over blocks of this side")
    interval_s: Positive = Field(default=1800.0, description="rolling: time after which it is searched again")
    images: int = Field(default=360, ge=15, le=5000, description="the search sees the last so many images")
    minimum_images: int = Field(default=15, ge=8, description="with columns beside them, for a search")
    minimum_correlation: float = Field(default=0.6, ge=0, lt=1, description="below which nothing counts as found")

    @model_validator(mode="after")
    def _given_whole(self) -> Self:
        given = (self.x, self.y, self.radius_px)
        if self.source == "given" and None in given:
            raise ValueError('source = "given" needs x, y and radius_px')
        if self.source != "given" and given != (None, None, None):
            raise ValueError('x, y and radius_px are used with source = "given" only; remove them or set the source')
        if self.minimum_images > self.images:
            raise ValueError(
                f"minimum_images ({self.minimum_images}) is more than images ({self.images}), so that no search could "
                "ever begin"
            )
        return self


class SpectrometerCalibration(Table):
    """How the columns of the spectrometer calibrate the images."""

    policy: Literal["whole", "rolling"] = Field(
        default="whole",
        description="whole: one calibration from all of a run (archive); rolling: at any time from what was known "
        "by then (live, and the same in batch)",
    )
    window_s: Positive = Field(default=3600.0, description="rolling: points older than this are let go")
    refit_s: NotNegative = Field(default=60.0, description="rolling: time after which the fit is renewed")
    maximum_gap_s: Positive = Field(
        default=15.0, description="longest time from an image to the spectra that are interpolated to it"
    )
    minimum_points: int = Field(default=15, ge=5, description="for a fit")
    stale_s: Positive = Field(default=1800.0, description="rolling: age of the newest point from which it is flagged")
    offset: bool = Field(default=True, description="false: the curve goes through the origin")
    offset_uncertainty_molec_cm2: Positive = Field(
        default=3e16,
        description="1 sigma by which the spectrometer's zero may be off; with the sky's unevenness, how far from zero "
        "an offset is believed",
    )
    stored: str | None = Field(
        default=None,
        description="file of earlier calibrations, relative to the site file: where there is none of the run's own, "
        "the one made under the most similar light is used, and flagged; new ones are added to it",
    )
    field_of_view: FieldOfView = FieldOfView()


CalibrationSource = Literal["cells", "spectrometer", "joint", "fixed"]


class Calibration(Table):
    """From absorbance to column density: by gas cells, by the spectrometer, by both, or by a known slope."""

    source: CalibrationSource = Field(
        default="cells",
        description="joint: the spectrometer's points and the gas cells in one fit; fixed: a known slope",
    )
    model: Literal["band", "line", "quadratic"] = Field(
        default="band",
        description="band: the curve of the two bands' own filters, with one scale (and, for spectrometer points, an "
        "offset); line: with its offset; quadratic: through the origin",
    )
    label_uncertainty: float = Field(default=0.10, ge=0, le=1, description="1 sigma of a cell's label, relative")
    label_weights: bool = Field(
        default=True, description="weight cells by the uncertainty of their labels; false: all alike"
    )
    region: tuple[Finite, Finite, Finite, Finite] | None = Field(
        default=None, description="(x0, y0, x1, y1) of the image area where a cell is read; all of it if absent"
    )
    search: CellSearch | None = None
    sensitivity_cell_ppm_m: Positive | None = Field(
        default=None,
        description="label of the gas cell by which the sensitivity across the image is evened out; none if absent",
    )
    exclude: tuple[CalibrationExclusion, ...] = Field(
        default=(), max_length=1000, description="points and frames of cells that are left out"
    )
    slope_molec_cm2: Positive | None = Field(default=None, description="for source = fixed")
    slope_uncertainty_molec_cm2: NotNegative | None = Field(default=None, description="for source = fixed; 1 sigma")
    spectrometer: SpectrometerCalibration = SpectrometerCalibration()

    @property
    def by_spectrometer(self) -> bool:
        """Whether the spectrometer's columns enter."""
        return self.source in ("spectrometer", "joint")

    def excluded_point(self, time: datetime) -> str | None:
        """Return the name of what leaves out the point of an image at ``time``; None where it counts."""
        found = (one.name for one in self.exclude if one.cell_ppm_m is None and one.covers(time))
        return next(found, None)

    def excluded_cell(self, cell_ppm_m: float, time: datetime) -> str | None:
        """Return the name of what leaves out a frame of a gas cell; None where it counts."""
        found = (
            one.name
            for one in self.exclude
            if one.cell_ppm_m is not None and abs(one.cell_ppm_m - cell_ppm_m) <= _SAME_LABEL_PPM_M and one.covers(time)
        )
        return next(found, None)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        given = (self.slope_molec_cm2, self.slope_uncertainty_molec_cm2)
        if self.source == "fixed" and None in given:
            raise ValueError('source = "fixed" needs slope_molec_cm2 and slope_uncertainty_molec_cm2')
        if self.source != "fixed" and given != (None, None):
            raise ValueError('slope_molec_cm2 is used with source = "fixed" only; remove it or set the source')
        if self.source == "joint" and self.model == "quadratic":
            raise ValueError('source = "joint" needs model = "band" or "line": one scale for points and gas cells')
        if self.region is not None and not (self.region[0] < self.region[2] and self.region[1] < self.region[3]):
            raise ValueError("region must be (x0, y0, x1, y1) with x0 < x1 and y0 < y1")
        names = [one.name for one in self.exclude]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"exclude: two are called {repeated[0]!r}")
        return self
