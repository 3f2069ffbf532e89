"""Which run the results of a day are from, when it is calculated again, and how the run of a day ends."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from so2cam.station.catalogue import NewFile, PairRow
from so2cam.station.context import StationContext, open_station
from so2cam.station.daily import inputs_of
from so2cam.station.live_day import LiveDay
from so2cam.station.recalculate import CALIBRATION, Recalculation

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "bench" / "site.toml"
START = datetime(2026, 1, 15, 12, tzinfo=UTC)
DAY = "2026-01-15"


@pytest.fixture
def context(tmp_path: Path) -> Iterator[StationContext]:
    site = tmp_path / "site.toml"
    site.write_bytes(EXAMPLE.read_bytes())
    opened = open_station([site], folder=tmp_path / "station")
    yield opened
    opened.close()


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
    assert inputs_of(catalogue, name, DAY) == [("2026/01/15/12/1.png", "1" * 64)]
    again.mark_days_with_new_references()
    (stale,) = catalogue.days(name, stale=True)
    assert stale.reason == CALIBRATION


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
