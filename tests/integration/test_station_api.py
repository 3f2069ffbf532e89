"""The interface for other programs: what it answers."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from so2cam.formats.products import CSV_COLUMNS, read_emission_csv
from so2cam.station.api import build_api
from so2cam.station.api_images import picture, values_of
from so2cam.station.archive import Arrival
from so2cam.station.catalogue import ColumnRow, PairRow, Rate
from so2cam.station.context import LiveState, StationContext, open_station
from so2cam.station.services import ServiceState

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "bench" / "site.toml"
NOW = datetime.now(UTC).replace(microsecond=0)


def images(shape: tuple[int, int] = (48, 64), calibrated: bool = True) -> Any:
    """What an observer sees of a pair, as far as the API looks at it."""
    absorbance = np.linspace(0, 0.4, shape[0] * shape[1], dtype=np.float32).reshape(shape)
    valid = np.ones(shape, bool)
    valid[:4] = False
    curve = SimpleNamespace(column=lambda values: np.asarray(values) * 8e18)
    return SimpleNamespace(
        time=NOW,
        image=SimpleNamespace(absorbance=absorbance, valid=valid, in_sky=np.ones(shape, bool)),
        calibration=SimpleNamespace(curve=curve) if calibrated else None,
    )


@pytest.fixture
def context(tmp_path: Path) -> Iterator[StationContext]:
    site = tmp_path / "site.toml"
    site.write_bytes(EXAMPLE.read_bytes())
    opened = open_station([site], folder=tmp_path / "station")
    name = opened.sites[0].name
    archive = opened.sites[0].archive
    part = archive.staging / "a.tmp"
    part.write_bytes(b"image")
    sidecar = archive.staging / "b.tmp"
    sidecar.write_bytes(b"{}")
    archive.put(Arrival("x/1", "lead", "frame", "plume", "camera-on", NOW, "a.png"), part, sidecar)
    for n in range(5):
        time = NOW - timedelta(seconds=10 * (5 - n))
        value = None if n == 4 else 1.0 + n
        status = 5 if n == 4 else 0
        rates = tuple(
            Rate(time, line, "optical_flow", value, 0.1, 0.2, 5.0, 0.5, 90.0, 0.3, status) for line in ("near", "total")
        )
        opened.catalogue.add_pairs(name, 1, [PairRow(time, 0, "{}", rates)])
    opened.catalogue.add_columns(name, [ColumnRow(NOW, "s.npy", 1.5e17, 2e15, None, 0)])
    opened.catalogue.add_health(name, "lead", NOW, '{"level": "ok"}')
    opened.board.show_images(name, images())
    opened.board.show_live(name, LiveState("live", day=f"{NOW:%Y-%m-%d}", pairs=5))
    yield opened
    archive.close()
    opened.close()


@pytest.fixture
def client(context: StationContext) -> Iterator[TestClient]:
    states = (ServiceState("live", "running"), ServiceState("link", "failed", failures=2, message="no route"))
    with TestClient(build_api(context, lambda: states)) as made:
        yield made


def at(context: StationContext, rest: str) -> str:
    return f"/api/v1/sites/{context.sites[0].name}/{rest}"


def test_the_status_says_what_is_not_well(client: TestClient, context: StationContext) -> None:
    found = client.get("/api/v1/status").json()
    assert found["ok"] is False
    assert found["services"][1] == {
        "name": "link",
        "state": "failed",
        "since": None,
        "failures": 2,
        "message": "no route",
    }
    (site,) = found["sites"]
    assert (site["files"], site["live"]["state"], site["damaged_or_missing"]) == ({"frame": 1}, "live", 0)
    assert client.get("/api/v1/sites").json() == found["sites"]
    assert client.get(at(context, "health")).json()[0]["record"] == {"level": "ok"}


def test_rates_as_json_and_csv(client: TestClient, context: StationContext, tmp_path: Path) -> None:
    latest = client.get(at(context, "rates/latest")).json()
    assert [one["line"] for one in latest] == ["near", "total"]
    assert (latest[1]["emission_rate_kg_s"], latest[1]["status"]) == (None, "no_next_pair")
    assert latest[1]["status_text"]
    valid = client.get(at(context, "rates/latest"), params={"valid": True}).json()
    assert [one["emission_rate_kg_s"] for one in valid] == [4.0, 4.0]
    totals = client.get(at(context, "rates"), params={"line": "total"}).json()
    assert [one["emission_rate_kg_s"] for one in totals] == [1.0, 2.0, 3.0, 4.0, None]
    part = {
        "start": (NOW - timedelta(seconds=40)).isoformat(),
        "end": (NOW - timedelta(seconds=20)).isoformat(),
        "line": "total",
    }
    assert [one["emission_rate_kg_s"] for one in client.get(at(context, "rates"), params=part).json()] == [2.0, 3.0]
    assert len(client.get(at(context, "rates"), params={"limit": 1}).json()) == 1
    answer = client.get(at(context, "rates"), params={"format": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert next(csv.reader(io.StringIO(answer.text))) == list(CSV_COLUMNS)
    (tmp_path / "a.csv").write_text(answer.text, encoding="utf-8")
    assert len(read_emission_csv(tmp_path / "a.csv")) == 10
    (column,) = client.get(at(context, "columns")).json()
    assert column["so2_molec_cm2"] == 1.5e17
    assert client.get(at(context, "days")).json()[0]["revision"] == 0


def test_images_as_picture_and_numbers(client: TestClient, context: StationContext) -> None:
    import cv2

    answer = client.get(at(context, "images/latest"), params={"format": "npy", "quantity": "absorbance"})
    values = np.load(io.BytesIO(answer.content), allow_pickle=False)
    assert values.shape == (48, 64)
    assert np.isnan(values[:4]).all()
    assert values[-1, -1] == np.float32(0.4)
    answer = client.get(at(context, "images/latest"), params={"width": 320})
    assert answer.headers["content-type"] == "image/png"
    pixels = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.shape == (240 + 34, 320, 3)
    context.board.show_images(context.sites[0].name, images(calibrated=False))
    assert client.get(at(context, "images/latest")).status_code == 404
    assert client.get(at(context, "images/latest"), params={"quantity": "absorbance"}).status_code == 200


def test_an_image_without_any_value_is_grey_not_an_error(context: StationContext) -> None:
    empty = images()
    empty.image.valid[:] = False
    values = values_of(empty, "column")
    assert values is not None
    assert picture(context.sites[0].loaded.site, values, "column", NOW).startswith(b"\x89PNG")


def test_files_come_as_they_were_kept(client: TestClient, context: StationContext) -> None:
    (file,) = client.get(at(context, "files"), params={"kind": "frame", "start": "2000-01-01"}).json()
    answer = client.get(at(context, f"files/{file['id']}/content"))
    assert answer.content == b"image"
    assert answer.headers["x-so2cam-sha256"] == file["sha256"]
    assert client.get(at(context, f"files/{file['id']}/sidecar")).json() == {}
    assert client.get(at(context, "files/999/content")).status_code == 404
    context.sites[0].archive.path_of(context.catalogue.find_files()[0]).unlink()
    assert client.get(at(context, f"files/{file['id']}/content")).status_code == 404


def test_metrics_are_those_of_the_station(client: TestClient, context: StationContext) -> None:
    text = client.get("/metrics").text
    name = context.sites[0].name
    assert f'so2cam_emission_rate_kg_s{{line="total",site="{name}",speed_method="optical_flow"}} 4.0' in text
    assert 'so2cam_service_failures{service="link"} 2.0' in text
    assert f'so2cam_live_pairs{{site="{name}"}} 5.0' in text


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("sites/nowhere/rates", 404),
        ("sites/%00/rates", 404),
        ("sites/x%27%20OR%201=1/rates", 404),
        ("sites/{site}/rates?start=yesterday", 422),
        ("sites/{site}/rates?start=0001-01-01T00:00:00%2B14:00", 422),
        ("sites/{site}/rates?limit=0", 422),
        ("sites/{site}/rates?line=%00", 422),
        ("sites/{site}/files/99999999999999999999/content", 422),
        ("sites/{site}/files/1/../../../etc/passwd", 404),
        ("sites/{site}/days/2026-02-31/csv", 404),
        ("sites/{site}/days/..%2f..%2fetc/csv", 404),
        ("sites/{site}/images/latest?width=1000000", 422),
    ],
)
def test_wrong_questions_have_clear_answers(client: TestClient, context: StationContext, path: str, code: int) -> None:
    answer = client.get(f"/api/v1/{path}".replace("{site}", context.sites[0].name))
    assert answer.status_code == code
    assert answer.json()["detail"]


def test_a_catalogue_that_cannot_be_reached_is_no_crash(client: TestClient, context: StationContext) -> None:
    from so2cam.station.catalogue_schema import METADATA

    with context.catalogue.database.write() as connection:
        METADATA.drop_all(connection)
    answer = client.get(at(context, "rates"))
    assert answer.status_code == 503
    assert "catalogue" in answer.json()["detail"]
