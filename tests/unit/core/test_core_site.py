"""The models of the site file, apart from its reading."""

import math
from typing import Any

import pytest
from pydantic import ValidationError

from so2cam.core.site import Background, Calibration, Line, Optics, Registration, Sensor, Site
from so2cam.core.spectrometer import Spectrometer


def document() -> dict[str, Any]:
    place = {"latitude": -39.35, "longitude": -71.95, "altitude_m": 1500}
    return {
        "name": "site",
        "volcano": {"name": "Villarrica", "vent": {"latitude": -39.42, "longitude": -71.94, "altitude_m": 2800}},
        "camera": {
            "position": place,
            "view": {"azimuth_deg": 175, "elevation_deg": 10},
            "optics": {"field_of_view_deg": [28, 21.2]},
        },
        "lines": [
            {"name": "near", "start": [200, 100], "end": [200, 300], "normal": "left"},
            {"name": "far", "start": [150, 100], "end": [150, 300], "normal": "left"},
            {"name": "other", "start": [450, 100], "end": [450, 300], "normal": "right", "plume": "second"},
        ],
    }


def test_focal_length_from_the_field_of_view() -> None:
    # 648 pixels of 5.6 um behind a lens of 28 degrees: 7.28 mm.
    optics = Optics(field_of_view_deg=(28, 21.2))
    assert optics.focal_length_m == pytest.approx(7.276e-3, rel=2e-3)


def test_a_lens_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValidationError, match="contradict each other"):
        Optics(field_of_view_deg=(28, 28))
    with pytest.raises(ValidationError, match="give field_of_view_deg or focal_length_mm"):
        Optics()


def test_saturation_of_a_ten_bit_camera() -> None:
    sensor = Sensor(bits=10)
    assert sensor.maximum_dn == 1023
    assert sensor.saturation_dn == pytest.approx(1002.54)


@pytest.mark.parametrize(
    ("normal", "expected"), [("left", (-1, 0)), ("right", (1, 0))], ids=["to the left", "to the right"]
)
def test_normal_of_an_upright_line(normal: Any, expected: tuple[float, float]) -> None:
    for start, end in (((50, 10), (50, 90)), ((50, 90), (50, 10))):
        line = Line(name="a", start=start, end=end, normal=normal).to_plume_line()
        assert line.normal == pytest.approx(expected)


@pytest.mark.parametrize("angle_deg", range(0, 360, 15))
def test_normal_is_a_unit_vector_across_the_line_on_the_side_named(angle_deg: int) -> None:
    dx, dy = 40 * math.cos(math.radians(angle_deg)), 40 * math.sin(math.radians(angle_deg))
    side = "up" if abs(dx) > abs(dy) else "right"
    line = Line(name="a", start=(100, 100), end=(100 + dx, 100 + dy), normal=side).to_plume_line()
    assert math.hypot(*line.normal) == pytest.approx(1)
    assert line.normal[0] * dx + line.normal[1] * dy == pytest.approx(0, abs=1e-9)
    assert (line.normal[1] < 0) if side == "up" else (line.normal[0] > 0)


def test_a_normal_along_the_line_is_refused() -> None:
    with pytest.raises(ValidationError, match="runs along the line"):
        Line(name="a", start=(50, 10), end=(50, 90), normal="up")


def test_a_line_of_no_length_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least 4 px"):
        Line(name="a", start=(50, 10), end=(51, 10), normal="up")


def test_the_total_counts_every_plume_once() -> None:
    assert Site.model_validate(document()).total_lines == ("near", "other")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lines": [document()["lines"][0]] * 2}, "two lines are called"),
        ({"processing": {"emission": {"total_lines": ["nowhere"]}}}, "there is no line"),
        ({"processing": {"speed": {"cross_correlation": {"lines": ["near", "near"]}}}}, "one line twice"),
        ({"processing": {"speed": {"methods": ["flow_raw", "flow_raw"]}}}, "twice"),
        ({"processing": {"dark": {"exposure_tolerance": -0.1}}}, "greater than or equal"),
        ({"processing": {"unknown": 1}}, "Extra inputs"),
    ],
)
def test_contradictions_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Site.model_validate({**document(), **change})


@pytest.mark.parametrize("end", [(700, 300), (200, 500), (-1, 300)])
def test_a_line_outside_the_image_is_refused(end: tuple[float, float]) -> None:
    changed = document()
    changed["lines"][0]["end"] = end
    with pytest.raises(ValidationError, match="outside the image"):
        Site.model_validate(changed)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_no_number_is_not_a_number(number: float) -> None:
    with pytest.raises(ValidationError):
        Background(skyline=((0, number), (647, 300)))
    with pytest.raises(ValidationError):
        Registration(matrix=((1, 0, number), (0, 1, 0)))


@pytest.mark.parametrize("matrix", [((0, 0, 0), (0, 0, 0)), ((1, 0, 0), (1, 0, 0)), ((-1, 0, 0), (0, 1, 0))])
def test_a_registration_that_cannot_be_undone_is_refused(matrix: Any) -> None:
    with pytest.raises(ValidationError, match="scales areas"):
        Registration(matrix=matrix)


def test_number_99_means_the_clear_sky_as_it_is() -> None:
    assert Background(mode=99).mode == "clear-sky"  # type: ignore[arg-type]
    assert Background().mode == "sky-surface"


def test_a_skyline_runs_from_left_to_right() -> None:
    with pytest.raises(ValidationError, match="left to right"):
        Background(skyline=((100, 300), (50, 310)))


def test_a_fixed_calibration_needs_its_numbers_and_cells_take_none() -> None:
    with pytest.raises(ValidationError, match="needs slope_molec_cm2"):
        Calibration(source="fixed", slope_molec_cm2=1e19)
    with pytest.raises(ValidationError, match='with source = "fixed" only'):
        Calibration(slope_molec_cm2=1e19)
    with pytest.raises(ValidationError, match="x0 < x1"):
        Calibration(region=(100, 0, 50, 10))


def test_the_optical_density_fit_knows_no_light_dilution() -> None:
    with pytest.raises(ValidationError, match="knows no dilution"):
        Spectrometer.model_validate({"fit": {"method": "optical-density"}, "light_dilution": {"mode": "fit"}})
