"""The queue of runs: done one after the other, cancelled, cut off, done again; and where their settings are from."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from so2cam.core.errors import InputError, OutputError, SiteFileError
from so2cam.core.records import Band
from so2cam.formats.sitefile import LoadedSite, load_site, load_site_text
from so2cam.pipeline.series import assemble
from so2cam.station import run_tell, run_worker
from so2cam.station.catalogue import NewFile
from so2cam.station.context import StationContext, StationSite
from so2cam.station.drafts import SiteDraft, setup_folder
from so2cam.station.publish import collect
from so2cam.station.publish_services import OutwardPaths
from so2cam.station.run_files import ChosenFiles, choose_files
from so2cam.station.run_orders import RunWish, order_of, with_video
from so2cam.station.run_reuse import reused_notes
from so2cam.station.run_settings import parse_changes, settings_text
from so2cam.station.run_spectra import NO_COLUMNS
from so2cam.station.run_store import OUTCOME, RunImages, RunOrder, RunRecord, RunStore
from so2cam.station.runs import Runs

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "bench" / "site.toml"
START = datetime(2026, 1, 15, 12, tzinfo=UTC)
END = START + timedelta(hours=1)
SPECTROMETER = """
[spectrometer.line_shape]
width_nm = 0.6

[spectrometer.fit]
window_nm = [309, 317]
"""
WORKER = """
import json, os, pathlib, sys
folder = pathlib.Path(sys.argv[1])
name = json.loads((folder / "run.json").read_text())["name"]
print(json.dumps({"stage": "working", "done_of": [1, 4]}), flush=True)
(folder / "half.nc").write_text("half")
(folder / "pid.part").write_text(str(os.getpid()))
(folder / "pid.part").rename(folder / "pid")
if name == "waits":
    while os.read(0, 64):
        pass
    raise SystemExit(130)
if name == "stubborn":
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
if name == "fails":
    print(json.dumps({"failed": "no darks"}), flush=True)
    raise SystemExit(2)
if name == "orphans":
    import signal
    child = os.fork()
    if child == 0:
        os.close(0)
        while True:
            signal.pause()
    print(child, file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
if name == "dies":
    os.abort()
(folder / "half.nc").rename(folder / "emission_rates.nc")
(folder / "pid").unlink()
if name == "kept":
    outcome = {"pairs": 3, "valid": 2, "warnings": [], "summary": []}
    (folder / ".outcome.json").write_text(json.dumps(outcome))
print(json.dumps({"done": {"pairs": 3, "valid": 2, "warnings": ["windy"], "summary": [["total", "1 kg/s"]]}}))
"""


@pytest.fixture
def context(bench_station: StationContext) -> StationContext:
    for number in range(3):
        bench_station.catalogue.add_file(
            NewFile(
                site=bench_station.sites[0].name,
                origin=f"here/{number}",
                node="here",
                kind="frame",
                subject="plume",
                device="camera-on",
                time=START + timedelta(minutes=number),
                folder="2026/01/15/12",
                name=f"{number}.png",
                size=1,
                sha256="0" * 64,
            )
        )
    return bench_station


@pytest.fixture
def runs(context: StationContext, tmp_path: Path) -> Runs:
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    return Runs(context, program=(sys.executable, "-I", str(script)))


@contextmanager
def working(runs: Runs) -> Iterator[threading.Event]:
    """Run the service."""
    stop = threading.Event()
    thread = threading.Thread(target=runs.run, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def until(holds: Callable[[], object]) -> None:
    limit = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.02)


def order(runs: Runs, context: StationContext, name: str) -> RunRecord:
    wanted = RunOrder("process", name, "Anna", START, END, EXAMPLE.read_text(encoding="utf-8"), "the site file")
    return runs.order(context.sites[0], wanted)


def store_of(runs: Runs, context: StationContext) -> RunStore:
    return runs.store(context.sites[0].name)


def state(runs: Runs, context: StationContext, record: RunRecord) -> str:
    return store_of(runs, context).get(record.id).state


def test_runs_are_done_one_after_the_other(runs: Runs, context: StationContext) -> None:
    made = [order(runs, context, name) for name in ("first", "fails", "dies", "last")]
    assert [record.id for record in made] == [1, 2, 3, 4]
    assert runs.waiting_before(made[2]) == 2
    with working(runs):
        until(lambda: state(runs, context, made[3]) == "done")
    store = store_of(runs, context)
    assert [record.state for record in store.all()] == ["done", "failed", "failed", "done"]
    first, fails, dies, last = (store.get(record.id) for record in made)
    assert (first.pairs, first.valid, first.warnings, first.summary) == (3, 2, ("windy",), (("total", "1 kg/s"),))
    assert first.ended is not None
    assert last.began is not None
    assert first.ended <= last.began
    assert fails.message == "no darks"
    assert "see the log" in dies.message
    assert [path.name for path in store.products(1)] == ["emission_rates.nc"]
    assert store.products(2) == store.products(3) == []


def test_a_run_that_is_cancelled_leaves_nothing_half_written(runs: Runs, context: StationContext) -> None:
    running, waiting = order(runs, context, "waits"), order(runs, context, "next")
    site, store = context.sites[0].name, store_of(runs, context)
    with working(runs):
        until(lambda: (store.path(1, "pid")).exists())
        until(lambda: runs.progress(site, 1) is not None and runs.progress(site, 1).total == 4)  # type: ignore[union-attr]
        process = int(store.path(1, "pid").read_text())
        runs.cancel(site, waiting.id, "Bruno")
        runs.cancel(site, running.id, "Bruno")
        until(lambda: state(runs, context, running) == "cancelled")
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert {store.get(number).message for number in (1, 2)} == {"cancelled by Bruno"}
    assert store.products(1) == []
    assert runs.progress(site, 1) is None
    with pytest.raises(InputError, match="the run is cancelled"):
        runs.cancel(site, 1, "Bruno")


def test_the_station_ends_a_run_and_the_queue_outlives_it(runs: Runs, context: StationContext) -> None:
    cut, waiting = order(runs, context, "waits"), order(runs, context, "next")
    store = store_of(runs, context)
    with working(runs):
        until(lambda: store.path(1, "pid").exists())
        process = int(store.path(1, "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert (state(runs, context, cut), state(runs, context, waiting)) == ("interrupted", "queued")
    assert store.products(1) == []
    anew = Runs(context, program=runs._program)
    with working(anew):
        until(lambda: state(anew, context, waiting) == "done")
        assert state(anew, context, cut) == "interrupted"


def test_a_run_that_was_running_at_a_crash_is_marked_and_can_be_done_again(runs: Runs, context: StationContext) -> None:
    record = order(runs, context, "crashed")
    store = store_of(runs, context)
    text = store.path(1, "run.json").read_text().replace('"queued"', '"running"')
    store.path(1, "run.json").write_text(text)
    store.path(1, "emission_rates.nc").write_text("half")
    store.path(1, ".images.tmp").mkdir()
    with working(runs):
        until(lambda: state(runs, context, record) == "interrupted")
        assert sorted(path.name for path in store.path(1).iterdir()) == ["files.json", "run.json", "site.toml"]
        runs.again(context.sites[0].name, 1)
        until(lambda: state(runs, context, record) == "done")
    with pytest.raises(InputError, match="the run is done"):
        runs.again(context.sites[0].name, 1)


def test_a_process_that_does_not_end_is_ended(
    runs: Runs, context: StationContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("so2cam.station.runs._TIDY_S", 0.5)
    record = order(runs, context, "stubborn")
    store = store_of(runs, context)
    with working(runs):
        until(lambda: store.path(1, "pid").exists())
        process = int(store.path(1, "pid").read_text())
        time.sleep(0)
        until(
            lambda: "SigIgn" not in _status(process) or int(_status(process)["SigIgn"], 16) >> (signal.SIGTERM - 1) & 1
        )
        runs.cancel(context.sites[0].name, 1, "Anna")
        until(lambda: state(runs, context, record) == "cancelled")
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def _status(process: int) -> dict[str, str]:
    path = Path(f"/proc/{process}/status")
    if not path.exists():
        return {}
    return dict(line.split(":\t", 1) for line in path.read_text().splitlines() if ":\t" in line)


def test_a_run_is_deleted_when_it_neither_waits_nor_runs(runs: Runs, context: StationContext) -> None:
    record = order(runs, context, "first")
    store = store_of(runs, context)
    with pytest.raises(InputError, match="cancel it first"):
        store.delete(record.id)
    runs.cancel(context.sites[0].name, record.id, "Anna")
    store.delete(record.id)
    assert store.all() == []
    assert [path.name for path in store.folder.iterdir()] == [".newest"]
    assert order(runs, context, "second").id == record.id + 1, "a number names one run for ever"


def test_a_run_that_said_that_it_is_done_is_done(runs: Runs, context: StationContext) -> None:
    """The station was killed before it could keep that."""
    record = order(runs, context, "whole")
    store = store_of(runs, context)
    text = store.path(1, "run.json").read_text().replace('"queued"', '"running"')
    store.path(1, "run.json").write_text(text)
    store.path(1, "emission_rates.nc").write_text("whole")
    store.path(1, OUTCOME).write_text(json.dumps({"pairs": 3, "valid": 2, "warnings": [], "summary": [["a", "b"]]}))
    with working(runs):
        until(lambda: state(runs, context, record) != "running")
    found = store.get(1)
    assert (found.state, found.pairs, found.summary) == ("done", 3, (("a", "b"),))
    assert [path.name for path in store.products(1)] == ["emission_rates.nc"]
    assert not store.path(1, OUTCOME).exists()


def test_what_a_run_found_is_kept_before_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[dict[str, object]] = []

    def say(**what: dict[str, object]) -> None:
        assert json.loads((tmp_path / OUTCOME).read_text()) == json.loads(json.dumps(what["done"]))
        said.append(what["done"])

    monkeypatch.setattr(run_tell, "say", say)
    site = load_site(EXAMPLE).site
    run_worker._finish(tmp_path, assemble(site, []), ("windy",), NO_COLUMNS)
    assert [(one["pairs"], one["warnings"]) for one in said] == [(0, ["windy"])]


def test_a_disk_that_refuses_leaves_the_queue_free(
    runs: Runs, context: StationContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, site = order(runs, context, "kept"), context.sites[0].name
    store = store_of(runs, context)
    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "finish", refuse)
        with pytest.raises(OutputError):
            runs._do(site, record, threading.Event())
    assert runs.progress(site, record.id) is None, "nothing runs"
    with pytest.raises(InputError, match="the run is running"):
        runs.cancel(site, record.id, "Anna")
    with working(runs):  # the supervisor begins the service anew
        until(lambda: state(runs, context, record) == "done")
    assert [path.name for path in store.products(1)] == ["emission_rates.nc"]


def refuse(*_: object) -> None:
    raise OutputError("no space left on the disk")


def test_what_a_run_started_ends_with_it(runs: Runs, context: StationContext) -> None:
    record = order(runs, context, "orphans")
    with working(runs):
        until(lambda: state(runs, context, record) == "failed")
    child = int(store_of(runs, context).log(1))
    until(lambda: _status(child).get("State", "Z")[0] in "ZX")


def test_runs_leave_room_for_what_comes(runs: Runs, context: StationContext) -> None:
    kept = context.sites[0].settings.minimum_free_bytes
    free = kept - 1
    careful = Runs(context, program=runs._program, free=lambda _: free)
    with pytest.raises(InputError, match=r"nearly full: 1\.0 GB are free") as found:
        order(careful, context, "waits")
    assert found.value.remedy
    free = kept
    record = order(careful, context, "waits")
    store = store_of(careful, context)
    with working(careful):
        until(lambda: store.path(1, "pid").exists())
        assert state(careful, context, record) == "running"
        free = kept - 1
        until(lambda: state(careful, context, record) == "failed")
    assert "nearly full" in store.get(1).message
    assert store.products(1) == []
    assert store.size(1) == sum(path.stat().st_size for path in store.path(1).iterdir())


def test_days_with_other_calibration_files_are_said_to_be_pooled(context: StationContext) -> None:
    site = context.sites[0]
    day = timedelta(days=1)

    def add(subject: str, time: datetime) -> None:
        name = f"{subject}-{time:%d}.png"
        new = NewFile(
            site.name, name, "here", "frame", subject, "camera-on", time, f"{time:%Y/%m/%d}", name, 1, "0" * 64
        )
        context.catalogue.add_file(new)

    add("plume", START + day)
    add("clear", START)
    add("dark", START)
    add("dark", START + day)
    assert choose_files(site, site.loaded, START, START + 2 * day).notes == (), "the days have one clear sky"
    add("clear", START + day)
    assert choose_files(site, site.loaded, START, START + day).notes == ()
    (note,) = choose_files(site, site.loaded, START, START + 2 * day).notes
    assert "used together" in note


def test_runs_are_never_published(runs: Runs, context: StationContext) -> None:
    order(runs, context, "first")
    folders = OutwardPaths(context.folder).folders(context.sites[0].results.name)
    assert store_of(runs, context).path(1, "site.toml").is_file()
    assert collect(folders, ["page", "images", "daily", "videos"]) == []
    assert folders.daily is not None
    assert not store_of(runs, context).folder.is_relative_to(folders.daily)


def test_files_of_the_range_are_chosen(runs: Runs, context: StationContext) -> None:
    site = context.sites[0]
    text = EXAMPLE.read_text(encoding="utf-8")

    def ordered(start: datetime, end: datetime, settings: str = text) -> RunRecord:
        return runs.order(site, RunOrder("process", "", "Anna", start, end, settings, ""))

    record = ordered(START, START + timedelta(minutes=2))
    files = store_of(runs, context).path(record.id, "files.json").read_text()
    assert "0.png" in files
    assert "1.png" in files
    assert "2.png" not in files
    with pytest.raises(InputError, match="the archive has no plume frames"):
        ordered(START - timedelta(days=2), START - timedelta(days=1))
    with pytest.raises(InputError, match="the end is not after the start"):
        ordered(END, START)
    with pytest.raises(SiteFileError):
        ordered(START, END, text.replace("[camera", "[kamera"))
    assert "altitude_m = 2600.0" in text
    with pytest.raises(SiteFileError, match="is a placeholder") as refused:
        ordered(START, END, text.replace("altitude_m = 2600.0", "altitude_m = -500.0"))
    assert (refused.value.key, refused.value.file) == ("volcano.vent.altitude_m", site.loaded.path)
    with pytest.raises(InputError, match="another site"):
        ordered(START, END, text.replace(f'name = "{site.name}"', 'name = "elsewhere"', 1))
    with pytest.raises(InputError, match="there are no results"):
        runs.order(site, RunOrder("live", "", "Anna", START, END, text, ""))


def with_spectrometer(site: StationSite) -> LoadedSite:
    """Return the site's settings with those of a spectrometer."""
    text = site.loaded.path.read_text(encoding="utf-8") + SPECTROMETER
    return load_site_text(text, site.loaded.path)


def add_spectra(context: StationContext, minutes: Sequence[int], subject: str = "plume") -> None:
    name = context.sites[0].name
    for minute in minutes:
        time = START + timedelta(minutes=minute)
        file = f"{subject}-{minute}.npy"
        new = NewFile(
            name, file, "here", "spectrum", subject, "spectrometer", time, "2026/01/15/12", file, 1, f"{minute:064d}"
        )
        context.catalogue.add_file(new)


def names(chosen: ChosenFiles) -> list[str]:
    return [Path(path).name for path in chosen.paths]


def test_a_run_takes_images_spectra_or_both(context: StationContext) -> None:
    site = context.sites[0]
    loaded = with_spectrometer(site)
    hour = timedelta(hours=1)
    add_spectra(context, (1, 58, 62))
    add_spectra(context, (-600,), "dark")
    both = choose_files(site, loaded, START, END)
    assert both.kind == "process"
    assert names(both) == ["dark--600.npy", "0.png", "1.png", "2.png", "plume-1.npy", "plume-58.npy", "plume-62.npy"]
    without = choose_files(site, loaded, START, END, with_spectra=False)
    assert names(without) == ["0.png", "1.png", "2.png"]
    alone = choose_files(site, loaded, START, END, "spectra")
    assert (alone.kind, names(alone)) == ("spectra", ["dark--600.npy", "plume-1.npy", "plume-58.npy"])
    film = choose_files(site, loaded, START, END, "film")
    assert (film.kind, names(film)) == ("film", ["0.png", "1.png", "2.png"])

    # Spectra and no images: a run of spectra alone, not a refusal.
    later = choose_files(site, loaded, END, END + hour)
    assert (later.kind, names(later)) == ("spectra", ["dark--600.npy", "plume-62.npy"])
    assert "no plume frames" in later.notes[0]

    for kind, settings, start, words in (
        ("process", loaded, START + 5 * hour, "neither plume frames nor spectra"),
        ("spectra", loaded, START + 5 * hour, "no spectra of the plume"),
        ("spectra", site.loaded, START, "have no spectrometer"),
        ("process", site.loaded, END, "no plume frames"),
        ("film", loaded, END, "no plume frames"),
        ("live", loaded, END, "no plume frames"),
    ):
        with pytest.raises(InputError, match=words) as found:
            choose_files(site, settings, start, start + hour, kind)
        assert found.value.remedy


def test_an_order_becomes_a_run_of_what_there_is(runs: Runs, context: StationContext) -> None:
    site = context.sites[0]
    text = site.loaded.path.read_text(encoding="utf-8") + SPECTROMETER
    add_spectra(context, (62,))
    images = RunImages(("video",), ("columns",))
    wanted = RunOrder("process", "", "Anna", END, END + timedelta(hours=1), text, "", images)
    record = runs.order(site, wanted)
    assert (record.kind, record.images) == ("spectra", None)
    assert "no plume frames" in store_of(runs, context).path(record.id, "files.json").read_text()
    film = runs.order(site, RunOrder("film", "", "Anna", START, END, text, "", images, band=Band.OFF))
    assert (film.kind, film.images, film.band) == ("film", None, Band.OFF)
    assert store_of(runs, context).get(film.id) == film


def test_columns_of_an_earlier_run_are_used_where_it_has_some(runs: Runs, context: StationContext) -> None:
    site, store = context.sites[0], store_of(runs, context)
    text = site.loaded.path.read_text(encoding="utf-8") + SPECTROMETER
    text = text.replace('source = "cells"', 'source = "joint"')
    add_spectra(context, (1, 62))

    def ordered(columns_of: int, start: datetime = START) -> RunRecord:
        wanted = RunOrder("process", "", "Anna", start, start + timedelta(hours=1), text, "", columns_of=columns_of)
        return runs.order(site, wanted)

    earlier = runs.order(site, RunOrder("spectra", "first", "Anna", START, END, text, ""))
    for missing in (earlier.id, 99):
        with pytest.raises(InputError, match="no columns of spectra") as found:
            ordered(missing)
        assert (found.value.key, found.value.value) == ("columns_of", missing)
    store.path(earlier.id, "columns.nc").write_bytes(b"columns")
    store.finish(earlier, {"pairs": 0, "valid": 0, "spectra": 1, "columns": 1, "warnings": [], "summary": []})
    assert store.get(earlier.id).has_columns
    assert not store.get(earlier.id).has_rates
    record = ordered(earlier.id)
    assert record.columns_of == earlier.id
    content = json.loads(store.path(record.id, "files.json").read_text())
    assert not [path for path in content["files"] if path.endswith(".npy")]
    with pytest.raises(InputError, match="another time"):
        ordered(earlier.id, START + timedelta(hours=1))
    loaded = load_site_text(text, site.loaded.path)
    (only,) = reused_notes(store, earlier.id, loaded, START, END)
    assert "run 1 first" in only
    other = load_site_text(text.replace("window_nm = [309, 317]", "window_nm = [310, 317]"), site.loaded.path)
    notes = reused_notes(store, earlier.id, other, START, END + timedelta(hours=1))
    assert "not reach over the whole time" in notes[1]
    assert "other settings of the spectrometer" in notes[2]


def test_files_of_a_run_are_fetched_when_it_is_done(runs: Runs, context: StationContext) -> None:
    record, store = order(runs, context, "first"), store_of(runs, context)
    store.path(record.id, "emission_rates.nc").write_bytes(b"half")
    assert store.file(record.id, "site.toml").is_file()
    for name in ("emission_rates.nc", "files.json", "log.txt", "nothing.nc"):
        with pytest.raises(InputError, match="no such file"):
            store.file(record.id, name)
    store.finish(record, {"pairs": 1, "valid": 1, "warnings": [], "summary": []})
    assert store.file(record.id, "emission_rates.nc").read_bytes() == b"half"


def test_an_order_is_made_of_what_is_asked_for(context: StationContext) -> None:
    site = context.sites[0]
    draft = SiteDraft(site.loaded.path, setup_folder(context, site))
    images = RunImages(("png",), ("flow",), 3)
    wish = RunWish(
        "process", "Anna", START, END, name="  a \n name ", images=images, methods=("flow_raw",), columns_of=4
    )
    made = order_of(wish, draft)
    assert (made.name, made.images, made.columns_of, made.band) == ("a name", images, 4, None)
    assert 'methods = ["flow_raw"]' in made.text
    film = order_of(replace(wish, kind="film", name="", band=Band.OFF), draft)
    assert (film.name, film.images, film.columns_of, film.band) == ("film of the off band", None, None, Band.OFF)
    live = order_of(replace(wish, kind="live", name="", changes="nonsense"), draft)
    assert (live.name, live.text, live.images) == ("live results", draft.state().base, None)
    assert with_video(images, "absorbance") == RunImages(("png", "video"), ("absorbance",), 3)
    assert with_video(None, "columns") == RunImages(("video",), ("columns",))
    for wrong, key in (
        (RunImages(("gif",), ("flow",)), "images.formats"),
        (RunImages((), ("flow",)), "images.formats"),
        (RunImages(("png",), ("heat",)), "images.quantities"),
        (RunImages(("png",), ("flow",), 0), "images.every"),
    ):
        with pytest.raises(InputError) as found:
            order_of(replace(wish, images=wrong), draft)
        assert found.value.key == key


def test_changes_are_read_and_mistakes_named() -> None:
    assert parse_changes('# why\n\nprocessing.background.mode = "polynomial"\nlines.upstream.start=[1, 2.5]\n') == [
        (("processing", "background", "mode"), "polynomial"),
        (("lines", "upstream", "start"), [1, 2.5]),
    ]
    for text, key in (("nothing", "line 1"), ("\na b = 1", "line 2"), ("a.b = flat", "line 1, a.b")):
        with pytest.raises(InputError) as found:
            parse_changes(text)
        assert found.value.key == key
        assert found.value.remedy


def test_settings_are_those_of_the_file_the_draft_or_a_version(context: StationContext) -> None:
    site = context.sites[0]
    draft = SiteDraft(site.loaded.path, setup_folder(context, site))
    base = site.loaded.path.read_text(encoding="utf-8")
    key = ("processing", "background", "mode")
    assert settings_text(draft, "file", "") == (base, "the site file")
    draft.change({key: "polynomial"}, by="Anna")
    text, words = settings_text(draft, "draft", "")
    assert 'mode = "polynomial"' in text
    assert words == "the draft"
    assert settings_text(draft, "1", "") == (base, "version 1")
    text, words = settings_text(draft, "file", "", ("flow_hybrid",))
    assert 'methods = ["flow_hybrid"]' in text
    assert words == "the site file with processing.speed.methods changed"
    for source in ("99", "elsewhere"):
        with pytest.raises(InputError):
            settings_text(draft, source, "")
    with pytest.raises(InputError, match="is no speed method"):
        settings_text(draft, "file", "", ("guess",))
