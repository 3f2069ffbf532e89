"""Retrieved against true emission rates: scenarios of the simulated volcano, processed as a user would.

What is compared is the total of a run, pair by pair, with the truth along the lines that the total is made of.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from so2cam.core.errors import InputError
from so2cam.core.records import FloatArray
from so2cam.core.results import EmissionSeries
from so2cam.core.site import Site
from so2cam.formats.sitefile import LoadedSite, load_site
from so2cam.pipeline.batch import process_folders
from so2cam.simulate import Truth, load_scenario, simulate

Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to process a run: what differs from the scenario's own site file, as nested tables."""

    name: str
    settings: Settings
    spectra: bool = False
    """whether the spectrometer's spectra are used"""


def _calibration(**values: object) -> Settings:
    return {"processing": {"calibration": values}}


CELLS: Final = Variant("cells", _calibration(source="cells", model="band"))
SPECTROMETER: Final = Variant("spectrometer", _calibration(source="spectrometer", model="band"), spectra=True)
JOINT: Final = Variant("joint", _calibration(source="joint", model="band"), spectra=True)
_TERRAIN: Final = {"processing": {"light_dilution": {"mode": "terrain"}}}
_FIT: Final = {"spectrometer": {"light_dilution": {"mode": "fit"}}}
_BY_SPECTRA: Final = {"processing": {"light_dilution": {"mode": "spectrum"}}}


def merged(*tables: Settings) -> dict[str, Any]:
    """Return nested tables as one; what comes later counts."""
    result: dict[str, Any] = {}
    for table in tables:
        for key, value in table.items():
            both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
            result[key] = merged(result[key], value) if both else value
    return result


DILUTED: Final = (
    Variant("cells, dilution from terrain", merged(CELLS.settings, _TERRAIN)),
    Variant("spectrometer, dilution from terrain", merged(SPECTROMETER.settings, _TERRAIN), spectra=True),
    Variant("spectrometer, dilution from spectra", merged(SPECTROMETER.settings, _BY_SPECTRA, _FIT), spectra=True),
    Variant(
        "cells, dilution not corrected",
        merged(CELLS.settings, {"processing": {"light_dilution": {"mode": "none", "regions": []}}}),
    ),
)
RECOMMENDED: Final = "flow_raw"
"""The speed method that is recommended."""


def variants_of(scenario: str) -> tuple[Variant, ...]:
    """Return the ways in which a scenario is processed, the recommended one first."""
    if scenario in ("diluted", "snow"):
        return (DILUTED[1], DILUTED[0], DILUTED[2], DILUTED[3])
    if scenario == "missed":
        return (CELLS,)
    return (SPECTROMETER, CELLS)


@dataclass(frozen=True, slots=True)
class TruthRow:
    """How the total emission rate by one way of processing and one speed method compares with the truth.

    ``bias`` and ``scatter`` are relative: mean retrieved over mean true less 1, and the standard deviation of the
    pairs' relative errors about it. ``stated_random`` and ``stated_systematic`` are the median 1 sigma over the true
    mean.
    ``within`` is the share of pairs whose truth lies within 1 and 2 sigma of all that is stated; ``random_within`` the
    same of the random part alone about the run's own bias. NaN without values.
    """

    scenario: str
    variant: str
    method: str
    pairs: int
    values: int
    true_kg_s: float
    bias: float
    scatter: float
    stated_random: float
    stated_systematic: float
    within: tuple[float, float]
    random_within: tuple[float, float]
    recommended: bool


@dataclass(frozen=True, slots=True)
class TruthSeries:
    """One way of processing as a plot needs it: seconds since the start, true and retrieved totals [kg s-1] (T,)."""

    scenario: str
    variant: str
    seconds: FloatArray
    true_kg_s: FloatArray
    retrieved_kg_s: FloatArray
    sigma_kg_s: FloatArray


@dataclass(frozen=True, slots=True)
class TruthCase:
    """All of one scenario."""

    scenario: str
    rows: tuple[TruthRow, ...]
    series: tuple[TruthSeries, ...]
    notes: tuple[str, ...]


def with_settings(loaded: LoadedSite, changes: Settings) -> LoadedSite:
    """Return a loaded site with ``changes`` to its tables. Raises InputError where that is no valid site."""
    settings = merged(loaded.settings, changes)
    try:
        site = Site.model_validate(settings)
    except ValidationError as error:
        raise InputError(error.errors()[0]["msg"], file=loaded.path, key="settings", value=dict(changes)) from None
    return LoadedSite(site, loaded.path, loaded.sha256, site.model_dump(mode="json"))


def run_scenario(name: str, folder: Path, *, seed: int, pairs: int, keep: bool) -> TruthCase:
    """Simulate a scenario into ``folder``, process it in every way, and compare. Frames are removed unless kept."""
    result = simulate(load_scenario(name), folder, seed=seed, pairs=pairs)
    loaded = load_site(result.site)
    rows: list[TruthRow] = []
    series: list[TruthSeries] = []
    notes: list[str] = []
    variants = variants_of(name)
    for index, variant in enumerate(variants):
        changed = with_settings(loaded, variant.settings)
        try:
            report = process_folders(
                changed,
                [result.frames],
                folder / f"results-{index}",
                spectra=[result.spectra] if variant.spectra else (),
                command=f"so2cam truth --scenario {name} --seed {seed} --pairs {pairs}",
            )
        except InputError as error:
            notes.append(f"{name}, {variant.name}: {error.message}")
            continue
        found, drawn = compare(name, variant.name, report.series, result.truth, changed.site, first=index == 0)
        rows += found
        series.append(drawn)
    if not keep:
        for made in (result.frames, result.spectra):
            shutil.rmtree(made)
    return TruthCase(name, tuple(rows), tuple(series), tuple(notes))


def compare(
    scenario: str, variant: str, series: EmissionSeries, truth: Truth, site: Site, *, first: bool
) -> tuple[list[TruthRow], TruthSeries]:
    """Return a row for each speed method, and the recommended one's (or the first's) series."""
    true = np.sum([truth.line(name).emission_rate_kg_s for name in site.total_lines], axis=0)
    wanted = {time: index for index, time in enumerate(truth.times)}
    place = np.array([wanted[time] for time in series.times], np.intp)
    expected = true[place]
    rows = []
    for index, method in enumerate(series.speed_methods):
        values = series.total_emission_rate_kg_s[:, index]
        random = series.total_random_uncertainty_kg_s[:, index]
        systematic = series.total_systematic_uncertainty_kg_s[:, index]
        recommended = first and method == RECOMMENDED
        rows.append(_row(scenario, variant, method, values, random, systematic, expected, recommended))
    shown = series.speed_methods.index(RECOMMENDED) if RECOMMENDED in series.speed_methods else 0
    seconds = np.array([(time - truth.times[0]).total_seconds() for time in series.times])
    sigma = np.hypot(series.total_random_uncertainty_kg_s[:, shown], series.total_systematic_uncertainty_kg_s[:, shown])
    drawn = TruthSeries(scenario, variant, seconds, expected, series.total_emission_rate_kg_s[:, shown], sigma)
    return rows, drawn


def _row(
    scenario: str,
    variant: str,
    method: str,
    values: FloatArray,
    random: FloatArray,
    systematic: FloatArray,
    expected: FloatArray,
    recommended: bool,
) -> TruthRow:
    good = np.isfinite(values)
    nan = float("nan")
    if not good.any():
        mean = float(expected.mean())
        return TruthRow(
            scenario, variant, method, values.size, 0, mean, nan, nan, nan, nan, (nan, nan), (nan, nan), recommended
        )
    value, true = values[good], expected[good]
    mean = float(true.mean())
    bias = float(value.mean()) / mean - 1
    error = value - true
    left = value - true * (1 + bias)
    sigma = np.hypot(random[good], systematic[good])

    def share(size: FloatArray, limit: FloatArray) -> tuple[float, float]:
        return float(np.mean(np.abs(size) <= limit)), float(np.mean(np.abs(size) <= 2 * limit))

    return TruthRow(
        scenario=scenario,
        variant=variant,
        method=method,
        pairs=values.size,
        values=int(good.sum()),
        true_kg_s=mean,
        bias=bias,
        scatter=float(np.std(left / true)),
        stated_random=float(np.median(random[good])) / mean,
        stated_systematic=float(np.median(systematic[good])) / mean,
        within=share(error, sigma),
        random_within=share(left, random[good]),
        recommended=recommended,
    )


def run_scenarios(
    names: Sequence[str],
    out: Path,
    *,
    seed: int,
    pairs: int,
    jobs: int,
    keep: bool = False,
    told: Callable[[TruthCase], None] | None = None,
) -> list[TruthCase]:
    """Run scenarios, several at a time where ``jobs`` is more than 1; in the order of ``names``."""
    if jobs <= 1:
        cases = []
        for name in names:
            cases.append(run_scenario(name, out / name, seed=seed, pairs=pairs, keep=keep))
            if told is not None:
                told(cases[-1])
        return cases
    found: dict[str, TruthCase] = {}
    with ProcessPoolExecutor(min(jobs, len(names)), mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(run_scenario, name, out / name, seed=seed, pairs=pairs, keep=keep) for name in names]
        try:
            for future in as_completed(futures):
                case = future.result()
                found[case.scenario] = case
                if told is not None:
                    told(case)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return [found[name] for name in names]
