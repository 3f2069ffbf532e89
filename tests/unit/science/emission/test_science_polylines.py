"""Polylines and arcs at the plume: lengths, normals, and emission rates that do not depend on the line's shape."""

import math
from itertools import pairwise

import numpy as np
import pytest

from so2cam.core.records import FloatArray, PlumeLine
from so2cam.core.site_lines import Arc, Line
from so2cam.science.emission.lines import LineSamples, line_samples, sample_positions
from so2cam.science.geometry.camera import CameraModel
from so2cam.science.geometry.plume import DistanceUncertainty, PlumePlane

SIGMA = DistanceUncertainty(50.0, math.radians(1.0), math.radians(10.0))
CENTRE = (323.5, 242.5)
# A long lens, so that the image of the plane is flat: 1 px is 0.5 m everywhere.
CAMERA = CameraModel(648, 486, 40_000.0, 0.0, 0.0)
PLANE = PlumePlane(20_000.0, 0.0, 0.0)
M_PER_PX = 0.5

SHAPES: dict[str, PlumeLine] = {
    "straight": PlumeLine("straight", ((100.0, 60.0), (220.0, 400.0))),
    "bent": PlumeLine("bent", ((100.0, 60.0), (300.0, 200.0), (120.0, 420.0)), -1),
    "many corners": PlumeLine(
        "many corners", tuple((100 + 3.7 * i + 20 * math.sin(i), 60 + 11.3 * i) for i in range(30)), 1
    ),
    "arc": Line(
        name="arc", arc=Arc(centre=CENTRE, radius_px=150, from_deg=-70, to_deg=95), normal="outward"
    ).to_plume_line(),
    "circle": Line(name="circle", arc=Arc(centre=CENTRE, radius_px=120), normal="inward").to_plume_line(),
    "closed": Line(
        name="closed", points=((200, 100), (450, 130), (400, 400), (180, 300)), closed=True, normal="outward"
    ).to_plume_line(),
}


def samples_of(line: PlumeLine) -> LineSamples:
    return line_samples(line, CAMERA, PLANE, SIGMA)


@pytest.mark.parametrize("name", SHAPES)
def test_samples_times_spacing_is_the_length(name: str) -> None:
    line = SHAPES[name]
    x, y, position, direction, spacing = sample_positions(line)
    assert x.size * spacing == pytest.approx(line.length_px, rel=1e-12)
    assert 0.99 < spacing <= 1
    np.testing.assert_allclose(np.diff(position), 1 / x.size, rtol=1e-9)
    np.testing.assert_allclose(np.hypot(direction[:, 0], direction[:, 1]), 1, rtol=1e-12)
    # Around a corner the way is longer than the distance, elsewhere it is the same.
    apart = np.hypot(np.diff(x), np.diff(y))
    assert (apart <= spacing + 1e-9).all()
    straight = (np.abs(np.diff(direction, axis=0)) < 1e-12).all(axis=1)
    np.testing.assert_allclose(apart[straight], spacing, rtol=1e-9)


@pytest.mark.parametrize("name", SHAPES)
def test_samples_lie_on_the_line(name: str) -> None:
    x, y, *_ = sample_positions(SHAPES[name])
    points = np.asarray(SHAPES[name].points)
    nearest = np.full(x.shape, np.inf)
    for a, b in pairwise(points):
        along = np.clip(((x - a[0]) * (b - a)[0] + (y - a[1]) * (b - a)[1]) / np.sum((b - a) ** 2), 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - a[0] - along * (b - a)[0], y - a[1] - along * (b - a)[1]))
    assert nearest.max() < 1e-9


@pytest.mark.parametrize("name", SHAPES)
def test_length_at_the_plume(name: str) -> None:
    samples = samples_of(SHAPES[name])
    assert samples.piece_m.sum() == pytest.approx(SHAPES[name].length_px * M_PER_PX, rel=1e-4)
    np.testing.assert_allclose(samples.normal_step_m, M_PER_PX, rtol=2e-4)


@pytest.mark.parametrize("name", SHAPES)
def test_normals_are_perpendicular_and_on_the_lines_side(name: str) -> None:
    line = SHAPES[name]
    *_, direction, _ = sample_positions(line)
    normal = samples_of(line).normal
    np.testing.assert_allclose(np.hypot(normal[:, 0], normal[:, 1]), 1, rtol=1e-12)
    np.testing.assert_allclose(np.sum(normal * direction, axis=1), 0, atol=1e-12)
    # Right of travel as seen in the image, where y runs downward, is direction x normal > 0.
    cross = direction[:, 0] * normal[:, 1] - direction[:, 1] * normal[:, 0]
    np.testing.assert_allclose(cross, line.side, rtol=1e-12)


@pytest.mark.parametrize(("name", "sign"), [("arc", 1), ("circle", -1)])
def test_normals_of_arcs_are_radial(name: str, sign: int) -> None:
    samples = samples_of(SHAPES[name])
    away = np.stack([samples.x - CENTRE[0], samples.y - CENTRE[1]], axis=-1)
    away /= np.hypot(away[:, 0], away[:, 1])[:, None]
    assert (sign * np.sum(away * samples.normal, axis=1) > 0.9999).all()


@pytest.mark.parametrize("name", ["circle", "closed"])
def test_what_enters_a_closed_line_leaves_it(name: str) -> None:
    """An even stream through a closed line has no net emission rate."""
    samples = samples_of(SHAPES[name])
    for towards in (0.3, 2.0, 4.0):
        across = samples.normal @ np.array([math.sin(towards), math.cos(towards)])
        through = float(np.sum(across * samples.normal_step_m * samples.piece_m))
        gross = float(np.sum(np.abs(across) * samples.normal_step_m * samples.piece_m))
        assert abs(through) < 3e-3 * gross


def outflow(
    samples: LineSamples, source: tuple[float, float], rate: float, speed_px_s: float
) -> tuple[FloatArray, FloatArray]:
    """Return columns [kg m-2] and motion (N, 2) [px s-1] of what flows from a point evenly to all sides."""
    away = np.stack([samples.x - source[0], samples.y - source[1]], axis=-1)
    radius = np.hypot(away[:, 0], away[:, 1])
    column = rate / (2 * math.pi * radius * M_PER_PX * speed_px_s * M_PER_PX)
    return column, speed_px_s * away / radius[:, None]


@pytest.mark.parametrize("normal", ["outward", "inward"])
@pytest.mark.parametrize("radius", [12.0, 60.0, 200.0])
@pytest.mark.parametrize("offset", [(0.0, 0.0), (4.0, -3.0)])
def test_a_circle_around_a_source_has_its_emission_rate(
    normal: str, radius: float, offset: tuple[float, float]
) -> None:
    """To all sides alike, and exact wherever in the circle the source lies."""
    shape = Arc(centre=CENTRE, radius_px=radius, from_deg=15, to_deg=375)
    samples = samples_of(Line(name="around", arc=shape, normal=normal).to_plume_line())
    column, motion = outflow(samples, (CENTRE[0] + offset[0], CENTRE[1] + offset[1]), 2.5, 6.0)
    speed = np.sum(motion * samples.normal, axis=1) * samples.normal_step_m
    rate = float(np.sum(column * speed * samples.piece_m))
    assert rate == pytest.approx(2.5 if normal == "outward" else -2.5, rel=0.005)


def test_half_of_a_circle_has_half_of_it_and_a_source_outside_has_none() -> None:
    half = samples_of(
        Line(
            name="half", arc=Arc(centre=CENTRE, radius_px=80, from_deg=20, to_deg=200), normal="outward"
        ).to_plume_line()
    )
    column, motion = outflow(half, CENTRE, 2.5, 6.0)
    speed = np.sum(motion * half.normal, axis=1) * half.normal_step_m
    assert float(np.sum(column * speed * half.piece_m)) == pytest.approx(1.25, rel=0.005)
    closed = samples_of(SHAPES["closed"])
    column, motion = outflow(closed, (20.0, 30.0), 2.5, 6.0)
    speed = np.sum(motion * closed.normal, axis=1) * closed.normal_step_m
    assert abs(float(np.sum(column * speed * closed.piece_m))) < 0.005 * 2.5


PLUME_LINES = {
    "straight": {"start": (300, 60), "end": (300, 430), "normal": "right"},
    "slanting": {"start": (200, 70), "end": (420, 420), "normal": "right"},
    "back": {"start": (300, 430), "end": (300, 60), "normal": "right"},
    "bent": {"points": ((300, 60), (420, 230), (240, 430)), "normal": "right"},
    "zigzag": {"points": ((250, 60), (330, 150), (260, 220), (380, 260), (280, 430)), "normal": "right"},
    "arc": {"arc": {"centre": (200, 245), "radius_px": 180, "from_deg": 15, "to_deg": 165}, "normal": "outward"},
    "against": {"points": ((300, 60), (420, 230), (240, 430)), "normal": "left"},
}


@pytest.mark.parametrize("name", PLUME_LINES)
@pytest.mark.parametrize("drift_deg", [90.0, 80.0])
def test_across_an_even_plume_the_shape_of_the_line_does_not_matter(name: str, drift_deg: float) -> None:
    """A plume that drifts evenly has one emission rate, whatever line cuts all of it."""
    along = np.array([math.sin(math.radians(drift_deg)), -math.cos(math.radians(drift_deg))])
    across = np.array([-along[1], along[0]])
    samples = samples_of(Line.model_validate({"name": name, **PLUME_LINES[name]}).to_plume_line())
    place = np.stack([samples.x - 300, samples.y - 245], axis=-1) @ across
    column = 2e-3 * np.exp(-0.5 * (place / 25) ** 2)
    speed = (samples.normal @ (7.0 * along)) * samples.normal_step_m
    rate = float(np.sum(column * speed * samples.piece_m))
    truth = 2e-3 * 25 * math.sqrt(2 * math.pi) * M_PER_PX * 7.0 * M_PER_PX
    # The sample that holds a corner has the direction of one of its two pieces: an error of half a pixel at the most.
    tolerance = 8e-3 if "points" in PLUME_LINES[name] else 5e-4
    assert rate == pytest.approx(-truth if name == "against" else truth, rel=tolerance)


def test_off_the_axis_a_bent_line_has_the_rate_of_a_straight_one() -> None:
    """With a wide lens and a tilted camera too: the sheet's columns are those of slanting rays, its motion real."""
    camera = CameraModel(648, 486, 700.0, 0.0, math.radians(15))
    plane = PlumePlane(4000.0, 0.0, math.radians(20), turns_with_view=False)
    normal = np.array([math.sin(math.radians(20)), math.cos(math.radians(20)), 0.0])
    drift = np.array([normal[1], -normal[0], 0.0])
    rates = []
    for shape in (
        {"start": (320, 20), "end": (320, 470), "normal": "right"},
        {"points": ((150, 20), (420, 250), (210, 470)), "normal": "right"},
        {"arc": {"centre": (100, 250), "radius_px": 240, "from_deg": 20, "to_deg": 160}, "normal": "outward"},
    ):
        samples = line_samples(Line.model_validate({"name": "a", **shape}).to_plume_line(), camera, plane, SIGMA)

        def image(at: FloatArray) -> FloatArray:
            tilt = math.radians(15)
            depth = at[:, 1] * math.cos(tilt) + at[:, 2] * math.sin(tilt)
            above = at[:, 2] * math.cos(tilt) - at[:, 1] * math.sin(tilt)
            return np.stack([CENTRE[0] + 700 * at[:, 0] / depth, CENTRE[1] - 700 * above / depth], axis=-1)

        u, v = (samples.x - CENTRE[0]) / 700, (CENTRE[1] - samples.y) / 700
        tilt = math.radians(15)
        rays = np.stack([u, math.cos(tilt) - v * math.sin(tilt), math.sin(tilt) + v * math.cos(tilt)], axis=-1)
        rays /= np.linalg.norm(rays, axis=1)[:, None]
        places = rays * samples.distance_m[:, None]
        column = 1e-3 * np.exp(-0.5 * ((places[:, 2] - 1100) / 150) ** 2) / (rays @ normal)
        motion = (image(places + 0.05 * drift) - image(places - 0.05 * drift)) / 0.1 * 9.0
        speed = np.sum(motion * samples.normal, axis=1) * samples.normal_step_m
        rates.append(float(np.sum(column * speed * samples.piece_m)))
    np.testing.assert_allclose(rates, 1e-3 * 150 * math.sqrt(2 * math.pi) * 9.0, rtol=2e-3)
