"""Milliseconds per spectral fit, cold and warm, and how right fits are on simulated spectra: one thread.

    python benchmarks/spectra.py [--json FILE] [--repeats 5] [--truth 2000]

Spectra are those of Masaya beside the checkout (../shared/data/masaya), or simulated ones of that kind where they are
absent: 310-320 nm, 129 pixels, 14 free parameters (SO2, O3, Ring, cubic background, offset, shift, stretch, four of
the line shape). Compiling is timed apart; it happens once, then the code comes from numba's cache on disk. Times are
those of the processor, best of the repeats.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from benchmarks import spectra_dilution

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.records import FloatArray
from so2cam.core.spectra import FitStatus
from so2cam.core.spectrometer import Fit, LineShapeSettings
from so2cam.formats.reference_spectra import reference_table
from so2cam.science.spectra.fit import FitResult, fit_spectra
from so2cam.science.spectra.forward import model_spectra
from so2cam.science.spectra.model import FitModel, FitTables, build_fit
from so2cam.science.spectra.optical_density import build_optical_density, fit_optical_density
from so2cam.science.spectra.table import SpectralTable

MASAYA = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "masaya"
FIT = Fit(window_nm=(310, 320))
SHAPE = LineShapeSettings(width_nm=0.6, fit=("width", "exponent", "width_asymmetry", "exponent_asymmetry"))
TYPICAL = {
    "so2": 2e17, "o3": 9.7e18, "ring": 0.11,
    "background_0": 3.2e4, "background_1": 1300.0, "background_2": -1600.0, "background_3": -950.0, "offset_0": 130.0,
    "shift_0": 0.05, "shift_1": -0.0037,
    "width": 0.56, "exponent": 2.25, "width_asymmetry": 0.1, "exponent_asymmetry": 0.45,
}  # fmt: skip
"""Parameters of a spectrum of Masaya."""
NOISE = 0.004
"""of the mean counts"""


def tables() -> FitTables:
    """so2cam's own reference spectra."""

    def table(name: str) -> SpectralTable:
        found = reference_table(name)
        return SpectralTable(found.wavelengths_nm, found.values, name)

    return FitTables(
        solar=table("solar-sao2010"),
        so2=table("so2-bogumil2003-293k"),
        o3=(table("o3-serdyuchenko2014-223k"),),
        ring=table("ring"),
    )


def simulated(model: FitModel, number: int, largest_shift_nm: float, random: np.random.Generator) -> FloatArray:
    """Parameters (number, P) over 0 to 4000 ppm m."""
    values = np.tile([TYPICAL[name] for name in model.names], (number, 1))
    values[:, model.so2] = random.uniform(0, 4000, number) * MOLEC_CM2_PER_PPM_M
    values[:, model.names.index("shift_0")] = random.uniform(-largest_shift_nm, largest_shift_nm, number)
    values[:, model.names.index("o3")] *= random.uniform(0.8, 1.2, number)
    return values


def noisy(model: FitModel, values: FloatArray, random: np.random.Generator) -> FloatArray:
    """Spectra (M, Nw) of these parameters with noise."""
    spectra = model_spectra(model, values)
    return np.asarray(spectra + NOISE * spectra.mean(axis=1, keepdims=True) * random.normal(size=spectra.shape))


def masaya_like(random: np.random.Generator) -> tuple[FloatArray, FloatArray | None]:
    """Wavelengths of the pixels, and measured spectra (M, N) or None where they are absent."""
    if not MASAYA.is_dir():
        return np.asarray(254.843 + 0.0889 * np.arange(2048) - 2.75e-6 * np.arange(2048.0) ** 2), None
    wavelengths, dark = np.loadtxt(MASAYA / "dark.txt", unpack=True)
    files = sorted(MASAYA.glob("spectrum_*.txt"))
    counts = np.array([np.loadtxt(file, usecols=1) for file in files]) - dark
    stray = (wavelengths >= 280) & (wavelengths <= 290)
    return wavelengths, counts - counts[:, stray].mean(axis=1, keepdims=True)


def milliseconds(function: Callable[[], Any], number: int, repeats: int) -> float:
    """Least processor time per spectrum of ``function``, which handles ``number`` of them."""
    best = np.inf
    for _ in range(repeats):
        began = time.process_time()
        function()
        best = min(best, time.process_time() - began)
    return float(1e3 * best / number)


def truth_figures(model: FitModel, number: int, random: np.random.Generator) -> dict[str, float]:
    """Bias, and how often 1 sigma holds the truth, over 0 to 4000 ppm m and shifts to 0.3 nm."""
    values = simulated(model, number, 0.3, random)
    truth = values[:, model.so2]
    found: FitResult = fit_spectra(model, noisy(model, values, random))
    large = (truth > 200 * MOLEC_CM2_PER_PPM_M) & found.ok
    return {
        "spectra": float(number),
        "failed": float((found.status != FitStatus.OK).sum()),
        "bias_percent_above_200_ppm_m": float(100 * np.mean((found.so2 / truth - 1)[large])),
        "within_one_sigma_percent": float(
            100 * np.mean(np.abs(found.so2 - truth)[found.ok] < found.so2_sigma[found.ok])
        ),
        "median_sigma_ppm_m": float(np.median(found.so2_sigma[found.ok]) / MOLEC_CM2_PER_PPM_M),
    }


def optical_density_milliseconds(pixels: FloatArray, references: FitTables, model: FitModel, repeats: int) -> float:
    """Processor time per classic fit."""
    random = np.random.default_rng(3)
    values = simulated(model, 20, 0.0, random)
    values[:, model.names.index("offset_0")] = 0.0
    clear_values = values[0].copy()
    clear_values[model.so2] = 0.0
    clear = np.full(pixels.size, np.nan)
    clear[model.window] = model_spectra(model, clear_values)[0]
    classic = build_optical_density(pixels, clear, fit=FIT, line_shape=SHAPE, tables=references)
    spectra = noisy(model, values, random)
    return milliseconds(lambda: fit_optical_density(classic, spectra), 20, repeats)


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as JSON")
    parser.add_argument("--repeats", type=int, default=5, help="of each timing (default 5)")
    parser.add_argument("--truth", type=int, default=2000, help="simulated spectra of known truth (default 2000)")
    arguments = parser.parse_args()
    random = np.random.default_rng(1)
    pixels, measured = masaya_like(random)
    references = tables()
    model = build_fit(pixels, fit=FIT, line_shape=SHAPE, tables=references)
    held = build_fit(pixels, fit=FIT, line_shape=LineShapeSettings(width_nm=0.56, exponent=2.25), tables=references)
    spectra = noisy(model, simulated(model, 82, 0.05, random), random) if measured is None else measured
    spectra = np.tile(spectra, (4, 1))

    began = time.perf_counter()
    first = fit_spectra(model, spectra[:1])
    compile_seconds = time.perf_counter() - began
    from so2cam.science.spectra import kernel

    compiled: Any = kernel.fit_batch
    number = spectra.shape[0]
    cold, warm = fit_spectra(model, spectra), fit_spectra(model, spectra, warm=True)
    figures: dict[str, Any] = {
        "spectra": "simulated" if measured is None else "masaya",
        "pixels": int(model.wavelengths_nm.size),
        "parameters": len(first.names),
        "compile_seconds": compile_seconds,
        "compiled_before": bool(sum(compiled.stats.cache_hits.values())),
        "milliseconds_cold": milliseconds(lambda: fit_spectra(model, spectra), number, arguments.repeats),
        "milliseconds_warm": milliseconds(lambda: fit_spectra(model, spectra, warm=True), number, arguments.repeats),
        "milliseconds_held_line_shape": milliseconds(lambda: fit_spectra(held, spectra), number, arguments.repeats),
        "milliseconds_optical_density": optical_density_milliseconds(pixels, references, model, arguments.repeats),
        "evaluations_cold": float(cold.evaluations.mean()),
        "evaluations_warm": float(warm.evaluations.mean()),
        "failed": int((~cold.ok).sum() + (~warm.ok).sum()),
        "truth": truth_figures(model, arguments.truth, random),
    }
    dilution = spectra_dilution.measure(arguments.truth, coadds=10, repeats=arguments.repeats)
    figures["milliseconds_light_dilution"] = dilution["milliseconds_light_dilution"]
    figures["light_dilution"] = dilution
    figures["lookup_table_seconds"] = spectra_dilution.table_seconds()
    source = "loaded from numba's cache" if figures["compiled_before"] else "compiled"
    print(
        f"spectral fit, {figures['spectra']} spectra, {figures['pixels']} pixels, {figures['parameters']} free "
        "parameters, one thread"
    )
    print(f"  {compile_seconds:8.1f} s   first fit ({source})")
    print(f"  {figures['milliseconds_cold']:8.3f} ms  cold ({figures['evaluations_cold']:.1f} models)")
    print(f"  {figures['milliseconds_warm']:8.3f} ms  warm ({figures['evaluations_warm']:.1f} models)")
    print(f"  {figures['milliseconds_held_line_shape']:8.3f} ms  cold, line shape held (10 free parameters)")
    print(f"  {figures['milliseconds_optical_density']:8.3f} ms  optical density (classic DOAS), 0-4000 ppm m")
    print(f"  {figures['failed']:8d}     of {2 * number} fits failed")
    known = figures["truth"]
    print(f"known truth: {known['spectra']:.0f} spectra, 0-4000 ppm m, shifts to 0.3 nm, noise {100 * NOISE:.1f} %")
    print(f"  {known['bias_percent_above_200_ppm_m']:8.3f} %   bias above 200 ppm m")
    print(f"  {known['within_one_sigma_percent']:8.1f} %   of truths within 1 sigma")
    print(f"  {known['median_sigma_ppm_m']:8.1f} ppm m  median sigma; {known['failed']:.0f} failed")
    print(f"light dilution from two windows: {dilution['milliseconds_light_dilution']:.2f} ms a spectrum of 10 coadds,")
    print(f"  {dilution['compile_seconds_light_dilution']:8.1f} s   first fit of it")
    print(f"  {100 * dilution['unique_share_strong']:8.1f} %   unique above 500 ppm m, dilution to 0.4")
    print(f"  {100 * dilution['within_5_percent']:8.1f} %   of unique columns within 5 % of the truth")
    print(f"  {100 * dilution['within_1_sigma']:8.1f} %   of truths within 1 sigma")
    print(f"  {figures['lookup_table_seconds']:8.1f} s   look-up table of 250 x 200")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
