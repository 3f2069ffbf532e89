"""``so2cam check``: what is wrong or risky in a site file."""

from pathlib import Path

import click
from rich.markup import escape

from so2cam.cli.console import console, report_warning
from so2cam.cli.schedule_findings import report_schedule
from so2cam.formats.sitefile import check_site, is_spectrometer_only, load_site, load_spectrometer, settings_hash
from so2cam.pipeline.geometry import WindField, lines_at_plume, plume_plane_risks, resolve_view
from so2cam.pipeline.spectral_models import SpectralModels


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
    risks = [*check_site(site_seen), *notes, *plume_plane_risks(site_seen, wind)]
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
    if loaded.site.instrument is not None:
        for node in loaded.site.instrument.nodes:
            devices = ", ".join(f"{device.name} ({device.driver})" for device in node.enabled) or "no devices"
            console.print(f"  node {node.name} ({node.role}): {devices}", markup=False)
    console.print(f"  settings: {settings_hash(loaded.settings)[:12]}", markup=False)
    for risk in risks:
        report_warning(risk)
    report_schedule(loaded)
    console.print(f"{site} is valid" + (f", with {len(risks)} warnings" if risks else ""), markup=False)
