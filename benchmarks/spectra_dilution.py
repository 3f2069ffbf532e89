"""Light dilution found from two windows: how often, how right, how honest, how fast, on simulated spectra.

    python benchmarks/spectra_dilution.py [--spectra 2000] [--coadds 10] [--seed 1] [--json FILE]

Columns of 0 to 4,000 ppm m, dilutions of 0 to 0.6, shifts up to 0.3 nm, photon noise of a sky of 40,000 electrons at
330 nm in each of ``--coadds`` readouts. One thread; the processor's time, best of ``--repeats``.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import json
import time
from pathlib import Path

import numpy as np

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.records import FloatArray
from so2cam.core.spectra import FIT_STATUS_TEXT, FitStatus
from so2cam.core.spectrometer import Fit, LightDilution, LineShapeSettings
from so2cam.formats.reference_spectra import reference_table
from so2cam.science.spectra.dilution import fit_with_dilution
from so2cam.science.spectra.dilution_table import build_dilution_table
from so2cam.science.spectra.fit import fit_spectra
from so2cam.science.spectra.forward import model_spectra
from so2cam.science.spectra.model import FitModel, FitTables, build_fit
from so2cam.science.spectra.table import SpectralTable

PIXELS_NM = np.linspace(290.0, 335.0, 600)
ELECTRONS = 40_000.0


def tables() -> FitTables:
    """so2cam's own reference spectra."""

    def table(name: str) -> SpectralTable:
        found = reference_table(name)
        return SpectralTable(found.wavelengths_nm, found.values)

    ozone = table("o3-serdyuchenko2014-223k")
    return FitTables(table("solar-sao2010"), table("so2-bogumil2003-293k"), (ozone,), None, table("ring"))


def models() -> tuple[FitModel, FitModel]:
    """The two windows' fits with default settings."""
    windows, shape, found = LightDilution(), LineShapeSettings(), tables()
    first, second = (
        build_fit(PIXELS_NM, fit=Fit(), line_shape=shape, tables=found, window_nm=window)
        for window in (windows.first_window_nm, windows.second_window_nm)
    )
    return first, second


def simulated(
    count: int,
    coadds: int,
    seed: int,
    *,
    columns_ppm_m: tuple[float, float] = (0.0, 4000.0),
    dilutions: tuple[float, float] = (0.0, 0.6),
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return spectra (M, N), columns [molecules cm-2] and dilutions (M,)."""
    rng = np.random.default_rng(seed)
    sky = build_fit(
        PIXELS_NM,
        fit=Fit(background_order=0, offset_order=-1),
        line_shape=LineShapeSettings(),
        tables=tables(),
        window_nm=(300.0, 330.0),
    )
    so2 = rng.uniform(*columns_ppm_m, count) * MOLEC_CM2_PER_PPM_M
    dilution = rng.uniform(*dilutions, count)
    values = np.zeros((count, len(sky.names)))
    for name, value in (("so2", so2), ("o3", 8e18), ("ring", 0.1), ("background_0", 1.0)):
        values[:, sky.names.index(name)] = value
    values[:, sky.names.index("shift_0")] = rng.uniform(-0.3, 0.3, count)
    light = model_spectra(sky, values, light_dilution=dilution)
    light *= ELECTRONS / light.max(axis=1, keepdims=True)
    light += rng.standard_normal(light.shape) * np.sqrt(light / coadds)
    counts = np.full((count, PIXELS_NM.size), np.nan)
    counts[:, sky.window] = light
    return counts, so2, dilution


def measure(count: int, coadds: int, seed: int = 1, repeats: int = 1) -> dict[str, float]:
    """Return what the table shows, by name."""
    first, second = models()
    counts, so2, dilution = simulated(count, coadds, seed)
    fit_spectra(first, counts[:2])
    began = time.perf_counter()
    fit_with_dilution(first, second, counts[:2])
    compiling = time.perf_counter() - began
    spent = np.inf
    for _ in range(repeats):
        began = time.process_time()
        found = fit_with_dilution(first, second, counts)
        spent = min(spent, time.process_time() - began)
    good = found.result.ok
    off = found.result.so2 / so2 - 1
    sigmas = np.abs(found.result.so2 - so2) / found.result.so2_sigma
    dilution_sigmas = np.abs(found.light_dilution[:, 0] - dilution) / found.light_dilution[:, 1]
    strong = (so2 > 500 * MOLEC_CM2_PER_PPM_M) & (dilution <= 0.4)
    return {
        "milliseconds_light_dilution": 1e3 * spent / count,
        "compile_seconds_light_dilution": compiling,
        "unique_share_strong": float(good[strong].mean()),
        "unique_share": float(good.mean()),
        "median_bias": float(np.median(off[good])),
        "within_5_percent": float(np.mean(np.abs(off[good]) < 0.05)),
        "within_1_sigma": float(np.mean(sigmas[good] < 1)),
        "within_2_sigma": float(np.mean(sigmas[good] < 2)),
        "largest_error": float(np.max(np.abs(off[good]), initial=0.0)),
        "dilution_within_1_sigma": float(np.mean(dilution_sigmas[good] < 1)),
        **{
            f"status_{FitStatus(int(code)).name.lower()}": float(np.sum(found.result.status == code))
            for code in np.unique(found.result.status)
        },
    }


def table_seconds(columns: int = 250, dilutions: int = 200) -> float:
    """Return the seconds [CPU] of a look-up table."""
    pair = models()
    counts, _, _ = simulated(1, 1000, 2)
    typical = fit_spectra(pair[0], counts)
    began = time.process_time()
    build_dilution_table(
        pair, typical, 0, np.linspace(0, 4000, columns) * MOLEC_CM2_PER_PPM_M, np.linspace(0, 0.6, dilutions)
    )
    return time.process_time() - began


def main() -> None:
    """Print the table and, where asked for, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spectra", type=int, default=2000)
    parser.add_argument("--coadds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3, help="of the timing (default 3)")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    row = measure(arguments.spectra, arguments.coadds, arguments.seed, arguments.repeats)
    row["lookup_table_seconds"] = table_seconds()
    print(f"light dilution from two windows, {arguments.spectra} spectra of {arguments.coadds} coadds, one thread")
    for name, value in row.items():
        text = name.replace("_", " ")
        if name.startswith("status_"):
            text = FIT_STATUS_TEXT[FitStatus[name.removeprefix("status_").upper()]]
        print(f"{value:12.4g}  {text}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
