"""A keogram of a line: how the SO2 columns along a cross-section line change over a day. Time to the right.

    keogram = Keogram.empty("upstream", start, end)
    keogram.add(time, position, column)        # of each pair
    draw_keogram(keogram)                      # a PNG

Columns are means over cells of time and place; what was never seen is NaN, and is hatched in the picture.
"""

import io
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.records import FloatArray
from so2cam.core.site import Site
from so2cam.core.times import format_utc, parse_utc, require_utc, to_unix_s
from so2cam.formats.images.colours import hatching
from so2cam.formats.npy import arrays_of
from so2cam.formats.quicklook.style import FONT, FRAME, INK, MUTED, plain
from so2cam.formats.quicklook.values import power_of_ten
from so2cam.pipeline.records import PairImages
from so2cam.pipeline.run_images import ImageRequest, image_record
from so2cam.store.atomic import atomic_write_bytes

PLACES: Final = 200
STEPS: Final = 1440
_SIZE: Final = (1100, 380)
_DPI: Final = 100
_FORMAT: Final = 1


@dataclass(slots=True)
class Keogram:
    """Sums of columns in cells of time and place. ``sums`` [molecules cm-2] and ``counts`` have (places, steps).

    Place runs from 0, the start of the line, to 1, its end; ``length_m`` is the line's length at the plume, NaN where
    not known.
    """

    line: str
    start: datetime
    end: datetime
    sums: FloatArray
    counts: FloatArray
    length_m: float = float("nan")

    @classmethod
    def empty(cls, line: str, start: datetime, end: datetime, *, places: int = PLACES, steps: int = STEPS) -> Self:
        """Return one without any column, from ``start`` to ``end`` (aware). Raises ValueError where that is no time."""
        if require_utc(end) <= require_utc(start):
            raise ValueError("a keogram must end after it starts")
        shape = (places, steps)
        return cls(line, require_utc(start), require_utc(end), np.zeros(shape), np.zeros(shape))

    def add(self, time: datetime, position: FloatArray, column_molec_cm2: FloatArray) -> bool:
        """Add the columns of a pair: ``position`` (N,) within 0 to 1, NaN columns are no columns.

        Return whether the pair lies in the time of the keogram.
        """
        places, steps = self.sums.shape
        # Whole numbers: a time on the edge of a step never falls into the step before.
        step = (require_utc(time) - self.start) * steps // (self.end - self.start)
        if not 0 <= step < steps:
            return False
        known = np.isfinite(column_molec_cm2)
        row = np.minimum((position[known] * places).astype(np.int64), places - 1)
        np.add.at(self.sums[:, step], row, column_molec_cm2[known])
        np.add.at(self.counts[:, step], row, 1.0)
        return True

    @property
    def columns_molec_cm2(self) -> FloatArray:
        """Mean columns (places, steps), NaN where there are none."""
        with np.errstate(invalid="ignore"):
            return np.where(self.counts > 0, self.sums / np.maximum(self.counts, 1), np.nan)

    def add_images(self, site: Site, images: PairImages) -> bool:
        """Add what a pair's images show on the line; return whether there was anything in time."""
        samples = images.geometry.lines.get(self.line)
        columns = image_record(site, images, _COLUMNS).column_molec_cm2
        if samples is None or columns is None:
            return False
        self.length_m = float(samples.piece_m.sum())
        x, y = np.rint(samples.x).astype(int), np.rint(samples.y).astype(int)
        inside = (x >= 0) & (y >= 0) & (x < columns.shape[1]) & (y < columns.shape[0])
        found = np.full(x.shape, np.nan)
        found[inside] = columns[y[inside], x[inside]]
        return self.add(images.time, samples.position, found)

    def save(self, path: Path) -> None:
        """Write it to a file, to go on later. Raises OSError."""
        stream = io.BytesIO()
        np.savez_compressed(
            stream,
            format=_FORMAT,
            line=self.line,
            start=format_utc(self.start),
            end=format_utc(self.end),
            sums=self.sums,
            counts=self.counts,
            length_m=self.length_m,
        )
        atomic_write_bytes(path, stream.getvalue())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read it. Raises InputError where the file is not one."""
        try:
            data = arrays_of(path)
            loaded = cls(
                str(data["line"]),
                parse_utc(str(data["start"])),
                parse_utc(str(data["end"])),
                np.asarray(data["sums"], np.float64),
                np.asarray(data["counts"], np.float64),
                float(data["length_m"]),
            )
            known = int(data["format"]) == _FORMAT and loaded.sums.shape == loaded.counts.shape
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"is no keogram: {error}", file=path, remedy="delete it; it is made anew") from error
        if not known:
            raise InputError("is a keogram of another format", file=path, remedy="delete it; it is made anew")
        return loaded


_COLUMNS: Final = ImageRequest(formats=(), quantities=("columns",))


def draw_keogram(keogram: Keogram, *, site: str) -> bytes:
    """Return the picture as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.dates import AutoDateLocator, DateFormatter
    from matplotlib.figure import Figure

    columns = keogram.columns_molec_cm2
    known = columns[np.isfinite(columns)]
    high = float(np.percentile(known, 99.8)) if known.size else 1e18
    high = max(high, 1e17)
    exponent, factor = power_of_ten(high)
    figure = Figure(figsize=(_SIZE[0] / _DPI, _SIZE[1] / _DPI), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.065, 0.115, 0.82, 0.77))
    low_day, high_day = (to_unix_s(time) / 86_400 for time in (keogram.start, keogram.end))
    distance = keogram.length_m / 1000 if np.isfinite(keogram.length_m) else 1.0
    extent = (low_day, high_day, distance, 0.0)
    grey: Any = hatching((_SIZE[1], _SIZE[0]))
    axes.imshow(grey, extent=extent, aspect="auto", interpolation="nearest")
    image = axes.imshow(
        np.ma.masked_invalid(columns) / factor,
        extent=extent,
        aspect="auto",
        interpolation="nearest",
        cmap="inferno",
        vmin=min(0.0, float(np.percentile(known, 0.5)) / factor if known.size else 0.0),
        vmax=high / factor,
    )
    locator: Any = AutoDateLocator(minticks=4, maxticks=9, tz=UTC)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M", tz=UTC))  # type: ignore[no-untyped-call]
    axes.spines[:].set_visible(False)
    axes.tick_params(labelsize=FONT, color=FRAME, labelcolor=INK, length=3)
    along = "along the line, at the plume [km]" if np.isfinite(keogram.length_m) else "along the line (share)"
    axes.set_ylabel(f"from its start {along}", fontsize=FONT, color=INK)
    axes.set_title(
        f"SO₂ columns on the line {plain(keogram.line, 30)}",
        loc="left",
        fontsize=FONT + 1.5,
        fontweight="bold",
        color=INK,
    )
    axes.set_title(
        f"{plain(site, 40)}, {keogram.start:%d %b %Y}, UTC; hatched: no value", loc="right", fontsize=FONT, color=MUTED
    )
    bar: Any = figure.colorbar(image, cax=figure.add_axes((0.9, 0.115, 0.014, 0.77)), extend="max")
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=FONT, color=FRAME, labelcolor=INK, length=3)
    bar.set_label(f"column density [{exponent} molecules cm⁻²]", fontsize=FONT, color=INK)
    if not known.size:
        axes.text(0.5, 0.5, "no columns", transform=axes.transAxes, ha="center", va="center", color=INK, fontsize=11)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI, metadata={"Software": "so2cam"})
    return stream.getvalue()
