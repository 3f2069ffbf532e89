"""``so2cam spectra``: UV spectra to SO2 column densities."""

import math
import os
import shlex
from collections import Counter
from datetime import datetime
from pathlib import Path

import click
import numpy as np

from so2cam.cli.arguments import SeveralFolders, parse_time
from so2cam.cli.console import FolderPath, console, print_left_out, progress_bar, report_warning, when_interrupted
from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.spectra import FIT_STATUS_TEXT, ColumnSeries, FitStatus
from so2cam.core.times import format_utc
from so2cam.formats.sitefile import load_spectrometer
from so2cam.pipeline.spectra_batch import SpectraReport, process_spectra
from so2cam.pipeline.spectra_live import watch_spectra

NOTHING_VALID = 3
"""Exit code of a run that finished without a single column."""


class _SpectraFolders(SeveralFolders):
    options = ("--spectra",)


def _require_number(ctx: click.Context, parameter: click.Parameter, value: float) -> float:
    if math.isnan(value):  # which no range refuses
        raise click.BadParameter("give a number of seconds", ctx, parameter)
    return value


@click.command(
    cls=_SpectraFolders,
    epilog="""\b
Examples:
  so2cam spectra site.toml --spectra 2019-05-29 --out results
  so2cam spectra site.toml --spectra data --jobs 4 --out results
  so2cam spectra site.toml --spectra data --start 2019-05-29T12:00Z --end 2019-05-29T13:00Z --out results
  so2cam spectra site.toml --spectra live --watch --out results

\b
Folders are searched through, whatever their layout; darks and clear-sky spectra lie there too. --start and --end
(UTC, end not included) limit the spectra of the plume only. --watch goes on until Ctrl-C: each new spectrum is fitted
as it comes, and the products are brought up to date.

\b
Exit codes: 0 done; 2 bad input, nothing written; 3 done, but no valid column; 130 interrupted.""",
)
@click.argument("site", type=click.Path(path_type=Path))
@click.option(
    "--spectra",
    multiple=True,
    required=True,
    type=FolderPath(),
    metavar="DIR [DIR ...]",
    help="Folders with the spectra, darks included.",
)
@click.option("--out", required=True, type=FolderPath(), metavar="DIR", help="Where products go.")
@click.option("--start", callback=parse_time, metavar="TIME", help="First spectrum's time, UTC.")
@click.option("--end", callback=parse_time, metavar="TIME", help="Time of the end, UTC, not included.")
@click.option(
    "--jobs",
    type=click.IntRange(0, 256),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that share the work; 0: one for each processor.",
)
@click.option("--watch", is_flag=True, help="Go on with spectra that come in later.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.1, 3600),
    callback=_require_number,
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="With --watch: how often the folders are looked at.",
)
@click.pass_context
def command(
    ctx: click.Context,
    site: Path,
    spectra: tuple[Path, ...],
    out: Path,
    start: datetime | None,
    end: datetime | None,
    jobs: int,
    watch: bool,
    every_s: float,
) -> int:
    """Turn UV spectra into SO2 column densities.

    SITE is the site file: a whole one, or one with no more than [spectrometer]. Products: columns.nc, columns.csv and
    quicklook.png in the --out folder.
    """
    loaded = load_spectrometer(site)
    line = shlex.join(ctx.obj)
    if watch:
        if start is not None or end is not None:
            raise click.UsageError("--watch takes spectra as they come: leave out --start and --end", ctx)
        if jobs != 1:
            raise click.UsageError("--watch fits the few new spectra in one process: leave out --jobs", ctx)
        console.print(f"Watching {', '.join(map(str, spectra))} every {every_s:g} s; Ctrl-C ends it.", markup=False)
        watch_spectra(loaded, spectra, out, every_s=every_s, command=line, tell=_tell, warn=report_warning)
        return 0
    if ctx.get_parameter_source("every_s") is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("--every goes with --watch only", ctx)
    with (
        when_interrupted("nothing was written, older products are as they were"),
        progress_bar("Fitting spectra") as progress,
    ):
        report = process_spectra(
            loaded,
            spectra,
            out,
            start=start,
            end=end,
            jobs=jobs or os.cpu_count() or 1,
            command=line,
            progress=progress,
        )
    print_report(report)
    return 0 if report.valid_values else NOTHING_VALID


def _tell(series: ColumnSeries, new: int) -> None:
    last = len(series.times) - 1
    status = FitStatus(int(series.status[last]))
    value = (
        f"{_ppm_m(series.so2_molec_cm2[last])} ± {_ppm_m(series.so2_random_molec_cm2[last])} ppm m"
        if status is FitStatus.OK
        else FIT_STATUS_TEXT[status]
    )
    console.print(f"{format_utc(series.times[last])}  {new} new, {last + 1} in all; last: {value}", markup=False)


def print_report(report: SpectraReport) -> None:
    """Print the closing summary of a run."""
    series, plan = report.series, report.plan
    console.print()
    console.print(
        f"[bold]{len(series.times)} spectra[/bold], {format_utc(series.times[0])} to {format_utc(series.times[-1])}, "
        f"in {report.seconds:.1f} s"
    )
    good = series.status == FitStatus.OK
    if good.any():
        so2, sigma = series.so2_molec_cm2[good], series.so2_random_molec_cm2[good]
        systematic = series.so2_systematic_molec_cm2[good]
        console.print(
            f"SO2: median {_ppm_m(np.median(so2))} ppm m, from {_ppm_m(so2.min())} to {_ppm_m(so2.max())}; "
            f"random ± {_ppm_m(np.median(sigma))}, systematic ± {_ppm_m(np.median(systematic))} (medians)"
        )
        console.print(f"Residual: median {100 * np.median(series.residual_rms[good]):.2f} %")
    for code, count in sorted(Counter(series.status[~good].tolist()).items()):
        console.print(f"  no column: {count} x {FIT_STATUS_TEXT[FitStatus(code)]}", markup=False)
    print_left_out("unreadable files", [f"{Path(str(e.file)).name} ({e.message})" for e in report.failures])
    for reason, count in sorted(Counter(item.category for item in plan.skipped).items()):
        named = [f"{item.path.name} ({item.reason})" for item in plan.skipped if item.category == reason]
        print_left_out(f"files skipped, {reason}", named, count)
    if plan.test_spectra:
        console.print(f"{plan.test_spectra} test spectra not used, as ever")
    if plan.lamp_spectra:
        console.print(f"{plan.lamp_spectra} spectra of a lamp not used; `so2cam line-shape` is for them", markup=False)
    console.print()
    for product in report.products:
        console.print(f"  {product}", markup=False)


def _ppm_m(molec_cm2: float) -> str:
    return f"{molec_cm2 / MOLEC_CM2_PER_PPM_M:.1f}"
