"""How the light dilution of a run agrees with its spectra, as variables of ``emission_rates.nc``."""

from typing import Any, Final

import numpy as np

from so2cam.core.results import DilutionAgreement

_BAND: Final = (
    (
        "run_extinction",
        "extinction_per_m",
        "extinction between camera and plume, mean of the run",
        "m-1",
        "the mean of what was found, before it is smoothed in time",
    ),
    (
        "run_extinction_uncertainty",
        "uncertainty_per_m",
        "standard uncertainty of the run's extinction",
        "m-1",
        "1 sigma",
    ),
    (
        "spectral_extinction",
        "spectral_per_m",
        "extinction between camera and plume by the light dilution of the spectra",
        "m-1",
        "missing where the spectra tell none, or are themselves what light dilution is corrected by",
    ),
    (
        "spectral_extinction_uncertainty",
        "spectral_uncertainty_per_m",
        "standard uncertainty of the extinction by the spectra",
        "m-1",
        "1 sigma",
    ),
    (
        "extinction_difference",
        "difference_sigma",
        "difference of the run's extinction and that by the spectra over its standard uncertainty",
        "1",
        "2 and more deserves a look",
    ),
    (
        "clean_air_extinction",
        "clean_air_per_m",
        "extinction of air without haze at the height of the vent",
        "m-1",
        "by Rayleigh scattering alone, Bodhaine et al. 1999",
    ),
)
"""Name, field, long name, unit and comment of what each band has."""

_COLOUR: Final = "extinction_colour_deviation"
_COUNT: Final = "spectra_with_light_dilution"


def write_agreement(dataset: Any, found: DilutionAgreement) -> None:
    """Write ``found`` to an open netCDF ``dataset`` that has the dimension band."""
    for name, field, long_name, units, comment in _BAND:
        target = dataset.createVariable(name, "f8", ("band",), fill_value=np.nan)
        target.setncatts({"long_name": long_name, "units": units, "comment": comment, "coordinates": "band"})
        target[:] = np.array(getattr(found, field), np.float64)
    colour = dataset.createVariable(_COLOUR, "f8", (), fill_value=np.nan)
    colour.setncatts(
        {
            "long_name": "deviation of the two bands' extinctions from the law of the wavelength, over its uncertainty",
            "units": "1",
            "comment": "positive where the off band's extinction is too high; missing without extinctions from terrain",
        }
    )
    colour[...] = found.colour_sigma
    count = dataset.createVariable(_COUNT, "i4", (), fill_value=False)
    count.setncatts({"long_name": "number of spectra whose light dilution is known", "units": "1"})
    count[...] = found.spectra


def read_agreement(dataset: Any) -> DilutionAgreement | None:
    """Return what ``write_agreement`` wrote to ``dataset``; None where nothing was."""
    names = (*(name for name, *_ in _BAND), _COLOUR, _COUNT)
    if any(name not in dataset.variables for name in names):
        return None
    pairs = {}
    for name, field, *_ in _BAND:
        on, off = (float(value) for value in dataset.variables[name][...])
        pairs[field] = (on, off)
    return DilutionAgreement(
        **pairs, colour_sigma=float(dataset.variables[_COLOUR][...]), spectra=int(dataset.variables[_COUNT][...])
    )
