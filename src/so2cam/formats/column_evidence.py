"""What spectra tell of light dilution together, as variables of ``columns.nc``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.records import FloatArray
from so2cam.core.spectra import DilutionEvidence

_G: Final = "dilution_depth"
_COLUMN: Final = "so2_column_without_dilution"
_SIGMA: Final = "so2_column_without_dilution_random_uncertainty"
_MISFIT: Final = "light_dilution_misfit"

_TEXTS: Final = {
    _COLUMN: (
        "SO2 slant column density of a fit that knows no light dilution, in molecules per square centimetre",
        "cm-2",
        "too small where light is diluted",
    ),
    _SIGMA: (
        "random standard uncertainty of the SO2 slant column density of a fit that knows no light dilution",
        "cm-2",
        "1 sigma",
    ),
    _G: ("light dilution as a depth, -ln(1 - share of the light at 310 nm)", "1", "where the misfit is told"),
    _MISFIT: (
        "least chi-squared of the spectrum at a light dilution, the SO2 column free",
        "1",
        "above the lowest, in units of the noise's variance; spectra of some minutes have the least sum in common",
    ),
}


def write_evidence(dataset: Any, spectra: str, found: DilutionEvidence, common: Mapping[str, str]) -> None:
    """Write the variables to an open file whose dimension of spectra is ``spectra``; ``common`` are attributes.

    Raises ValueError where the arrays do not fit each other.
    """
    count, depths = found.so2_molec_cm2.size, found.depth.size
    if found.so2_random_molec_cm2.shape != (count,) or found.misfit.shape != (count, depths):
        raise ValueError(f"the evidence of {count} spectra at {depths} dilutions has other shapes")
    dataset.createDimension(_G, depths)
    for name, dimensions, values in (
        (_G, (_G,), found.depth),
        (_COLUMN, (spectra,), found.so2_molec_cm2),
        (_SIGMA, (spectra,), found.so2_random_molec_cm2),
        (_MISFIT, (spectra, _G), found.misfit),
    ):
        title, units, comment = _TEXTS[name]
        more = {} if name == _G else {"compression": "zlib", "complevel": 4, "shuffle": True, "fill_value": np.nan}
        variable = dataset.createVariable(name, np.float64, dimensions, **more)
        variable.setncatts({"long_name": title, "units": units, "comment": comment, **({} if name == _G else common)})
        if values.size:
            variable[:] = values


def read_evidence(dataset: Any, spectra: str, path: Path) -> DilutionEvidence | None:
    """Return what is written in an open file without automatic masks; None where there is nothing.

    Raises InputError where a variable of it is missing or of another shape.
    """
    if _MISFIT not in dataset.variables:
        return None

    def values(name: str, *dimensions: str) -> FloatArray:
        variable = dataset.variables.get(name)
        if variable is None or variable.dimensions != dimensions:
            raise InputError(
                f"is not a file of SO2 columns: a variable over {' and '.join(dimensions)} is missing",
                file=path,
                key=name,
                remedy="write the product again with so2cam",
            )
        return np.asarray(variable[...], np.float64)

    return DilutionEvidence(
        so2_molec_cm2=values(_COLUMN, spectra),
        so2_random_molec_cm2=values(_SIGMA, spectra),
        depth=values(_G, _G),
        misfit=values(_MISFIT, spectra, _G),
    )
