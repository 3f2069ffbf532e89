"""Lines over ground and the terrain model say where the pictures' ground is."""

from pathlib import Path

import numpy as np
import pytest
from pyproj import Geod

from so2cam.formats.terrain import read_terrain
from so2cam.simulate import load_scenario, simulate
from so2cam.simulate.ground import format_terrain_model, ground_lines
from so2cam.simulate.scene import Scene, build_scene


@pytest.fixture(scope="module")
def scene() -> Scene:
    return build_scene(load_scenario("diluted"), seed=1)


def test_lines_lie_on_one_surface_each_with_its_distances(scene: Scene) -> None:
    lines = ground_lines(scene)
    assert [line.name for line in lines] == ["ridge-1", "ridge-2", "mountain"]
    distance = scene.cameras[0].terrain.distance_m
    for line, layer in zip(lines, scene.cameras[0].terrain.layers, strict=True):
        assert len(line.points) == len(line.distances_m) >= 5
        for (x, y), stated in zip(line.points, line.distances_m, strict=True):
            assert layer.cover[int(y) - 5 : int(y) + 6, int(x) - 5 : int(x) + 6].min() > 0.999
            assert distance[int(y), int(x)] == pytest.approx(stated, abs=0.1)
    means = [np.mean(line.distances_m) for line in lines]
    assert means == pytest.approx([1508, 2910, 4230], abs=60)


def test_the_terrain_model_has_ground_where_the_lines_end(scene: Scene, tmp_path: Path) -> None:
    geometry = scene.geometry
    text = format_terrain_model(geometry, scene.scenario.terrain)
    rows = text.splitlines()
    head = {key: float(value) for key, value in (row.split() for row in rows[:6])}
    heights = np.loadtxt(rows[6:])
    assert heights.shape == (head["nrows"], head["ncols"])
    assert heights.max() == pytest.approx(2600, abs=1)
    geod = Geod(ellps="WGS84")
    for line in ground_lines(scene):
        for (x, y), distance in zip(line.points, line.distances_m, strict=True):
            right, away, up = geometry.to_plane(np.array(x), np.array(y)).ray
            level = float(np.hypot(right, away)) * (distance + 12)
            azimuth = geometry.azimuth_deg + float(np.degrees(np.arctan2(right, away)))
            longitude, latitude, _ = geod.fwd(geometry.camera.longitude, geometry.camera.latitude, azimuth, level)
            column = int((longitude - head["xllcorner"]) / head["cellsize"])
            row = int(head["nrows"] - (latitude - head["yllcorner"]) / head["cellsize"])
            height = geometry.camera.altitude_m + (distance + 12) * float(up)
            around = heights[row - 1 : row + 2, column - 1 : column + 2]
            assert around.max() > height - 4, (line.name, x, y)
            assert around.min() < height + 14, (line.name, x, y)
    pytest.importorskip("rasterio")
    path = tmp_path / "terrain.asc"
    path.write_text(text)
    grid = read_terrain(path, geometry.camera, vent=geometry.vent, reach_m=6500.0, crs="EPSG:4326")
    assert np.nanmax(grid.heights_m) == pytest.approx(2600, abs=15)


def test_a_run_with_dilution_carries_lines_and_terrain_model(tmp_path: Path) -> None:
    scenario = load_scenario("diluted")
    result = simulate(scenario, tmp_path, seed=1, pairs=1)
    assert (tmp_path / "terrain.asc").is_file()
    text = result.site.read_text()
    assert text.count("[[processing.light_dilution.regions]]") == 3
    assert result.truth.spectra.light_dilution == pytest.approx(0.30, abs=0.005)
    assert max(len(line) for line in text.splitlines()) <= 120
