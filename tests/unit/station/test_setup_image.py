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
from so2cam.pages import decode_frame
from so2cam.pipeline.batch import run_batch
from so2cam.simulate import load_scenario, simulate
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
from so2cam.station.setup_frames import SetupFrames
from so2cam.station.setup_pairs import SetupPairs
from so2cam.station.watch import FolderWatcher

pytestmark = pytest.mark.timeout(120)
PAIRS = 16


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
