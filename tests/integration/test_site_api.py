"""The site file and pairing by other programs: reading, changing, who may, who is told, the examples of the docs."""

import io
import json
import re
import shlex
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient

from so2cam.core.site_station import Api, Station
from so2cam.link.errors import LinkError, LinkLostError, LinkRefusedError
from so2cam.link.pairing import Offer
from so2cam.link.protocol import Role
from so2cam.station.access import Access
from so2cam.station.api import build_api
from so2cam.station.api_server import ApiServer
from so2cam.station.context import StationContext
from so2cam.station.drafts import open_draft
from so2cam.station.nodes import NodeInfo, NodeLook
from so2cam.web.mount import mount_pages

DOCS = Path(__file__).resolve().parents[2] / "docs" / "site-file-api.md"
ORDER = "processing.background.order"
GEOMETRY = "volcano=Villarrica\nlat=-39.3774\nlon=-71.946386\naltitude=1170\nalt_offset=2\nelev=19.0\nazim=171.3\n"
Ask = Callable[..., httpx.Response]


@dataclass
class FakeNodes:
    """Nodes that were never built: one answers, one does not."""

    forgotten: list[str] = field(default_factory=list)

    def of_site(self, site: Any) -> tuple[NodeInfo, ...]:
        return (NodeInfo("lead", site.name, "dialled", "192.0.2.5", 8443, "0" * 64, "operator", "station", True),)

    def look(self, name: str) -> NodeLook:
        return NodeLook(error="no answer")

    def join(self, host: str, port: int, code: str) -> Any:
        if host == "away":
            raise LinkLostError("does not answer", remedy="look at the cable")
        if code != "ABCDEF-GHJKL":
            raise LinkRefusedError("the code is wrong", key="code", remedy="make another one")
        return NodeInfo("lead", "bench", "dialled", host, port, "0" * 64, "operator", "station")

    def offer(self) -> Offer:
        return Offer("ABCDEF-GHJKL", 1e9)

    def forget(self, name: str) -> None:
        if name != "lead":
            raise LinkError("this station has not paired with it", key="name", value=name)
        self.forgotten.append(name)


@pytest.fixture
def nodes() -> FakeNodes:
    return FakeNodes()


@pytest.fixture
def tokens(access: Access) -> dict[Role, str]:
    return {role: access.create(role.word, role) for role in Role}


@pytest.fixture
def client(context: StationContext, access: Access, nodes: Any) -> Iterator[TestClient]:
    with TestClient(build_api(context, access=access, nodes=nodes)) as made:
        yield made


@pytest.fixture
def ask(client: TestClient, context: StationContext, tokens: dict[Role, str]) -> Ask:
    """Ask below the site's address, as an operator where nothing else is said."""

    def asked(method: str, path: str, told: Any = None, *, role: Role = Role.OPERATOR, **more: Any) -> Any:
        head = {"Authorization": f"Bearer {tokens[role]}", "Content-Type": "application/json"}
        address = f"/api/v1/sites/{context.sites[0].name}{path}"
        return client.request(method, address, headers=head, **({} if told is None else {"json": told}), **more)

    return asked


def change(ask: Ask, value: Any, key: str = ORDER) -> Any:
    revision = ask("GET", "/draft").json()["revision"]
    return ask("PATCH", "/draft", {"revision": revision, "changes": [{"key": key, "value": value}]})


# --- reading ---------------------------------------------------------------------------------------------------------


def test_the_site_file_is_read_as_json_and_as_text(ask: Ask, context: StationContext) -> None:
    found = ask("GET", "/site-file", role=Role.VIEWER).json()
    assert found["written"]["processing"]["background"] == {"mode": "sky-surface", "order": 2}
    assert found["settings"]["processing"]["background"]["skyline"] is None
    assert found["version"] == 1
    text = ask("GET", "/site-file?format=toml", role=Role.VIEWER)
    assert text.content == context.sites[0].loaded.path.read_bytes()
    assert text.headers["content-type"].startswith("application/toml")
    assert ask("GET", "/site-file/versions/1?format=toml").content == text.content
    assert ask("GET", "/site-file/versions/7").status_code == 404


def test_every_key_is_explained_and_searched(ask: Ask) -> None:
    every = ask("GET", "/draft/keys").json()
    assert len(every) > 200
    (found,) = [one for one in ask("GET", "/draft/keys?find=background order").json() if one["key"] == ORDER]
    assert (found["value"], found["origin"], found["kind"]) == (2, "file", "integer")
    assert found["description"]
    assert ask("GET", "/draft/keys?show=changed").json() == []


# --- changing --------------------------------------------------------------------------------------------------------


def test_keys_change_together_or_not_at_all(ask: Ask) -> None:
    told = {"revision": 0, "changes": [{"key": ORDER, "value": 1}, {"key": "name.x", "value": 1}]}
    refused = ask("PATCH", "/draft", told)
    assert refused.status_code == 422
    assert refused.json()["key"] == "name"
    assert not ask("GET", "/draft").json()["changed"]
    told["changes"][1] = {"key": "lines.downstream", "value": None}  # type: ignore[index]
    draft = ask("PATCH", "/draft", {**told, "what": "two things"}).json()
    assert (draft["revision"], draft["changed"]) == (1, True)
    (edit,) = draft["edits"]
    assert (edit["by"], edit["what"]) == ("operator", "two things")
    assert edit["keys"][0] == {"key": ORDER, "before": 2, "after": 1}
    assert edit["keys"][1]["after"] is None
    assert [line["name"] for line in draft["written"]["lines"]] == ["upstream"]


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("..", 1, "key"),
        ("lines[0", 1, "key"),
        (ORDER, {"a": None}, ORDER),
        (ORDER, "\ud800", ORDER),
        (ORDER, float("nan"), ORDER),
        ("[0]", 1, "key"),
    ],
)
def test_what_cannot_stand_in_the_file_is_refused_in_one_sentence(ask: Ask, key: str, value: Any, named: str) -> None:
    body = json.dumps({"revision": 0, "changes": [{"key": key, "value": value}]})
    answer = ask("PATCH", "/draft", content=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["key"] == named
    assert isinstance(answer.json()["detail"], str)
    assert not ask("GET", "/draft").json()["changed"]


def test_a_message_of_the_wrong_shape_says_where(ask: Ask) -> None:
    for body in ('{"revision": NaN}', '{"revision": 0, "changes": [], "what": "\\ud800"}', "{", '{"changes": 3}'):
        answer = ask("PATCH", "/draft", content=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["detail"][0]["loc"][0] == "body"


def test_who_saw_another_draft_is_told_what_was_changed(ask: Ask, context: StationContext) -> None:
    assert change(ask, 1).status_code == 200
    late = ask("PATCH", "/draft", {"revision": 0, "changes": [{"key": ORDER, "value": 3}]})
    assert late.status_code == 409
    moved = late.json()
    assert (moved["revision"], moved["version"], moved["key"]) == (1, 1, "revision")
    assert moved["edits"][0]["keys"] == [{"key": ORDER, "before": 2, "after": 1}]
    assert "operator changed" in moved["detail"]
    assert ask("GET", "/draft").json()["written"]["processing"]["background"]["order"] == 1
    # The file itself is changed by hand: the draft is on top of another version, and whoever saves is told what of it.
    path = context.sites[0].loaded.path
    path.write_text(
        path.read_text(encoding="utf-8").replace("tolerance_s = 2.0", "tolerance_s = 1.5"), encoding="utf-8"
    )
    late = ask("POST", "/draft/save", {"revision": 1, "version": 1, "note": "n"}, role=Role.ADMIN)
    assert late.status_code == 409
    assert late.json()["keys"] == [{"key": "processing.pairing.tolerance_s", "before": 2.0, "after": 1.5}]
    assert late.json()["version"] == 2
    fresh = late.json()["revision"]
    assert (
        ask("POST", "/draft/save", {"revision": fresh, "version": 1, "note": "n"}, role=Role.ADMIN).status_code == 409
    )
    done = ask("POST", "/draft/save", {"revision": fresh, "version": 2, "note": "flat"}, role=Role.ADMIN)
    assert done.status_code == 201
    text = path.read_text(encoding="utf-8")
    assert "order = 1" in text
    assert "tolerance_s = 1.5" in text


def test_saving_keeps_a_version_with_its_note_and_compares(ask: Ask, context: StationContext) -> None:
    change(ask, 1)
    told = {"revision": 1, "version": 1, "note": "a flat sky"}
    assert ask("POST", "/draft/save", told).status_code == 403
    saved = ask("POST", "/draft/save", told, role=Role.ADMIN).json()
    assert (saved["version"]["number"], saved["version"]["by"], saved["version"]["note"]) == (2, "admin", "a flat sky")
    assert saved["takes_up"] == "at the next start"
    assert "order = 1" in context.sites[0].loaded.path.read_text(encoding="utf-8")
    assert [one["note"] for one in ask("GET", "/site-file/versions").json()] == ["as it was found", "a flat sky"]
    found = ask("GET", "/site-file/compare?a=1&b=2").json()
    assert found["keys"] == [{"key": ORDER, "before": 2, "after": 1}]
    assert "-order = 2\n+order = 1" in found["text"]
    nothing = ask("POST", "/draft/save", {**told, "revision": 2, "version": 2}, role=Role.ADMIN)
    assert nothing.status_code == 422
    assert "nothing was changed" in nothing.json()["detail"]


def test_a_draft_that_is_wrong_is_checked_and_not_saved(ask: Ask, context: StationContext) -> None:
    before = context.sites[0].loaded.path.read_bytes()
    draft = change(ask, 77).json()
    assert draft["problem"]["key"] == ORDER
    change(ask, "upside-down", "processing.background.mode")
    found = ask("GET", "/draft/check").json()
    assert not found["valid"]
    assert {one["key"] for one in found["findings"]} >= {ORDER, "processing.background.mode"}
    refused = ask("POST", "/draft/save", {"revision": 2, "version": 1, "note": "n"}, role=Role.ADMIN)
    assert refused.status_code == 422
    assert refused.json()["key"]
    assert context.sites[0].loaded.path.read_bytes() == before
    compared = ask("GET", "/site-file/compare").json()
    assert compared["problem"]["key"]
    assert "+order = 77" in compared["text"]


def test_tables_are_added_by_name_once(ask: Ask) -> None:
    line = {"start": [10, 10], "end": [90, 90], "normal": "left"}
    told = {"revision": 0, "key": "lines", "name": "third", "values": line}
    draft = ask("POST", "/draft/tables", told)
    assert draft.status_code == 201
    assert draft.json()["written"]["lines"][2] == {"name": "third", **line}
    again = ask("POST", "/draft/tables", {**told, "revision": 1})
    assert (again.status_code, again.json()["value"]) == (422, "third")
    for key, name, words in (
        ("processing", "x", "no array"),
        ("lines", "", "needs a name"),
        ("no.such", "x", "no array"),
    ):
        refused = ask("POST", "/draft/tables", {"revision": 1, "key": key, "name": name})
        assert (refused.status_code, words in refused.json()["detail"]) == (422, True), refused.text
    watched = ask(
        "POST", "/draft/tables", {"revision": 1, "key": "station.watch", "name": "ftp", "values": {"folder": "in"}}
    )
    assert watched.json()["written"]["station"]["watch"] == [{"name": "ftp", "folder": "in"}]


def test_undo_is_of_ones_own_and_discard_of_all(ask: Ask) -> None:
    change(ask, 1)
    nothing = ask("POST", "/draft/undo", {"revision": 1}, role=Role.ADMIN)
    assert (nothing.status_code, "nothing of yours" in nothing.json()["detail"]) == (422, True)
    undone = ask("POST", "/draft/undo", {"revision": 1}).json()
    assert (undone["changed"], undone["revision"]) == (False, 2)
    change(ask, 3)
    assert ask("DELETE", "/draft").status_code == 422
    assert ask("DELETE", "/draft?revision=2").status_code == 409
    assert ask("DELETE", "/draft?revision=3").json()["edits"] == []


def test_text_is_replaced_and_versions_are_restored(ask: Ask) -> None:
    text = ask("GET", "/draft?format=toml").text
    assert ask("PUT", "/draft/text", {"revision": 0, "text": "name = "}).status_code == 422
    longer = text.replace("order = 2", "order = 1") + "# " + "x" * 100_000 + "\n"
    put = ask("PUT", "/draft/text", {"revision": 0, "text": longer, "what": "by a script"})
    assert put.json()["edits"][0]["what"] == "by a script"
    back = ask("POST", "/draft/restore", {"revision": 1, "version": 1}).json()
    assert not back["changed"]
    assert ask("POST", "/draft/restore", {"revision": back["revision"], "version": 9}).status_code == 422


def test_an_installation_is_told_and_then_taken(ask: Ask) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("conf/cam_geom.txt", GEOMETRY)
    asked = "/draft/import?name=conf.zip&vent=-39.42,-71.93,2847"
    told = ask("POST", asked, content=packed.getvalue())
    if told.status_code == 422:
        pytest.fail(told.text)
    found = told.json()
    assert (found["taken"], found["counts"]["carried"] > 0) == (False, True)
    assert "azimuth_deg = 171.3" in found["text"]
    assert not ask("GET", "/draft").json()["changed"]
    assert ask("POST", f"{asked}&take=true", content=packed.getvalue()).json()["key"] == "revision"
    taken = ask("POST", f"{asked}&take=true&revision=0", content=packed.getvalue()).json()
    assert taken["taken"]
    written = ask("GET", "/draft").json()["written"]
    assert (written["name"], written["camera"]["view"]["azimuth_deg"]) == ("bench", 171.3)
    junk = ask("POST", "/draft/import?name=conf.zip", content=b"junk")
    assert (junk.status_code, "unpacked" in junk.json()["detail"]) == (422, True)


# --- who is told -----------------------------------------------------------------------------------------------------


def test_what_a_program_changes_shows_in_open_pages_at_once(
    context: StationContext, access: Access, tokens: dict[Role, str], nodes: Any
) -> None:
    started: list[str] = []
    app = build_api(context, access=access, nodes=nodes)
    pages = mount_pages(app, context, tuple, access, nodes=nodes, restart=lambda: started.append("anew"))
    name = context.sites[0].name
    client = TestClient(app, headers={"Authorization": f"Bearer {tokens[Role.ADMIN]}"})
    draft = f"/api/v1/sites/{name}/draft"

    def number(topic: str) -> int:
        return pages.notices.number(f"{name}/{topic}")

    told = {"revision": 0, "changes": [{"key": ORDER, "value": 1}]}
    assert client.patch(draft, json=told).status_code == 200
    assert number("draft") == 1, "what pages look at, to show the draft anew"
    state = pages.drafts[name].state()
    assert (state.number, state.edits[0].by) == (1, "admin"), "the draft of the pages is the one that was changed"
    assert client.patch(draft, json=told).status_code == 409
    assert number("draft") == 1
    # And the other way: what somebody changes on a page is what the program reads.
    pages.drafts[name].change({("processing", "background", "order"): 3}, by="Ana")
    assert client.get(draft).json()["edits"][1]["by"] == "Ana"
    saved = client.post(f"{draft}/save", json={"revision": 2, "version": 1, "note": "n"})
    assert (saved.json()["takes_up"], started, number("draft")) == ("at once", ["anew"], 2)
    assert client.post("/api/v1/nodes/offer").status_code == 201
    assert number("instrument/nodes") == 1
    pages.alarms.close()


def test_changes_are_in_the_account_with_their_keys(ask: Ask, access: Access) -> None:
    change(ask, 1)
    ask("POST", "/draft/save", {"revision": 1, "version": 1, "note": "n"}, role=Role.ADMIN)
    lines = [
        (one.name, one.action, json.loads(one.detail)) for one in access.audit() if one.action.startswith("draft.")
    ]
    assert lines == [
        ("admin", "draft.save", {"site": "bench", "version": 2}),
        ("operator", "draft.change", {"site": "bench", "keys": ORDER}),
    ]


# --- pairing ---------------------------------------------------------------------------------------------------------


def test_nodes_are_paired_listed_offered_and_forgotten(
    client: TestClient, tokens: dict[Role, str], nodes: FakeNodes, access: Access
) -> None:
    admin = {"Authorization": f"Bearer {tokens[Role.ADMIN]}"}
    told = {"address": "192.0.2.5:8443", "code": "ABCDEF-GHJKL"}
    assert client.post("/api/v1/nodes/pair", json=told, headers=admin).json() == {
        "node": "lead",
        "site": "bench",
        "role": "operator",
        "receiver": "station",
        "fingerprint": "0" * 64,
    }
    wrong = client.post("/api/v1/nodes/pair", json={**told, "code": "x"}, headers=admin)
    assert (wrong.status_code, wrong.json()["key"], wrong.json()["remedy"]) == (422, "code", "make another one")
    assert client.post("/api/v1/nodes/pair", json={**told, "address": "away"}, headers=admin).status_code == 502
    assert client.post("/api/v1/nodes/pair", json={**told, "address": ":"}, headers=admin).status_code == 422
    assert client.post("/api/v1/nodes/offer", headers=admin).json()["code"] == "ABCDEF-GHJKL"
    (listed,) = client.get("/api/v1/sites/bench/nodes", headers=admin).json()
    assert (listed["address"], listed["connected"], listed["fit"]) == ("192.0.2.5:8443", False, "unknown")
    assert client.delete("/api/v1/nodes/lead", headers=admin).status_code == 200
    assert client.delete("/api/v1/nodes/other", headers=admin).json()["value"] == "other"
    assert nodes.forgotten == ["lead"]
    done = [one.action for one in access.audit() if one.action.startswith("instrument.")]
    assert done == ["instrument.unpair", "instrument.offer", "instrument.pair"]
    assert "ABCDEF" not in "".join(one.detail for one in access.audit())


# --- the examples of the docs ----------------------------------------------------------------------------------------


@pytest.fixture
def served(context: StationContext, access: Access, nodes: Any) -> Iterator[str]:
    server = ApiServer(replace(context, settings=Station(api=Api(port=0))), tuple, access, nodes=nodes)
    stop = threading.Event()
    thread = threading.Thread(target=server.run, args=(stop,))
    thread.start()
    yield server.url
    stop.set()
    thread.join(20)
    server.close()
    assert not thread.is_alive()


def examples(kind: str, url: str) -> list[str]:
    text = DOCS.read_text(encoding="utf-8").replace("http://127.0.0.1:8470", url).replace("/sites/Etna", "/sites/bench")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for named, block in blocks if named == kind]


def curl(command: str, folder: Path) -> httpx.Response:
    """Do what curl does with the options that the docs use."""
    words = iter(shlex.split(command.replace("$(cat api.token)", (folder / "api.token").read_text(encoding="utf-8"))))
    assert next(words) == "curl"
    method, head, content, url, out = "", {}, b"", "", None
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            head[name] = value
        elif word == "--json":
            content, head["Content-Type"] = next(words).encode(), "application/json"
        elif word == "--data-binary":
            content = (folder / next(words).removeprefix("@")).read_bytes()
        elif word == "-o":
            out = folder / next(words)
        else:
            assert not word.startswith("-")
            url = word
    answer = httpx.request(method or "GET", url, headers=head, content=content, timeout=20)
    if out is not None:
        out.write_bytes(answer.content)
    return answer


def test_the_examples_of_the_docs_work(
    served: str, tokens: dict[Role, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, context: StationContext
) -> None:
    (tmp_path / "api.token").write_text(tokens[Role.ADMIN], encoding="utf-8")
    (tmp_path / "conf.zip").write_bytes(b"PK")  # answered, though it is none
    asked = [line for block in examples("", served) for line in block.splitlines()]
    assert len(asked) >= 9
    answers = [curl(line, tmp_path) for line in asked]
    assert [one.status_code for one in answers[:6]] == [200, 200, 200, 200, 200, 201], [one.text for one in answers]
    assert answers[6].status_code == 422
    assert [one.status_code for one in answers[7:]] == [201, 201]
    assert "[volcano]" in (tmp_path / "site.toml").read_text(encoding="utf-8")
    (code,) = examples("python", served)
    monkeypatch.chdir(tmp_path)
    exec(code, {})  # noqa: S102
    assert [one.note for one in open_draft(context, context.sites[0]).versions()][1:] == ["a flat sky", "a curved sky"]
