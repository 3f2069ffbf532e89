"""Compiles the fits of spectra before they are needed: numba does it at their first use, and keeps it on the disk."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from so2cam.formats.sitefile import load_site, spectrometer_of
from so2cam.pipeline.spectra_batch import fit_files, plan_spectra
from so2cam.pipeline.truth import with_settings
from so2cam.simulate import load_scenario, simulate

COLUMNS: Final = "columns"
DILUTION: Final = "light dilution"
_SETTINGS: Final[dict[str, dict[str, Any]]] = {
    COLUMNS: {},
    DILUTION: {
        "processing": {"light_dilution": {"mode": "spectrum"}},
        "spectrometer": {"light_dilution": {"mode": "fit"}},
    },
}


def compile_fits(*, dilution: bool, tell: Callable[[str], None] = lambda what: None) -> None:
    """Fit a few simulated spectra, so that all that is compiled is; with ``dilution`` that of light dilution too.

    ``tell`` is called before each part.
    """
    with tempfile.TemporaryDirectory(prefix="so2cam-compile-") as name:
        made = simulate(load_scenario("baseline"), Path(name) / "run", seed=1, pairs=2)
        site = load_site(made.site)
        for what in (COLUMNS, DILUTION) if dilution else (COLUMNS,):
            tell(what)
            loaded = spectrometer_of(with_settings(site, _SETTINGS[what]))
            fit_files(loaded, plan_spectra(loaded, [made.spectra]), jobs=1, progress=None)
