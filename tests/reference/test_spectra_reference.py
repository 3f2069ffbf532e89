"""Real spectra: columns of Masaya, 2018, and of a permanent instrument, 2019, against those of iFit."""

import csv
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.records import FloatArray
from so2cam.core.spectra import FitStatus
from so2cam.core.spectrometer import Fit, LineShapeSettings
from so2cam.science.spectra.fit import fit_spectra
from so2cam.science.spectra.model import FitTables, build_fit
from so2cam.science.spectra.table import SpectralTable

pytestmark = pytest.mark.data

REFERENCE_PPM_M = 2.652e15
"""molecules cm-2 in iFit's ppm m, in which the agreement is stated"""
SHAPE = LineShapeSettings(width_nm=0.6, fit=("width", "exponent", "width_asymmetry", "exponent_asymmetry"))


def read_table(path: Path) -> SpectralTable:
    values = np.loadtxt(path)
    values = values[np.argsort(values[:, 0])]
    return SpectralTable(values[:, 0].copy(), values[:, 1].copy(), path.name)


def fit_tables(data_dir: Path, line_shape: SpectralTable | None = None) -> FitTables:
    folder = data_dir / "reference_spectra"
    return FitTables(
        solar=read_table(folder / "sao2010.txt"),
        so2=read_table(folder / "SO2_293K.txt"),
        o3=(read_table(folder / "Serdyuchenko_O3_223K.txt"),),
        ring=read_table(folder / "Ring.txt"),
        line_shape=line_shape,
    )


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def without_stray_light(wavelengths: FloatArray, counts: FloatArray, low: float, high: float) -> FloatArray:
    dark_part = (wavelengths >= low) & (wavelengths <= high)
    return np.asarray(counts - counts[:, dark_part].mean(axis=1, keepdims=True))


@pytest.fixture(scope="module")
def masaya(data_dir: Path) -> tuple[FloatArray, FloatArray, list[dict[str, str]]]:
    folder = data_dir / "masaya"
    rows = read_rows(folder / "reference_columns.csv")
    wavelengths, dark = np.loadtxt(folder / "dark.txt", unpack=True)
    counts = np.array([np.loadtxt(folder / row["file"], usecols=1) for row in rows]) - dark
    return wavelengths, without_stray_light(wavelengths, counts, 280, 290), rows


@pytest.mark.parametrize("warm", [False, True])
def test_masaya(data_dir: Path, masaya: tuple[FloatArray, FloatArray, list[dict[str, str]]], warm: bool) -> None:
    wavelengths, counts, rows = masaya
    model = build_fit(wavelengths, fit=Fit(window_nm=(310, 320)), line_shape=SHAPE, tables=fit_tables(data_dir))
    found = fit_spectra(model, counts, warm=warm)
    assert len(rows) == 82
    assert model.wavelengths_nm.size == 129
    assert len(model.names) == 14
    assert (found.status == FitStatus.OK).all()
    columns, sigmas, chi2 = (np.array([float(row[key]) for row in rows]) for key in ("SO2", "SO2_err", "chisq"))
    assert np.abs(found.so2 - columns).max() / REFERENCE_PPM_M < 0.05
    assert np.abs(found.so2_sigma / sigmas - 1).max() < 0.02
    assert (found.chi2 / chi2).max() < 1 + 1e-6
    assert np.abs(found.parameter("ring")[0] - [float(row["Ring"]) for row in rows]).max() < 1e-4
    assert np.median(found.evaluations) < 12


def test_flame(data_dir: Path) -> None:
    folder = data_dir / "spectra_flame"
    rows = read_rows(folder / "reference_columns.csv")
    wavelengths, dark = np.load(next(folder.glob("*_Dark.npy")))
    names = [row["time"].replace(" ", "T").replace(":", "") for row in rows]
    raw = np.array([np.load(next(folder.glob(f"{name}_*_Plume.npy")))[1] for name in names]) - dark
    counts = without_stray_light(wavelengths, raw, 293, 296)
    shape = read_table(folder / "2019-07-03_302nm_ILS.txt")
    settings = LineShapeSettings(source="file", file="2019-07-03_302nm_ILS.txt")
    model = build_fit(wavelengths, fit=Fit(), line_shape=settings, tables=fit_tables(data_dir, shape))
    found = fit_spectra(model, counts)
    columns, sigmas = (np.array([float(row[key]) for row in rows]) for key in ("so2_molec_cm2", "so2_error_molec_cm2"))
    plume = columns > 1e18
    assert plume.sum() == 3
    assert (found.status == FitStatus.OK).all()
    assert np.abs(found.so2 / columns - 1)[plume].max() < 5e-4
    assert np.abs(found.so2 - columns)[~plume].max() / REFERENCE_PPM_M < 0.3
    assert np.abs(found.so2_sigma / sigmas - 1).max() < 0.02


def test_flame_with_the_whole_line_shape_is_close(data_dir: Path) -> None:
    """The reference's model ends 1 nm beyond the window, within the measured shape's tails; that costs 0.1 %."""
    folder = data_dir / "spectra_flame"
    wavelengths, dark = np.load(next(folder.glob("*_Dark.npy")))
    plume = np.load(next(folder.glob("2019-05-29T124407_*_Plume.npy")))[1] - dark
    counts = without_stray_light(wavelengths, plume[None], 293, 296)
    shape = read_table(folder / "2019-07-03_302nm_ILS.txt")
    settings = LineShapeSettings(source="file", file="2019-07-03_302nm_ILS.txt")
    tables = fit_tables(data_dir, shape)
    ends, whole = (
        build_fit(wavelengths, fit=Fit(model_padding_nm=padding), line_shape=settings, tables=tables)
        for padding in (1.0, 2.5)
    )
    difference = fit_spectra(whole, counts).so2[0] / fit_spectra(ends, counts).so2[0] - 1
    assert 2e-4 < abs(difference) < 2e-3
