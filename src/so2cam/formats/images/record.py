"""What is handed to the image products: one record per pair and, at the end of a run, its emission rates."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, cast, get_args

import numpy as np

from so2cam.core.records import FloatArray, FloatImage, PlumeLine
from so2cam.core.results import EmissionSeries

Quantity = Literal["absorbance", "columns", "flow"]
Format = Literal["zarr", "netcdf", "png", "video"]

QUANTITIES: Final[tuple[Quantity, ...]] = get_args(Quantity)
FORMATS: Final[tuple[Format, ...]] = get_args(Format)


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """The images of one pair, all of the same rows and columns; NaN where a pixel has no value.

    ``column_molec_cm2`` is the SO2 column density [molecules cm-2]; ``flow_px_s`` the apparent velocity (rows,
    columns, 2) in pixels per second, x to the right, then y downward. What a pair does not have is None.
    """

    time: datetime
    absorbance: FloatImage
    column_molec_cm2: FloatImage | None = None
    flow_px_s: FloatImage | None = None
    lines: tuple[PlumeLine, ...] = field(default=())

    def __post_init__(self) -> None:
        shape = self.absorbance.shape
        if len(shape) != 2 or 0 in shape:
            raise ValueError(f"absorbance needs rows and columns, got the shape {shape}")
        if self.column_molec_cm2 is not None and self.column_molec_cm2.shape != shape:
            raise ValueError(f"column_molec_cm2 has the shape {self.column_molec_cm2.shape}, expected {shape}")
        if self.flow_px_s is not None and self.flow_px_s.shape != (*shape, 2):
            raise ValueError(f"flow_px_s has the shape {self.flow_px_s.shape}, expected {(*shape, 2)}")


@dataclass(frozen=True, slots=True)
class RateCurve:
    """Emission rates [kg s-1] and their 1 sigma over time, NaN where missing; ``name`` says what they are."""

    times: tuple[datetime, ...]
    rate_kg_s: FloatArray
    uncertainty_kg_s: FloatArray
    name: str

    def __post_init__(self) -> None:
        for values in (self.rate_kg_s, self.uncertainty_kg_s):
            if values.shape != (len(self.times),):
                raise ValueError(f"{len(self.times)} times, but values of the shape {values.shape}")


def total_rates(series: EmissionSeries, method: str | None = None) -> RateCurve | None:
    """Return the totals of ``series`` by a speed method: of those not named, the one with most valid values.

    The uncertainty is the random part. None where no total is valid. Raises ValueError for an unknown method.
    """
    valid = np.isfinite(series.total_emission_rate_kg_s).sum(axis=0)
    if method is None:
        index = int(np.argmax(valid)) if valid.size else 0
    elif method in series.speed_methods:
        index = series.speed_methods.index(method)
    else:
        raise ValueError(f"no speed method {method!r} among {', '.join(series.speed_methods)}")
    if not valid.size or not valid[index]:
        return None
    return RateCurve(
        times=series.times,
        rate_kg_s=series.total_emission_rate_kg_s[:, index],
        uncertainty_kg_s=series.total_random_uncertainty_kg_s[:, index],
        name=f"total, {series.speed_methods[index].replace('_', ' ')}",
    )


def chosen_formats(names: Sequence[str] | frozenset[str] | set[str]) -> frozenset[Format]:
    """Return ``names`` as formats. Raises ValueError for none, or one that is not known."""
    return cast("frozenset[Format]", _chosen("formats", names, FORMATS))


def chosen_quantities(names: Sequence[str] | frozenset[str] | set[str]) -> frozenset[Quantity]:
    """Return ``names`` as quantities. Raises ValueError for none, or one that is not known."""
    return cast("frozenset[Quantity]", _chosen("quantities", names, QUANTITIES))


def _chosen(what: str, names: Sequence[str] | frozenset[str] | set[str], known: tuple[str, ...]) -> frozenset[str]:
    chosen = frozenset(names)
    if not chosen or not chosen <= set(known):
        raise ValueError(f"{what} must be one or more of {', '.join(known)}, got {', '.join(sorted(chosen)) or 'none'}")
    return chosen
