"""Keograms and videos that a station keeps of its days."""

import shutil
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from so2cam.core.records import Band, FrameKind
from so2cam.formats.folder import scan_frames
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.live import LiveRun
from so2cam.pipeline.records import PairImages
from so2cam.simulate import load_scenario, simulate

pytest.importorskip("sqlalchemy")
from so2cam.station.archive import Arrival
from so2cam.station.context import open_station
from so2cam.station.keogram_service import KeogramKeeper
from so2cam.station.timelapse import TimelapseOptions
from so2cam.station.timelapse_service import TimelapseService, archived_frames


@pytest.fixture(scope="module")
def volcano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volcano")
    simulate(load_scenario("ideal"), folder, seed=1, pairs=5)
    return folder


@pytest.fixture(scope="module")
def images(volcano: Path) -> list[PairImages]:
    loaded, seen = load_site(volcano / "site.toml"), list[PairImages]()
    frames = scan_frames([volcano / "frames"], loaded.site.files).frames
    run = LiveRun(loaded, [f for f in frames if f.kind is not FrameKind.PLUME], observer=seen.append)
    for frame in sorted((f for f in frames if f.kind is FrameKind.PLUME), key=lambda f: f.time):
        run.add(frame)
    run.finish()
    return seen


def test_keograms_go_on_after_a_restart_and_change_with_the_day(
    volcano: Path, images: list[PairImages], tmp_path: Path
) -> None:
    site = load_site(volcano / "site.toml").site
    day = images[0].time
    keeper = KeogramKeeper(site, tmp_path)
    keeper.add(images[0])
    made = keeper.write()
    assert [path.name for path in made] == [f"{day:%Y-%m-%d}-keogram-{line.name}.png" for line in site.lines]
    assert keeper.write() == (), "nothing is new"
    again = KeogramKeeper(site, tmp_path)
    again.add(images[1])
    again.write()
    third = KeogramKeeper(site, tmp_path)
    third.add(images[2])
    counts = [keogram.counts.sum() for keogram in third._kept.values()]
    assert min(counts) > 2.5 * 100, "three pairs of some hundred samples"
    third.add(replace(images[3], time=day + timedelta(days=1)))
    third.write()
    names = {path.name for path in tmp_path.rglob("*.png")}
    assert f"{day + timedelta(days=1):%Y-%m-%d}-keogram-upstream.png" in names
    assert len(names) == 4


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed (apt install ffmpeg)")
def test_a_video_is_made_once_the_day_is_over(volcano: Path, tmp_path: Path) -> None:
    context = open_station([volcano / "site.toml"], folder=tmp_path / "station")
    try:
        site = context.sites[0]
        frames = [
            f for f in scan_frames([volcano / "frames"], site.loaded.site.files).frames if f.kind is FrameKind.PLUME
        ]
        for number, frame in enumerate(frames):
            sidecar = frame.path.with_suffix(".json")
            staged, beside = site.archive.staging / frame.path.name, site.archive.staging / sidecar.name
            shutil.copy(frame.path, staged)
            shutil.copy(sidecar, beside)
            site.archive.put(
                Arrival(f"o{number}", "n", "frame", "plume", "camera", frame.time, frame.path.name, None, sidecar.name),
                staged,
                beside,
            )
        day = frames[0].time.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        assert len(archived_frames(context, site, day, Band.ON)) == 5
        service = TimelapseService(context, site, tmp_path / "videos", options=TimelapseOptions(width_px=320))
        assert service.make(day + timedelta(hours=24, minutes=20)) == [], "files may still come"
        (report,) = service.make(day + timedelta(hours=24, minutes=40))
        assert (report.frames, report.path.name) == (5, f"{day:%Y-%m-%d}-on-band.mp4")
        assert service.make(day + timedelta(hours=30)) == []
    finally:
        context.close()
