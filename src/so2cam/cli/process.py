"""``so2cam process``: folders of frames to emission rates."""

import shlex
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import click
import numpy as np
from pydantic import ValidationError
from rich.table import Table

from so2cam.cli.arguments import SeveralFolders, choose_names, parse_time
from so2cam.cli.console import FolderPath, console, print_left_out, progress_bar, report_warning, when_interrupted
from so2cam.core.errors import InputError
from so2cam.core.site import SPEED_METHODS, Site
from so2cam.core.status import STATUS_TEXT, EmissionStatus
from so2cam.core.times import format_utc
from so2cam.formats.images import FORMATS, QUANTITIES
from so2cam.formats.report_page import ReportPage, write_report
from so2cam.formats.sitefile import LoadedSite, load_site
from so2cam.pipeline.batch import RunReport, process_folders
from so2cam.pipeline.dilution_agreement import agreement_text
from so2cam.pipeline.run_images import ImageRequest
from so2cam.pipeline.series import flag_counts
from so2cam.store.atomic import atomic_write

NOTHING_VALID = 3
"""Exit code of a run that finished without a single valid emission rate."""


def _methods(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return choose_names(ctx, parameter, value, SPEED_METHODS)


def _image_formats(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return choose_names(ctx, parameter, value, FORMATS)


def _quantities(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return choose_names(ctx, parameter, value, QUANTITIES)


class _FramesAndSpectra(SeveralFolders):
    options = ("--frames", "--spectra")


@click.command(
    cls=_FramesAndSpectra,
    epilog="""\b
Examples:
  so2cam process site.toml --frames 2018-03-26 --out results
  so2cam process site.toml --frames Seq_1 Cal_1 --out results
  so2cam process site.toml --frames data --start 2018-03-26T14:00Z --end 2018-03-26T15:00Z --out results
  so2cam process site.toml --frames data --methods flow_raw --out results
  so2cam process site.toml --frames data --spectra spectra --out results
  so2cam process site.toml --frames data --images zarr,video --quantities columns,flow --out results

\b
Folders are searched through, whatever their layout. They must hold the plume frames of both bands, darks,
clear-sky frames and, where these calibrate, gas cells. --start and --end (UTC, end not included) limit the
plume frames only.

\b
Exit codes: 0 done; 2 bad input, nothing written; 3 done, but no valid emission rate; 130 interrupted.""",
)
@click.argument("site", type=click.Path(path_type=Path))
@click.option(
    "--frames",
    multiple=True,
    required=True,
    type=FolderPath(),
    metavar="DIR [DIR ...]",
    help="Folders with the frames, calibration included.",
)
@click.option("--out", required=True, type=FolderPath(), metavar="DIR", help="Where products go.")
@click.option(
    "--spectra",
    multiple=True,
    type=FolderPath(),
    metavar="DIR [DIR ...]",
    help="Folders with the spectra, darks included, where the spectrometer calibrates.",
)
@click.option(
    "--columns",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="columns.nc or columns.csv of `so2cam spectra`, in place of --spectra.",
)
@click.option("--jobs", default=1, type=click.IntRange(1, 256), show_default=True, help="Processes sharing the work.")
@click.option("--start", callback=parse_time, metavar="TIME", help="First plume frame's time, UTC.")
@click.option("--end", callback=parse_time, metavar="TIME", help="Time of the end, UTC, not included.")
@click.option("--methods", callback=_methods, metavar="NAMES", help=f"Speed methods: {', '.join(SPEED_METHODS)}.")
@click.option(
    "--images",
    callback=_image_formats,
    metavar="FORMATS",
    help=f"Images too, as one or more of {', '.join(FORMATS)}.",
)
@click.option(
    "--quantities",
    callback=_quantities,
    metavar="NAMES",
    help=f"What images show: one or more of {', '.join(QUANTITIES)}.  [default: absorbance,columns]",
)
@click.option("--report", is_flag=True, help="A page that tells of the run too: report.pdf.")
@click.pass_context
def command(
    ctx: click.Context,
    site: Path,
    frames: tuple[Path, ...],
    out: Path,
    spectra: tuple[Path, ...],
    columns: Path | None,
    jobs: int,
    start: datetime | None,
    end: datetime | None,
    methods: tuple[str, ...] | None,
    images: tuple[str, ...] | None,
    quantities: tuple[str, ...] | None,
    report: bool,
) -> int:
    """Turn folders of frames into SO2 emission rates.

    SITE is the site file. Products: emission_rates.nc, emission_rates.csv and quicklook.png in the --out folder; where
    the spectrometer calibrates, calibration.nc, calibration.csv and calibration.png too.
    """
    loaded = load_site(site)
    if methods is not None:
        loaded = with_methods(loaded, methods)
    if quantities is not None and images is None:
        raise click.UsageError("--quantities goes with --images, which names the formats", ctx)
    if spectra and columns is not None:
        raise click.UsageError("--spectra and --columns exclude each other: give the one or the other", ctx)
    request = None if images is None else ImageRequest(images, quantities or ("absorbance", "columns"))
    with (
        when_interrupted("nothing was written, older products are as they were"),
        progress_bar("Fitting spectra", shown=bool(spectra)) as fitting,
        progress_bar("Processing pairs") as progress,
        progress_bar("Drawing images", shown=request is not None) as drawing,
    ):
        found = process_folders(
            loaded,
            frames,
            out,
            start=start,
            end=end,
            spectra=spectra,
            columns=columns,
            jobs=jobs,
            command=shlex.join(ctx.obj),
            images=request,
            progress=progress,
            drawing=drawing,
            fitting=fitting,
        )
    if report:
        found = replace(found, products=(*found.products, _write_page(loaded, found, out)))
    print_report(found)
    return 0 if found.valid_values else NOTHING_VALID


def _write_page(loaded: LoadedSite, found: RunReport, out: Path) -> Path:
    page = ReportPage(
        series=found.series,
        site=loaded.site.name,
        volcano=loaded.site.volcano.name,
        provenance=found.provenance,
        origin=(("settings", loaded.path.name), ("command", found.provenance.command)),
        example=found.example,
        calibration=found.calibration,
        warnings=found.warnings,
    )
    path = out / "report.pdf"
    atomic_write(path, lambda temporary: write_report(temporary, page))
    return path


def with_methods(loaded: LoadedSite, methods: tuple[str, ...]) -> LoadedSite:
    """Return a loaded site with other speed methods: the products record what was really used.

    Raises InputError for a method that needs what the site file does not have.
    """
    settings = loaded.site.model_dump(mode="json")
    settings["processing"]["speed"]["methods"] = list(methods)
    try:
        site = Site.model_validate(settings)
    except ValidationError as error:
        raise InputError(
            error.errors()[0]["msg"].removeprefix("Value error, "),
            file=loaded.path,
            key="--methods",
            value=",".join(methods),
            remedy="name methods that this site file has all for, or add what is missing to it",
        ) from None
    return LoadedSite(site=site, path=loaded.path, sha256=loaded.sha256, settings=settings)


def print_report(report: RunReport) -> None:
    """Print the closing summary of a run."""
    series, plan = report.series, report.plan
    console.print()
    console.print(
        f"[bold]{len(series.times)} pairs[/bold], {format_utc(series.times[0])} to {format_utc(series.times[-1])}, "
        f"in {report.seconds:.1f} s"
    )
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    for heading, justify in (
        ("line", "left"),
        ("speed method", "left"),
        ("valid", "right"),
        ("median kg/s", "right"),
        ("random ±", "right"),
        ("systematic ±", "right"),
        ("speed m/s", "right"),
    ):
        table.add_column(heading, justify="right" if justify == "right" else "left")
    for row in _rows(report):
        table.add_row(*row)
    console.print(table)
    for reason, where in _missing(report).items():
        console.print(f"  no value: {', '.join(where)}: {reason}", markup=False)
    if report.calibration is not None:
        cells = ", ".join(f"{cell.column_ppm_m:g} ppm m: {cell.absorbance:.4f}" for cell in report.cells)
        absorbances = f" (absorbance of {cells})" if cells else ""
        console.print(f"Calibration: {report.calibration.description}{absorbances}")
    if series.dilution is not None:
        console.print(f"Light dilution: {agreement_text(series.dilution)}", markup=False)
    for note in plan.notes:
        console.print(note[:1].upper() + note[1:], markup=False)
    print_left_out("unpaired frames", [frame.path.name for frame in plan.unpaired])
    print_left_out("pairs lost to unreadable frames", [pair.on.path.name for pair in report.lost_pairs])
    print_left_out("unreadable files", [f"{Path(str(e.file)).name} ({e.message})" for e in report.failures])
    for reason, count in sorted(Counter(item.category for item in plan.skipped).items()):
        named = [item.path.name for item in plan.skipped if item.category == reason]
        print_left_out(f"files skipped, {reason}", named, count)
    if plan.test_frames:
        console.print(f"{plan.test_frames} test frames not used, as ever")
    for meaning, count in flag_counts(series):
        console.print(f"{count} pairs flagged: {meaning}", markup=False)
    for warning in report.warnings:
        report_warning(warning)
    console.print()
    for product in report.products:
        console.print(f"  {product}", markup=False)


def _rows(report: RunReport) -> list[tuple[str, ...]]:
    series = report.series
    rows: list[tuple[str, ...]] = []
    total = len(series.lines)
    for line in range(total + 1):
        for index, method in enumerate(series.speed_methods):
            if line < total:
                name, rate = series.lines[line], series.emission_rate_kg_s
                values = rate[:, line, index]
                random = series.random_uncertainty_kg_s[:, line, index]
                systematic = series.systematic_uncertainty_kg_s[:, line, index]
                speed = series.plume_speed_m_s[:, line, index]
            else:
                name, values = "total", series.total_emission_rate_kg_s[:, index]
                random = series.total_random_uncertainty_kg_s[:, index]
                systematic = series.total_systematic_uncertainty_kg_s[:, index]
                speed = np.array([np.nan])
            good = np.isfinite(values)
            rows.append(
                (
                    name,
                    method,
                    f"{good.sum()}/{values.size}",
                    _median(values),
                    _median(random),
                    _median(systematic),
                    _median(speed),
                )
            )
    return rows


def _missing(report: RunReport) -> dict[str, list[str]]:
    """Return for each reason the lines and methods that lack values for it, with how many."""
    series = report.series
    missing: dict[str, list[str]] = {}
    for line, name in enumerate(series.lines):
        for index, method in enumerate(series.speed_methods):
            counts = Counter(series.status[:, line, index].tolist())
            for code, count in sorted(counts.items()):
                if code != EmissionStatus.OK:
                    missing.setdefault(STATUS_TEXT[EmissionStatus(code)], []).append(f"{count} x {name} {method}")
    return missing


def _median(values: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> str:
    good = values[np.isfinite(values)]
    return f"{np.median(good):.2f}" if good.size else "–"
