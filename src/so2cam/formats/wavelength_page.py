"""A page that shows how a spectrometer's wavelengths were found."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from so2cam.core.errors import OutputError
from so2cam.core.records import FloatArray
from so2cam.formats.quicklook.style import (
    DPI,
    INK,
    METHOD_COLOURS,
    MUTED,
    add_legend,
    handle,
    set_labels,
    set_style,
    set_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class WavelengthRecord:
    """K pieces of a spectrum with what each found, and the correction of N pixels with its 1 sigma [nm]."""

    site_name: str
    made_from: str
    centres_nm: FloatArray
    shifts_nm: FloatArray
    sigmas_nm: FloatArray
    used: npt.NDArray[np.bool_]
    wavelengths_nm: FloatArray
    correction_nm: FloatArray
    uncertainty_nm: FloatArray
    counts: FloatArray
    settings: str


def write_wavelength_page(path: Path, record: WavelengthRecord) -> None:
    """Write the page to ``path`` as PNG, whatever the path's suffix. Raises OutputError where that is not possible."""
    figure = draw_wavelengths(record)
    try:
        figure.savefig(path, format="png", dpi=DPI, metadata={"Title": f"so2cam wavelengths, {record.site_name}"})
    except OSError as error:
        raise OutputError(f"the plot cannot be written: {error}", file=path) from error


def draw_wavelengths(record: WavelengthRecord) -> "Figure":
    """Return the page as a figure: the correction with the pieces it goes through, and the spectrum."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 6.6), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1.0))
    _draw_correction(above, record)
    set_style(below)
    set_title(below, "Spectrum", rows=1)
    set_labels(below, x="wavelength, as the spectrometer has it [nm]", y="counts")
    below.plot(record.wavelengths_nm, record.counts, color=INK, linewidth=0.9)
    below.margins(x=0.01)
    figure.suptitle(
        f"{record.site_name}: wavelengths from sunlight\n".replace("$", r"\$"),
        x=0.01, ha="left", fontsize=15, fontweight="bold", color=INK,
    )  # fmt: skip
    figure.text(0.011, 0.935, record.made_from, ha="left", fontsize=10, color=MUTED)
    figure.supxlabel(record.settings.partition("\n")[2], x=0.01, ha="left", fontsize=10, color=MUTED)
    return figure


def _draw_correction(axes: "Axes", record: WavelengthRecord) -> None:
    from matplotlib.lines import Line2D

    set_style(axes)
    set_title(axes, "Correction")
    set_labels(axes, y="to be added [nm]")
    x, correction, sigma = record.wavelengths_nm, record.correction_nm, record.uncertainty_nm
    axes.fill_between(x, correction - sigma, correction + sigma, color="#e4e4e4", linewidth=0)
    axes.plot(x, correction, color=METHOD_COLOURS[1], linewidth=1.6)
    for chosen, face in ((record.used, INK), (~record.used, "white")):
        axes.errorbar(
            record.centres_nm[chosen], record.shifts_nm[chosen], record.sigmas_nm[chosen],
            fmt="o", markersize=5, color=INK, markerfacecolor=face, elinewidth=1.0,
        )  # fmt: skip
    axes.axhline(0.0, color="#b5b5b5", linewidth=0.8, zorder=1)
    points = Line2D([], [], color=INK, marker="o", linestyle="none", markersize=5, label="pieces of the spectrum")
    left_out = Line2D(
        [], [], color=INK, marker="o", markerfacecolor="white", linestyle="none", markersize=5, label="left out"
    )
    entries = [points, handle("polynomial", METHOD_COLOURS[1]), handle("1 sigma", "#dddddd", width=7.0)]
    add_legend(axes, entries if record.used.all() else [*entries, left_out], "right")
