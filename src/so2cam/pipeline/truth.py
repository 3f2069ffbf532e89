"""Scenarios of the simulated volcano, processed as a user would, and compared with their truth.

What is compared is the total of a run, pair by pair, with the truth along the lines that the total is made of.
"""

import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from so2cam.core.errors import InputError, OutputError
from so2cam.core.site import Site
from so2cam.core.truth import CalibrationTruth, TruthCase, TruthRow, TruthSeries
from so2cam.formats.sitefile import LoadedSite, load_site
from so2cam.pipeline.batch import process_folders
from so2cam.pipeline.truth_compare import compare_calibration, compare_rates
from so2cam.simulate import load_scenario, simulate
from so2cam.simulate.run import SimulationResult

Settings = Mapping[str, Any]

_MADE: Final = ("frames", "spectra")


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to process a run: what differs from the scenario's own site file, as nested tables."""

    name: str
    settings: Settings
    spectra: bool = False
    """whether the spectrometer's spectra are used"""


def merged(*tables: Settings) -> dict[str, Any]:
    """Return nested tables as one; what comes later counts."""
    result: dict[str, Any] = {}
    for table in tables:
        for key, value in table.items():
            both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
            result[key] = merged(result[key], value) if both else value
    return result


def _calibration(**values: object) -> Settings:
    return {"processing": {"calibration": values}}


_TERRAIN: Final = {
    "processing": {"light_dilution": {"mode": "terrain"}},
    "spectrometer": {"light_dilution": {"mode": "none"}},
}
_BY_SPECTRA: Final = {
    "processing": {"light_dilution": {"mode": "spectrum"}},
    "spectrometer": {"light_dilution": {"mode": "fit"}},
}
_UNCORRECTED: Final = {"processing": {"light_dilution": {"mode": "none", "regions": []}}}

CELLS: Final = Variant("cells", _calibration(source="cells", model="band"))
SPECTROMETER: Final = Variant("spectrometer", _calibration(source="spectrometer", model="band"), spectra=True)
DILUTED: Final = (
    Variant("spectrometer, dilution from terrain", merged(SPECTROMETER.settings, _TERRAIN), spectra=True),
    Variant("cells, dilution from terrain", merged(CELLS.settings, _TERRAIN)),
    Variant("spectrometer, dilution from spectra", merged(SPECTROMETER.settings, _BY_SPECTRA), spectra=True),
    Variant("cells, dilution not corrected", merged(CELLS.settings, _UNCORRECTED)),
)


def variants_of(scenario: str) -> tuple[Variant, ...]:
    """Return the ways in which a scenario is processed, the recommended one first."""
    if scenario == "diluted":
        return DILUTED
    if scenario == "missed":
        return (CELLS, SPECTROMETER)
    return (SPECTROMETER, CELLS)


def with_settings(loaded: LoadedSite, changes: Settings) -> LoadedSite:
    """Return a loaded site with ``changes`` to its tables. Raises InputError where that is no valid site."""
    settings = merged(loaded.settings, changes)
    try:
        site = Site.model_validate(settings)
    except ValidationError as error:
        raise InputError(error.errors()[0]["msg"], file=loaded.path, key="settings", value=dict(changes)) from None
    return LoadedSite(site, loaded.path, loaded.sha256, site.model_dump(mode="json"))


def require_new(names: Sequence[str], out: Path) -> None:
    """Raise OutputError where a scenario's folder in ``out`` holds frames or spectra already: before the work."""
    for name in names:
        for made in _MADE:
            folder = out / name / made
            if folder.is_dir() and next(folder.iterdir(), None) is not None:
                raise OutputError(
                    f"the folder already holds {made}, as of an earlier run with --keep",
                    file=folder,
                    remedy="name another folder with --out, or remove this one first",
                )


def run_scenario(name: str, folder: Path, *, seed: int, pairs: int, keep: bool = False) -> TruthCase:
    """Simulate a scenario into ``folder``, process it in every way, and compare.

    Frames and spectra are removed unless kept. A way that gives nothing is told in the notes. Raises So2camError
    subclasses where the scenario is not known or nothing can be written.
    """
    scenario = load_scenario(name)
    try:
        result = simulate(scenario, folder, seed=seed, pairs=pairs)
        return _process_all(name, scenario.description, result, folder, seed=seed, pairs=pairs)
    finally:
        if not keep:
            remove_made([name], folder.parent)


def _process_all(
    name: str, description: str, result: SimulationResult, folder: Path, *, seed: int, pairs: int
) -> TruthCase:
    loaded = load_site(result.site)
    rows: list[TruthRow] = []
    calibrations: list[CalibrationTruth] = []
    series: list[TruthSeries] = []
    notes: list[str] = []
    for index, variant in enumerate(variants_of(name)):
        changed = with_settings(loaded, variant.settings)
        try:
            report = process_folders(
                changed,
                [result.frames],
                folder / variant.name.replace(", ", "-").replace(" ", "-"),
                spectra=[result.spectra] if variant.spectra else (),
                command=f"so2cam truth --scenario {name} --seed {seed} --pairs {pairs}",
            )
        except InputError as error:
            notes.append(f"{name}, {variant.name}: {error.message}")
            continue
        found, drawn = compare_rates(
            report.series, result.truth, changed.site, scenario=name, variant=variant.name, recommended=index == 0
        )
        if not any(row.values for row in found):
            reason = next((text for text in report.warnings if "calibration" in text), "no pair has a value")
            notes.append(f"{name}, {variant.name}: no emission rate ({reason})")
            continue
        rows += found
        series.append(drawn)
        calibrations.append(
            compare_calibration(report.series, report.record, result.truth, scenario=name, variant=variant.name)
        )
    return TruthCase(name, description, tuple(rows), tuple(calibrations), tuple(series), tuple(notes))


def remove_made(names: Sequence[str], out: Path) -> None:
    """Remove the frames and spectra of scenarios below ``out``; products, site file and truth stay."""
    for name in names:
        for made in _MADE:
            shutil.rmtree(out / name / made, ignore_errors=True)


def run_scenarios(
    names: Sequence[str],
    out: Path,
    *,
    seed: int,
    pairs: int,
    jobs: int = 1,
    keep: bool = False,
    told: Callable[[TruthCase], None] | None = None,
) -> list[TruthCase]:
    """Run scenarios, ``jobs`` at a time, each in its own folder below ``out``; the result is in the order of ``names``.

    ``told`` is called with each as it is done. Interrupted, it ends the processes it started and leaves no frames
    behind unless they are kept.
    """
    require_new(names, out)
    cases: dict[str, TruthCase] = {}

    def done(case: TruthCase) -> None:
        cases[case.scenario] = case
        if told is not None:
            told(case)

    if min(jobs, len(names)) <= 1:
        for name in names:
            done(run_scenario(name, out / name, seed=seed, pairs=pairs, keep=keep))
        return [cases[name] for name in names]
    before = set(active_children())
    pool = ProcessPoolExecutor(min(jobs, len(names)), mp_context=get_context("spawn"), initializer=_leave_interrupts)
    try:
        futures = [pool.submit(run_scenario, name, out / name, seed=seed, pairs=pairs, keep=keep) for name in names]
        for future in as_completed(futures):
            done(future.result())
    except BrokenProcessPool:
        raise OutputError(
            "a process of the comparison ended before its work was done",
            file=out,
            remedy="is memory short? give --jobs 1",
        ) from None
    finally:
        if len(cases) < len(names):
            for child in set(active_children()) - before:
                child.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
        if not keep:
            remove_made(names, out)
    return [cases[name] for name in names]


def _leave_interrupts() -> None:
    """Ctrl-C goes to all processes of a terminal: the one that started the others ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
