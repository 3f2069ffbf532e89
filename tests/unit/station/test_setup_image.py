"""What the set-up pages show of a pair is what a run over the archive gives; lines as people draw them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.errors import InputError, SiteFileError
from so2cam.core.records import FramePair
from so2cam.core.site_station import WatchedFolder
from so2cam.core.status import EmissionStatus
from so2cam.formats.siteedit import edit_text
from so2cam.formats.sitefile import LoadedSite, load_site_text
from so2cam.pages.frames import decode_frame
from so2cam.pipeline.batch import process_folders
from so2cam.pipeline.live import LiveRun
from so2cam.simulate import load_scenario, simulate
from so2cam.station import references
from so2cam.station.background_view import look_at_background
from so2cam.station.context import StationContext, open_station
from so2cam.station.line_view import (
    arc_in_image,
    checked_line,
    fitting_normal,
    flipped,
    free_name,
    look_at_lines,
    read_line_file,
)
from so2cam.station.motion_view import look_at_lag, look_at_motion
from so2cam.station.references import choose_references, day_of, read_references
from so2cam.station.setup_frames import SetupFrames
from so2cam.station.setup_pairs import SetupPairs
from so2cam.station.watch import FolderWatcher

pytestmark = pytest.mark.timeout(120)
PAIRS = 16
Changes = tuple[tuple[tuple[str | int, ...], object], ...]


@dataclass
class Volcano:
    """A small archive, and what looks at it."""

    folder: Path
    context: StationContext
    pairs: SetupPairs
    chosen: tuple[FramePair, ...]

    @property
    def loaded(self) -> LoadedSite:
        return self.context.sites[0].loaded

    def edited(self, *changes: tuple[tuple[str | int, ...], object]) -> LoadedSite:
        path = self.folder / "site.toml"
        return load_site_text(edit_text(path.read_text(encoding="utf-8"), changes), path)


@pytest.fixture(scope="module")
def volcano(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Volcano]:
    folder = tmp_path_factory.mktemp("volcano")
    simulate(load_scenario("baseline"), folder, pairs=PAIRS, seed=3)
    site = folder / "site.toml"
    site.write_text(site.read_text(encoding="utf-8") + '\n[station]\nfolder = "station"\n', encoding="utf-8")
    context = open_station([site])
    try:
        watched = WatchedFolder(name="frames", folder=str(folder / "frames"), settle_s=0.0)
        watcher = FolderWatcher(context, context.sites[0], watched)
        watcher.look()
        watcher.look()
        pairs = SetupPairs(SetupFrames(context, context.sites[0]))
        yield Volcano(folder, context, pairs, pairs.pairs(context.sites[0].loaded))
    finally:
        context.close()


FIXED = {"on_extinction_per_km": 0.08, "off_extinction_per_km": 0.06}
FIXED |= {f"{band}_extinction_uncertainty_per_km": 0.01 for band in ("on", "off")}
POINTS = [[50.0, 60.0, 52.0, 57.0], [600.0, 80.0, 602.0, 77.0], [320.0, 400.0, 322.0, 397.0]]
AS_IT_IS: Changes = ()
CORRECTED: Changes = (
    (("processing", "light_dilution"), {"mode": "fixed", **FIXED}),
    (("registration",), {"source": "control-points", "control_points": POINTS}),
)


@pytest.mark.parametrize("changes", [AS_IT_IS, CORRECTED], ids=["as it is", "dilution and control points"])
def test_numbers_are_those_of_a_run(volcano: Volcano, tmp_path: Path, changes: Changes) -> None:
    methods = ["flow_raw", "flow_histogram", "cross_correlation"]
    loaded = volcano.edited((("processing", "speed", "methods"), methods), *changes)
    series = process_folders(loaded, [volcano.folder / "frames"], tmp_path / "out", command="test").series
    assert [pair.time for pair in volcano.chosen] == list(series.times)
    index = 8
    lines = look_at_lines(volcano.pairs, loaded, volcano.chosen, index)
    motion = look_at_motion(volcano.pairs, loaded, volcano.chosen, index)
    sky = look_at_background(volcano.pairs, loaded, volcano.chosen[index])
    assert (sky.level, sky.noise) == (series.background_level[index], series.background_noise[index])
    assert sky.why == lines.why == motion.why == ""
    assert np.isfinite(series.extinction_per_m[index]).all() == bool(changes)
    for number, name in enumerate(series.lines):
        look = lines.lines[name]
        assert look.amount == series.integrated_column_amount_kg_m[index, number]
        assert look.amount is not None
        assert look.amount > 0
        for method, speed in [(one.method, one) for one in (*look.speeds, *motion.lines[name].speeds)]:
            if method not in methods:
                continue
            place = index, number, methods.index(method)
            assert speed.speed == series.plume_speed_m_s[place]
            assert speed.sigma == series.plume_speed_uncertainty_m_s[place]
            assert speed.rate == series.emission_rate_kg_s[place]
    lag = look_at_lag(volcano.pairs, loaded, volcano.chosen[index].time)
    found = EmissionStatus(int(series.status[index, 0, 2]))
    assert (lag.why == "") == (found is EmissionStatus.OK)
    if found is EmissionStatus.OK:
        assert lag.speed == series.plume_speed_m_s[index, 0, 2]
    column = series.lines.index(lag.lines[0])
    assert lag.first == tuple(series.integrated_column_amount_kg_m[:, column])


def test_motion_shows_arrows_and_the_fitted_peak(volcano: Volcano) -> None:
    look = look_at_motion(volcano.pairs, volcano.loaded, volcano.chosen, 8)
    assert len(look.arrows) > 20
    assert look.times > 1
    near = look.lines["upstream"]
    assert near.direction is not None
    assert near.speed is not None
    assert sum(near.direction.share) == pytest.approx(1)
    peak = near.direction.fit_at[int(np.argmax(near.direction.fit))]
    tallest = int(np.argmax(near.direction.share))
    assert abs(peak - near.direction.edges[tallest]) < 15
    last = look_at_motion(volcano.pairs, volcano.loaded, volcano.chosen, PAIRS - 1)
    assert "no later pair" in last.why
    assert last.arrows == ()


def test_a_background_follows_the_draft(volcano: Volcano) -> None:
    pair = volcano.chosen[8]
    base = ("processing", "background")
    found = look_at_background(volcano.pairs, volcano.edited(((*base, "mode"), "scale")), pair)
    (scale,) = [area for area in found.areas if area.used]
    assert (scale.key, scale.given) == ("scale_rectangle", False)
    drawn = volcano.edited(((*base, "mode"), "scale"), ((*base, "scale_rectangle"), [450, 60, 560, 140]))
    look = look_at_background(volcano.pairs, drawn, pair)
    assert [area.corners for area in look.areas if area.given] == [(450, 60, 560, 140)]
    x, y = 500, 100
    row, column = look.row(y), look.column(x)
    assert ("scale_rectangle", 450.0, 560.0) in row.areas
    assert ("scale_rectangle", 60.0, 140.0) in column.areas
    assert row.after[x] == column.after[y]
    assert row.before[x] is not None
    assert look.row(300).areas == tuple(area for area in look.row(300).areas if area[0] != "scale_rectangle")
    along = look.along((450.0, 100.0), (560.0, 100.0))
    assert along.after[0] == row.after[450]
    in_area = [value for value in row.after[450:561] if value is not None]
    assert abs(float(np.mean(in_area))) < 0.005
    header, pixels = decode_frame(look.message("mask") or b"")
    assert header["rows"] == look.shape[0]
    assert set(np.unique(np.rint(pixels * header["scale"] + header["offset"]))) == {0, 1, 2}


def test_an_area_of_sky_on_the_plume_is_said(volcano: Volcano) -> None:
    pair = volcano.chosen[8]
    base = ("processing", "background")
    found = look_at_background(volcano.pairs, volcano.edited(((*base, "mode"), "scale")), pair)
    assert found.why == ""
    thick = np.nan_to_num(found.images["after"], nan=-1.0)
    y, x = (int(place) for place in np.unravel_index(int(np.argmax(thick)), thick.shape))
    area = [x - 12, y - 12, x + 12, y + 12]
    look = look_at_background(
        volcano.pairs, volcano.edited(((*base, "mode"), "scale"), ((*base, "scale_rectangle"), area)), pair
    )
    assert look.sky_mean is not None
    assert look.sky_mean < -0.1
    assert "is left in plume-free sky" in look.why


def test_it_says_why_there_is_no_background(volcano: Volcano) -> None:
    pair = volcano.chosen[8]
    base = ("processing", "background")
    loaded = volcano.edited(((*base, "mode"), "scale"), ((*base, "scale_rectangle"), [10, 10, 13, 13]))
    look = look_at_background(volcano.pairs, loaded, pair)
    assert look.why == "too few valid pixels in an area of sky"
    assert look.message("after") is None
    assert look.message("before") is not None
    ground = volcano.edited(((*base, "skyline"), [[0.0, 12.0], [647.0, 12.0]]))
    assert "too little plume-free sky" in look_at_background(volcano.pairs, ground, pair).why
    lines = look_at_lines(volcano.pairs, ground, volcano.chosen, 8)
    assert "plume-free sky" in lines.why
    assert lines.message is None


def test_pairs_are_chosen_by_day(volcano: Volcano) -> None:
    day = f"{volcano.chosen[0].time:%Y-%m-%d}"
    assert volcano.pairs.pairs(volcano.loaded, day=day) == volcano.chosen
    other = f"{volcano.chosen[0].time - timedelta(days=1):%Y-%m-%d}"
    assert volcano.pairs.pairs(volcano.loaded, day=other) == ()
    with pytest.raises(InputError, match="no day"):
        volcano.pairs.pairs(volcano.loaded, day="yesterday")


def test_a_lost_dark_is_said(volcano: Volcano) -> None:
    pair = volcano.chosen[8]
    fresh = SetupPairs(SetupFrames(volcano.context, volcano.context.sites[0]))
    longer = replace(pair, on=replace(pair.on, exposure_s=9.0))
    with pytest.raises(InputError, match="no dark frame"):
        look_at_background(fresh, volcano.loaded, longer)


def test_lines_as_people_draw_them(volcano: Volcano) -> None:
    site = volcano.loaded.site
    table = {"name": "new", "start": [10.0, 100.0], "end": [200.0, 100.0]}
    assert fitting_normal(site, table) == "up"
    assert fitting_normal(site, {**table, "normal": "down"}) == "down"
    arc = {"centre": [320.0, 480.0], "radius_px": 100.0, "from_deg": -90.0, "to_deg": 180.0}
    cut = arc_in_image(site, arc)
    assert cut["to_deg"] < 100
    assert fitting_normal(site, {"name": "new", "arc": cut}) == "outward"
    with pytest.raises(InputError, match="outside the image"):
        checked_line(site, {"name": "new", "arc": arc, "normal": "outward"})
    with pytest.raises(InputError, match="outside the image"):
        arc_in_image(site, {**arc, "centre": [-500.0, 0.0]})
    with pytest.raises(InputError, match="at least 4 px"):
        fitting_normal(site, {"name": "new", "start": [10.0, 10.0], "end": [11.0, 10.0]})
    assert flipped("left", lambda _: True) == "right"
    assert flipped("inward", lambda _: True) == "outward"
    assert flipped("left", lambda _: False) == "left"
    assert free_name(site) == "line-1"


def test_a_pycam_line_is_read(volcano: Volcano) -> None:
    site = volcano.loaded.site
    text = b"x=300,305\ny=100,400\norientation=left\n"
    table = read_line_file(site, "upstream.txt", text)
    assert table == {"name": "upstream-1", "start": [300.0, 100.0], "end": [305.0, 400.0], "normal": "left"}
    with pytest.raises(SiteFileError, match="orientation"):
        read_line_file(site, "a.txt", b"x=1,2\ny=3,4\n")
    with pytest.raises(InputError, match="not text"):
        read_line_file(site, "a.png", b"\xff\xfe\x00")


def test_a_registration_is_found_in_the_frames_that_a_live_run_knows(
    volcano: Volcano, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(references, "_REGISTRATION_FRAMES", 8)
    loaded = volcano.edited((("registration",), {"source": "automatic"}))
    day = volcano.chosen[0].time
    before, after = (day_of(day + timedelta(days=days)) for days in (0, 1))
    site = replace(volcano.context.sites[0], loaded=loaded)
    frames = SetupFrames(volcano.context, site)
    known = read_references(site, choose_references(site, after))
    assert frames.chain(loaded, after).site.registration == LiveRun(loaded, known.frames).site.registration
    with pytest.raises(InputError, match="earlier time"):
        frames.chain(loaded, before)
