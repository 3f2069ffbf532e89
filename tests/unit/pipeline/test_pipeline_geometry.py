"""The site's geometry in time: wind that turns, plumes without a distance, and the view from a landmark."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so2cam.core.errors import InputError
from so2cam.core.site import Site
from so2cam.core.status import EmissionStatus
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.geometry import (
    SiteGeometry,
    Wind,
    WindField,
    across_view_deg,
    camera_model,
    lines_at_plume,
    plume_plane,
    resolve_view,
)
from so2cam.science.geometry.camera import CameraModel, pixel_rays
from so2cam.science.geometry.landmark import landmark_direction
from so2cam.science.geometry.plume import plume_distance_m

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "villarrica" / "site.toml"
START = datetime(2018, 3, 26, 14, tzinfo=UTC)
HEAD = "time,speed_m_s,direction_from_deg\n"
VIEW = 171.3


def site(**tables: Any) -> Site:
    """Return the example's site with whole tables replaced."""
    settings = load_site(EXAMPLE).settings
    settings.update(tables)
    return Site.model_validate(settings)


def by_wind(**wind: Any) -> Site:
    return site(plume_plane={"orientation": "wind"}, wind=wind)


def in_time(folder: Path, *rows: tuple[float, float, float], **settings: Any) -> SiteGeometry:
    """Return the geometry with the wind of rows of (minutes, speed, direction)."""
    text = HEAD + "".join(f"{(START + timedelta(minutes=m)).isoformat()},{v},{d}\n" for m, v, d in rows)
    (folder / "wind.csv").write_text(text, encoding="utf-8")
    turning = by_wind(file="wind.csv", **settings)
    return SiteGeometry(turning, WindField(turning, folder))


def after(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def test_without_a_wind_table_there_is_no_wind_and_one_geometry(tmp_path: Path) -> None:
    plain = site()
    field = WindField(plain, tmp_path)
    assert field.at(START) is None
    assert field.file is None
    geometry = SiteGeometry(plain, field)
    found = geometry.at(START)
    assert found.status is EmissionStatus.OK
    assert found.wind is None
    assert found.camera == camera_model(plain)
    assert found.plane == plume_plane(plain)
    assert list(found.lines) == ["near", "far"]
    assert geometry.at(after(600)) == found
    for expected in lines_at_plume(plain):
        np.testing.assert_array_equal(found.lines[expected.line.name].piece_m, expected.piece_m)


def test_one_wind_for_all_times(tmp_path: Path) -> None:
    steady = site(wind={"speed_m_s": 6.0, "direction_from_deg": 250.0, "speed_uncertainty_m_s": 1.0})
    field = WindField(steady, tmp_path)
    wind = Wind(6.0, 1.0, 250.0, 15.0)
    assert field.at(START) == field.at(after(1e5)) == wind
    found = SiteGeometry(steady, field).at(START)
    assert found.wind == wind
    # The wind gives the speed; the plane stays what the site file says.
    assert found.plane == plume_plane(site())


def test_wind_of_a_file_lies_beside_the_site_file(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    (folder / "weather").mkdir(parents=True)
    (folder / "weather" / "wind.csv").write_text(HEAD + "2018-03-26T14:00Z,5,350\n2018-03-26T15:00Z,5,10\n")
    file_site = site(wind={"file": "weather/wind.csv", "direction_uncertainty_deg": 8.0, "maximum_gap_s": 3600})
    field = WindField(file_site, folder)
    assert field.file == folder / "weather" / "wind.csv"
    assert field.at(START) == Wind(5.0, 2.0, 350.0, 8.0)
    halfway = field.at(after(30))
    assert halfway is not None
    assert math.cos(math.radians(halfway.direction_from_deg)) == pytest.approx(1)
    assert field.at(after(-1)) is None
    assert field.at(after(61)) is None
    with pytest.raises(InputError, match="cannot be read"):
        WindField(file_site, tmp_path)
    # A gap that is too long is no wind, but the rows are.
    shorter = site(wind={"file": "weather/wind.csv", "maximum_gap_s": 3599})
    assert WindField(shorter, folder).at(after(30)) is None
    assert WindField(shorter, folder).at(after(60)) is not None


def test_the_plane_turns_with_the_wind(tmp_path: Path) -> None:
    geometry = in_time(tmp_path, (0, 6, 261.3), (60, 6, 301.3))
    across, between, oblique = (geometry.at(after(m)) for m in (0, 30, 60))
    assert {found.status for found in (across, between, oblique)} == {EmissionStatus.OK}
    # The wind from 261 drifts across the view: that is the plane the site has without any wind.
    still = lines_at_plume(site())
    np.testing.assert_allclose(across.lines["near"].distance_m, still[0].distance_m, rtol=3e-3)
    for found, from_deg in ((across, 261.3), (between, 281.3), (oblique, 301.3)):
        assert found.wind is not None
        assert found.wind.direction_from_deg == pytest.approx(from_deg)
        assert found.plane is not None
        assert not found.plane.turns_with_view
        along = math.radians(from_deg + 180)
        assert math.sin(found.plane.normal_azimuth_rad - along) ** 2 == pytest.approx(1, abs=1e-4)
        # By the definition of the plane: places seen on the line lie on the wind's way through the vent.
        for samples in found.lines.values():
            rays = pixel_rays(found.camera, samples.x, samples.y)
            east, north = rays[:, 0] * samples.distance_m, rays[:, 1] * samples.distance_m
            vent = found.plane.vent_distance_m
            east -= vent * math.sin(found.plane.vent_azimuth_rad)
            north -= vent * math.cos(found.plane.vent_azimuth_rad)
            off = east * math.cos(along) - north * math.sin(along)
            # Directions are rounded to half a degree.
            assert np.abs(off).max() < math.radians(0.26) * np.hypot(east, north).max() + 1
    near = [found.lines["near"].distance_m.mean() for found in (across, between, oblique)]
    assert len({round(float(d)) for d in near}) == 3


def test_a_plane_once_computed_is_kept_while_the_wind_hardly_turns(tmp_path: Path) -> None:
    geometry = in_time(tmp_path, (0, 6, 261.0), (60, 8, 261.2), (120, 8, 270.0))
    first, second, third = (geometry.at(after(m)) for m in (0, 60, 120))
    assert first.lines is second.lines
    assert first.wind is not None
    assert second.wind is not None
    # What is kept is the geometry, never the wind.
    assert (first.wind.speed_m_s, second.wind.speed_m_s) == (6.0, 8.0)
    assert second.wind.direction_from_deg == pytest.approx(261.2)
    assert third.lines is not first.lines
    again = geometry.at(START)
    np.testing.assert_array_equal(again.lines["near"].piece_m, first.lines["near"].piece_m)


def test_without_wind_there_is_no_plane(tmp_path: Path) -> None:
    geometry = in_time(tmp_path, (0, 6, 261), (60, 6, 261), maximum_gap_s=600.0)
    for minutes in (-1, 30, 61):
        found = geometry.at(after(minutes))
        assert found.status is EmissionStatus.NO_WIND
        assert found.lines == {}
        assert found.plane is None
        assert found.wind is None
    assert geometry.at(START).status is EmissionStatus.OK
    assert geometry.at(after(60)).status is EmissionStatus.OK


@pytest.mark.parametrize("turn", [0.0, 180.0])
@pytest.mark.parametrize("off_deg", [-9.0, 0.0, 9.0])
def test_a_plume_along_the_view_has_no_distance(tmp_path: Path, off_deg: float, turn: float) -> None:
    direction = (VIEW + off_deg + turn) % 360
    found = in_time(tmp_path, (0, 6, direction)).at(START)
    assert found.status is EmissionStatus.PLUME_ALONG_VIEW
    assert found.lines == {}
    assert found.plane is None
    assert found.wind is not None
    assert found.wind.direction_from_deg == pytest.approx(direction)


def test_a_plume_that_may_be_along_the_view_has_no_distance_either(tmp_path: Path) -> None:
    oblique = (VIEW + 40) % 360
    sure = in_time(tmp_path, (0, 6, oblique), direction_uncertainty_deg=5.0).at(START)
    assert sure.status is EmissionStatus.OK
    unsure = in_time(tmp_path, (0, 6, oblique), direction_uncertainty_deg=60.0).at(START)
    assert unsure.status is EmissionStatus.PLUME_ALONG_VIEW
    assert unsure.lines == {}


def test_a_plume_that_turns_along_the_view_and_out_of_it(tmp_path: Path) -> None:
    geometry = in_time(tmp_path, (0, 6, 261), (60, 6, 351), (120, 6, 81), maximum_gap_s=3600.0)
    statuses = [geometry.at(after(minutes)).status for minutes in (0, 60, 120)]
    assert statuses == [EmissionStatus.OK, EmissionStatus.PLUME_ALONG_VIEW, EmissionStatus.OK]
    # From opposite sides the plane is the same.
    first, last = geometry.at(START), geometry.at(after(120))
    np.testing.assert_allclose(first.lines["far"].piece_m, last.lines["far"].piece_m, rtol=1e-9)


def test_uncertainty_of_the_wind_is_that_of_the_distance(tmp_path: Path) -> None:
    oblique = (VIEW + 60) % 360
    small, large = (
        in_time(tmp_path, (0, 6, oblique), direction_uncertainty_deg=sigma).at(START).lines["near"]
        for sigma in (1.0, 10.0)
    )
    assert large.relative_distance_uncertainty > 2 * small.relative_distance_uncertainty
    np.testing.assert_array_equal(large.distance_m, small.distance_m)


@pytest.mark.parametrize(
    ("azimuth_deg", "across"),
    [(VIEW, 0), (VIEW + 180, 0), (VIEW + 90, 90), (VIEW - 90, 90), (VIEW + 30, 30), (VIEW - 150 - 360, 30)],
)
def test_angle_across_the_view(azimuth_deg: float, across: float) -> None:
    assert across_view_deg(site(), azimuth_deg) == pytest.approx(across, abs=1e-5)


def test_a_line_that_can_have_no_value_is_refused_before_the_work(tmp_path: Path) -> None:
    line = {"name": "near", "start": [300, 100], "end": [306, 100], "normal": "up"}
    short = site(lines=[line, {**line, "name": "far"}])
    with pytest.raises(InputError, match="too short"):
        SiteGeometry(short, WindField(short, tmp_path))
    settings = load_site(EXAMPLE).settings
    settings["camera"]["view"]["azimuth_deg"] = 351.3
    away = Site.model_validate(settings)
    with pytest.raises(InputError, match="not in front of the camera"):
        SiteGeometry(away, WindField(away, tmp_path))
    settings = load_site(EXAMPLE).settings
    settings["volcano"]["vent"]["latitude"] = 39.42
    wrong = Site.model_validate(settings)
    with pytest.raises(InputError, match="farther than any SO2 camera"):
        SiteGeometry(wrong, WindField(wrong, tmp_path))


SUMMIT = {"latitude": -39.42, "longitude": -71.93, "altitude_m": 2847}


def with_landmark(pixel: tuple[float, float], view: dict[str, Any] | None = None, **landmark: Any) -> Site:
    settings = load_site(EXAMPLE).settings
    settings["camera"]["view"].update(view or {})
    settings["camera"]["view"]["landmark"] = {"position": SUMMIT, "pixel": list(pixel), **landmark}
    return Site.model_validate(settings)


def summit_pixel() -> tuple[float, float]:
    """Return where the camera as it stands in the example sees the summit."""
    model = camera_model(site())
    azimuth, elevation, _ = landmark_direction((-39.3774, -71.946386, 1172), (-39.42, -71.93, 2847))
    off = azimuth - model.azimuth_rad
    tilt = model.elevation_rad
    flat = math.cos(elevation) * math.cos(off)
    depth = flat * math.cos(tilt) + math.sin(elevation) * math.sin(tilt)
    above = math.sin(elevation) * math.cos(tilt) - flat * math.sin(tilt)
    right = math.cos(elevation) * math.sin(off)
    return 323.5 + model.focal_length_px * right / depth, 242.5 - model.focal_length_px * above / depth


def looks_at(model: CameraModel, pixel: tuple[float, float]) -> tuple[float, float]:
    east, north, up = (float(v) for v in pixel_rays(model, np.array(pixel[0]), np.array(pixel[1])))
    return math.degrees(math.atan2(east, north)) % 360, math.degrees(math.asin(up))


def test_without_a_landmark_the_view_is_as_given() -> None:
    plain = site()
    assert resolve_view(plain) == (plain, ())


def test_a_landmark_that_agrees_gives_the_view_without_a_note() -> None:
    found, notes = resolve_view(with_landmark(summit_pixel()))
    assert notes == ()
    view = found.camera.view
    assert view.azimuth_deg == pytest.approx(VIEW, abs=1e-6)
    assert view.elevation_deg == pytest.approx(19.0, abs=1e-6)
    # 3 px of 0.043 degrees each, and 20 m at 5 km.
    assert view.azimuth_uncertainty_deg == pytest.approx(math.hypot(3 * 0.043 / math.cos(0.33), 0.233), rel=0.03)
    assert 0.2 < view.elevation_uncertainty_deg < 0.3
    # All else stays, the given landmark too.
    assert found.model_copy(update={"camera": site().camera}) == site()
    assert view.landmark is not None
    assert view.landmark.pixel == summit_pixel()


@pytest.mark.parametrize("roll_deg", [0.0, 6.0])
def test_the_view_found_shows_the_landmark_on_its_pixel(roll_deg: float) -> None:
    pixel = (250.0, 400.0)
    found, _ = resolve_view(with_landmark(pixel, {"roll_deg": roll_deg}))
    assert found.camera.view.roll_deg == roll_deg
    azimuth, elevation, _ = landmark_direction((-39.3774, -71.946386, 1172), (-39.42, -71.93, 2847))
    expected = math.degrees(azimuth) % 360, math.degrees(elevation)
    assert looks_at(camera_model(found), pixel) == pytest.approx(expected, abs=1e-8)
    x = np.array([pixel[0]]), np.array([pixel[1]])
    distance = plume_distance_m(camera_model(found), plume_plane(found), *x)
    assert distance[0] * math.cos(elevation) == pytest.approx(plume_plane(found).vent_distance_m, rel=1e-9)


def test_a_landmark_that_disagrees_is_said_for_each_angle() -> None:
    x, y = summit_pixel()
    found, notes = resolve_view(with_landmark((x - 120, y)))
    assert len(notes) == 1
    assert "azimuth" in notes[0]
    assert f"{found.camera.view.azimuth_deg:.2f} degrees" in notes[0]
    assert "171.3" in notes[0]
    assert found.camera.view.azimuth_deg > VIEW + 3
    _, both = resolve_view(with_landmark((x, y), {"azimuth_deg": 160.0, "elevation_deg": 10.0}))
    assert [note.split("its ")[1].split(",")[0] for note in both] == ["azimuth", "elevation"]
    assert "is 11.3 from the 160" in both[0]
    assert "is 9.0 from the 10" in both[1]


def test_azimuths_are_compared_the_short_way_round() -> None:
    """A view may be given as a negative angle."""
    x, y = summit_pixel()
    _, notes = resolve_view(with_landmark((x, y), {"azimuth_deg": VIEW - 360}))
    assert notes == ()


def test_what_was_aimed_at_roughly_is_compared_roughly() -> None:
    x, y = summit_pixel()
    _, notes = resolve_view(with_landmark((x, y), {"azimuth_deg": VIEW + 8, "azimuth_uncertainty_deg": 3.0}))
    assert notes == ()
    _, notes = resolve_view(with_landmark((x, y), {"azimuth_deg": VIEW + 0.4, "azimuth_uncertainty_deg": 0.0}))
    assert notes == ()
    _, notes = resolve_view(with_landmark((x, y), {"azimuth_deg": VIEW + 4, "azimuth_uncertainty_deg": 0.0}))
    assert len(notes) == 1


@pytest.mark.parametrize(
    "position",
    [
        {"latitude": -39.3774, "longitude": -71.946386, "altitude_m": 1200},
        {"latitude": -39.37741, "longitude": -71.9464, "altitude_m": 1300},
        {"latitude": -39.37745, "longitude": -71.9464, "altitude_m": 1250},
    ],
    ids=["where the camera stands", "overhead", "beyond the zenith"],
)
def test_a_landmark_that_no_view_shows_is_explained(position: dict[str, float]) -> None:
    impossible = with_landmark((620.0, 480.0), position=position)
    with pytest.raises(InputError, match="no viewing direction shows the landmark there") as caught:
        resolve_view(impossible)
    assert caught.value.key == "camera.view.landmark"
    assert caught.value.value == (620.0, 480.0)
