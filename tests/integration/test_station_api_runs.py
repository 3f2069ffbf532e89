"""Runs over the interface: ordered, followed, cancelled, fetched and compared by other programs."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from so2cam.link.protocol import Role
from so2cam.station import api_runs
from so2cam.station.access import Access
from so2cam.station.api import build_api
from so2cam.station.catalogue import NewFile, PairRow, Rate
from so2cam.station.compare import RateSeries, Results
from so2cam.station.context import StationContext
from so2cam.station.publish_services import OutwardPaths
from so2cam.station.run_store import RunRecord, RunStore
from so2cam.station.runs import Runs

START = datetime(2026, 1, 15, 12, tzinfo=UTC)
END = START + timedelta(hours=1)
SPAN = {"start": "2026-01-15T12:00:00", "end": "2026-01-15T13:00:00Z"}


@pytest.fixture
def runs(context: StationContext) -> Runs:
    """Runs that nobody does."""
    for number in range(3):
        time = START + timedelta(minutes=number)
        new = NewFile(
            context.sites[0].name,
            f"here/{number}",
            "here",
            "frame",
            "plume",
            "camera-on",
            time,
            "2026/01/15/12",
            f"{number}.png",
            1,
            "0" * 64,
        )
        context.catalogue.add_file(new)
    return Runs(context, program=(sys.executable, "-c", ""))


@pytest.fixture
def client(context: StationContext, access: Access, runs: Runs) -> Iterator[TestClient]:
    with TestClient(build_api(context, access=access, runs=runs)) as made:
        made.headers["Authorization"] = f"Bearer {access.create('Ana', Role.OPERATOR)}"
        yield made


def at(context: StationContext, rest: str = "") -> str:
    return f"/api/v1/sites/{context.sites[0].name}/runs{rest}"


def store_of(runs: Runs, context: StationContext) -> RunStore:
    return runs.store(context.sites[0].name)


def pair(second: int, rate: float) -> PairRow:
    time = START + timedelta(seconds=second)
    rates = tuple(
        Rate(time, line, method, rate, 0.1, 0.2, 5.0, 0.5, 90.0, 0.3, 0)
        for line in ("near", "total")
        for method in ("flow_raw", "flow_hybrid")
    )
    return PairRow(time, 0, "{}", rates)


def finished(store: RunStore, record: RunRecord) -> RunRecord:
    outcome = {"pairs": 3, "valid": 3, "warnings": ["windy"], "summary": [["flow_raw", "1 kg/s"]]}
    done = store.finish(record, outcome)
    assert done is not None
    return done


def test_a_run_is_ordered_followed_and_cancelled(client: TestClient, context: StationContext, access: Access) -> None:
    wanted: dict[str, Any] = {"name": "clear", "changes": 'processing.background.mode = "polynomial"', **SPAN}
    wanted |= {"images": {"formats": ["video"], "every": 2}, "methods": ["flow_raw"]}
    answer = client.post(at(context), json=wanted)
    assert answer.status_code == 201, answer.text
    run = answer.json()
    assert (run["id"], run["kind"], run["state"], run["by"], run["name"]) == (1, "process", "queued", "Ana", "clear")
    assert (run["start"], run["end"]) == ("2026-01-15T12:00:00Z", "2026-01-15T13:00:00Z")
    assert run["images"] == {"formats": ["video"], "quantities": ["columns"], "every": 2}
    assert "processing.background.mode" in run["settings"]
    assert (run["progress"], run["products"]) == (None, [])
    assert (
        client.post(at(context), json={"kind": "film", "band": "off", **SPAN}).json()["name"] == "film of the off band"
    )
    assert [one["id"] for one in client.get(at(context)).json()] == [2, 1]
    assert [one["id"] for one in client.get(at(context), params={"limit": 1}).json()] == [2]
    assert client.get(at(context, "/1")).json() == run
    assert client.get(at(context, "/1/log")).text == ""
    cancelled = client.post(at(context, "/1/cancel")).json()
    assert (cancelled["state"], cancelled["message"]) == ("cancelled", "cancelled by Ana")
    again = client.post(at(context, "/1/cancel"))
    assert (again.status_code, again.json()["key"]) == (422, "run")
    assert client.post(at(context, "/1/again")).json()["state"] == "queued"
    told = [(entry.name, entry.action, entry.outcome) for entry in access.audit(3)]
    assert told[0] == ("Ana", f"POST {at(context, '/1/again')}", "done")
    assert told[1] == ("Ana", f"POST {at(context, '/1/cancel')}", "refused")


@pytest.mark.parametrize(
    ("changed", "key", "words"),
    [
        ({"end": "2026-01-15T11:00:00"}, "end", "not after the start"),
        ({"start": "2025-01-15T11:00:00"}, "end", "longer than 7 days"),
        ({"start": "2026-01-16T12:00:00", "end": "2026-01-16T13:00:00"}, "start", "no plume frames"),
        ({"kind": "spectra"}, "spectrometer", "no spectrometer"),
        ({"kind": "live"}, "start", "no results"),
        ({"settings": "99"}, None, ""),
        ({"changes": "nonsense"}, "line 1", "no change of a key"),
        ({"changes": "processing.background.mode = 77"}, "processing.background.mode", ""),
        ({"methods": ["guess"]}, "processing.speed.methods", "no speed method"),
        ({"images": {"formats": ["gif"]}}, "images.formats", "some of those"),
        ({"columns_of": 7}, "columns_of", "no columns"),
    ],
)
def test_what_cannot_be_done_is_said_with_key_and_remedy(
    client: TestClient, context: StationContext, changed: dict[str, Any], key: str | None, words: str
) -> None:
    answer = client.post(at(context), json=SPAN | changed)
    assert answer.status_code == 422, answer.text
    said = answer.json()
    assert set(said) == {"detail", "key", "value", "remedy"}
    assert words in said["detail"]
    assert str(context.folder) not in answer.text
    if key is not None:
        assert said["key"] == key
    assert client.get(at(context)).json() == []


@pytest.mark.parametrize(
    "changed", [{"start": None}, {"kind": "dance"}, {"more": 1}, {"start": "0001-01-01T00:00+14:00"}]
)
def test_what_is_no_order_is_refused(client: TestClient, context: StationContext, changed: dict[str, Any]) -> None:
    answer = client.post(at(context), json=SPAN | changed)
    assert answer.status_code == 422
    assert answer.json()["detail"]


def test_products_are_fetched_when_the_run_is_done(
    client: TestClient, context: StationContext, runs: Runs, access: Access
) -> None:
    assert client.post(at(context), json=SPAN).status_code == 201
    store = store_of(runs, context)
    store.path(1, "emission_rates.csv").write_text("half", encoding="utf-8")
    assert client.get(at(context, "/1/files/emission_rates.csv")).status_code == 404
    finished(store, store.get(1))
    found = client.get(at(context, "/1")).json()
    assert (found["state"], found["products"], found["warnings"]) == ("done", ["emission_rates.csv"], ["windy"])
    assert found["summary"] == [{"label": "flow_raw", "value": "1 kg/s"}]
    assert client.get(at(context, "/1/files/emission_rates.csv")).text == "half"
    assert client.get(at(context, "/1/files/site.toml")).status_code == 200
    for name, code in (("files.json", 404), ("other.nc", 404), ("%2e%2e%2fsite.toml", 404), ("A", 422)):
        assert client.get(at(context, f"/1/files/{name}")).status_code == code, name
    viewer = {"Authorization": f"Bearer {access.create('wall', Role.VIEWER)}"}
    assert client.get(at(context, "/1/files/emission_rates.csv"), headers=viewer).status_code == 200
    assert client.get(at(context, "/1/files/site.toml"), headers=viewer).status_code == 403
    assert client.post(at(context), json=SPAN, headers=viewer).status_code == 403
    assert client.delete(at(context, "/1")).status_code == 403
    admin = {"Authorization": f"Bearer {access.create('chief', Role.ADMIN)}"}
    assert client.delete(at(context, "/1"), headers=admin).status_code == 204
    assert client.get(at(context, "/1")).status_code == 404
    assert client.delete(at(context, "/1"), headers=admin).status_code == 404


def test_the_figures_of_a_comparison(
    client: TestClient, context: StationContext, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, store = context.sites[0].name, store_of(runs, context)
    live = [1.0, 2.0, 3.0, 5.0]
    context.catalogue.add_pairs(name, 1, [pair(second, rate) for second, rate in enumerate(live)])
    changes = 'processing.background.mode = "polynomial"'
    assert client.post(at(context), json={"changes": changes, **SPAN}).status_code == 201
    assert client.get(at(context, "/1/compare")).json()["key"] == "run", "it is not done"
    finished(store, store.get(1))

    def made(found: RunStore, record: RunRecord) -> Results:
        times = np.array([int((START + timedelta(seconds=n)).timestamp()) * 1000 for n in range(3)], np.int64)
        rate = np.array([1.5, 2.5, np.nan])
        series = RateSeries(times, rate, np.full(3, 0.1), np.full(3, 0.2))
        return Results(str(record.id), "run 1", found.text(record.id), {("total", "flow_hybrid"): series})

    monkeypatch.setattr(api_runs, "results_of_run", made)
    found = client.get(at(context, "/1/compare")).json()
    assert (found["line"], found["common"]) == ("total", 2)
    assert (found["a"]["title"], found["a"]["speed_method"]) == ("live results", "flow_hybrid")
    assert (found["a"]["values"], found["a"]["valid"], found["b"]["valid"]) == (4, 4, 2)
    assert found["mean_difference_kg_s"] == pytest.approx(0.5)
    assert found["slope"] is None, "two points make no line"
    assert {"key": "processing.background.mode", "a": "sky-surface", "b": "polynomial"} in found["settings"]
    other = client.get(at(context, "/1/compare"), params={"against_method": "flow_raw", "line": "total"}).json()
    assert other["a"]["speed_method"] == "flow_raw"
    for asked, key in (({"line": "far"}, "line"), ({"speed_method": "flow_raw"}, "speed_method")):
        answer = client.get(at(context, "/1/compare"), params=asked)
        assert (answer.status_code, answer.json()["key"]) == (422, key)
    assert client.get(at(context, "/1/compare"), params={"against": "9"}).status_code == 422
    same = client.get(at(context, "/1/compare"), params={"against": "1"}).json()
    assert (same["mean_difference_kg_s"], same["settings"]) == (0.0, [])


def test_what_was_made_of_a_day_is_fetched(client: TestClient, context: StationContext) -> None:
    site = context.sites[0]
    folders = OutwardPaths(context.folder).folders(site.results.name)
    assert folders.videos is not None
    assert folders.images is not None
    (site.results / "2026").mkdir(parents=True)
    (site.results / "2026" / "2026-01-15.nc").write_bytes(b"numbers")
    for folder, name in ((folders.videos, "2026-01-15-on-band.mp4"), (folders.images, "2026-01-15-keogram-near.png")):
        (folder / "2026").mkdir(parents=True)
        (folder / "2026" / name).write_bytes(name.encode())
    (folders.images / "2026" / ".2026-01-15-keogram-near.npz").write_bytes(b"state")
    days = f"/api/v1/sites/{site.name}/days"
    listed = client.get(f"{days}/2026-01-15/files").json()
    assert [(one["name"], one["what"]) for one in listed] == [
        ("2026-01-15.nc", "netCDF"),
        ("2026-01-15-on-band.mp4", "video, on band"),
        ("2026-01-15-keogram-near.png", "keogram, near"),
    ]
    answer = client.get(f"{days}/2026-01-15/files/2026-01-15-on-band.mp4")
    assert (answer.content, answer.headers["content-type"]) == (b"2026-01-15-on-band.mp4", "video/mp4")
    for name in (".2026-01-15-keogram-near.npz", "2026-01-14.nc", "%2e%2e%2f2026%2f2026-01-15.nc"):
        assert client.get(f"{days}/2026-01-15/files/{name}").status_code == 404
    assert client.get(f"{days}/2026-01-14/files").json() == []
    assert client.get(f"{days}/yesterday/files").status_code == 422
