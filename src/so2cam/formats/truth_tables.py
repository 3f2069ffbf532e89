"""The comparison with the truth as files: ``truth.csv`` and ``truth.md``."""

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from so2cam.core.errors import OutputError
from so2cam.core.truth import CalibrationTruth, TruthCase, TruthRow

CSV_COLUMNS: Final = (
    "scenario",
    "variant",
    "speed_method",
    "recommended",
    "seed",
    "pairs",
    "values",
    "true_kg_s",
    "retrieved_kg_s",
    "bias",
    "scatter",
    "stated_random",
    "stated_systematic",
    "stated_mean",
    "within_1_sigma",
    "within_2_sigma",
    "random_within_1_sigma",
    "random_within_2_sigma",
)


def write_truth_csv(path: Path, cases: Sequence[TruthCase]) -> None:
    """Write a row for each scenario, way of processing and speed method. Raises OutputError where that fails."""
    try:
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(CSV_COLUMNS)
            for row in (row for case in cases for row in case.rows):
                numbers = (
                    row.true_kg_s,
                    row.retrieved_kg_s,
                    row.bias,
                    row.scatter,
                    row.stated_random,
                    row.stated_systematic,
                    row.stated_mean,
                    *row.within,
                    *row.random_within,
                )
                head = (row.scenario, row.variant, row.method, int(row.recommended), row.seed, row.pairs, row.values)
                writer.writerow([*head, *("" if not math.isfinite(value) else f"{value:.6g}" for value in numbers)])
    except OSError as error:
        raise OutputError(f"the table cannot be written: {error}", file=path) from error


def write_truth_markdown(path: Path, cases: Sequence[TruthCase], *, command: str) -> None:
    """Write both tables as Markdown. Raises OutputError where that fails."""
    try:
        path.write_text(format_truth_markdown(cases, command=command), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"the table cannot be written: {error}", file=path) from error


def format_truth_markdown(cases: Sequence[TruthCase], *, command: str) -> str:
    """Return the tables of rates and of calibrations as Markdown, with the command that made them."""
    rates = [_rate_cells(row) for case in cases for row in case.rows]
    calibrations = [_calibration_cells(row) for case in cases for row in case.calibrations]
    parts = [
        f"Made by `{command}`. Recommended ways are bold.",
        "",
        *_table(
            ("scenario", "calibration", "speed", "values", "true", "bias", "1 σ of the mean", "scatter", "1 σ random",
             "1 σ systematic", "within 1, 2 σ", "random within 1, 2 σ"),
            rates,
            left=3,
        ),
        "",
        *_table(
            ("scenario", "calibration", "slope's bias", "1 σ of the fit", "view x, y [px]", "1 σ", "radius", "1 σ",
             "correlation"),
            calibrations,
            left=2,
        ),
    ]  # fmt: skip
    notes = [note for case in cases for note in case.notes]
    if notes:
        parts += ["", *(f"* {note}" for note in notes)]
    return "\n".join(parts) + "\n"


def percent(value: float, *, signed: bool = False) -> str:
    """Return a share as per cent with one decimal, a dash where it is not known."""
    if not math.isfinite(value):
        return "–"
    text = f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"
    return f"{text.replace('-', '−')} %"


def shares(pair: tuple[float, float]) -> str:
    """Return two shares as whole per cent."""
    if not all(math.isfinite(value) for value in pair):
        return "–"
    return f"{100 * pair[0]:.0f}, {100 * pair[1]:.0f} %"


def _rate_cells(row: TruthRow) -> tuple[str, ...]:
    bias = percent(row.bias, signed=True)
    return (
        row.scenario,
        f"**{row.variant}**" if row.recommended else row.variant,
        f"**{row.method}**" if row.recommended else row.method,
        f"{row.values}/{row.pairs}",
        f"{row.true_kg_s:.3g} kg/s",
        f"**{bias}**" if row.recommended else bias,
        percent(row.stated_mean),
        percent(row.scatter),
        percent(row.stated_random),
        percent(row.stated_systematic),
        shares(row.within),
        shares(row.random_within),
    )


def _calibration_cells(row: CalibrationTruth) -> tuple[str, ...]:
    if not math.isfinite(row.x_error):
        view = ("–",) * 5
    else:
        view = (
            f"{_signed(row.x_error)}, {_signed(row.y_error)}",
            f"{row.x_sigma:.2f}, {row.y_sigma:.2f}",
            percent(row.radius_error / row.radius_px, signed=True),
            percent(row.radius_sigma / row.radius_px),
            f"{row.correlation:.3f}",
        )
    return (row.scenario, row.variant, percent(row.slope_bias, signed=True), percent(row.slope_sigma), *view)


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, left: int) -> list[str]:
    """Return a Markdown table, its first ``left`` columns flush left and the others flush right."""
    rule = ["---"] * left + ["---:"] * (len(heads) - left)
    return [f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)]
