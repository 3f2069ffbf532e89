"""Films, images and files of the archive are for who may look, of the site that is asked for, and of nothing else."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from so2cam.core.site_station import Station
from so2cam.formats.sitefile import load_site
from so2cam.station.archive import Archive, Arrival
from so2cam.station.catalogue import TOTAL, Catalogue, PairRow, Rate
from so2cam.station.context import StationContext, StationSite
from so2cam.station.day_products import day_products
from so2cam.station.publish_services import OutwardPaths
from so2cam.station.setup_frames import SetupFrames
from so2cam.store.items import to_microseconds
from so2cam.web.archive_days import products_html
from so2cam.web.archive_routes import add_archive_routes
from so2cam.web.shared import SharedValues

EXAMPLE = Path(__file__).parents[3] / "examples" / "villarrica" / "site.toml"
T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass
class FakeDoor:
    open: bool = True

    def visitor(self, request: Any) -> object | None:
        return "somebody" if self.open else None


@dataclass
class FakePages:
    context: StationContext
    setup_frames: dict[str, SetupFrames]
    door: FakeDoor = field(default_factory=FakeDoor)
    values: SharedValues = field(default_factory=SharedValues)


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[Any]:
    loaded = load_site(EXAMPLE)
    name = loaded.site.name
    with Catalogue.open(None, tmp_path) as catalogue:
        site = StationSite(loaded, Archive(tmp_path / "archive", catalogue, name), tmp_path / "results")
        context = StationContext(tmp_path, Station(), catalogue, (site,))
        made: Any = FakePages(context, {name: SetupFrames(context, site)})
        for number in range(4):
            staged = site.archive.staging / "staged"
            staged.write_bytes(b"no frame %d" % number)
            time = T0 + timedelta(seconds=number)
            device = f"camera-{'on' if number % 2 else 'off'}"
            arrival = Arrival(f"a/{number}", "a", "frame", "plume", device, time, f"{number}.png")
            site.archive.put(arrival, staged)
        rates = (Rate(T0, TOTAL, "flow", 4.25, 0.3, 0.4, None, None, None, None, 0),)
        late = T0 + timedelta(seconds=2)
        missing = (Rate(late, TOTAL, "flow", None, None, None, None, None, None, None, 2),)
        rows = [PairRow(T0, 0, '{"frames":["0.png","1.png"]}', rates), PairRow(late, 256, "{}", missing)]
        catalogue.add_pairs(name, 1, rows)
        yield made
        site.archive.close()


@pytest.fixture
def client(pages: Any) -> Iterator[TestClient]:
    app = FastAPI()
    add_archive_routes(app, pages)
    with TestClient(app) as made:
        yield made


def base(pages: Any) -> str:
    return f"/pages/sites/{pages.context.sites[0].name}/archive"


def test_only_who_may_look_sees_anything(pages: Any, client: TestClient) -> None:
    paths = ("film?line=total&method=flow", "zip", "file/1/main", "image/on?time=0", "day/2026-03-01/2026-03-01.nc")
    pages.door.open = False
    assert [client.get(f"{base(pages)}/{path}").status_code for path in paths] == [401] * 5
    pages.door.open = True
    assert [client.get(f"/pages/sites/elsewhere/archive/{path}").status_code for path in paths] == [404] * 5


def test_a_film_is_numbers_with_what_they_mean(pages: Any, client: TestClient) -> None:
    film = client.get(f"{base(pages)}/film?line=total&method=flow").json()
    assert film["t"] == [to_microseconds(T0), to_microseconds(T0) + 2_000_000]
    assert (film["rate"], film["random"], film["systematic"]) == ([4.25, None], [0.3, None], [0.4, None])
    assert (film["status"], film["flags"]) == ([0, 2], [0, 256])
    assert set(film["status_text"]) == {"0", "2"}
    assert "sun" in film["flag_text"]["256"]
    assert client.get(f"{base(pages)}/film?line=total&method=flow&valid=1").json()["t"] == film["t"][:1]
    later = client.get(f"{base(pages)}/film?line=total&method=flow&start=2026-03-02T00:00").json()
    assert (later["t"], later["pairs"]) == ([], 0)
    assert client.get(f"{base(pages)}/film?line=total&method=a;b").status_code == 422


def test_an_image_that_cannot_be_made_says_why(pages: Any, client: TestClient) -> None:
    answer = client.get(f"{base(pages)}/image/on?time={to_microseconds(T0)}")
    assert answer.status_code == 404
    assert "no pair of frames near 2026-03-01 12:00:00" in answer.json()["detail"]
    assert client.get(f"{base(pages)}/image/on?time=-1").status_code == 422
    assert client.get(f"{base(pages)}/image/secret?time=1").status_code == 422


def test_files_come_one_by_one_and_together(pages: Any, client: TestClient) -> None:
    files = pages.context.catalogue.find_files()
    one = client.get(f"{base(pages)}/file/{files[0].id}/main")
    assert one.content == b"no frame 0"
    assert 'filename="0.png"' in one.headers["content-disposition"]
    for wrong in ("file/999/main", f"file/{files[0].id}/sidecar", f"file/{files[0].id}/other", "zip?ids=999"):
        assert client.get(f"{base(pages)}/{wrong}").status_code == 404, wrong
    ids = f"{files[3].id},{files[1].id}"
    some = zipfile.ZipFile(io.BytesIO(client.get(f"{base(pages)}/zip?ids={ids}").content))
    assert sorted(name.rpartition("/")[2] for name in some.namelist()) == ["1.png", "3.png"]
    valid = zipfile.ZipFile(io.BytesIO(client.get(f"{base(pages)}/zip?what=plume&valid=1").content))
    assert sorted(name.rpartition("/")[2] for name in valid.namelist()) == ["0.png", "1.png"]


def test_videos_and_keograms_of_a_day_are_seen_and_fetched(pages: Any, client: TestClient) -> None:
    context, site = pages.context, pages.context.sites[0]
    folders = OutwardPaths(context.folder).folders(site.results.name)
    assert folders.videos is not None
    assert folders.images is not None
    video, picture = folders.videos / "2026" / "2026-03-01-on-band.mp4", folders.images / "2026"
    for folder in (video.parent, picture):
        folder.mkdir(parents=True)
    video.write_bytes(b"0123456789")
    (picture / "2026-03-01-keogram-upper-line.png").write_bytes(b"picture")
    (picture / "2026-03-02-keogram-upper-line.png").write_bytes(b"another day")
    answer = client.get(f"{base(pages)}/day/2026-03-01/{video.name}")
    assert (answer.content, answer.headers["content-type"]) == (b"0123456789", "video/mp4")
    assert answer.headers["content-disposition"].startswith("attachment")
    part = client.get(f"{base(pages)}/day/2026-03-01/{video.name}?show=true", headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234"), "a browser seeks in it"
    assert part.headers["content-disposition"].startswith("inline")
    for wrong in ("2026-03-01/2026-03-02-keogram-upper-line.png", "2026-03-01/..%2f2026-03-01-on-band.mp4"):
        assert client.get(f"{base(pages)}/day/{wrong}").status_code == 404
    assert client.get(f"{base(pages)}/day/today/{video.name}").status_code == 422

    found = {"2026-03-01": day_products(context, site, "2026-03-01")}
    html = products_html("/there", found)
    assert 'href="/there/2026-03-01/2026-03-01-on-band.mp4"' in html
    assert ">video, on band <" in html
    assert ">keogram, upper line <" in html
    assert '<video class="so-day-picture" src="/there/2026-03-01/2026-03-01-on-band.mp4?show=true"' in html
    assert '<img class="so-day-picture"' in html
    of_two = products_html("/there", found | {"2026-03-02": day_products(context, site, "2026-03-02")})
    assert "2026-03-02-keogram" in of_two
    assert "<video" not in of_two, "of several days there are links"
