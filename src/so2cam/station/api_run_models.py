"""What the interface takes and answers of runs: the shapes of its JSON."""

import math
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from so2cam.core.records import Band
from so2cam.formats.siteedit import key_text
from so2cam.station.api_errors import plain_json
from so2cam.station.api_times import utc
from so2cam.station.compare import Comparison, Results, SideStatistics
from so2cam.station.drafts import KeyChange
from so2cam.station.run_orders import LONGEST_NAME, RunWish
from so2cam.station.run_store import RunImages, RunRecord
from so2cam.station.runs import RunProgress

_Names = Annotated[list[Annotated[str, Field(max_length=32)]], Field(max_length=16)]


class ImagesIn(BaseModel):
    """Images that a run over images makes too."""

    model_config = ConfigDict(extra="forbid")

    formats: _Names = Field(description="of png, video, netcdf, zarr")
    quantities: _Names = Field(default=["columns"], description="of absorbance, columns, flow")
    every: Annotated[int, Field(ge=1, le=1_000_000, description="of so many pairs one")] = 1


class RunIn(BaseModel):
    """What is to be done with start <= time < end (UTC where no zone is given)."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["process", "spectra", "film", "live"] = Field(
        default="process",
        description="process images and spectra, spectra alone, make a film of a band, put live results into files",
    )
    start: datetime
    end: datetime
    name: Annotated[str, Field(max_length=LONGEST_NAME)] = ""
    settings: Annotated[str, Field(pattern=r"^(file|draft|[0-9]{1,9})$")] = Field(
        default="file", description="the site file as it is, its draft, or the number of a saved version"
    )
    changes: Annotated[str, Field(max_length=20_000)] = Field(
        default="", description='settings to change, a line for each: processing.background.mode = "polynomial"'
    )
    methods: _Names = Field(default=[], description="speed methods in place of those of the settings")
    images: ImagesIn | None = None
    columns_of: Annotated[int, Field(ge=1, le=999_999_999)] | None = Field(
        default=None, description="a run whose columns are used in place of spectra fitted anew"
    )
    band: Literal["on", "off"] = Field(default="on", description="of a film")

    def wish(self, by: str) -> RunWish:
        """Return it as an order is made of. Raises HTTPException for times that the catalogue cannot know."""
        images = None
        if self.images is not None:
            images = RunImages(tuple(self.images.formats), tuple(self.images.quantities), self.images.every)
        return RunWish(
            self.kind,
            by,
            utc(self.start),
            utc(self.end),
            name=self.name,
            settings=self.settings,
            changes=self.changes,
            methods=tuple(self.methods),
            images=images,
            columns_of=self.columns_of,
            band=Band(self.band),
        )


class ProgressOut(BaseModel):
    """How far a run is."""

    stage: str
    done: int
    total: int
    left_s: float | None = Field(description="how long the rest of this stage will take")


class FoundOut(BaseModel):
    """One line of what a run found."""

    label: str
    value: str


class RunOut(BaseModel):
    """A run."""

    id: int
    kind: str
    name: str
    by: str
    start: datetime
    end: datetime
    settings: str = Field(description="where they are from, in words")
    settings_sha256: str
    version: str = Field(description="of so2cam")
    made: datetime = Field(description="when it was ordered")
    began: datetime | None
    ended: datetime | None
    state: str = Field(description="queued, running, done, failed, cancelled or interrupted")
    message: str = Field(description="why it failed")
    images: ImagesIn | None
    columns_of: int | None
    band: str | None
    pairs: int
    valid: int = Field(description="valid emission rates of lines")
    spectra: int
    columns: int = Field(description="valid columns")
    frames: int = Field(description="of a film")
    warnings: list[str]
    summary: list[FoundOut]
    progress: ProgressOut | None = Field(default=None, description="of one that runs")
    products: list[str] = Field(default=[], description="names of the files that it made")

    @classmethod
    def of(cls, record: RunRecord, progress: RunProgress | None = None, products: tuple[str, ...] = ()) -> "RunOut":
        """Return a run as it is told."""
        shown = None
        if progress is not None:
            shown = ProgressOut(stage=progress.stage, done=progress.done, total=progress.total, left_s=progress.left_s)
        same = {
            name: getattr(record, name)
            for name in cls.model_fields
            if name not in ("images", "summary", "progress", "products", "warnings")
        }
        images = record.images
        return cls(
            **same,
            images=None
            if images is None
            else ImagesIn(formats=list(images.formats), quantities=list(images.quantities), every=images.every),
            warnings=list(record.warnings),
            summary=[FoundOut(label=label, value=value) for label, value in record.summary],
            progress=shown,
            products=list(products),
        )


class SideOut(BaseModel):
    """One side of a comparison [kg/s]; uncertainties are 1 sigma of the mean."""

    title: str
    speed_method: str
    values: int
    valid: int
    median_kg_s: float | None
    mean_kg_s: float | None
    random_uncertainty_kg_s: float | None
    systematic_uncertainty_kg_s: float | None

    @classmethod
    def of(cls, title: str, method: str, side: SideStatistics) -> "SideOut":
        """Return a side as it is told."""
        return cls(
            title=title,
            speed_method=method,
            values=side.values,
            valid=side.valid,
            median_kg_s=_number(side.median),
            mean_kg_s=_number(side.mean),
            random_uncertainty_kg_s=_number(side.random),
            systematic_uncertainty_kg_s=_number(side.systematic),
        )


class DifferenceOut(BaseModel):
    """A setting in which both sides differ; null where a side does not have it."""

    key: str
    a: Any
    b: Any

    @classmethod
    def of(cls, change: KeyChange) -> "DifferenceOut":
        """Return a setting as it is told."""
        return cls(key=key_text(change.key), a=plain_json(change.before), b=plain_json(change.after))


class CompareOut(BaseModel):
    """Emission rates of one line on both sides, at the times at which both are valid. Differences are b - a."""

    line: str
    a: SideOut
    b: SideOut
    common: int = Field(description="times at which both sides have a valid value")
    mean_difference_kg_s: float | None
    median_difference_kg_s: float | None
    difference_scatter_kg_s: float | None
    median_ratio: float | None = Field(description="of b / a")
    slope: float | None = Field(description="of b over a, with errors on both sides")
    slope_uncertainty: float | None
    offset_kg_s: float | None
    correlation: float | None
    settings: list[DifferenceOut] = Field(description="settings in which they differ and on which numbers may depend")

    @classmethod
    def of(
        cls,
        found: Comparison,
        sides: tuple[Results, Results],
        line: str,
        methods: tuple[str, str],
        changes: tuple[KeyChange, ...],
    ) -> "CompareOut":
        """Return a comparison as it is told."""
        return cls(
            line=line,
            a=SideOut.of(sides[0].title, methods[0], found.side_a),
            b=SideOut.of(sides[1].title, methods[1], found.side_b),
            common=int(found.a.size),
            mean_difference_kg_s=_number(found.mean_difference),
            median_difference_kg_s=_number(found.median_difference),
            difference_scatter_kg_s=_number(found.difference_scatter),
            median_ratio=_number(found.ratio),
            slope=_number(found.slope),
            slope_uncertainty=_number(found.slope_uncertainty),
            offset_kg_s=_number(found.offset),
            correlation=_number(found.correlation),
            settings=[DifferenceOut.of(change) for change in changes],
        )


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
