"""How often the truth lies within the stated uncertainty: simulated volcanoes, processed with site files that err.

    python benchmarks/coverage.py [--scenario NAME ... | --all] [--calibration spectrometer|cells|joint]
                                  [--realisations 60] [--dilution terrain|spectra] [--seeds 3] [--pairs 40]
                                  [--jobs 2] [--json FILE]

Each seed of a scenario is simulated once. A realisation processes it with a site file whose values are drawn from the
uncertainties that it states: vent distance, viewing azimuth and elevation, orientation of the plume, focal length,
registration (where the site file gives it), centres of the filters, cross section and zero of the spectrometer's
columns, labels of the gas cells, and with light dilution each distance of the ground and the brightness of the air.
(Light dilution from spectra draws the exponent of the wavelength; how columns vary within the view is the plume's.)
Draws are a Latin hypercube: every sigma is drawn evenly, so that few realisations tell much. What is compared is the
mean of the run with its true mean, and 1 sigma of it; and apart from that, pair by pair, the random part about the
run's own bias. What is not drawn (``UNDRAWN``: aerosol, what the speed method and the sky leave) is the same in all
realisations of a run: so besides, how far the draws move the mean from that of the run without draws, against what is
stated of the terms that are drawn. Runs of ``thick`` are twice as long: its plume changes slowly, and the field of
view must be found.
"""

import argparse
import json
import os
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import netCDF4
import numpy as np
from pyproj import Geod
from scipy.stats import norm, qmc

from so2cam.core.errors import So2camError
from so2cam.core.records import FloatArray
from so2cam.core.site import Site
from so2cam.core.uncertainty import RANDOM_TERMS, Term
from so2cam.formats.sitefile import load_site, spectrometer_of
from so2cam.pipeline import batch, calibration_products
from so2cam.pipeline.batch import process_folders
from so2cam.pipeline.calibration_fit import column_scale_uncertainty
from so2cam.pipeline.spectra_batch import process_spectra
from so2cam.pipeline.truth import DILUTED, SPECTROMETER, Variant, merged, with_settings
from so2cam.pipeline.truth_compare import RECOMMENDED_METHOD, compare_rates
from so2cam.simulate import load_scenario, simulate

SCENARIOS = (
    "ideal",
    "baseline",
    "drifting-sky",
    "misaligned",
    "thick",
    "pulsating-shear",
    "smooth",
    "faint",
    "diluted",
)
OTHERS = (
    "turbulent",
    "gusting",
    "two-vents",
    "weak",
    "snow",
    "aerosol",
    "eastward",
    "bright-morning",
    "clouds",
)
"""Scenarios without a limit of their own; ``missed`` has no view, and by gas cells is the baseline."""
UNDRAWN = frozenset({Term.SPEED_METHOD, Term.AEROSOL, Term.BACKGROUND})
"""Systematic terms that no draw changes."""
LONGER = {"thick": 2}
"""So many times more pairs than other scenarios."""
_DRAWS = 48
_CELL = re.compile(r"_([0-9.]+)ppmm(?=[._])")
_COLUMNS = ("so2_column", "so2_column_without_dilution")


class Draws:
    """Standard normal numbers of one realisation, handed out in order."""

    def __init__(self, numbers: FloatArray) -> None:
        self._numbers: Iterator[float] = iter(numbers.tolist())

    def __call__(self, sigma: float = 1.0) -> float:
        """Return the next number times ``sigma``."""
        return sigma * next(self._numbers)


@dataclass(frozen=True, slots=True)
class Realisation:
    """One processing of a run: the mean's error over its 1 sigma, its bias, and shares of the random part."""

    scenario: str
    seed: int
    bias: float
    sigma: float
    random_within: tuple[float, float]
    largest_term: str
    drawn_sigma: float
    """1 sigma of the mean by the terms that are drawn"""

    @property
    def normalised(self) -> float:
        """The mean's error over its 1 sigma."""
        return self.bias / self.sigma


def drawn_settings(site: Site, draw: Draws) -> dict[str, Any]:
    """Return what differs in a site file whose values err as it says."""
    view, optics, plane = site.camera.view, site.camera.optics, site.plume_plane
    azimuth = view.azimuth_deg + draw(view.azimuth_uncertainty_deg)
    elevation = view.elevation_deg + draw(view.elevation_uncertainty_deg)
    geod = Geod(ellps="WGS84")
    camera, vent = site.camera.position, site.volcano.vent
    towards, _, distance = geod.inv(camera.longitude, camera.latitude, vent.longitude, vent.latitude)
    longitude, latitude, _ = geod.fwd(
        camera.longitude, camera.latitude, towards, distance + draw(plane.vent_distance_uncertainty_m)
    )
    across = view.azimuth_deg + 90 if plane.azimuth_deg is None else plane.azimuth_deg
    filters = site.camera.filters
    changes: dict[str, Any] = {
        "camera": {
            "view": {"azimuth_deg": azimuth, "elevation_deg": elevation},
            "optics": {
                "field_of_view_deg": None,
                "focal_length_mm": 1e3 * optics.focal_length_m * (1 + draw(optics.relative_uncertainty)),
            },
            "filters": {
                "on_band_nm": filters.on_band_nm + draw(filters.centre_uncertainty_nm),
                "off_band_nm": filters.off_band_nm + draw(filters.centre_uncertainty_nm),
            },
        },
        "volcano": {"vent": {"latitude": latitude, "longitude": longitude}},
        "plume_plane": {
            "orientation": "azimuth",
            "azimuth_deg": (across + draw(plane.orientation_uncertainty_deg) + 180) % 360 - 180,
        },
    }
    shift = [draw(site.registration.uncertainty_px) for _ in range(2)]
    if site.registration.source == "matrix":
        matrix = site.registration.matrix
        moved = [[*row[:2], row[2] + by] for row, by in zip(matrix, shift, strict=True)]
        changes["registration"] = {"matrix": moved}
    dilution = site.processing.light_dilution
    if dilution.mode == "terrain":
        regions = []
        for region in dilution.regions:
            known, sigma = region.distances_m, region.distance_sigma_m
            table = region.model_dump(mode="json")
            if known is not None and sigma is not None:
                table["distance_m"] = [value + draw(sigma) for value in known]
            regions.append(table)
        ratio = dilution.airlight_ratio + draw(dilution.airlight_ratio_uncertainty)
        changes["processing"] = {"light_dilution": {"regions": regions, "airlight_ratio": ratio}}
    elif dilution.mode == "spectrum":
        exponent = min(dilution.wavelength_exponent + draw(dilution.wavelength_exponent_uncertainty), 5.0)
        changes["processing"] = {"light_dilution": {"wavelength_exponent": exponent}}
    return changes


def relabelled(frames: Path, out: Path, site: Site, draw: Draws) -> Path:
    """Return a folder of links to ``frames`` in which the labels of gas cells err as the site file says."""
    labels: dict[str, str] = {}
    for path in sorted(path for path in frames.rglob("*") if path.is_file()):
        name = path.name
        found = _CELL.search(name)
        if found is not None and float(found[1]) > 0:
            if found[1] not in labels:
                value = float(found[1]) / (1 + draw(site.processing.calibration.label_uncertainty))
                labels[found[1]] = f"{value:.3f}"
            name = _CELL.sub(f"_{labels[found[1]]}ppmm", name)
        target = out / path.relative_to(frames).parent / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, target)
    return out


def scaled_columns(product: Path, out: Path, site: Site, draw: Draws) -> Path:
    """Return a copy of a product of columns whose cross section and zero err as the site file says."""
    settings = site.processing.calibration.spectrometer
    references = None if site.spectrometer is None else site.spectrometer.references
    relative = column_scale_uncertainty(site) if references is None else references.so2.relative_uncertainty
    scale, zero = 1 + draw(relative), draw(settings.offset_uncertainty_molec_cm2)
    shutil.copyfile(product, out)
    with netCDF4.Dataset(out, "a") as data:
        for name in _COLUMNS:
            if name in data.variables:
                data[name][:] = data[name][:] * scale + zero
    return out


def without_pictures() -> None:
    """Let runs write no pages: nobody looks at hundreds of them."""

    def blank(path: Path, *_: object, **__: object) -> None:
        path.touch()

    for module, name in ((batch, "write_quicklook"), (calibration_products, "write_calibration_page")):
        setattr(module, name, blank)


def variant_of(scenario: str, calibration: str, dilution: str) -> Variant:
    """Return how a scenario is processed."""
    chosen = {"processing": {"calibration": {"source": calibration, "model": "band"}}}
    base = SPECTROMETER
    if scenario in ("diluted", "snow"):
        source = dilution if scenario == "diluted" else "terrain"
        base = next(each for each in DILUTED if each.name == f"spectrometer, dilution from {source}")
    spectra = calibration != "cells" or (scenario == "diluted" and dilution == "spectra")
    return Variant(calibration, merged(base.settings, chosen), spectra=spectra)


def run_seed(
    scenario: str, calibration: str, dilution: str, seed: int, pairs: int, numbers: FloatArray
) -> list[Realisation | str]:
    """Return a realisation for each row of ``numbers``, the first without draws; a text where a run gives nothing."""
    without_pictures()
    found: list[Realisation | str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = simulate(load_scenario(scenario), folder / "run", seed=seed, pairs=pairs)
        variant = variant_of(scenario, calibration, dilution)
        loaded = with_settings(load_site(made.site), variant.settings)
        product = folder / "columns"
        if variant.spectra:
            process_spectra(spectrometer_of(loaded), [made.spectra], product, command="coverage")
        for index, row in enumerate(np.vstack([np.zeros(numbers.shape[1]), numbers])):
            draw = Draws(row)
            frames, columns = made.frames, None
            changed = with_settings(loaded, drawn_settings(loaded.site, draw))
            if variant.spectra:
                columns = scaled_columns(product / "columns.nc", folder / f"columns-{index}.nc", loaded.site, draw)
            if calibration != "spectrometer":
                frames = relabelled(made.frames, folder / f"frames-{index}", loaded.site, draw)
            try:
                report = process_folders(changed, [frames], folder / "out", columns=columns, command="coverage")
            except So2camError as error:
                found.append(f"{scenario}, seed {seed}: {error.message}")
                continue
            finally:
                if frames != made.frames:
                    shutil.rmtree(frames)
            rows, _ = compare_rates(
                report.series, made.truth, changed.site, scenario=scenario, variant=calibration, recommended=True
            )
            best = next(each for each in rows if each.method == RECOMMENDED_METHOD)
            if not best.values:
                found.append(f"{scenario}, seed {seed}: no emission rate")
                continue
            series = report.series
            terms = series.uncertainty_terms_kg_s[:, 0, series.speed_methods.index(RECOMMENDED_METHOD)]
            systematic = [i for i, term in enumerate(Term) if term not in RANDOM_TERMS]
            means = [float(np.nanmean(terms[:, i])) if np.isfinite(terms[:, i]).any() else 0.0 for i in systematic]
            largest = list(Term)[systematic[int(np.argmax(means))]].value
            # What points leave open of the curve is the run's; what cells do is in their labels.
            undrawn = UNDRAWN | ({Term.CALIBRATION} if calibration == "spectrometer" else set())
            drawn = [mean for i, mean in zip(systematic, means, strict=True) if list(Term)[i] not in undrawn]
            by_draws = float(np.sqrt(np.sum(np.square(drawn)))) / best.true_kg_s
            found.append(
                Realisation(scenario, seed, best.bias, best.stated_mean, best.random_within, largest, by_draws)
            )
    return found


def summarise(scenario: str, calibration: str, runs: Sequence[Sequence[Realisation | str]]) -> dict[str, Any]:
    """Return the row of one scenario."""
    plain = [run[0].bias for run in runs if run and isinstance(run[0], Realisation)]
    drawn = [one for run in runs for one in run[1:] if isinstance(one, Realisation)]
    z = np.array([one.normalised for one in drawn])
    moved = np.array(
        [
            (one.bias - run[0].bias) / one.drawn_sigma
            for run in runs
            if run and isinstance(run[0], Realisation)
            for one in run[1:]
            if isinstance(one, Realisation)
        ]
    )
    return {
        "scenario": scenario,
        "calibration": calibration,
        "bias_percent": [round(100 * bias, 2) for bias in plain],
        "mean_bias_percent": 100 * float(np.mean(plain)) if plain else float("nan"),
        "realisations": len(drawn),
        "failed": [text for run in runs for text in run if isinstance(text, str)],
        "stated_percent": 100 * float(np.median([one.sigma for one in drawn])) if drawn else float("nan"),
        "found_percent": 100 * float(np.std([one.bias for one in drawn])) if drawn else float("nan"),
        "within_1_sigma": float(np.mean(np.abs(z) <= 1)) if drawn else float("nan"),
        "within_2_sigma": float(np.mean(np.abs(z) <= 2)) if drawn else float("nan"),
        "stated_of_drawn_percent": 100 * float(np.median([one.drawn_sigma for one in drawn]))
        if drawn
        else float("nan"),
        "drawn_within_1_sigma": float(np.mean(np.abs(moved) <= 1)) if moved.size else float("nan"),
        "drawn_within_2_sigma": float(np.mean(np.abs(moved) <= 2)) if moved.size else float("nan"),
        "random_within_1_sigma": float(np.mean([one.random_within[0] for one in drawn])) if drawn else float("nan"),
        "random_within_2_sigma": float(np.mean([one.random_within[1] for one in drawn])) if drawn else float("nan"),
        "largest_term": Counter(one.largest_term for one in drawn).most_common(1)[0][0] if drawn else "",
    }


def print_row(row: dict[str, Any]) -> None:
    print(
        f"| {row['scenario']} | {row['calibration']} | {row['mean_bias_percent']:+.1f} % | {row['realisations']} | "
        f"{row['stated_percent']:.1f} % | {row['found_percent']:.1f} % | {100 * row['within_1_sigma']:.0f} % | "
        f"{100 * row['within_2_sigma']:.0f} % | {row['stated_of_drawn_percent']:.1f} % | "
        f"{100 * row['drawn_within_1_sigma']:.0f} % | {100 * row['drawn_within_2_sigma']:.0f} % | "
        f"{100 * row['random_within_1_sigma']:.0f} % | "
        f"{100 * row['random_within_2_sigma']:.0f} % | {row['largest_term']} |",
        flush=True,
    )
    for text in row["failed"]:
        print(f"    {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", action="append", help="one or more; all with a limit of their own if absent")
    parser.add_argument("--all", action="store_true", help="those without a limit too")
    parser.add_argument("--calibration", choices=("spectrometer", "cells", "joint"), default="spectrometer")
    parser.add_argument("--dilution", choices=("terrain", "spectra"), default="terrain", help="of diluted")
    parser.add_argument("--realisations", type=int, default=60, help="of each scenario, over all seeds")
    parser.add_argument("--seeds", type=int, default=3, help="simulated runs of each scenario")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    began = time.monotonic()
    each = -(-options.realisations // options.seeds)
    print(
        "| scenario | calibration | bias without draws | realisations | stated 1 σ of the mean | found | within 1 σ | "
        "within 2 σ | stated of what is drawn | moved by draws: within 1 σ | 2 σ | random part: within 1 σ | 2 σ | "
        "largest term |\n|" + "---|" * 14
    )
    rows = []
    with ProcessPoolExecutor(max(options.jobs, 1), mp_context=get_context("spawn")) as pool:
        for scenario in options.scenario or (SCENARIOS + OTHERS if options.all else SCENARIOS):
            sample = qmc.LatinHypercube(d=_DRAWS, rng=np.random.default_rng(2026)).random(each * options.seeds)
            numbers = norm.ppf(sample).reshape(options.seeds, each, _DRAWS)
            futures = [
                pool.submit(
                    run_seed,
                    scenario,
                    options.calibration,
                    options.dilution,
                    seed + 1,
                    options.pairs * LONGER.get(scenario, 1),
                    numbers[seed],
                )
                for seed in range(options.seeds)
            ]
            runs = [future.result() for future in as_completed(futures)]
            rows.append(summarise(scenario, options.calibration, runs))
            print_row(rows[-1])
            if options.json is not None:
                options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
