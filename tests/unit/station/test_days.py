"""Which run the results of a day are from, when it is calculated again, and how the run of a day ends."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from so2cam import __version__
from so2cam.formats.sitefile import settings_hash
from so2cam.station.catalogue import NewFile, PairRow
from so2cam.station.context import StationContext
from so2cam.station.live_day import LiveDay, processing_hash
from so2cam.station.recalculate import CALIBRATION, Recalculation
from so2cam.station.result_origin import provenance_of, result_origin

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "bench" / "site.toml"
START = datetime(2026, 1, 15, 12, tzinfo=UTC)
DAY = "2026-01-15"


@pytest.fixture
def context(bench_station: StationContext) -> StationContext:
    return bench_station


def add_dark(context: StationContext, number: int) -> int:
    file, _ = context.catalogue.add_file(
        NewFile(
            site=context.sites[0].name,
            origin=f"here/{number}",
            node="here",
            kind="frame",
            subject="dark",
            device="camera-on",
            time=START + timedelta(minutes=number),
            folder="2026/01/15/12",
            name=f"{number}.png",
            size=1,
            sha256=f"{number}" * 64,
        )
    )
    return file.id


@pytest.mark.parametrize("state", ["failed", "stopped"])
def test_a_recalculation_without_results_is_not_the_day_s(context: StationContext, state: str) -> None:
    catalogue, name = context.catalogue, context.sites[0].name

    def begin(kind: str, *inputs: int) -> int:
        run = catalogue.begin_run(name, DAY, kind, settings_sha256="s", software_version="1", inputs=inputs)
        return run.id

    first = add_dark(context, 1)
    live = begin("live", first)
    catalogue.add_pairs(name, live, [PairRow(START, 0, "{}")])
    catalogue.end_run(live)
    again = Recalculation(context, context.sites[0])
    again.mark_days_with_new_references()
    assert catalogue.days(name, stale=True) == []
    second = add_dark(context, 2)
    catalogue.end_run(begin("recalculation", first, second), state)
    window = {"start": START, "end": START + timedelta(hours=1)}
    assert result_origin(catalogue, name, **window).inputs == (("2026/01/15/12/1.png", "1" * 64),)
    again.mark_days_with_new_references()
    (stale,) = catalogue.days(name, stale=True)
    assert stale.reason == CALIBRATION


def test_results_say_which_settings_and_version_made_them(context: StationContext) -> None:
    catalogue, site = context.catalogue, context.sites[0]
    now = processing_hash(site.loaded.site)
    times = [START + timedelta(days=number) for number in range(3)]
    made = ((now, __version__), (now, "0.0.1"), ("f" * 64, "0.0.1"))
    for time, (digest, version) in zip(times, made, strict=True):
        run = catalogue.begin_run(
            site.name, f"{time:%Y-%m-%d}", "live", settings_sha256=digest, software_version=version, inputs=[]
        )
        catalogue.add_pairs(site.name, run.id, [PairRow(time, 0, "{}")])

    def content(first: int, last: int) -> dict[str, Any]:
        start, end = times[first], times[last] + timedelta(seconds=1)
        return result_origin(catalogue, site.name, start=start, end=end).content(site.loaded)

    today = content(0, 0)
    assert today["notes"] == []
    provenance = provenance_of(today, site.loaded, "test")
    assert (provenance.software_version, provenance.settings) == (__version__, site.loaded.settings)
    assert provenance.settings_sha256 == settings_hash(site.loaded.settings)
    assert provenance.input_sha256[0][1] == site.loaded.sha256

    older = content(1, 1)
    assert provenance_of(older, site.loaded, "test").software_version == "0.0.1"
    assert provenance_of(older, site.loaded, "test").settings == site.loaded.settings
    assert "another version" in older["notes"][0]

    mixed = content(0, 2)
    provenance = provenance_of(mixed, site.loaded, "test")
    assert (provenance.software_version, provenance.settings) == (f"{__version__}, 0.0.1", {})
    assert provenance.settings_sha256 == f"{now}, {'f' * 64}"
    assert provenance.input_sha256 == ()
    (note,) = mixed["notes"]
    assert f"2026-01-16 with settings {now[:16]} by so2cam 0.0.1; 2026-01-17 with settings {'f' * 16}" in note


def test_a_day_that_cannot_be_calculated_waits_for_other_files(context: StationContext) -> None:
    catalogue, name = context.catalogue, context.sites[0].name
    run = catalogue.begin_run(name, DAY, "live", settings_sha256="s", software_version="1", inputs=[])
    catalogue.add_pairs(name, run.id, [PairRow(START, 0, "{}")])
    catalogue.end_run(run.id)
    add_dark(context, 1)
    again = Recalculation(context, context.sites[0], clock=lambda: datetime.now(UTC) + timedelta(hours=1))
    again.mark_days_with_new_references()
    assert again.due() == [DAY]
    assert again.recalculate(DAY) is None, "there is no clear sky"
    assert again.due() == []
    again._seen_references = 0
    again.mark_days_with_new_references()
    assert again.due() == [], "nothing is new"
    add_dark(context, 2)
    again.mark_days_with_new_references()
    assert again.due() == [DAY]


def test_what_a_day_learnt_is_saved_before_its_run_ends() -> None:
    """A station that is killed between the two does the day again, and saves again."""
    done: list[str] = []
    day = SimpleNamespace(
        live=SimpleNamespace(
            finish=list, learner=SimpleNamespace(stored=SimpleNamespace(save=lambda: done.append("saved")))
        ),
        run=SimpleNamespace(id=7),
        _keep=lambda records: len(records),
        _catalogue=SimpleNamespace(end_run=lambda run: done.append(f"ended {run}")),
    )
    assert LiveDay.finish(cast(Any, day)) == 0
    assert done == ["saved", "ended 7"]
