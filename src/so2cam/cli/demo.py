"""``so2cam demo``: a simulated volcano, live or as a batch, its emission rates compared with the truth."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from rich.markup import escape
from rich.table import Table

from so2cam.cli.console import FolderPath, console, progress_bar, when_interrupted
from so2cam.core.errors import InputError, OutputError
from so2cam.core.results import EmissionSeries
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.batch import process_folders
from so2cam.simulate import DEFAULT_SCENARIO, Truth, list_scenarios, load_scenario, simulate

_MARK = ".so2cam-demo"
_BATCH_PAIRS = 90


@dataclass(frozen=True, slots=True)
class Comparison:
    """Retrieved against true mean emission rate [kg s-1] of one line and method, over the pairs with a value."""

    line: str
    method: str
    values: int
    pairs: int
    retrieved_kg_s: float
    true_kg_s: float
    uncertainty_kg_s: float

    @property
    def error_percent(self) -> float:
        """Error of the mean, per cent of the truth."""
        return 100 * (self.retrieved_kg_s / self.true_kg_s - 1)


def compare(series: EmissionSeries, truth: Truth) -> Sequence[Comparison]:
    """Return a comparison for each line and method; NaN where a method has no value.

    Pairs are matched by their place in the sequence: every simulated pair is processed.
    """
    rows = []
    for i, line in enumerate(series.lines):
        expected = truth.line(line).emission_rate_kg_s
        for j, method in enumerate(series.speed_methods):
            values = series.emission_rate_kg_s[:, i, j]
            good = np.isfinite(values)
            count = int(good.sum())
            random = series.random_uncertainty_kg_s[good, i, j]
            systematic = series.systematic_uncertainty_kg_s[good, i, j]
            rows.append(
                Comparison(
                    line=line,
                    method=method,
                    values=count,
                    pairs=values.size,
                    retrieved_kg_s=float(values[good].mean()) if count else float("nan"),
                    true_kg_s=float(expected[good].mean()) if count else float(expected.mean()),
                    # One lag, and its error, is common to all pairs of a window: a mean does not shrink it.
                    uncertainty_kg_s=float(
                        np.hypot(
                            np.sqrt(np.mean(random**2) / (1 if method == "cross_correlation" else count)),
                            systematic.mean(),
                        )
                    )
                    if count
                    else float("nan"),
                )
            )
    return rows


@click.command(
    epilog="""\b
Examples:
  so2cam demo                  a simulated instrument and its emission rates, until Ctrl-C
  so2cam demo --for 60         the same for a minute
  so2cam demo --batch          90 pairs at once, with all products
  so2cam demo --batch --seed 2 --scenario weak --out /tmp/demo

\b
Exit codes: 0 done; 2 bad input; 3 done, but no valid emission rate; 130 interrupted (--batch)."""
)
@click.option("--batch", is_flag=True, help="Process a number of pairs at once, instead of live.")
@click.option("--for", "run_for_s", type=click.FloatRange(min=1), metavar="S", help="Live: stop after S seconds.")
@click.option(
    "--period",
    type=click.FloatRange(0.5, 60),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Live: seconds between pairs.",
)
@click.option(
    "--out",
    default="demo",
    show_default=True,
    type=FolderPath(),
    metavar="DIR",
    help="Where frames and products go; a folder of an earlier demo is replaced.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="The same seed gives the same volcano."
)
@click.option("--pairs", type=click.IntRange(1, 100_000), help="Stop after so many pairs (batch: 90 without it).")
@click.option(
    "--scenario",
    default=DEFAULT_SCENARIO,
    show_default=True,
    metavar="NAME",
    help=f"One of {', '.join(list_scenarios())}.",
)
@click.option("--open/--no-open", "open_", default=None, help="Live: open the pages in a browser, or do not.")
def command(
    batch: bool,
    run_for_s: float | None,
    period: float,
    out: Path,
    seed: int,
    pairs: int | None,
    scenario: str,
    open_: bool | None,
) -> int | None:
    """Simulate a volcano, process what its camera sees, and compare the emission rates with the truth."""
    given = click.get_current_context().get_parameter_source
    for name, option in (("run_for_s", "--for"), ("period", "--period")):
        if batch and given(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{option} is of the live demo, and does not go with --batch")
    if not batch:
        return _live(out, scenario, seed, run_for_s, pairs, period, open_)
    _batch(out, scenario, seed, pairs or _BATCH_PAIRS)
    return None


def _live(
    out: Path,
    scenario: str,
    seed: int,
    run_for_s: float | None,
    pairs: int | None,
    period_s: float,
    open_: bool | None,
) -> int | None:
    """Run live and print a summary; 3 where no emission rate was found."""
    try:
        from so2cam.cli.demo_live import Limits, run_live
    except ImportError as error:
        raise InputError(
            f"the live demo runs a station, and {error.name} is not installed",
            remedy="pip install 'so2cam[station]', or look at --batch",
        ) from error
    load_scenario(scenario)
    _clear(out)
    limits = Limits(run_for_s, pairs)
    with when_interrupted(f"{out} holds a part of a demo; the next one replaces it"):
        report = run_live(out, scenario, seed, limits, period_s, open_=open_)
    console.print()
    if report.valid:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("line")
        table.add_column("speed method")
        for heading in ("rates", "mean kg/s", "true kg/s", "error"):
            table.add_column(heading, justify="right")
        for (line, method), tally in sorted(report.tallies.items()):
            table.add_row(
                line,
                method,
                str(tally.count),
                f"{tally.retrieved / tally.count:.3f}",
                f"{tally.true / tally.count:.3f}",
                f"{tally.error_percent:+.1f} %",
            )
        console.print(table)
        console.print()
    for text in report.summary:
        console.print(text, markup=False)
    return None if report.valid else 3


def _batch(out: Path, scenario: str, seed: int, pairs: int) -> None:
    began = time.monotonic()
    chosen = load_scenario(scenario)
    _clear(out)
    left = f"{out} holds a part of a demo; the next one replaces it"
    with when_interrupted(left), progress_bar("Simulating frames") as progress:
        simulated = simulate(chosen, out, seed=seed, pairs=pairs, progress=progress)
    with when_interrupted(left), progress_bar("Processing pairs") as progress:
        report = process_folders(
            load_site(simulated.site),
            [simulated.frames],
            out / "results",
            command=f"so2cam demo --batch --scenario {scenario} --seed {seed} --pairs {pairs}",
            progress=progress,
        )
    console.print()
    console.print(f"[bold]{escape(chosen.name)}[/bold], seed {seed}: {escape(chosen.description)}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("line")
    table.add_column("speed method")
    for heading in ("pairs", "retrieved kg/s", "true kg/s", "error", "stated ±"):
        table.add_column(heading, justify="right")
    for row in compare(report.series, simulated.truth):
        table.add_row(
            row.line,
            row.method,
            f"{row.values}/{row.pairs}",
            f"{row.retrieved_kg_s:.3f}",
            f"{row.true_kg_s:.3f}",
            f"{row.error_percent:+.1f} %",
            f"{row.uncertainty_kg_s:.3f}",
        )
    console.print(table)
    console.print()
    for product in (*report.products, simulated.site, simulated.truth_file):
        console.print(f"  {product}", markup=False)
    console.print(
        f"\nDone in {time.monotonic() - began:.1f} s, of which processing {report.seconds:.1f} s (products included)."
    )


def _clear(out: Path) -> None:
    """Remove an earlier demo; raises OutputError rather than touch a folder that is something else."""
    if out.exists():
        if not out.is_dir():
            raise OutputError("is not a folder", file=out, remedy="name another with --out")
        if any(out.iterdir()) and not (out / _MARK).exists():
            raise OutputError(
                "the folder holds something that is not an earlier demo; it is left as it is",
                file=out,
                remedy="name another folder with --out",
            )
    try:
        # What a demo made, and nothing else: the folder itself may be a link, or the current one.
        for made in ("frames", "spectra", "results", "instrument", "station"):
            if (out / made).is_dir():
                shutil.rmtree(out / made)
        for made in ("site.toml", "terrain.asc", "truth.json", "instrument.log"):
            (out / made).unlink(missing_ok=True)
        out.mkdir(parents=True, exist_ok=True)
        (out / _MARK).touch()
    except OSError as error:
        raise OutputError(
            f"cannot be made or cleared: {error.strerror or error}", file=out, remedy="name another with --out"
        ) from error
