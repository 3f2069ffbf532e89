"""The products of a calibration by the spectrometer, as the runner writes them together with the others."""

from collections.abc import Callable
from pathlib import Path

from so2cam.core.records import Provenance
from so2cam.core.results import CalibrationRecord, CalibrationSummary
from so2cam.core.site import Site
from so2cam.formats.calibration_page import write_calibration_page
from so2cam.formats.calibration_products import write_calibration_csv, write_calibration_netcdf


def calibration_products(
    out: Path, site: Site, record: CalibrationRecord, summary: CalibrationSummary | None, provenance: Provenance
) -> list[tuple[Path, Callable[[Path], None]]]:
    """Return the files calibration.nc, calibration.csv and calibration.png in ``out``, each with what writes it."""
    return [
        (out / "calibration.nc", lambda path: write_calibration_netcdf(path, record, provenance)),
        (out / "calibration.csv", lambda path: write_calibration_csv(path, record)),
        (out / "calibration.png", lambda path: write_calibration_page(path, record, summary, site_name=site.name)),
    ]
