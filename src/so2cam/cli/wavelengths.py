"""``so2cam wavelengths``: the wavelengths of a spectrometer from the lines of sunlight."""

from pathlib import Path

import click
import numpy as np
from rich.table import Table

from so2cam.cli.arguments import SeveralFiles
from so2cam.cli.console import console, report_warning, when_interrupted
from so2cam.core.spectra import FIT_STATUS_TEXT, FitStatus
from so2cam.formats.sitefile import load_spectrometer
from so2cam.pipeline.wavelengths import FoundWavelengths, find_wavelengths, write_wavelengths


class _Skies(SeveralFiles):
    options = ("--sky", "--dark")
    example = "so2cam wavelengths site.toml --sky SKY.npy --dark DARK.npy"


_file = click.Path(path_type=Path, readable=False)


@click.command(
    cls=_Skies,
    epilog="""\b
Examples:
  so2cam wavelengths site.toml --sky Clear.npy --dark Dark.npy
  so2cam wavelengths site.toml --sky Clear_1.npy Clear_2.npy --dark Dark.npy --plot wavelengths.png
  so2cam wavelengths site.toml --sky Clear.npy --dark Dark.npy --range 304 326 --order 2

\b
A clear sky is best; weak plumes do. Spectra are averaged, and compared with sunlight in pieces of 6 nm; --order is that
of the polynomial through their shifts. The setting to paste into the site file is printed.

\b
Exit codes: 0 done; 2 bad input, nothing written; 130 interrupted.""",
)
@click.argument("site", type=click.Path(path_type=Path))
@click.option(
    "--sky",
    "skies",
    multiple=True,
    required=True,
    type=_file,
    metavar="FILE [FILE ...]",
    help="Spectra of the sky, in the format of [spectrometer.files]; whatever their names.",
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
    "--range",
    "range_nm",
    type=(click.FloatRange(150, 1200), click.FloatRange(150, 1200)),
    metavar="FROM TO",
    help="Wavelengths that are compared [nm]; 306 336 where the spectra reach as far.",
)
@click.option("--order", type=click.IntRange(0, 3), default=1, show_default=True, help="0: shift, 1: and stretch, ...")
@click.option("--plot", type=_file, metavar="FILE.png", help="A page that shows it.")
@click.pass_context
def command(
    ctx: click.Context,
    site: Path,
    skies: tuple[Path, ...],
    darks: tuple[Path, ...],
    range_nm: tuple[float, float] | None,
    order: int,
    plot: Path | None,
) -> None:
    """Find the wavelengths of a spectrometer from the lines of sunlight.

    SITE is the site file: a whole one, or one with no more than [spectrometer].
    """
    if plot is not None and not plot.name:
        raise click.UsageError("--plot needs the name of a file", ctx)
    loaded = load_spectrometer(site)
    with when_interrupted("nothing was written, older files are as they were"):
        found = find_wavelengths(loaded, skies, darks, range_nm=range_nm, order=order)
        if plot is not None:
            write_wavelengths(loaded, found, plot)
    console.print(_pieces_table(found))
    calibration = found.calibration
    inside = (found.sky.wavelengths_nm >= calibration.centres_nm[0]) & (
        found.sky.wavelengths_nm <= calibration.centres_nm[-1]
    )
    added = (calibration.wavelengths_nm - found.sky.wavelengths_nm)[inside]
    sigma = float(np.max(calibration.uncertainty_nm[inside]))
    console.print(
        f"\nTo be added: {added[0]:+.3f} to {added[-1]:+.3f} nm, 1 sigma at most {sigma:.3f} nm. "
        f"Outside the pieces it is less certain.",
        markup=False,
    )
    if calibration.scatter > 3:
        report_warning(
            f"the pieces scatter {calibration.scatter:.1f} times as much as they should about the polynomial: look at "
            "the plot, try another --order, check the line shape"
        )
    console.print("\nFor the site file:\n")
    console.print(found.settings, markup=False)
    if plot is not None:
        console.print(f"\n  {plot}", markup=False)


def _pieces_table(found: FoundWavelengths) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("piece nm", "shift nm", "1 sigma nm", ""):
        table.add_column(heading, justify="right" if heading else "left")
    pieces = found.calibration
    for n, centre in enumerate(pieces.centres_nm):
        status = FitStatus(int(pieces.status[n]))
        if status is not FitStatus.OK:
            table.add_row(f"{centre:.1f}", "", "", FIT_STATUS_TEXT[status])
            continue
        remark = "" if pieces.used[n] else "far off the others, left out"
        table.add_row(f"{centre:.1f}", f"{pieces.shifts_nm[n]:+.4f}", f"{pieces.sigmas_nm[n]:.4f}", remark)
    return table
