"""What is made with calibration files is made anew when others come."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from so2cam.core.errors import So2camError
from so2cam.core.site_station import Station
from so2cam.formats.sitefile import load_site
from so2cam.station import setup_frames
from so2cam.station.archive import Archive, Arrival
from so2cam.station.catalogue import Catalogue
from so2cam.station.context import StationContext, StationSite
from so2cam.station.registration_view import found_key
from so2cam.station.setup_frames import SetupFrames

EXAMPLE = Path(__file__).parents[3] / "examples" / "villarrica" / "site.toml"
T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_darks_that_come_while_somebody_looks_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, day = load_site(EXAMPLE), "2026-03-01"
    with Catalogue.open(None, tmp_path) as catalogue:
        site = StationSite(loaded, Archive(tmp_path / "a", catalogue, loaded.site.name), tmp_path / "results")
        frames = SetupFrames(StationContext(tmp_path, Station(), catalogue, (site,)), site)

        def dark_comes(number: int) -> int:
            staged = site.archive.staging / "staged"
            staged.write_bytes(b"%d" % number)
            time = T0 + timedelta(seconds=number)
            arrival = Arrival(f"a/{number}", "a", "frame", "dark", "camera-on", time, f"{number}.png")
            return site.archive.put(arrival, staged)[0].id

        first = dark_comes(1)
        assert frames.references(loaded, day) == (first,)
        second = dark_comes(2)
        assert frames.references(loaded, day) == (first,), "not looked up for each image"
        monkeypatch.setattr(setup_frames, "_LOOK_S", 0.0)
        before = found_key(frames, loaded, T0)
        assert frames.references(loaded, day) == (first, second)
        third = dark_comes(3)
        assert found_key(frames, loaded, T0) == (before[0], T0, (first, second, third))
        assert found_key(frames, loaded, T0) != before, "a registration is found anew with other darks"
        with pytest.raises(So2camError):
            frames.chain(loaded, day)
        site.archive.close()
