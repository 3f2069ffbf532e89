"""Images of archived pairs are those that their results were made of, in whatever order people look at them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from so2cam.core.constants import MOLEC_CM2_PER_PPM_M
from so2cam.core.errors import InputError
from so2cam.core.records import FloatImage, FrameKind
from so2cam.core.site_station import WatchedFolder
from so2cam.formats.folder import scan_frames
from so2cam.formats.siteedit import edit_text
from so2cam.formats.sitefile import LoadedSite, load_site, load_site_text
from so2cam.pages.frames import decode_frame
from so2cam.pipeline.calibrated import Calibration, column_image
from so2cam.pipeline.live import LiveRun
from so2cam.pipeline.records import PairImages
from so2cam.pipeline.run_images import ImageRequest, image_record
from so2cam.pipeline.steps import shown_absorbance
from so2cam.science.calibration.curve import ColumnCurve
from so2cam.simulate import load_scenario, simulate
from so2cam.station.api_images import values_of
from so2cam.station.archive_images import ArchiveImages
from so2cam.station.background_view import look_at_background
from so2cam.station.context import StationContext, open_station
from so2cam.station.dilution_view import dilution_preview
from so2cam.station.live_images import Quantity
from so2cam.station.pair_json import pair_row
from so2cam.station.setup_frames import SetupFrames
from so2cam.station.setup_pairs import SetupPairs
from so2cam.station.watch import FolderWatcher

pytestmark = pytest.mark.timeout(120)
PAIRS = 5
OFFSET = 2.5e17
"""What a spectrometer's calibration has at zero absorbance [molecules cm-2]: 100 ppm m."""
DILUTION = ("processing", "light_dilution")
BY_SPECTRA: tuple[tuple[tuple[str | int, ...], Any], ...] = (
    ((*DILUTION, "mode"), "spectrum"),
    (("spectrometer", "light_dilution"), {"mode": "fit"}),
)


@dataclass
class Volcano:
    """An archive of which all pairs but the last were processed, with the images of that run."""

    context: StationContext
    seen: dict[datetime, PairImages]
    unprocessed: datetime

    def images(self, loaded: LoadedSite | None = None) -> ArchiveImages:
        """Return the images of somebody who has not looked at any yet."""
        site = self.context.sites[0] if loaded is None else replace(self.context.sites[0], loaded=loaded)
        return ArchiveImages(self.context, site, SetupFrames(self.context, site))


@pytest.fixture(scope="module")
def volcano(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Volcano]:
    folder = tmp_path_factory.mktemp("volcano")
    simulate(load_scenario("diluted"), folder, pairs=PAIRS, seed=2)
    path = folder / "site.toml"
    often = [((*DILUTION, "recalculation_min"), 0.05), (("station",), {"folder": "station"})]
    path.write_text(edit_text(path.read_text(encoding="utf-8"), often), encoding="utf-8")
    context = open_station([path])
    try:
        watched = WatchedFolder(name="frames", folder=str(folder / "frames"), settle_s=0.0)
        watcher = FolderWatcher(context, context.sites[0], watched)
        watcher.look()
        watcher.look()
        loaded, seen = load_site(path), list[PairImages]()
        frames = scan_frames([folder / "frames"], loaded.site.files).frames
        run = LiveRun(loaded, [f for f in frames if f.kind is not FrameKind.PLUME], observer=seen.append)
        plume = sorted((f for f in frames if f.kind is FrameKind.PLUME), key=lambda f: f.time)
        records = [record for frame in plume for record in run.add(frame)] + run.finish()
        for record in records:  # as the spectrometer would have calibrated
            record.slope, record.offset = (8e18, 1e17), (OFFSET, 1e16)
        rows = [pair_row(run.site, record) for record in records[:-1]]
        context.catalogue.add_pairs(context.sites[0].name, 1, rows)
        yield Volcano(context, {images.time: images for images in seen[:-1]}, records[-1].time)
    finally:
        context.close()


def edited(volcano: Volcano, *changes: tuple[tuple[str | int, ...], Any]) -> LoadedSite:
    path = volcano.context.sites[0].loaded.path
    return load_site_text(edit_text(path.read_text(encoding="utf-8"), list(changes)), path)


def look(images: ArchiveImages, quantity: Quantity, time: datetime) -> tuple[dict[str, Any], FloatImage]:
    header, codes = decode_frame(images.message(quantity, time))
    values = np.where(codes == header["invalid"], np.nan, codes * header["scale"] + header["offset"])
    return header, values.astype(np.float32)


def test_absorbance_is_corrected_as_the_result_of_each_pair_was(volcano: Volcano) -> None:
    images = volcano.images()
    extinctions = [seen.image.dilution.extinctions for seen in volcano.seen.values() if seen.image.dilution is not None]
    assert len(set(extinctions)) == PAIRS - 1, "each pair has its own"
    for time in reversed(volcano.seen):
        header, values = look(images, "absorbance", time)
        assert not header.get("why")
        np.testing.assert_allclose(values, shown_absorbance(volcano.seen[time].image), atol=header["scale"])


def test_dilution_that_spectra_told_is_corrected_too(volcano: Volcano) -> None:
    time, seen = next(iter(volcano.seen.items()))
    header, values = look(volcano.images(edited(volcano, *BY_SPECTRA)), "absorbance", time)
    assert not header.get("why")
    assert seen.image.diluted is not None
    plume = seen.image.diluted > 0.1
    assert np.nanmedian(values[plume] / seen.image.diluted[plume]) > 1.1


def test_without_a_result_the_image_is_refused_and_the_bands_are_not(volcano: Volcano) -> None:
    images = volcano.images()
    with pytest.raises(InputError, match="light dilution is not known"):
        images.message("absorbance", volcano.unprocessed)
    assert images.message("on", volcano.unprocessed)


def test_a_result_that_was_not_corrected_is_shown_as_it_was_and_says_so(volcano: Volcano) -> None:
    site = volcano.context.sites[0].name
    time, seen = next(iter(volcano.seen.items()))
    (row,) = [
        row for row in volcano.context.catalogue.pairs(site, start=time, end=volcano.unprocessed) if row.time == time
    ]
    images = volcano.images()
    corrected = look(images, "absorbance", time)[1]
    unknown = replace(row, record=row.record.replace('"extinction_per_m":[', '"extinction_per_m":[null,null],"was":['))
    try:
        volcano.context.catalogue.add_pairs(site, 1, [unknown])
        header, values = look(images, "absorbance", time)
    finally:
        volcano.context.catalogue.add_pairs(site, 1, [row])
    assert "light dilution" in header["why"]
    assert seen.image.diluted is not None
    shown = np.isfinite(values)
    np.testing.assert_allclose(values[shown], seen.image.diluted[shown], atol=header["scale"])
    np.testing.assert_array_equal(look(images, "absorbance", time)[1], corrected)


def test_set_up_pages_correct_by_the_ground_of_the_pair_in_whatever_order(volcano: Volcano) -> None:
    loaded = edited(volcano)
    frames = SetupFrames(volcano.context, volcano.context.sites[0])
    pairs = SetupPairs(frames)
    chosen = pairs.pairs(loaded)
    for pair in reversed(chosen):
        image, ground = pairs.look(loaded, pair).image, dilution_preview(frames, loaded, pair).dilution
        assert image is not None
        assert image.dilution is not None
        assert ground is not None
        assert image.dilution.extinctions == ground.extinctions


def test_set_up_pages_take_what_spectra_told_from_results_and_say_where_there_is_none(volcano: Volcano) -> None:
    loaded = edited(volcano, *BY_SPECTRA)
    pairs = SetupPairs(SetupFrames(volcano.context, volcano.context.sites[0]))
    *chosen, last = pairs.pairs(loaded)
    seen = volcano.seen[chosen[0].time].image
    image = pairs.look(loaded, chosen[0]).image
    assert seen.dilution is not None
    assert image is not None
    assert image.dilution is not None
    assert image.dilution.extinctions == seen.dilution.extinctions
    assert not look_at_background(pairs, loaded, chosen[0]).why
    assert "light dilution" in look_at_background(pairs, loaded, last).why


def test_the_empty_sky_has_no_so2_whatever_the_calibrations_offset(volcano: Volcano) -> None:
    calibration = ("processing", "calibration")
    by_spectrometer = edited(volcano, ((*calibration, "source"), "joint"), ((*calibration, "model"), "line"))
    time, seen = next(iter(volcano.seen.items()))
    header, values = look(volcano.images(by_spectrometer), "column", time)
    curve = ColumnCurve("line", np.array([OFFSET, 8e18]), np.zeros((2, 2)), 0.6)
    calibrated = replace(seen, calibration=Calibration(curve))
    of_run = image_record(edited(volcano).site, calibrated, ImageRequest(("netcdf",), ("columns",))).column_molec_cm2
    live = values_of(calibrated, "column")
    assert of_run is not None
    assert live is not None
    np.testing.assert_array_equal(live, of_run / np.float32(MOLEC_CM2_PER_PPM_M))
    np.testing.assert_allclose(values, live, atol=header["scale"])
    empty = np.abs(shown_absorbance(seen.image)) < 0.002
    assert abs(float(np.mean(values[empty]))) < 5
    assert abs(float(np.mean(live[empty]))) < 5
    assert float(column_image(np.zeros((1, 1), np.float32), Calibration(curve))[0, 0]) == 0
