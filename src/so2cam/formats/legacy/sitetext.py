"""The text of an imported site file: every value with where it comes from, placeholders marked as such."""

import re
import tomllib
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from so2cam.core.errors import SiteFileError
from so2cam.core.site import GeoPoint, Line, Registration, Site, Table
from so2cam.core.site_dilution import LightDilution
from so2cam.formats.legacy.lines import PLACEHOLDER
from so2cam.formats.siteedit import edit_text

_HEADING: Final = re.compile(r"\n+(?=\[)")
_RULE = "# " + "-" * 100
_LINES = """\
# Cross-section lines: (x, y) pixels of the on-band image, x to the right, y downward, (0, 0) the centre of the
# top-left pixel; normal is the side to which the plume crosses (left, right, up, down). Both ends belong into
# plume-free sky. Lines with one `plume` name (the default is "plume") cross the same plume and are not added."""
_PLACEHOLDER_LINE = """\
# PLACEHOLDER - draw your own: no line of the old installation was found, and a site file needs one. This one stands
# in the middle of the image, and its emission rates mean nothing. Two real lines, one downstream of the other:
#
#   [[lines]]
#   name = "near"
#   start = [273, 236]
#   end = [408, 101]
#   normal = "left"
#
#   [[lines]]
#   name = "far"
#   start = [234, 214]
#   end = [379, 66]
#   normal = "left"
"""
_REGIONS = """\
# Lines over dark ground. Their distances are not in the old files: add distance_m = [.., ..] to each, one for each
# point, along the line of sight; or name a terrain model that tells them: terrain_model = "dem.tif". Then set
# mode = "terrain"."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Names of the files that the values come from; None where there was none and defaults stand in."""

    folder: str
    report: str
    geometry: str
    camera: str | None
    registration: str | None
    settings: str | None
    lines: tuple[str, ...]
    lens_note: str
    devices: tuple[str, ...]
    is_vent_from_table: bool


def format_site(site: Site, sources: Sources) -> str:
    """Return the commented text of ``site``. Raises SiteFileError where it would say something else."""
    text = "\n".join(
        [
            f"# Imported from the settings of an existing installation (folder {sources.folder}).",
            f"# What became of each of its settings: {sources.report}. Check this file with: so2cam check",
            "# What is left out takes its default.",
            "",
            "format = 1",
            f"name = {quoted(site.name)}",
            "",
            *_volcano(site, sources),
            *_camera(site, sources),
            *_registration(site.registration, sources),
            *_plume_plane(site, sources),
            *_lines(site.lines, sources),
            *_processing(site, sources),
            *_spectrometer(site, sources),
            *_instrument(site, sources),
        ]
    )
    try:
        is_same = Site.model_validate(tomllib.loads(text)) == site
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise SiteFileError(f"the imported site cannot be written as text: {error}") from error
    if not is_same:
        raise SiteFileError("the imported site cannot be written as text without a change")
    return text


def quoted(text: str) -> str:
    """Return ``text`` as a TOML string."""
    escaped = "".join(
        f"\\{character}" if character in '"\\' else character if character.isprintable() else f"\\U{ord(character):08X}"
        for character in text
    )
    return f'"{escaped}"'


def _with_tables(rows: list[str], *tables: tuple[tuple[str, ...], Table]) -> list[str]:
    """Return rows with tables of the site put in by their paths: what was given to them, not their defaults."""
    given = [(path, _given(table)) for path, table in tables]
    text = edit_text("\n".join(rows), [(path, values) for path, values in given if values or len(path) == 1])
    return [*_HEADING.sub("\n\n", text).strip().split("\n"), ""]


def _given(table: Table) -> dict[str, Any]:
    values = table.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    return {key: value for key, value in values.items() if value != {}}


def _volcano(site: Site, sources: Sources) -> list[str]:
    note = "  # of so2cam's own table: give yours" if sources.is_vent_from_table else ""
    return [
        "[volcano]",
        f"name = {quoted(site.volcano.name)}",
        "",
        f"[volcano.vent]{note}",
        *_place(site.volcano.vent),
        "",
    ]


def _place(point: GeoPoint) -> list[str]:
    return [
        f"latitude = {point.latitude!r}",
        f"longitude = {point.longitude!r}",
        f"altitude_m = {point.altitude_m!r}",
    ]


def _camera(site: Site, sources: Sources) -> list[str]:
    camera, origin = site.camera, sources.camera or "the old program's own defaults; no cam_specs file was found"
    optics = camera.optics
    across, down = optics.field_of_view_deg or (0.0, 0.0)
    return [
        _RULE,
        f"[camera.position]  # from {sources.geometry}; altitude with alt_offset",
        *_place(camera.position),
        "",
        "[camera.view]  # where the centre of the on-band image looks",
        f"azimuth_deg = {camera.view.azimuth_deg!r}  # clockwise from true north",
        f"azimuth_uncertainty_deg = {camera.view.azimuth_uncertainty_deg!r}  # 1 sigma; so2cam's default",
        f"elevation_deg = {camera.view.elevation_deg!r}  # above the horizon",
        f"elevation_uncertainty_deg = {camera.view.elevation_uncertainty_deg!r}  # 1 sigma; so2cam's default",
        "",
        f"[camera.optics]  # of the stored image; from {origin}",
        f"width_px = {optics.width_px}",
        f"height_px = {optics.height_px}",
        f"pixel_pitch_um = {optics.pixel_pitch_um!r}",
        "# Full angles, horizontal and vertical; both must give one focal length.",
        *([f"# {sources.lens_note}"] if sources.lens_note else []),
        f"field_of_view_deg = [{across!r}, {down!r}]",
        "",
        "[camera.sensor]",
        f"bits = {camera.sensor.bits}",
        "",
        "[files]  # tags of the bands in the names of frames",
        f"on_band = {quoted(site.files.on_band)}",
        f"off_band = {quoted(site.files.off_band)}",
        "",
    ]


def _registration(registration: Registration, sources: Sources) -> list[str]:
    if registration.source == "automatic":
        found = [
            "# No registration was found: each run finds it in its own frames. A matrix or control points fix it.",
            'source = "automatic"',
        ]
    else:
        rows = [f"  [{', '.join(repr(float(value)) for value in row)}]," for row in registration.matrix]
        found = [
            "# Takes (x, y, 1) of an on-band pixel to the (x, y) of the same scene in the off-band image.",
            f"# From {sources.registration}.",
            *("matrix = [", *rows, "]"),
        ]
    return [_RULE, "[registration]", *found, ""]


def _plume_plane(site: Site, sources: Sources) -> list[str]:
    note = "the vent is from a table" if sources.is_vent_from_table else "so2cam's default"
    return [
        _RULE,
        "[plume_plane]",
        'orientation = "perpendicular"  # vertical, through the vent, across the view',
        f"orientation_uncertainty_deg = {site.plume_plane.orientation_uncertainty_deg!r}  # 1 sigma; so2cam's default",
        f"vent_distance_uncertainty_m = {site.plume_plane.vent_distance_uncertainty_m!r}  # 1 sigma; {note}",
        "",
    ]


def _lines(lines: tuple[Line, ...], sources: Sources) -> list[str]:
    rows = [_LINES]
    if not sources.lines:
        rows.append(_PLACEHOLDER_LINE.rstrip())
    for line, origin in zip(lines, sources.lines or ("PLACEHOLDER",), strict=True):
        note = f"  # from {origin}" if line.name != PLACEHOLDER else "  # PLACEHOLDER - draw your own"
        start, end = line.start or (0.0, 0.0), line.end or (0.0, 0.0)
        rows += [
            "",
            f"[[lines]]{note}",
            f"name = {quoted(line.name)}",
            f"start = [{_pixels(start[0])}, {_pixels(start[1])}]",
            f"end = [{_pixels(end[0])}, {_pixels(end[1])}]",
            f"normal = {quoted(line.normal or '')}",
        ]
    return [*rows, ""]


def _pixels(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _processing(site: Site, sources: Sources) -> list[str]:
    processing = site.processing
    flow, correlation = processing.speed.optical_flow, processing.speed.cross_correlation
    origin = f"from {sources.settings}" if sources.settings else "so2cam's defaults; no settings file was found"
    rows = [
        _RULE,
        f"# The processing: {origin}.",
        "",
        "[processing.background]",
        f"mode = {quoted(processing.background.mode)}",
        "",
        "[processing.calibration]",
        f"source = {quoted(processing.calibration.source)}",
        f"model = {quoted(processing.calibration.model)}",
        f"label_uncertainty = {processing.calibration.label_uncertainty!r}  # 1 sigma; so2cam's default",
        "",
        "[processing.speed]",
        f"methods = [{', '.join(quoted(name) for name in processing.speed.methods)}]",
        "",
        "[processing.speed.optical_flow]",
        f"window_px = {flow.window_px}",
        f"levels = {flow.levels}",
        f"iterations = {flow.iterations}",
    ]
    if correlation.lines is not None:
        rows += [
            "",
            "[processing.speed.cross_correlation]",
            f"lines = [{', '.join(quoted(name) for name in correlation.lines)}]  # upstream, downstream",
            f"window_s = {correlation.window_s!r}",
        ]
    return _with_tables(
        [*rows, "", *_light_dilution(processing.light_dilution)],
        (("processing", "calibration", "spectrometer"), processing.calibration.spectrometer),
        (("processing", "speed", "nadeau"), processing.speed.nadeau),
    )


def _light_dilution(dilution: LightDilution) -> list[str]:
    """Return the table for light dilution; nothing where all of it is the default."""
    if dilution == LightDilution():
        return []
    rows = [
        "[processing.light_dilution]",
        f"mode = {quoted(dilution.mode)}",
        f"recalculation_min = {dilution.recalculation_min!r}",
    ]
    if dilution.regions:
        rows.append(_REGIONS)
    for region in dilution.regions:
        points = ", ".join(f"[{_pixels(x)}, {_pixels(y)}]" for x, y in region.points)
        rows += [
            "",
            "[[processing.light_dilution.regions]]",
            f"name = {quoted(region.name)}",
            f"points = [{points}]",
        ]
    return [*rows, ""]


def _spectrometer(site: Site, sources: Sources) -> list[str]:
    if site.spectrometer is None:
        return []
    rows = [_RULE, f"# The spectrometer: from {sources.settings}.", ""]
    return _with_tables(rows, (("spectrometer",), site.spectrometer))


def _instrument(site: Site, sources: Sources) -> list[str]:
    if site.instrument is None:
        return []
    rows = [
        _RULE,
        f"# The instrument: from {', '.join(sources.devices)}. Times are UTC, periods and exposures seconds.",
        "# Where the node is in the network the old files do not tell: add network.address, as 192.168.5.5/24, below",
        "# its name, and a table [instrument.link] by which the station reaches it.",
        "",
    ]
    return _with_tables(rows, (("instrument",), site.instrument))
