"""What the live page is given: a station over a few simulated pairs, its trends, images, trial lines and looks."""

import gzip
import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from so2cam.core.errors import InputError
from so2cam.core.status import EmissionStatus
from so2cam.formats.sitefile import load_site
from so2cam.link.protocol import Role
from so2cam.pages.frames import decode_frame
from so2cam.pipeline.records import PairImages
from so2cam.pipeline.what_if import WhatIfLine
from so2cam.simulate import load_scenario, simulate
from so2cam.simulate.scenario import Scenario
from so2cam.station.access import Access
from so2cam.station.catalogue import Rate
from so2cam.station.context import StationContext, open_station
from so2cam.station.live import LiveProcessing
from so2cam.station.live_images import LiveImages
from so2cam.station.live_look import look_at
from so2cam.station.live_spectrum import LiveSpectrum
from so2cam.station.trend import Span, step_for, steps_of, trend_of
from so2cam.station.trial import TrialLines
from so2cam.station.watch import FolderWatcher
from so2cam.web.mount import mount_pages

PAIRS = 5
STATION = """
[station]
hold_back_s = 8.0
[[station.watch]]
name = "images"
folder = "frames"
settle_s = 0.0
[[station.watch]]
name = "spectra"
folder = "spectra"
settle_s = 0.0
"""


@dataclass
class Seen:
    """A station that has processed all, and the images that its live run showed."""

    context: StationContext
    images: list[PairImages]
    start: datetime

    @property
    def name(self) -> str:
        return self.context.sites[0].name


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = load_scenario("ideal").model_dump(mode="json")
    settings["view"]["optics"].update(width_px=324, height_px=243, pixel_pitch_um=11.2)
    settings["lines"]["length_px"] = 115
    settings["spectrometer"]["radius_px"] = 5.8
    settings["misregistration"]["shift_px"] = [6.0, -4.5]
    folder = tmp_path_factory.mktemp("web")
    simulated = simulate(Scenario.model_validate_json(json.dumps(settings)), folder, seed=4, pairs=PAIRS)
    simulated.site.write_text(simulated.site.read_text(encoding="utf-8") + STATION, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def seen(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("station") / "there"
    shutil.copytree(files, folder)
    context = open_station([folder / "site.toml"])
    site = context.sites[0]
    shown: list[PairImages] = []
    show = context.board.show_images

    def watching(name: str, images: PairImages) -> None:
        shown.append(images)
        show(name, images)

    context.board.show_images = watching  # type: ignore[method-assign]
    live = LiveProcessing(context, site)
    live.resume()
    expected = sum(
        len(list((folder / name).rglob(ending))) for name, ending in (("frames", "*.png"), ("spectra", "*.npy"))
    )
    watchers = [FolderWatcher(context, site, watched) for watched in site.settings.watch]
    while len(context.catalogue.find_files(site.name)) < expected:
        for watcher in watchers:
            watcher.look()
    while live.step():
        pass
    live.finish()
    assert shown, context.board.live(site.name)
    found = Seen(context, shown, site.archive.catalogue.rates(site.name)[0].time)
    assert len(shown) == PAIRS
    yield found
    context.close()


def own_line(seen: Seen, index: int = 0) -> dict[str, object]:
    line = seen.context.sites[0].loaded.site.lines[index]
    return {"start": line.start, "end": line.end}


# --- trial lines -----------------------------------------------------------------------------------------------------


def test_a_trial_where_the_line_lies_gives_the_numbers_of_the_line(seen: Seen) -> None:
    site = seen.context.sites[0]
    line = site.loaded.site.lines[0]
    measured = WhatIfLine(site.loaded.site, site.loaded.path.parent, line)
    rates = {(r.time, r.method): r for r in seen.context.catalogue.rates(seen.name, line=line.name)}
    compared = 0
    for images, later in zip(seen.images, seen.images[1:], strict=False):
        found = measured.measure(images, later)
        for method, emission in found.emissions.items():
            own = rates[images.time, method]
            assert emission.rate == pytest.approx(own.rate, rel=1e-2)
            assert own.random is not None  # the flow is found in another part of the image, with errors of its own
            assert 0.2 < emission.random / own.random < 5
            assert found.amount == pytest.approx(own.amount, rel=1e-9)
            compared += 1
    assert compared >= PAIRS - 1


def test_a_trial_is_measured_at_once_follows_and_outlives_a_restart(seen: Seen) -> None:
    site = seen.context.sites[0]
    name = site.loaded.site.lines[0].name
    trials = TrialLines(seen.context, site)
    trials.see(seen.images[0])
    trials.see(seen.images[1])
    number = trials.number
    trial = trials.put(name, own_line(seen), "somebody")
    assert trial.name == f"{name} (trial)"
    assert trials.number == number + 1
    first = trials.newest(name)
    assert first is not None
    assert first.time == seen.images[0].time
    assert first.rate is not None
    trials.see(seen.images[2])
    second = trials.newest(name)
    assert second is not None
    assert second.time == seen.images[1].time
    assert [rate.time for rate in trials.rates(name, method="flow_raw", after=first.time)] in ([], [second.time])
    assert f'name = "{name}"' in trials.site_file_text(name)
    again = TrialLines(seen.context, site).trials()
    assert [(t.of, t.line, t.by) for t in again] == [(name, trial.line, "somebody")]
    trials.end(name)
    assert TrialLines(seen.context, site).trials() == ()


def test_a_gap_gives_no_motion(seen: Seen) -> None:
    site = seen.context.sites[0]
    name = site.loaded.site.lines[0].name
    trials = TrialLines(seen.context, site)
    trials.put(name, own_line(seen), "somebody")
    trials.see(seen.images[0])
    trials.see(seen.images[2])
    assert trials.newest(name) is None
    trials.end(name)


def test_a_trial_that_cannot_be_is_refused_in_words(seen: Seen) -> None:
    trials = TrialLines(seen.context, seen.context.sites[0])
    name = seen.context.sites[0].loaded.site.lines[0].name
    for of, place in (
        ("nobody", {"start": (10.0, 10.0), "end": (90.0, 10.0)}),
        (name, {"start": (10.0, 10.0), "end": (10.5, 10.0)}),
        (name, {"start": (-500.0, 10.0), "end": (10.5, 10.0)}),
        (name, {"points": ((1.0, 1.0),)}),
    ):
        with pytest.raises(InputError):
            trials.put(of, place, "somebody")
    assert trials.trials() == ()
    with pytest.raises(InputError):
        trials.site_file_text(name)


# --- trends ----------------------------------------------------------------------------------------------------------


def rate(seconds: float, value: float | None, status: int = 0) -> Rate:
    time = datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(seconds=seconds)
    return Rate(time, "a", "flow_raw", value, 3.0, 4.0, 10.0, 1.0, 90.0, 0.5, status)


def test_steps_are_means_with_what_is_missing() -> None:
    steps = list(steps_of([rate(0.5, 1.0), rate(1.5, 3.0), rate(2.5, None, 7), rate(11.0, 5.0)], 10.0))
    assert [step.pairs for step in steps] == [3, 1]
    first = steps[0]
    assert (first.rate, first.low, first.high, first.valid, first.status) == (2.0, 1.0, 3.0, 2, 7)
    assert first.sigma == pytest.approx(5.0)
    assert first.time_ms == 1772366400000 + 1500


def test_the_catalogue_steps_as_memory_does(seen: Seen) -> None:
    name = seen.context.sites[0].loaded.site.lines[0].name
    end = seen.start + timedelta(hours=1)
    for step_s in (1.0, 7.0, 60.0):
        got = seen.context.catalogue.trend(seen.name, name, "flow_raw", start=seen.start, end=end, step_s=step_s)
        rates = seen.context.catalogue.rates(seen.name, line=name, method="flow_raw")
        expected = list(steps_of(rates, step_s))
        assert [(s.pairs, s.valid, s.status, s.direction) for s in got] == [
            (s.pairs, s.valid, s.status, s.direction) for s in expected
        ]
        for a, b in zip(got, expected, strict=True):
            assert abs(a.time_ms - b.time_ms) <= 1
            assert a.rate == pytest.approx(b.rate)
            assert a.sigma == pytest.approx(b.sigma)
            assert (a.low, a.high, a.amount) == pytest.approx((b.low, b.high, b.amount))


def test_a_trend_has_the_total_the_lines_and_the_trials(seen: Seen) -> None:
    site = seen.context.sites[0]
    name = site.loaded.site.lines[0].name
    trials = TrialLines(seen.context, site)
    trials.put(name, own_line(seen), "somebody")
    span = Span(seen.start, seen.start + timedelta(hours=1), 1.0, "flow_raw")
    found = trend_of(seen.context, site, trials, span)
    assert [one["line"] for one in found["series"]] == [
        "total",
        *(line.name for line in site.loaded.site.lines),
        f"{name} (trial)",
    ]
    total = found["series"][0]
    assert len(total["t"]) == PAIRS
    assert total["status"][-1] == EmissionStatus.NO_NEXT_PAIR
    assert found["why"][int(EmissionStatus.NO_NEXT_PAIR)]
    assert json.dumps(found, allow_nan=False)
    trials.end(name)


@pytest.mark.parametrize(("seconds", "step"), [(60, 1), (3600, 2), (21600, 15), (86400, 60), (30 * 86400, 1800)])
def test_a_time_is_drawn_in_few_steps(seconds: float, step: float) -> None:
    assert step_for(seconds) == step


# --- images, spectrum, calibration -----------------------------------------------------------------------------------


def test_images_are_those_of_the_newest_pair(seen: Seen) -> None:
    images = LiveImages(seen.context, seen.context.sites[0])
    newest = seen.images[-1]
    for quantity in ("absorbance", "column", "on", "off"):
        found = images.newest(quantity)  # type: ignore[arg-type]
        assert found.message is not None, found.why
        header, pixels = decode_frame(found.message)
        assert pixels.shape == newest.image.absorbance.shape
        assert images.newest(quantity).tag == found.tag  # type: ignore[arg-type]
    header, pixels = decode_frame(images.newest("absorbance").message or b"")
    values = pixels * header["scale"] + header["offset"]
    known = pixels != header["invalid"]
    np.testing.assert_array_equal(known, newest.image.valid & newest.image.in_sky)
    np.testing.assert_allclose(values[known], newest.image.absorbance[known], atol=header["scale"])


def test_spectrum_calibration_and_look_are_there(seen: Seen) -> None:
    site = seen.context.sites[0]
    shown = LiveSpectrum(seen.context, site).newest()
    assert shown is not None
    assert shown.fit is not None, shown.why
    assert shown.fit.measured.shape == shown.fit.model.shape
    assert shown.column is not None
    calibration = seen.context.board.calibration(seen.name)
    assert calibration is not None
    assert calibration.source == "gas cells"
    assert len(calibration.cells) >= 1
    assert calibration.slope[0] > 100
    look = look_at(seen.context, site, ())
    assert look.frame is not None
    assert look.column is None  # of the last hours
    assert {rate.line for rate in look.rates} >= {line.name for line in site.loaded.site.lines}


# --- over HTTP -------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(seen: Seen, tmp_path: Path) -> Iterator[TestClient]:
    with Access(tmp_path / "access.sqlite") as access:
        app = FastAPI()
        app.state.token = access.create("somebody", Role.VIEWER)
        trials = {seen.name: TrialLines(seen.context, seen.context.sites[0])}
        mount_pages(app, seen.context, tuple, access, trials=trials)
        with TestClient(app, headers={"Authorization": f"Bearer {app.state.token}"}) as made:
            yield made


def test_an_image_is_told_once(client: TestClient, seen: Seen) -> None:
    first = client.get(f"/pages/sites/{seen.name}/image/column")
    assert first.status_code == 200
    decode_frame(first.content)
    assert first.headers["etag"].startswith('"')
    assert client.get(f"/pages/sites/{seen.name}/image/nothing").status_code == 422
    assert client.get("/pages/sites/elsewhere/image/column").status_code == 404


def test_who_waits_for_a_newer_image_is_let_go_when_the_station_stops(
    client: TestClient, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("so2cam.web.live_routes._HOLD_S", 1e6)  # only the stop ends it
    address = f"/pages/sites/{seen.name}/image/column"
    tag = client.get(address).headers["etag"].strip('"')
    app: Any = client.app
    app.state.stop = threading.Event()
    app.state.stop.set()
    assert client.get(address, params={"after": tag}).status_code == 204


def test_a_trend_comes_compressed_to_who_takes_it(client: TestClient, seen: Seen) -> None:
    begin = int(seen.start.timestamp() * 1000)
    query = f"method=flow_raw&start={begin}&end={begin + 3_600_000}&span=3600"
    plain = client.get(f"/pages/sites/{seen.name}/trend?{query}", headers={"Accept-Encoding": "identity"})
    small = client.get(f"/pages/sites/{seen.name}/trend?{query}", headers={"Accept-Encoding": "gzip"})
    assert small.headers["content-encoding"] == "gzip"
    assert plain.json() == small.json()
    assert len(gzip.compress(plain.content)) < len(plain.content)
    backwards = f"method=flow_raw&start={begin + 1000}&end={begin}&span=3600"
    assert client.get(f"/pages/sites/{seen.name}/trend?{backwards}").status_code == 422


def test_the_live_page_comes_with_its_values(client: TestClient, seen: Seen) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert seen.name in page.text
    for test in ("rate", "viewer", "trend", "state-live", "calibration", "spectrum"):
        assert f'"data-testid":"{test}' in page.text
    assert load_site(seen.context.sites[0].loaded.path).site.lines[0].name in page.text
