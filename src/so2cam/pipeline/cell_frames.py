"""Gas-cell and clear-sky frames that are not named as such: found by how much light they let through."""

from collections.abc import Sequence

import numpy as np

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.errors import InputError
from so2cam.core.records import FrameInfo, FrameKind
from so2cam.core.site import Site
from so2cam.core.times import format_utc
from so2cam.pipeline.frames import DarkLibrary, FrameReader
from so2cam.pipeline.regions import calibration_region
from so2cam.pipeline.steps import dark_corrected
from so2cam.science.calibration.cell_search import assign_cells


def find_cell_frames(
    site: Site, frames: Sequence[FrameInfo], reader: FrameReader
) -> tuple[tuple[FrameInfo, ...], tuple[str, ...]]:
    """Return ``frames`` with the cells and the clear sky of the site's cell search named, and what was found.

    Without a search they are returned as they are. Raises InputError where the cells are not found.
    """
    search = site.processing.calibration.search
    if search is None:
        return tuple(frames), ()
    darks = DarkLibrary([frame for frame in frames if frame.kind is FrameKind.DARK], site.processing, reader)
    region = calibration_region(site)
    levels: dict[str, float] = {}
    for info in frames:
        if info.kind is not FrameKind.PLUME or not search.start <= info.time < search.end:
            continue
        dark, frame = darks.dark_for(info), reader.read(info)
        if dark is not None and frame is not None:
            signal, _ = dark_corrected(frame.counts, dark, site.camera.sensor)
            levels[str(info.path)] = float(np.mean(signal[region]))
    if not levels:
        raise InputError(
            f"no frame with a dark lies within {format_utc(search.start)} and {format_utc(search.end)}",
            key="processing.calibration.search",
            remedy="check the times (UTC), and that darks are among the frames",
        )
    try:
        found = assign_cells(frames, levels, search)
    except ValueError as error:
        raise InputError(
            str(error),
            key="processing.calibration.search",
            remedy="check its times and cells, or name the frames' types in their file names",
        ) from None
    cells = ", ".join(f"{held.cell.name} ({len(held.frames)} frames)" for held in found.cells)
    notes = (f"cells found: {cells}; {len(found.dropped)} frames between them are left out",)
    return found.frames, notes


def label_uncertainty_molec_cm2(column_ppm_m: float, site: Site) -> float:
    """Return 1 sigma of a cell's column: its own where the cell search gives it, else the share of all cells."""
    calibration = site.processing.calibration
    column = column_ppm_m * MOLEC_CM2_PER_PPM_M
    if calibration.search is not None:
        for cell in calibration.search.cells:
            if abs(cell.column_molec_cm2 - column) <= 1e-6 * column:
                return cell.uncertainty_molec_cm2
    return calibration.label_uncertainty * column
