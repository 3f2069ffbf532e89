"""``so2cam check``: what is wrong or risky in a site file."""

from pathlib import Path

import click
import numpy as np
from rich.markup import escape

from so2cam.cli.console import console, report_warning
from so2cam.cli.schedule_findings import report_schedule
from so2cam.core.site import Site
from so2cam.formats.sitefile import check_site, is_spectrometer_only, load_site, load_spectrometer, settings_hash
from so2cam.pipeline.bands import site_shape
from so2cam.pipeline.calibration_store import load_stored
from so2cam.pipeline.dilution_terrain import site_ground
from so2cam.pipeline.geometry import WindField, lines_at_plume, plume_plane_risks, resolve_view
from so2cam.pipeline.spectral_models import SpectralModels
from so2cam.pipeline.uncorrected_dilution import uncorrected_dilution_risks


def _learnt(site: Site, folder: Path) -> list[str]:
    """Return how a site is calibrated and what its light dilution rests on.

    Raises So2camError where curve, stored calibrations or terrain model cannot be used.
    """
    calibration, dilution = site.processing.calibration, site.processing.light_dilution
    shape = site_shape(site) if calibration.model == "band" else None
    text = f"calibration: {calibration.source}, {calibration.model}"
    if calibration.by_spectrometer:
        settings = calibration.spectrometer
        text += f", {settings.policy}; field of view by {settings.field_of_view.source}"
        if settings.stored is not None:
            earlier = load_stored(folder / settings.stored, shape).earlier
            text += f"; {len(earlier)} stored calibrations in {settings.stored}"
    texts = [text]
    if dilution.mode == "terrain":
        distance = site_ground(site, folder).distance_m
        known = distance[np.isfinite(distance)]
        where = f"{known.min() / 1000:.2f} to {known.max() / 1000:.2f} km" if known.size else "no ground in the image"
        texts.append(f"light dilution: terrain, {known.size} pixels of ground, {where}")
    elif dilution.mode != "none":
        texts.append(f"light dilution: {dilution.mode}")
    return texts


@click.command(
    epilog="""\b
Examples:
  so2cam check examples/villarrica/site.toml

\b
Exit codes: 0 the file is valid (risks are printed as warnings); 2 it is not."""
)
@click.argument("site", type=click.Path(path_type=Path))
def command(site: Path) -> None:
    """Say what is wrong or risky in a site file.

    SITE is the site file. Errors name the key, what is expected and what was found.
    """
    if is_spectrometer_only(site):
        spectra = load_spectrometer(site)
        SpectralModels(spectra.spectrometer, site.parent)
        console.print(f"[bold]{escape(spectra.name)}[/bold]: spectra only")
        console.print(f"  settings: {settings_hash(spectra.settings)[:12]}", markup=False)
        console.print(f"{site} is valid for `so2cam spectra`", markup=False)
        return
    loaded = load_site(site)
    site_seen, notes = resolve_view(loaded.site)
    wind = WindField(site_seen, site.parent)
    lines_at_plume(site_seen)
    lines = lines_at_plume(site_seen, wind.constant, require=False)
    risks = [
        *check_site(site_seen),
        *notes,
        *plume_plane_risks(site_seen, wind),
        *uncorrected_dilution_risks(site_seen),
    ]
    learnt = _learnt(site_seen, site.parent)
    console.print(f"[bold]{escape(loaded.site.name)}[/bold]: {escape(loaded.site.volcano.name)}")
    view = site_seen.camera.view
    if view.landmark is not None:
        console.print(
            f"  view by the landmark: azimuth {view.azimuth_deg:.2f} ± {view.azimuth_uncertainty_deg:.2f}, elevation "
            f"{view.elevation_deg:.2f} ± {view.elevation_uncertainty_deg:.2f} degrees"
        )
    for samples in lines:
        console.print(
            f"  line {samples.line.name}: {samples.line.length_px:.0f} px, {samples.piece_m.sum():.0f} m at "
            f"{samples.distance_m.mean() / 1000:.2f} ± "
            f"{samples.distance_m.mean() * samples.relative_distance_uncertainty / 1000:.2f} km",
            markup=False,
        )
    if site_seen.plume_plane.orientation == "wind" and wind.constant is None:
        console.print("  distances are those of a plume across the view: in a run they turn with the wind's file")
    console.print(f"  total: {', '.join(loaded.site.total_lines)}", markup=False)
    for text in learnt:
        console.print(f"  {text}", markup=False)
    if loaded.site.instrument is not None:
        for node in loaded.site.instrument.nodes:
            devices = ", ".join(f"{device.name} ({device.driver})" for device in node.enabled) or "no devices"
            console.print(f"  node {node.name} ({node.role}): {devices}", markup=False)
    console.print(f"  settings: {settings_hash(loaded.settings)[:12]}", markup=False)
    for risk in risks:
        report_warning(risk)
    warned = len(risks) + report_schedule(loaded)[0]
    console.print(
        f"{site} is valid" + (f", with {warned} warning{'s' if warned > 1 else ''}" if warned else ""),
        markup=False,
    )
