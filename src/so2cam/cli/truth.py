"""``so2cam truth``: emission rates retrieved from simulated volcanoes against the truth."""

import math
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from so2cam.cli.console import FolderPath, console, progress_bar, report_warning, when_interrupted
from so2cam.core.truth import TruthCase, TruthRow
from so2cam.formats.truth_page import write_truth_page
from so2cam.formats.truth_tables import percent, shares, write_truth_csv, write_truth_markdown
from so2cam.pipeline.output import require_folder_for, write_together
from so2cam.pipeline.truth import run_scenarios
from so2cam.simulate import DEFAULT_SCENARIO, list_scenarios

_SHORT = {"cross_correlation": "cross_corr."}


@click.command(
    epilog="""\b
Examples:
  so2cam truth --out truth
  so2cam truth --scenario thick --scenario faint --pairs 60 --out truth
  so2cam truth --all --jobs 2 --out truth

\b
Exit codes: 0 done; 2 bad input; 3 done, but no valid emission rate; 130 interrupted, products as they were."""
)
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME",
    type=click.Choice(list_scenarios()),
    help=f"One or more of {', '.join(list_scenarios())}.  [default: {DEFAULT_SCENARIO}]",
)
@click.option("--all", "everything", is_flag=True, help="All scenarios.")
@click.option(
    "--pairs", type=click.IntRange(20, 100_000), default=90, show_default=True, help="Number of image pairs of each."
)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="The same seed gives the same.")
@click.option(
    "--jobs", type=click.IntRange(1, 64), default=2, show_default=True, help="Scenarios that run at the same time."
)
@click.option("--keep", is_flag=True, help="Keep frames and spectra, about 1 MB for each pair.")
@click.option(
    "--out",
    required=True,
    type=FolderPath(),
    metavar="DIR",
    help="Folder for truth.csv, truth.md and truth.png, and one of each scenario with its products.",
)
def command(
    scenarios: tuple[str, ...], everything: bool, pairs: int, seed: int, jobs: int, keep: bool, out: Path
) -> None:
    """Simulate volcanoes, process them as a user would, and compare with the truth.

    Each scenario is processed in several ways: calibrated by the spectrometer and by gas cells, and with light dilution
    by terrain and by spectra. The table shows the bias of the run's mean with its stated 1 sigma, the scatter of pairs
    beside what is stated of it, and how often the truth lies within. The recommended way is bold.
    """
    if everything and scenarios:
        raise click.UsageError("--all and --scenario exclude each other")
    names = list_scenarios() if everything else tuple(dict.fromkeys(scenarios)) or (DEFAULT_SCENARIO,)
    require_folder_for(out)
    began = time.monotonic()
    left = f"no table was written; {out} may hold products of the scenarios that were done"
    done = 0
    with when_interrupted(left), progress_bar("Scenarios") as progress:
        progress(0, len(names))

        def told(case: TruthCase) -> None:
            nonlocal done
            del case
            done += 1
            progress(done, len(names))

        cases = run_scenarios(names, out, seed=seed, pairs=pairs, jobs=jobs, keep=keep, told=told)
    print_cases(cases)
    made = "so2cam truth " + shlex.join(
        ["--all"] if everything else [part for name in names for part in ("--scenario", name)]
    )
    made += f" --pairs {pairs} --seed {seed}"
    products = (
        (out / "truth.csv", lambda path: write_truth_csv(path, cases)),
        (out / "truth.md", lambda path: write_truth_markdown(path, cases, command=made)),
        (out / "truth.png", lambda path: write_truth_page(path, cases)),
    )
    with when_interrupted(left):
        write_together(products)
    console.print()
    for path, _ in products:
        console.print(f"  {path}", markup=False)
    console.print(f"\nDone in {time.monotonic() - began:.0f} s: {len(names)} scenarios of {pairs} pairs.")
    if not any(row.values for case in cases for row in case.rows):
        raise SystemExit(3)


def print_cases(cases: Sequence[TruthCase]) -> None:
    """Print the tables of rates and of calibrations, and the notes."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("scenario", "calibration", "speed"):
        table.add_column(heading, no_wrap=True, overflow="fold")
    for heading in ("n", "bias", "± 1 σ", "scatter", "random", "syst.", "in 1, 2 σ", "random in"):
        table.add_column(heading, justify="right", no_wrap=True)
    before = ""
    for row in (row for case in cases for row in case.rows):
        table.add_row(*_cells(row, row.scenario if row.scenario != before else ""), style=_style(row))
        before = row.scenario
    console.print(table)
    views = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("scenario", "calibration"):
        views.add_column(heading)
    for heading in ("slope's bias", "± fit", "view's x, y error", "± stated", "radius", "± stated"):
        views.add_column(heading, justify="right", no_wrap=True)
    for each in (each for case in cases for each in case.calibrations):
        view = ("–",) * 4
        if math.isfinite(each.x_error):
            view = (
                f"{each.x_error:+.2f}, {each.y_error:+.2f} px",
                f"{each.x_sigma:.2f}, {each.y_sigma:.2f} px",
                percent(each.radius_error / each.radius_px, signed=True),
                percent(each.radius_sigma / each.radius_px),
            )
        views.add_row(
            each.scenario, _way(each.variant), percent(each.slope_bias, signed=True), percent(each.slope_sigma), *view
        )
    console.print()
    console.print(views)
    for note in (note for case in cases for note in case.notes):
        report_warning(note)


def _way(variant: str) -> str:
    """Return how a run was processed, short enough for a row of a terminal."""
    return variant.replace("dilution ", "").replace("spectrometer,", "spectrom.,")


def _cells(row: TruthRow, scenario: str) -> tuple[str, ...]:
    return (
        scenario,
        _way(row.variant),
        _SHORT.get(row.method, row.method),
        str(row.values),
        percent(row.bias, signed=True),
        percent(row.stated_mean),
        percent(row.scatter),
        percent(row.stated_random),
        percent(row.stated_systematic),
        shares(row.within),
        shares(row.random_within),
    )


def _style(row: TruthRow) -> str:
    return "bold" if row.recommended else ""
