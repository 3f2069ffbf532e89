"""``so2cam line-shape``: the line shape of a spectrometer from a calibration lamp."""

import shlex
from pathlib import Path

import click
from rich.table import Table

from so2cam.cli.arguments import SeveralFiles
from so2cam.cli.console import console, report_warning, when_interrupted
from so2cam.core.spectrometer import Spectrometer
from so2cam.formats.line_shape_files import parameter_rows
from so2cam.formats.sitefile import load_spectrometer
from so2cam.pipeline.line_shape import FoundLineShape, LineTrial, find_line_shape, write_line_shape
from so2cam.science.spectra.lamp import LampFit

_SEVERAL = ("--lamp", "--dark")
_AIR_WITHIN_NM = 0.03
"""Wavelength errors this close to the difference of air and vacuum are taken for it."""


class _Lamps(SeveralFiles):
    options = _SEVERAL
    example = "so2cam line-shape site.toml --lamp LAMP.npy --out line-shape.txt"


_file = click.Path(path_type=Path, readable=False)


@click.command(
    cls=_Lamps,
    epilog="""\b
Examples:
  so2cam line-shape site.toml --lamp Hg.npy --out line-shape.txt
  so2cam line-shape site.toml --lamp Hg_1.npy Hg_2.npy --dark Dark.npy --out line-shape.txt --plot line-shape.png
  so2cam line-shape site.toml --lamp Hg.npy --near 302.15 --out line-shape.txt

\b
Lines are those of a mercury lamp, 285 to 405 nm. Without --near the best one is taken: isolated, not saturated, near
the fit's window. Spectra are averaged. The settings to paste into the site file are printed.

\b
Exit codes: 0 done; 2 bad input, or no line that gives a shape, nothing written; 130 interrupted.""",
)
@click.argument("site", type=click.Path(path_type=Path))
@click.option(
    "--lamp",
    "lamps",
    multiple=True,
    required=True,
    type=_file,
    metavar="FILE [FILE ...]",
    help="Spectra of the lamp, in the format of [spectrometer.files]; whatever their names.",
)
@click.option(
    "--dark",
    "darks",
    multiple=True,
    type=_file,
    metavar="FILE [FILE ...]",
    help="Darks of the same integration time; their mean is subtracted.",
)
@click.option(
    "--near",
    "near_nm",
    type=click.FloatRange(150, 1200),
    metavar="NM",
    help="Take the line nearest to this wavelength.",
)
@click.option("--out", required=True, type=_file, metavar="FILE.txt", help="The table of the measured shape.")
@click.option("--plot", type=_file, metavar="FILE.png", help="A page that shows it.")
@click.pass_context
def command(
    ctx: click.Context,
    site: Path,
    lamps: tuple[Path, ...],
    darks: tuple[Path, ...],
    near_nm: float | None,
    out: Path,
    plot: Path | None,
) -> None:
    """Find the instrument's line shape from a calibration lamp.

    SITE is the site file: a whole one, or one with no more than [spectrometer].
    """
    for option, path in (("--out", out), ("--plot", plot)):
        if path is not None and not path.name:
            raise click.UsageError(f"{option} needs the name of a file", ctx)
    loaded = load_spectrometer(site)
    with when_interrupted("nothing was written, older files are as they were"):
        found = find_line_shape(loaded, lamps, darks, near_nm=near_nm)
        record = write_line_shape(loaded, found, out, plot, command=shlex.join(ctx.obj))
    console.print(_lines_table(found))
    console.print()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column()
    for label, value in parameter_rows(record):
        table.add_row(label, value)
    console.print(table)
    _print_remarks(found.fit, loaded.spectrometer)
    console.print("\nFor the site file, with the measured table:\n")
    console.print(record.settings[0], markup=False)
    console.print("\nor with the super-Gaussian, whose parameters every fit may change (key fit):\n")
    console.print(record.settings[1], markup=False)
    console.print()
    for path in (out, *(() if plot is None else (plot,))):
        console.print(f"  {path}", markup=False)


def _lines_table(found: FoundLineShape) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("line", "peak nm", "counts", "FWHM nm", "error nm"):
        table.add_column(heading, justify="left" if heading == "line" else "right")
    table.add_column("")
    for trial in found.trials:
        fit, seen = trial.fit, trial.detected
        chosen = seen.line == found.fit.line
        table.add_row(
            seen.line.name,
            f"{seen.peak_nm:.2f}",
            f"{seen.peak_counts:.0f}",
            "" if fit is None else f"{fit.fwhm_nm:.3f}",
            "" if fit is None else f"{fit.wavelength_error_nm:+.3f}",
            "used" if chosen else _short_reason(trial),
            style="bold" if chosen else None,
        )
    return table


def _short_reason(trial: LineTrial) -> str:
    """Return why there is no fit, without what the row says already."""
    line = trial.detected.line
    place = f"near {line.vacuum_nm:.2f} nm ({line.name})"
    return trial.reason.replace(f"the line {place} ", "").replace(f"the one {place}", "it").partition(": ")[0]


def _print_remarks(fit: LampFit, settings: Spectrometer) -> None:
    error, air = fit.wavelength_error_nm, fit.line.air_nm - fit.line.vacuum_nm
    if abs(error - air) < _AIR_WITHIN_NM:
        console.print(
            "\nThe spectrometer's wavelengths are those in air, as it seems; the fit's shift takes that up.",
            markup=False,
        )
    if abs(error) > 0.8 * settings.fit.maximum_shift_nm and settings.fit.shift_order >= 0:
        report_warning(
            f"the wavelengths are wrong by {error:+.3f} nm, near or beyond spectrometer.fit.maximum_shift_nm "
            f"({settings.fit.maximum_shift_nm:g}): calibrate the spectrometer's wavelengths"
        )
    if settings.fit.shift_order < 0 and abs(error) > 3 * fit.centroid_uncertainty_nm:
        report_warning(f"the wavelengths are wrong by {error:+.3f} nm, and the fit has no shift (shift_order = -1)")
