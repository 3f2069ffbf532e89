"""The station's way to its nodes: pairing, asking, the rights of a person, and the account of what was done."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from so2cam.link.errors import CertificateError, LinkError, LinkLostError, LinkRefusedError
from so2cam.link.messages import Cells, DeviceChange, DeviceValues, Done, MirrorDisk, Set, Shot, Stop
from so2cam.link.pairing import PairingDesk
from so2cam.link.protocol import PROTOCOL, Hello, Preview, Role
from so2cam.link.tokens import Principal
from so2cam.station.node_items import curve, sequences_of
from so2cam.station.nodes import Nodes

OPERATOR = Principal("1", "olga", Role.OPERATOR)
VIEWER = Principal("2", "viktor", Role.VIEWER)


@dataclass(frozen=True)
class Loaded:
    site: Any


@dataclass(frozen=True)
class OneSite:
    name: str
    loaded: Any


@dataclass(frozen=True)
class Context:
    folder: Path
    sites: tuple[OneSite, ...]


@dataclass(frozen=True)
class NoInstrument:
    instrument: None = None


@pytest.fixture
def node(linked: ModuleType, tmp_path: Path) -> Iterator[Any]:
    made = linked.Linked(tmp_path / "node").start()
    yield made
    made.end()


def context(folder: Path, name: str = "test") -> Any:
    return Context(folder / "station", (OneSite(name, Loaded(NoInstrument())),))


def code(node: Any) -> str:
    return PairingDesk(node.database, node.tokens, site="test", node="lead").offer(Role.OPERATOR, "station").code


@pytest.fixture
def nodes(node: Any, tmp_path: Path) -> Iterator[Nodes]:
    made = Nodes(context(tmp_path))
    made.join("127.0.0.1", node.node.port, code(node))
    yield made
    made.close()


def test_a_node_is_paired_asked_and_forgotten(node: Any, nodes: Nodes, tmp_path: Path) -> None:
    site = context(tmp_path).sites[0]
    (info,) = nodes.of_site(site)
    assert (info.name, info.way, info.role, info.receiver) == ("lead", "dialled", "operator", "station")
    assert info.fingerprint == node.fingerprint
    assert nodes.ask("lead", Hello()).role == "operator"
    look = nodes.look("lead")
    assert look.connected
    assert look.health is not None
    assert nodes.look("lead") is look, "asked once a second at most"
    assert look.protocol == PROTOCOL, "by which it is known whether the versions fit"
    nodes.forget("lead")
    assert nodes.of_site(site) == ()
    gone = nodes.look("lead")
    assert not gone.connected
    assert "not connected" in str(gone.error)
    with pytest.raises(LinkError, match="has not paired"):
        nodes.forget("lead")


def test_a_node_is_moved_to_another_address_and_stays_paired(node: Any, nodes: Nodes, linked: ModuleType) -> None:
    before = nodes._pairings.find("lead")
    way = linked.Proxy(node.node.port)
    try:
        nodes.move("lead", "localhost", way.port)
        (info,) = nodes.of_site(OneSite("test", Loaded(NoInstrument())))
        assert (info.host, info.port) == ("localhost", way.port)
        assert nodes.ask("lead", Hello()).node == "lead"
    finally:
        way.close()
    after = nodes._pairings.find("lead")
    assert (after.token, after.fingerprint, after.role, after.receiver) == (
        before.token, before.fingerprint, before.role, before.receiver,
    )  # fmt: skip


def test_an_address_where_another_instrument_answers_is_refused(
    node: Any, nodes: Nodes, linked: ModuleType, tmp_path: Path
) -> None:
    before = nodes._pairings.find("lead")
    other = linked.Linked(tmp_path / "other").start()
    try:
        for unanswered in (False, True):
            with pytest.raises(CertificateError, match="another instrument answers at") as caught:
                nodes.move("lead", "127.0.0.1", other.node.port, unanswered=unanswered)
        assert "pair with it again" in (caught.value.remedy or "")
    finally:
        other.end()
    assert nodes._pairings.find("lead") == before
    with pytest.raises(LinkError, match="has not paired"):
        nodes.move("follower", "127.0.0.1", node.node.port)


def test_an_address_where_nobody_answers_is_kept_only_if_asked_for(nodes: Nodes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(LinkLostError, match=r"cannot be reached.*nothing was changed"):
        nodes.move("lead", "127.0.0.1", port)
    assert nodes._pairings.find("lead").port != port
    assert nodes.move("lead", "127.0.0.1", port, unanswered=True).port == port
    assert nodes._pairings.find("lead").port == port


def test_a_node_of_another_site_is_not_kept(node: Any, tmp_path: Path) -> None:
    nodes = Nodes(context(tmp_path, "etna"))
    with pytest.raises(LinkRefusedError, match="belongs to the site 'test'"):
        nodes.join("127.0.0.1", node.node.port, code(node))
    assert nodes.of_site(context(tmp_path).sites[0]) == ()


def test_a_command_takes_effect_and_is_written_down_with_its_end(node: Any, nodes: Nodes) -> None:
    account: list[tuple[str, str]] = []

    def note(word: str, detail: dict[str, Any], outcome: str) -> None:
        assert detail["node"] == "lead"
        account.append((word, outcome))

    nodes.command("lead", Stop(), OPERATOR, note)
    with pytest.raises(LinkRefusedError, match="needs the role operator; viktor is a viewer"):
        nodes.command("lead", Stop(), VIEWER, note)
    change = Set(changes=(DeviceChange(devices=("camera-on",), values=DeviceValues(exposure_s=0.02)),))
    nodes.command("lead", change, OPERATOR, note)
    assert account == [("instrument.stop", "done"), ("instrument.stop", "denied"), ("instrument.set", "done")]
    assert len(node.effects.lines()) == 2
    with pytest.raises(LinkError, match="it is a command"):
        nodes.ask("lead", Stop())


@pytest.mark.parametrize(
    ("command", "least_s"),
    [
        (Stop(), 0.0),
        (Cells(action="begin", count=5), 0.0),
        (Cells(action="take", ppm_m=400.0, count=5), 6 * 4.0),  # five on a grid of 4 s, and the wait for the first
        (Cells(action="clear", count=10), 11 * 4.0),
        (Shot(exposure_s=30.0), 30.0),
        (MirrorDisk(action="release"), 200.0),
    ],
)
def test_what_takes_items_is_waited_for_as_long_as_it_takes(
    nodes: Nodes, monkeypatch: Any, command: Any, least_s: float
) -> None:
    device = SimpleNamespace(role="camera", exposure_s=0.5, coadds=None, period_s=4.0)
    look = SimpleNamespace(health=SimpleNamespace(devices=(device,)), connected=True)
    waited: list[float] = []

    class Client:
        def command(self, said: Any, *, patience_s: float) -> Done:
            waited.append(patience_s)
            return Done(text="done")

    monkeypatch.setattr(nodes, "look", lambda name: look)
    monkeypatch.setattr(nodes, "_client", lambda name: Client())
    nodes.command("lead", command, OPERATOR, lambda *_: None)
    assert waited[0] > 10 + least_s
    if least_s == 0:
        assert waited[0] == 15.0, "what is answered at once is not waited for longer"


def test_a_node_that_went_away_is_said_with_what_was_known(node: Any, nodes: Nodes, monkeypatch: Any) -> None:
    monkeypatch.setattr("so2cam.station.nodes._AGAIN_S", 0.0)
    monkeypatch.setattr("so2cam.station.nodes._LOOK_S", 0.3)
    before = nodes.look("lead")
    node.stop.set()
    node.thread.join(10)
    after = nodes.look("lead")
    assert after.health == before.health
    assert after.seen == before.seen
    assert after.error


def test_pictures_of_other_items_are_refused(node: Any, nodes: Nodes, linked: ModuleType) -> None:
    (item,) = linked.put_frames(node.spool, 1)
    for said in (
        Preview(device="camera-off", sequence=item.sequence),
        Preview(device="camera-on", sequence=item.sequence + 1),
    ):
        with pytest.raises(LinkRefusedError):
            nodes.read("lead", said)


def test_spectra_are_thinned_and_what_is_none_is_refused() -> None:
    import io

    stream = io.BytesIO()
    np.save(stream, np.stack([np.linspace(280, 420, 2048), np.arange(2048.0)]))
    found = curve(stream.getvalue())
    assert len(found.counts) == len(found.wavelengths_nm) == 512
    assert found.counts[-1] == 2047
    assert found.wavelengths_nm[0] == pytest.approx(280, abs=0.2)
    for data in (b"", b"no spectrum"):
        with pytest.raises(LinkError):
            curve(data)
    assert sequences_of("3, 4,5") == (3, 4, 5)
    assert sequences_of(None) == ()
