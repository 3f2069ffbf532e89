"""Commands once, events that go on, pictures, parts of files, pairing, by either way of dialling."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so2cam.core.site_link import Link, StationAddress
from so2cam.link import messages, protocol
from so2cam.link.channel import Dialler
from so2cam.link.client import LinkClient
from so2cam.link.database import Database
from so2cam.link.errors import LinkError, LinkLostError, LinkRefusedError, UnfinishedError
from so2cam.link.eventlog import EventLog
from so2cam.link.ledger import RESUMED_S, Ledger
from so2cam.link.messages import Done, MessageError, Refused
from so2cam.link.pairing import PairingDesk, join
from so2cam.link.pairings import Pairing, Pairings, pair
from so2cam.link.preview import Previews, to_jpeg
from so2cam.link.protocol import Call, Data, Event, Role
from so2cam.link.service import EventFeed
from so2cam.link.station import StationLinks
from so2cam.link.tls import connect_tls
from so2cam.link.tokens import Principal, TokenStore
from so2cam.store.items import StoreItem
from so2cam.store.spool import Spool


@pytest.fixture
def database(tmp_path: Path) -> Any:
    made = Database(tmp_path / "link.sqlite")
    yield made
    made.close()


WHO = Principal("abc", "tester", Role.OPERATOR)


# --- connections -------------------------------------------------------------------------------------------------


def test_many_connect_at_once_and_no_ticket_comes_beside_the_first_answer(node: Any) -> None:
    peer = node.peer()
    with ThreadPoolExecutor(6) as pool:
        for channel in pool.map(lambda _: peer.dial("/v1/link", 30.0), range(60)):
            channel.close()
    connected, _ = connect_tls(peer.host, peer.port, peer.fingerprint, 10.0)
    with connected:
        connected.sendall(b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert connected.recv(4096).startswith(b"HTTP/1.1 4")
        assert connected.version() == "TLSv1.3"
        assert connected.session is None or not connected.session.has_ticket


def test_a_call_that_fails_in_an_unexpected_way_does_not_end_the_link(
    node: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**_: object) -> object:
        raise ZeroDivisionError

    with node.client() as client:
        with monkeypatch.context() as patch, caplog.at_level("ERROR"):
            patch.setattr("so2cam.link.service.SettingsResult", broken)
            with pytest.raises(LinkRefusedError, match="nobody expected"):
                client.ask(protocol.Settings())
        assert "ZeroDivisionError" in caplog.text
        assert client.ask(protocol.Settings()).devices
        assert client.connections == 1


# --- the ledger --------------------------------------------------------------------------------------------------


def test_a_key_takes_effect_once(database: Database) -> None:
    ledger, done = Ledger(database), []
    for _ in range(3):
        carried = ledger.carry_out(
            WHO, "p", "key-0001", messages.Shot(), lambda c, e: done.append(e) or Done(text="ok")
        )
        assert carried.result == Done(text="ok")
    assert len(done) == 1
    other = ledger.carry_out(WHO, "p", "key-0001", messages.Stop(), lambda c, e: Done(text="no"))
    assert isinstance(other.result, Refused)


def test_two_at_once_are_one(database: Database) -> None:
    ledger, go, done, results = Ledger(database), threading.Event(), [], []

    def do(command: Any, errand: Any) -> Done:
        assert go.wait(10)
        done.append(command)
        return Done(text="ok")

    def say() -> None:
        results.append(ledger.carry_out(WHO, "p", "key-0001", messages.Shot(), do).result)

    threads = [threading.Thread(target=say) for _ in range(4)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(10)
    assert (len(done), len(results)) == (1, 4)


def test_what_was_interrupted_is_carried_out_again_as_the_same_errand(database: Database) -> None:
    seen: list[Any] = []

    def dies(command: Any, errand: Any) -> Done:
        seen.append(errand)
        raise KeyboardInterrupt

    def does(command: Any, errand: Any) -> Done:
        seen.append(errand)
        return Done(text=command.type)

    ledger = Ledger(database)
    for key, command in (
        ("shot-0001", messages.Shot()),
        ("stop-0001", messages.Stop()),
        ("shot-0002", messages.Shot()),
    ):
        with pytest.raises(KeyboardInterrupt):
            ledger.carry_out(WHO, "p", key, command, dies)
    again = Ledger(database)
    assert "still" in again.outcome(WHO.id, "shot-0001").result.text  # type: ignore[union-attr]
    assert again.carry_out(WHO, "p", "stop-0001", messages.Stop(), does).result == Done(text="stop")
    resumed = list(again.resume(does, threading.Event()))
    assert [(entry.key, carried.result) for entry, carried in resumed] == [
        ("shot-0001", Done(text="shot")),
        ("shot-0002", Done(text="shot")),
    ]
    ids = [errand.id for errand in seen]
    assert [ids[1], ids[0], ids[2]] == ids[3:], "the same errands"
    assert len(set(ids)) == 3
    assert [errand.again for errand in seen] == [False] * 3 + [True] * 3
    assert again.outcome(WHO.id, "shot-0001").result == Done(text="shot")  # type: ignore[union-attr]
    assert list(again.resume(does, threading.Event())) == []
    assert again.outcome(WHO.id, "other-001") is None


def test_what_the_node_s_end_left_open_has_no_result_yet(database: Database) -> None:
    def stops(command: Any, errand: Any) -> Done:
        raise UnfinishedError("the agent stops")

    ledger = Ledger(database)
    carried = ledger.carry_out(WHO, "p", "shot-0001", messages.Shot(), stops)
    assert (carried.new, carried.result) == (False, Refused(text="the agent stops"))
    found = Ledger(database).carry_out(WHO, "p", "shot-0001", messages.Shot(), lambda c, e: Done(text="ok"))
    assert found.result == Done(text="ok")


def test_what_was_begun_long_ago_is_not_carried_out_any_more(database: Database) -> None:
    now = [1000.0]

    def dies(command: Any, errand: Any) -> Done:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Ledger(database, lambda: now[0]).carry_out(WHO, "p", "shot-0001", messages.Shot(), dies)
    now[0] += RESUMED_S + 1
    again = Ledger(database, lambda: now[0])
    ((_, carried),) = again.resume(dies, threading.Event())
    assert "too long ago" in carried.result.text  # type: ignore[union-attr]
    assert again.carry_out(WHO, "p", "shot-0001", messages.Shot(), dies).result == carried.result


# --- events ------------------------------------------------------------------------------------------------------


def test_events_go_on_after_a_start_and_are_bounded(tmp_path: Path) -> None:
    database = Database(tmp_path / "events.sqlite")
    log = EventLog(database, kept=300)
    for number in range(200):
        log.add("change", str(number))
    found = log.after(150, 500)
    assert [one.text for one in found.events] == [str(number) for number in range(150, 200)]
    assert not found.missed
    database.close()
    database = Database(tmp_path / "events.sqlite")
    again = EventLog(database, kept=300)
    assert again.after(199, 10).events[0].text == "199"
    assert again.add("change", "new").number > 200
    for number in range(600):
        again.add("change", str(number))
    assert again.after(10, 1).missed
    assert not again.after(again.last, 1).missed
    database.close()


def test_events_over_the_link_resume(node: Any, linked: Any) -> None:
    stop = threading.Event()
    proxy = linked.Proxy(node.node.port)
    linked.put_frames(node.spool, 5)
    seen: list[Event] = []
    with node.client(port=proxy.port) as client:
        for event in client.events(0, stop, wait_s=1.0):
            seen.append(event)
            if len(seen) == 3:
                proxy.cut()
                linked.put_frames(node.spool, 5, first=5)
            if len(seen) == 10:
                break
        assert client.connections > 1
    proxy.close()
    numbers = [one.number for one in seen]
    assert numbers == sorted(set(numbers))
    assert [one.sequence for one in seen] == list(range(1, 11))


def test_the_feed_tells_of_health_once_for_each_record(tmp_path: Path, linked: Any) -> None:
    database, spool = Database(tmp_path / "e.sqlite"), linked.Spool(tmp_path / "spool", node="lead")
    log = EventLog(database)
    record = linked.health()
    feed = EventFeed(log, spool, lambda: record, threading.Event())
    feed.look()
    feed.look()
    assert [one.kind for one in log.after(0, 10).events] == ["health"]
    assert log.after(0, 10).events[0].health == record
    spool.close()
    database.close()


# --- files and pictures ------------------------------------------------------------------------------------------


def test_parts_of_files(node: Any, linked: Any) -> None:
    item = linked.put_frames(node.spool, 1, size=100_000)[0]
    whole = node.spool.read(item)
    with node.client() as client:
        data, part = client.read(protocol.Read(sequence=item.sequence, offset=99_990, length=500))
        assert part == whole[99_990:]
        assert (data.total, data.media) == (100_000, "image/png")
        sidecar = client.read(protocol.Read(sequence=item.sequence, part="sidecar"))[1]
        assert json.loads(sidecar)["so2cam"]["sequence"] == item.sequence
        assert client.call(protocol.Read(sequence=77)).answer.code == "unknown"
        with pytest.raises(LinkRefusedError, match="100000 bytes"):
            client.read(protocol.Read(sequence=item.sequence, offset=100_001))


def test_a_preview_is_small_and_made_once(node: Any, linked: Any) -> None:
    image = np.tile(np.linspace(0, 1023, 648, dtype=np.uint16), (486, 1))
    png = cv2.imencode(".png", image)[1].tobytes()
    item = StoreItem(
        kind="frame", subject="plume", device="camera-on", time=linked.START, stem="a", suffix=".png", data=png
    )
    node.spool.put(item)
    with node.client() as client:
        data, jpeg = client.read(protocol.Preview(device="camera-on", width=324))
        shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED)
        assert shown.shape == (243, 324)
        assert shown[0, 0] < 5
        assert shown[0, -1] > 250
        assert data.sequence == 1
        assert client.call(protocol.Preview(device="camera-on", after=1)).answer.code == "unknown"
        assert client.call(protocol.Preview(device="other")).answer.code == "refused"


def test_pictures_of_single_items_are_kept_and_few_a_second(tmp_path: Path, linked: Any) -> None:
    image = np.tile(np.linspace(0, 1023, 64, dtype=np.uint16), (48, 1))
    png = cv2.imencode(".png", image)[1].tobytes()
    now = 1000.0
    with Spool(tmp_path, node="lead") as spool:
        for number in range(30):
            time = linked.START + timedelta(seconds=number)
            kept = StoreItem(
                kind="frame", subject="test", device="a", time=time, stem=f"{number}", suffix=".png", data=png
            )
            spool.put(kept)
        previews = Previews(spool, clock=lambda: now)
        first = previews.of("a", 32, 1)
        for sequence in range(2, 21):
            assert previews.of("a", 32, sequence).sequence == sequence
        with pytest.raises(LinkError, match="too many pictures"):
            previews.of("a", 32, 21)
        assert previews.of("a", 32, 20).sequence == 20, "one that is there costs nothing"
        now += 1.0
        for sequence in range(21, 25):
            previews.of("a", 32, sequence)
        with pytest.raises(LinkError, match="too many pictures"):
            previews.of("a", 32, 25)
        now += 10.0
        assert previews.of("a", 32, 1) == first


def test_a_preview_of_no_image_is_refused() -> None:
    for data in (b"", b"junk"):
        with pytest.raises(LinkError, match="cannot be read"):
            to_jpeg(data, 100)


def test_a_flat_image_has_a_preview() -> None:
    flat = cv2.imencode(".png", np.full((48, 64), 512, np.uint16))[1].tobytes()
    assert to_jpeg(flat, 648)[:2] == b"\xff\xd8"


# --- messages ----------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300) | st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_junk_is_no_call_and_no_answer(data: str | bytes) -> None:
    with pytest.raises(MessageError):
        protocol.parse_call(data)
    with pytest.raises(MessageError):
        protocol.parse_answer(data)


@given(st.binary(max_size=1000))
@settings(max_examples=50, deadline=None)
def test_an_answer_with_bytes_comes_back(payload: bytes) -> None:
    size = len(payload)
    answer = protocol.Answer(id=5, result=Data(media="image/png", size=size, total=size))
    message = protocol.encode_answer(protocol.Spoken(answer, payload))
    assert protocol.parse_answer(message) == protocol.Spoken(answer, payload)
    with pytest.raises(MessageError):
        protocol.parse_answer(message + b"x")


HOSTILE = st.text(min_size=1, max_size=60).filter(lambda one: not one.isascii() or not one.isalnum()) | st.sampled_from(
    ["..", "../x", "/etc/passwd", "a/b", "a\\b", ".hidden", "-rf", "a\0b", "a\nb", "C:x", "x:y", " ", "~", "a" * 300]
)


@given(HOSTILE)
@settings(max_examples=10_000 if os.environ.get("SO2CAM_FAULT") == "full" else 300, deadline=None)
def test_hostile_names_are_no_items(name: str) -> None:
    item = {
        "node": "lead", "sequence": 1, "kind": "frame", "subject": "plume", "device": "c", "size": 1,
        "time": "2026-03-01T12:00:00Z", "stored": "2026-03-01T12:00:00Z", "name": "a.png", "sha256": "0" * 64,
        "sidecar_name": "a.json", "sidecar_size": 1, "sidecar_sha256": "0" * 64,
    }  # fmt: skip
    protocol.LinkItem.model_validate_json(json.dumps(item))
    plain = all(sign.isascii() and (sign.isalnum() or sign in "._+-") for sign in name)
    for key in ("name", "sidecar_name", "node", "kind", "device"):
        wrong = item | {key: name}
        try:
            found = protocol.LinkItem.model_validate_json(json.dumps(wrong))
        except ValueError:
            continue
        assert plain
        assert name[0].isalnum()
        assert Path("/archive", getattr(found, key)).resolve().parent == Path("/archive")


# --- pairing -----------------------------------------------------------------------------------------------------


def test_pairing_gives_a_token_once(node: Any) -> None:
    desk = PairingDesk(node.database, node.tokens, site="test", node="lead")
    code = desk.offer(Role.VIEWER, "backup").code
    found = pair("127.0.0.1", node.node.port, code.lower().replace("-", " "), own="laptop")
    assert (found.node, found.role, found.receiver) == ("lead", "viewer", "backup")
    assert found.fingerprint == node.fingerprint
    with LinkClient(lambda s: found.peer.dial("/v1/link", s)) as client:
        assert client.hello().receiver == "backup"
    with pytest.raises(LinkRefusedError, match="wrong, used"):
        pair("127.0.0.1", node.node.port, code)
    assert [one.name for one in node.tokens.list()] == ["laptop"]


def test_a_code_is_tried_five_times(database: Database) -> None:
    now = [1000.0]
    tokens = TokenStore(database, lambda: now[0])
    desk = PairingDesk(database, tokens, site="s", node="n", now_s=lambda: now[0])
    code = desk.offer(Role.ADMIN).code

    def exchange(message: str) -> str:
        return desk.answer(message, "a" * 64).model_dump_json()

    for _ in range(5):
        with pytest.raises(LinkRefusedError):
            join(exchange, "WRONG-CODE1", "a" * 64, "x")
    with pytest.raises(LinkRefusedError):
        join(exchange, code, "a" * 64, "x")
    code = desk.offer(Role.ADMIN).code
    now[0] += 601
    with pytest.raises(LinkRefusedError):
        join(exchange, code, "a" * 64, "x")
    assert tokens.list() == []


def test_somebody_in_between_gets_nothing(database: Database) -> None:
    tokens = TokenStore(database)
    desk = PairingDesk(database, tokens, site="s", node="n")
    code = desk.offer(Role.ADMIN).code
    with pytest.raises(LinkRefusedError):  # the one that joins was shown another certificate
        join(lambda message: desk.answer(message, "a" * 64).model_dump_json(), code, "b" * 64, "x")

    def liar(message: str) -> str:  # does not know the code, and says yes
        asked = json.loads(message)
        if asked["type"] == "begin":
            return json.dumps({"salt": "0" * 32})
        return json.dumps({"token": "so2_x", "proof": "0" * 64, "role": "admin"})

    with pytest.raises(LinkRefusedError, match="does not know the code"):
        join(liar, code, "a" * 64, "x")
    assert tokens.list() == []


@given(st.binary(max_size=200) | st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_junk_pairs_nobody(data: str | bytes) -> None:
    class Never:
        def transaction(self) -> None:
            raise AssertionError

    desk = PairingDesk(Never(), Never(), site="s", node="n")  # type: ignore[arg-type]
    assert desk.answer(data, "a" * 64).error


def test_pairings_are_kept_privately(tmp_path: Path) -> None:
    store = Pairings(tmp_path / "a" / "pairings.json")
    assert store.all() == {}
    with pytest.raises(LinkError, match="has not paired"):
        store.find("lead")
    one = Pairing(
        name="lead",
        site="s",
        node="lead",
        host="h",
        port=1,
        fingerprint="0" * 64,
        role="viewer",
        token="secret",  # noqa: S106
    )
    store.add(one)
    assert store.find("lead") == one
    assert store.path.stat().st_mode & 0o077 == 0
    assert "secret" not in repr(one)
    assert "secret" not in repr(one.peer)
    store.forget("lead")
    assert store.all() == {}
    store.path.write_text("{")
    with pytest.raises(LinkError, match="cannot be read"):
        store.all()


def test_tokens_are_hashed_at_rest(node: Any) -> None:
    token = node.token()
    secret = token.split("_", 2)[2].encode()
    for path in node.place.state.iterdir():
        assert secret not in path.read_bytes()
        if path.suffix == ".sqlite" or path.name == "link-key.pem":
            assert path.stat().st_mode & 0o077 == 0 or path.name == "events.sqlite"


# --- the instrument dials ----------------------------------------------------------------------------------------


def test_an_instrument_that_dials_answers_the_same(make_node: Any, linked: Any, tmp_path: Path) -> None:
    with StationLinks(tmp_path / "station", "test") as station:
        listener = station.listen("127.0.0.1", 0)
        code = station.desk.offer(Role.VIEWER).code
        found = pair("127.0.0.1", listener.port, code, name="station", own="lead")
        settings_ = Link(dial="instrument", station=StationAddress(address="127.0.0.1", port=listener.port))
        (tmp_path / "node0" / "state").mkdir(parents=True)
        Pairings(tmp_path / "node0" / "state" / "station-pairing.json").add(found)
        node = make_node(settings=settings_)
        linked.put_frames(node.spool, 2)
        with station.client("lead", calls_in=True) as client:
            assert client.hello().node == "lead"
            assert node.node.port is None
            client.command(messages.Shot())
            assert client.call(messages.Shutdown()).answer.code == "role"
            assert len(client.ask(protocol.Items(waiting=True)).items) == 2
            assert client.read(protocol.Read(sequence=1))[1] == node.spool.read(node.spool.get(1))
            told = islice(client.events(0, threading.Event()), 3)
            assert sorted(event.kind for event in told) == ["command", "item", "item"]
            client._drop(None)  # a break: the instrument dials again
            assert client.hello().role == "operator"
        assert len(node.effects.lines()) == 1


def test_a_stranger_is_not_taken_for_an_instrument(tmp_path: Path) -> None:
    from so2cam.link.channel import Peer

    with StationLinks(tmp_path / "station", "test") as station:
        listener = station.listen("127.0.0.1", 0)
        found = pair("127.0.0.1", listener.port, station.desk.offer(Role.VIEWER).code)
        with pytest.raises(LinkRefusedError):
            Peer(found.host, found.port, found.fingerprint, "so2_00000000_" + "a" * 43).dial("/v1/node", 30.0)
        with station.client("other", calls_in=True, patience_s=0.3) as client, pytest.raises(LinkLostError):
            client.hello()
        assert listener.nodes() == []


def test_a_dialler_without_pairing_waits(node: Any) -> None:
    stop = threading.Event()

    def peer() -> Any:
        stop.set()
        raise LinkError("not paired")

    Dialler(peer, None, WHO, stop).run()  # type: ignore[arg-type]
    assert stop.is_set()


def test_a_port_in_use_is_said(make_node: Any, linked: Any) -> None:
    node = make_node()
    with pytest.raises(LinkError, match="cannot listen"):
        make_node(port=node.node.port)


def test_a_call_has_a_number() -> None:
    assert protocol.parse_call(Call(id=3, say=messages.Status()).model_dump_json()).id == 3


@pytest.mark.parametrize("command", ["remote status", "pair list", "token --help"])
def test_without_the_extra_packages_there_is_a_clear_word(command: str, tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['websockets'] = None; from so2cam.cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *command.split()],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SO2CAM_PAIRINGS": str(tmp_path / "none.json")},
    )
    assert done.returncode == 2
    assert "the link needs the package websockets" in done.stderr
    assert "so2cam[station]" in done.stderr
    assert "Traceback" not in done.stderr
