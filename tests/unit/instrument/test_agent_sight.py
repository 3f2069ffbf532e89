"""What a node tells somebody who aims its cameras."""

from pathlib import Path

import pytest

from so2cam.formats.sitefile import load_site
from so2cam.instrument.sight import examine_node, sight_of

BENCH = Path(__file__).resolve().parents[3] / "examples" / "bench" / "site.toml"


def test_each_camera_is_told_what_it_should_see() -> None:
    site = load_site(BENCH).site
    assert site.instrument is not None
    told = [camera for node in site.instrument.nodes for camera in sight_of(site, node).cameras]
    assert sorted(camera.band for camera in told) == ["off", "on"]
    for camera in told:
        assert (camera.width_px, camera.height_px, camera.maximum_dn) == (648, 486, 1023)
        assert (camera.azimuth_deg, camera.elevation_deg) == (12.0, 13.5)
        assert 0 < camera.shortest_exposure_s < camera.longest_exposure_s
        (vent,) = camera.places
        assert vent.name == "vent"
        assert vent.azimuth_deg == pytest.approx(15.0, abs=0.1)
        assert vent.distance_m == pytest.approx(5250, abs=100)
        assert vent.x is not None
        assert 323.5 < vent.x < 647


def test_a_node_is_examined_by_its_doctor(tmp_path: Path) -> None:
    site = load_site(BENCH).site
    assert site.instrument is not None
    node = site.instrument.nodes[0].name
    found = examine_node(BENCH, node, tmp_path / "no-agent.sock")
    assert {finding.topic for finding in found.findings} >= {"computer", "clock", "devices", "agent"}
    assert all(finding.remedy for finding in found.findings if finding.verdict == "bad")
    assert found.good == all(finding.verdict != "bad" for finding in found.findings)
