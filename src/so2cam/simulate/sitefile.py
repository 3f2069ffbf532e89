"""The site file of a simulated installation: complete, commented, and right in every value."""

import tomllib
from typing import Final

from pydantic import ValidationError

from so2cam.core.errors import InputError
from so2cam.core.site import GeoPoint, Line, Site
from so2cam.simulate.geometry import Matrix
from so2cam.simulate.ground import ground_lines
from so2cam.simulate.scenario import Scenario
from so2cam.simulate.scene import Scene

TERRAIN_MODEL: Final = "terrain.asc"
"""Name of the terrain model that stands beside the site file where there is light dilution"""
_TEMPLATE: Final = """\
# A simulated volcano (scenario "{scenario}"). Every value of this installation is right; the truth of its emission
# rates is in truth.json beside this file. Process it with: so2cam process site.toml --frames frames --out results
format = 1
name = "simulated-{scenario}"

[volcano]
name = "Simulated volcano"
{vent}

[camera]
{position}

[camera.view]  # the direction of the image's centre
azimuth_deg = {azimuth}  # clockwise from true north
azimuth_uncertainty_deg = 0.1
elevation_deg = {elevation}  # above the horizon
elevation_uncertainty_deg = 0.1
roll_deg = 0.0

[camera.optics]  # of the stored image
width_px = {width}
height_px = {height}
pixel_pitch_um = {pitch}
{lens}

{filters}
[camera.sensor]
bits = {bits}
saturation_fraction = 0.98  # of the full scale; from there a pixel is masked
minimum_signal_dn = 5.0  # below, after subtraction of the dark, a pixel is masked

[files]  # tags of the bands in the files' names
on_band = "fltrA"
off_band = "fltrB"

{registration}
[plume_plane]  # vertical, through the vent
orientation = "perpendicular"  # to the viewing azimuth
orientation_uncertainty_deg = 2.0
vent_distance_uncertainty_m = 10.0

# Cross-section lines: (x, y) pixels of the on-band image, y downward; normal is the side to which the plume crosses.
{lines}
[processing.pairing]
tolerance_s = 2.0  # between mid-exposure times of the two bands

[processing.background]
mode = "sky-surface"  # the clear-sky frames show another sky than that behind the plume
order = 2

[processing.calibration]
source = "cells"
model = "band"  # the curve of the bands: absorbance grows less than the column
label_uncertainty = {label_sigma}  # 1 sigma of a cell's label, relative{labels}

[processing.speed]
methods = ["flow_raw", "cross_correlation"]

[processing.speed.cross_correlation]
lines = [{pair}]  # upstream, downstream

[processing.emission]
baseline_fraction = 0.12  # share of a line at each end that is free of plume

{dilution}{spectrometer}"""


def format_site(scene: Scene) -> tuple[str, Site]:
    """Return the text of the site file, and what it says. Raises InputError where it would not be valid."""
    scenario, geometry, lines = scene.scenario, scene.geometry, scene.lines
    optics = geometry.optics
    if optics.field_of_view_deg is not None:
        across, down = optics.field_of_view_deg
        lens = f"field_of_view_deg = [{across}, {down}]  # full angle, horizontal and vertical"
    else:
        lens = f"focal_length_mm = {optics.focal_length_mm}"
    text = _TEMPLATE.format(
        scenario=scenario.name,
        vent=_place("vent", geometry.vent),
        position=_place("position", geometry.camera),
        azimuth=geometry.azimuth_deg,
        elevation=geometry.elevation_deg,
        width=optics.width_px,
        height=optics.height_px,
        pitch=optics.pixel_pitch_um,
        lens=lens,
        filters=_filters(scenario),
        dilution=_light_dilution(scene),
        bits=scenario.sensor.bits,
        registration=_registration(scenario, scene.matrix),
        lines="\n".join(_line(line) for line in lines),
        pair=", ".join(f'"{line.name}"' for line in lines),
        labels="" if any(scenario.cells.label_errors) else " (here the labels are exact)",
        label_sigma=_label_sigma(scenario),
        spectrometer=_spectrometer(scenario),
    )
    try:
        return text, Site.model_validate(tomllib.loads(text))
    except ValidationError as error:
        raise InputError(
            f"the scenario makes no valid site: {error.errors()[0]['msg']}",
            key=f"scenario {scenario.name}",
            remedy="correct the scenario's lines, plume and view so that both lines lie inside the image",
        ) from error


def _registration(scenario: Scenario, matrix: Matrix) -> str:
    if not scenario.misregistration.known:
        return '[registration]\nsource = "automatic"  # found in the frames\n'
    rows = "".join(f"  [{', '.join(repr(value) for value in row)}],\n" for row in matrix)
    return (
        "[registration]  # takes (x, y, 1) of an on-band pixel to the same scene in the off band\n"
        f"matrix = [\n{rows}]\n"
    )


def _filters(scenario: Scenario) -> str:
    """Return the table of the band-pass filters, as their maker states them."""
    filters = scenario.filters
    return f"""\
[camera.filters]
on_band_nm = {filters.on_centre_nm}
off_band_nm = {filters.off_centre_nm}
on_band_width_nm = {filters.width_nm}
off_band_width_nm = {filters.width_nm}
exponent = {filters.exponent}
o3_column_molec_cm2 = {scenario.air.o3_slant_molec_cm2:g}
"""


def _light_dilution(scene: Scene) -> str:
    """Return the table of light dilution: lines over ground of known distance, where there is any dilution."""
    if scene.scenario.air.extinction_310_per_m == 0:
        return ""
    text = f"""\
[processing.light_dilution]  # the lines may give way to terrain_model = "{TERRAIN_MODEL}", terrain_crs = "EPSG:4326"
mode = "terrain"  # dark ground of known distance
"""
    for line in ground_lines(scene):
        points = ", ".join(f"[{x:.0f}, {y:.0f}]" for x, y in line.points)
        distances = ", ".join(f"{distance}" for distance in line.distances_m)
        text += f"""
[[processing.light_dilution.regions]]
name = "{line.name}"
points = [{points}]
distance_m = [{distances}]
"""
    return text + "\n"


def _label_sigma(scenario: Scenario) -> float:
    """Return the uncertainty of the cells' labels that the site file states: 2 %, or more where they are wrong."""
    cells = scenario.cells
    wrong = [abs(error) for label, error in zip(cells.labels_ppm_m, cells.label_errors, strict=True) if label > 0]
    return round(max(0.02, *wrong, 0.02), 3)


def _spectrometer(scenario: Scenario) -> str:
    """Return the table of the spectrometer: its detector and line shape, as one knows them from its tests."""
    model = scenario.spectrometer
    return f"""\
[spectrometer.detector]
saturation_counts = {0.96 * (2**model.bits - 1):.0f}.0
minimum_counts = 500.0

[spectrometer.line_shape]  # a super-Gaussian, as measured with a lamp
width_nm = {model.width_nm}
exponent = {model.exponent}

[spectrometer.references]
so2 = {{ table = "{scenario.air.so2_table}", relative_uncertainty = 0.06 }}  # what this volcano is made of
"""


def _place(key: str, point: GeoPoint) -> str:
    return f"{key} = {{ latitude = {point.latitude}, longitude = {point.longitude}, altitude_m = {point.altitude_m} }}"


def _line(line: Line) -> str:
    start, end = (list(point) if point is not None else [] for point in (line.start, line.end))
    return f'[[lines]]\nname = "{line.name}"\nstart = {start}\nend = {end}\nnormal = "{line.normal}"\n'
