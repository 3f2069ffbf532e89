"""The geometry of a site as numbers, against a simulated volcano whose truth is known."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from so2cam.core.errors import InputError
from so2cam.core.site import Site
from so2cam.formats.sitefile import LoadedSite, load_site, load_site_text
from so2cam.simulate.geometry import SceneGeometry, build_geometry
from so2cam.simulate.scenario import load_scenario
from so2cam.station.geometry_view import (
    GeometryLook,
    expected_pixel,
    find_by_landmark,
    known_volcanoes,
    look_at_geometry,
    moved,
    nice_length,
    pixel_sizes,
    place_of,
    profile,
)

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "villarrica" / "site.toml"


def geometry() -> SceneGeometry:
    return build_geometry(load_scenario("baseline").view)


def simulated(**view: Any) -> Site:
    """Return the example's site with camera, vent and optics of the simulated volcano; ``view`` changes the view."""
    truth = geometry()
    settings = load_site(EXAMPLE).settings
    settings["volcano"] = {"name": "Simulated", "vent": truth.vent.model_dump()}
    settings["camera"] |= {
        "position": truth.camera.model_dump(),
        "optics": truth.optics.model_dump(exclude_none=True),
        "view": {"azimuth_deg": truth.azimuth_deg, "elevation_deg": truth.elevation_deg} | view,
    }
    settings["plume_plane"] = {"orientation": "perpendicular"}
    return Site.model_validate(settings)


def look(site: Site) -> GeometryLook:
    return look_at_geometry(LoadedSite(site, EXAMPLE, "", site.model_dump(mode="json")))


def vent_pixel() -> tuple[float, float]:
    x, y = geometry().to_image(0.0, 0.0)
    return float(x), float(y)


def test_the_vent_is_where_the_simulated_image_shows_it() -> None:
    site = simulated()
    found = expected_pixel(site, site.volcano.vent)
    assert found == pytest.approx(vent_pixel(), abs=0.1)
    assert look(site).image.vent == found


def test_a_vent_behind_the_camera_is_in_no_image() -> None:
    site = simulated(azimuth_deg=geometry().azimuth_deg + 180)
    assert expected_pixel(site, site.volcano.vent) is None


def test_a_landmark_gives_the_known_direction_whatever_the_file_says() -> None:
    truth = geometry()
    wrong = simulated(azimuth_deg=truth.azimuth_deg + 4.0, elevation_deg=truth.elevation_deg - 3.0)
    found = find_by_landmark(wrong, {"position": truth.vent.model_dump(), "pixel": list(vent_pixel())})
    assert found.before.azimuth_deg == pytest.approx(truth.azimuth_deg + 4.0)
    assert found.after.azimuth_deg == pytest.approx(truth.azimuth_deg, abs=0.01)
    assert found.after.elevation_deg == pytest.approx(truth.elevation_deg, abs=0.01)
    # 3 px and 20 m, each way, at 5200 m: 0.13 and 0.22 degrees.
    assert 0.1 < found.after.azimuth_uncertainty_deg < 0.5
    assert any("azimuth" in note for note in found.notes)


def test_a_landmark_outside_of_the_image_is_refused_in_words() -> None:
    with pytest.raises(InputError, match="outside the image"):
        find_by_landmark(simulated(), {"position": geometry().vent.model_dump(), "pixel": [700.0, 10.0]})


def test_the_landmark_in_the_file_is_used_and_the_given_direction_told() -> None:
    truth = geometry()
    landmark = {"position": truth.vent.model_dump(), "pixel": list(vent_pixel())}
    found = look(simulated(azimuth_deg=truth.azimuth_deg + 2.0, landmark=landmark))
    assert found.given.azimuth_deg == pytest.approx(truth.azimuth_deg + 2.0)
    assert found.used.azimuth_deg == pytest.approx(truth.azimuth_deg, abs=0.01)
    assert found.image.landmark_expected == pytest.approx(vent_pixel(), abs=0.1)
    assert found.map.landmark is not None
    assert found.map.landmark.place == pytest.approx(found.map.vent.place)


def test_the_map_has_true_distances_and_azimuths() -> None:
    truth = geometry()
    found = look(simulated()).map
    assert math.hypot(*found.vent.place) == pytest.approx(5200, abs=0.1)
    assert found.vent_azimuth_deg == pytest.approx(15.0, abs=0.01)
    assert (found.wedge.right_deg - found.wedge.left_deg) % 360 == pytest.approx(28.0, abs=1.2)  # level, at 13.5 deg up
    assert found.wedge.axis_deg == pytest.approx(truth.azimuth_deg)
    left = math.remainder(found.wedge.left_deg - truth.azimuth_deg, 360)
    assert left == pytest.approx(-14.0, abs=0.6)
    assert found.plane is not None
    (east1, north1), (east2, north2) = found.plane
    drawn = math.degrees(math.atan2(east2 - east1, north2 - north1))
    assert math.remainder(drawn - found.plane_azimuth_deg, 180) == pytest.approx(0, abs=1e-6)
    # The plane is across the view, at the vent's distance along it.
    away = math.radians(truth.azimuth_deg)
    for east, north in found.plane:
        assert east * math.sin(away) + north * math.cos(away) == pytest.approx(truth.plane_distance_m, abs=0.1)


def test_lines_lie_in_the_plume_plane() -> None:
    truth = geometry()
    found = look(simulated()).map
    away = math.radians(truth.azimuth_deg)
    assert found.lines
    for one in found.lines:
        assert one.distance_m is not None
        for east, north in one.points:
            assert east * math.sin(away) + north * math.cos(away) == pytest.approx(truth.plane_distance_m, abs=0.5)


def test_pixel_sizes_are_those_of_the_simulated_scene() -> None:
    truth = geometry()
    metres, distance = pixel_sizes(simulated())
    x, y = np.array([100.0, 324.0, 600.0]), np.array([50.0, 243.0, 400.0])
    expected = truth.to_plane(x, y).distance
    rows, columns = y.astype(int), x.astype(int)
    np.testing.assert_allclose(distance[rows, columns], expected, rtol=1e-4)
    assert metres.shape == (486, 648)
    middle = look(simulated()).image
    assert middle.pixel_m == pytest.approx(float(metres[243, 324]), rel=1e-3)
    assert middle.pixel_m == pytest.approx(
        truth.plane_distance_m / math.cos(math.radians(13.5)) * truth.pixel_angle, rel=2e-3
    )


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    found = look(simulated()).image.bar
    assert found is not None
    (x1, y1), (x2, y2), metres = found
    truth = geometry()
    ends = truth.to_plane(np.array([x1, x2]), np.array([y1, y2]))
    assert metres in (200.0, 500.0, 1000.0)
    assert float(ends.a[1] - ends.a[0]) == pytest.approx(metres, rel=0.05)
    assert x2 - x1 < 0.3 * 648


def test_moving_the_camera_and_back() -> None:
    camera = geometry().camera
    latitude, longitude = moved(camera, (300.0, -400.0))
    there = camera.model_copy(update={"latitude": latitude, "longitude": longitude})
    assert place_of(camera, there) == pytest.approx((300.0, -400.0), abs=0.02)


@pytest.mark.parametrize(("longest", "nice"), [(7.0, 5.0), (1.0, 1.0), (999.0, 500.0), (0.3, 0.2), (2000.0, 2000.0)])
def test_nice_lengths(longest: float, nice: float) -> None:
    assert nice_length(longest) == pytest.approx(nice)


def test_without_a_terrain_model_the_profile_has_lines_of_sight_alone() -> None:
    found = look(simulated())
    drawn = profile(found, EXAMPLE.parent)
    assert set(drawn.ground_m) == {None}
    assert "terrain model" in drawn.note
    far = drawn.distance_m[-1]
    assert drawn.axis_m[-1] == pytest.approx(1900 + far * math.tan(math.radians(13.5)))
    assert drawn.lower_m[-1] < drawn.axis_m[-1] < drawn.upper_m[-1]


def test_a_terrain_model_is_drawn_up_to_the_vent(tmp_path: Path) -> None:
    pytest.importorskip("rasterio")
    from so2cam.simulate.ground import format_terrain_model

    scenario = load_scenario("baseline")
    (tmp_path / "terrain.asc").write_text(format_terrain_model(geometry(), scenario.terrain), encoding="utf-8")
    site = simulated()
    dilution = site.processing.light_dilution.model_copy(
        update={"terrain_model": "terrain.asc", "terrain_crs": "EPSG:4326"}
    )
    changed = site.model_copy(update={"processing": site.processing.model_copy(update={"light_dilution": dilution})})
    drawn = profile(look(changed), tmp_path)
    assert drawn.note == ""
    nearest = min(range(len(drawn.distance_m)), key=lambda at: abs(drawn.distance_m[at] - drawn.vent_distance_m))
    assert drawn.ground_m[nearest] == pytest.approx(2600, abs=40)
    missing = changed.model_copy(
        update={
            "processing": site.processing.model_copy(
                update={"light_dilution": dilution.model_copy(update={"terrain_model": "none.asc"})}
            )
        }
    )
    assert "cannot be used" in profile(look(missing), tmp_path).note


def test_a_wind_table_that_is_missing_is_said_and_the_map_still_drawn() -> None:
    text = EXAMPLE.read_text(encoding="utf-8") + '\n[wind]\nfile = "nowhere.csv"\n'
    found = look_at_geometry(load_site_text(text, EXAMPLE))
    assert found.notes
    assert found.map.wind is None
    assert found.map.vent_distance_m > 1000


def test_known_volcanoes() -> None:
    assert known_volcanoes()["Villarrica"].altitude_m == pytest.approx(2847)
