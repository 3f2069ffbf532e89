"""Commands to several nodes at once: at the same time, told honestly, and a calibration at all of them or at none."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from so2cam.core.errors import InputError, So2camError
from so2cam.link.errors import LinkError, LinkLostError, LinkRefusedError
from so2cam.link.messages import Cells, Command, DeviceOutcome, Done, Shot, Start
from so2cam.link.protocol import Data, Items, ItemsResult, LinkItem
from so2cam.station.cell_desk import CellDesk
from so2cam.station.cell_run import CellRuns, left_out
from so2cam.station.together import members, tell_all

CAMERAS = {"lead": "camera-on", "follower": "camera-off"}
BOTH = tuple(CAMERAS)
LOST = LinkLostError("no answer came in time", remedy="try again")


@dataclass
class Instrument:
    """Two nodes with a camera each: what was said to them, and what they then refuse."""

    refusals: dict[tuple[str, str], So2camError] = field(default_factory=dict)
    said: list[tuple[str, str]] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    items: dict[str, list[LinkItem]] = field(default_factory=lambda: {name: [] for name in CAMERAS})
    failing: set[str] = field(default_factory=set)
    """Cameras that fail now: their node does what it can without them."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, node: str, command: Command) -> Done:
        assert isinstance(command, Cells)
        with self.lock:
            self.said.append((node, command.action))
        if (node, command.action) in self.refusals:
            raise self.refusals[node, command.action]
        device = CAMERAS[node]
        if command.action == "begin":
            self.held.add(node)
        elif command.action == "end":
            self.held.discard(node)
        count = command.count if command.action in ("take", "clear") and device not in self.failing else 0
        numbers = [self._put(node, device) for _ in range(count)]
        values = {"sequences": ",".join(map(str, numbers))} if numbers else {}
        done = device not in self.failing
        outcome = DeviceOutcome(device=device, done=done, text="so be it" if done else "it fails now", values=values)
        return Done(text=command.action, outcomes=(outcome,))

    def _put(self, node: str, device: str) -> int:
        mine = self.items[node]
        time = datetime(2026, 3, 1, tzinfo=UTC)
        digest = "0" * 64
        mine.append(
            LinkItem(
                node=node,
                sequence=len(mine) + 1,
                kind="frame",
                subject="cell",
                device=device,
                time=time,
                stored=time,
                name="frame.png",
                size=3,
                sha256=digest,
                sidecar_name="frame.json",
                sidecar_size=2,
                sidecar_sha256=digest,
            )
        )
        return len(mine)

    def ask(self, node: str, say: Items) -> ItemsResult:
        mine = self.items[node][say.after : say.after + say.limit]
        return ItemsResult(items=tuple(mine), now=datetime(2026, 3, 1, tzinfo=UTC))

    def read(self, node: str, say: Any) -> tuple[Data, bytes]:
        return Data(media="application/json", size=2, total=2), b"{}"


@pytest.fixture
def instrument() -> Instrument:
    return Instrument()


@pytest.fixture
def desk(instrument: Instrument, tmp_path: Path) -> CellDesk:
    site: Any = SimpleNamespace(results=tmp_path / "results" / "etna")
    nodes: Any = instrument
    return CellDesk(CellRuns(site), nodes, instrument.tell)


# --- all at once -------------------------------------------------------------------------------------------------


def test_all_nodes_are_told_at_the_same_time() -> None:
    meet = threading.Barrier(2, timeout=10)

    def tell(node: str, command: Command) -> Done:
        meet.wait()  # breaks, and fails the test, where one is told only after the other
        return Done(text="taken")

    told = tell_all(dict.fromkeys(BOTH, Shot()), tell)
    assert [part.node for part in told.require().parts] == list(BOTH)
    assert told.words == "taken", "said once where all did the same"


def test_who_did_it_and_who_did_not_is_said() -> None:
    def tell(node: str, command: Command) -> Done:
        if node == "follower":
            raise LOST
        return Done(text="started: plume captures")

    told = tell_all(dict.fromkeys(BOTH, Start()), tell)
    with pytest.raises(LinkError, match=r"not at follower: no answer.*; done at lead: started: plume captures") as said:
        told.require()
    assert said.value.remedy == "try again"


def test_one_node_alone_refuses_in_its_own_words() -> None:
    def tell(node: str, command: Command) -> Done:
        raise LOST

    with pytest.raises(LinkLostError) as said:
        tell_all({"lead": Start()}, tell).require()
    assert said.value is LOST
    with pytest.raises(LinkLostError) as said:
        tell_all(dict.fromkeys(BOTH, Start()), tell).require()
    assert said.value is LOST, "what all say is said once"


def nodes_of(infos: Mapping[str, bool], roles: Mapping[str, str] | None = None) -> Any:
    """Nodes by name, and whether they are paired; ``roles``: what those that answer have."""

    def look(name: str) -> Any:
        device = SimpleNamespace(role=(roles or {}).get(name))
        return SimpleNamespace(health=SimpleNamespace(devices=(device,)) if device.role else None)

    found = tuple(SimpleNamespace(name=name, paired=paired) for name, paired in infos.items())
    return SimpleNamespace(of_site=lambda _: found, look=look)


@pytest.mark.parametrize(
    ("types", "names"), [(("camera",), ["lead"]), (("camera", "spectrometer"), ["lead", "second"])]
)
def test_the_whole_instrument_is_the_nodes_that_have_such_devices(types: tuple[str, ...], names: list[str]) -> None:
    known = {"lead": "camera", "second": "spectrometer", "third": "power"}
    instrument = SimpleNamespace(
        nodes=[SimpleNamespace(name=name, devices=[SimpleNamespace(type=kind)]) for name, kind in known.items()]
    )
    site: Any = SimpleNamespace(loaded=SimpleNamespace(site=SimpleNamespace(instrument=instrument)))
    assert [info.name for info in members(nodes_of(dict.fromkeys(known, False)), site, *types)] == names


def test_nodes_that_are_not_in_the_site_file_tell_themselves_what_they_have() -> None:
    site: Any = SimpleNamespace(loaded=SimpleNamespace(site=SimpleNamespace(instrument=None)))
    nodes = nodes_of({"on": True, "power": True, "silent": True}, {"on": "camera", "power": "power"})
    assert [info.name for info in members(nodes, site, "camera")] == ["on", "silent"]


# --- gas cells ---------------------------------------------------------------------------------------------------


def test_a_calibration_is_one_at_both_nodes(desk: CellDesk, instrument: Instrument) -> None:
    desk.begin(BOTH, "anna", 2)
    assert instrument.held == set(BOTH)
    assert "4 frames kept" in desk.take(None)
    assert "4 frames kept" in desk.take(400.0)
    run = desk.runs.load()
    assert run is not None
    assert run.nodes == BOTH
    assert {(frame.node, frame.device) for frame in run.takes[1].frames} == set(CAMERAS.items())
    desk.use(2, False)
    assert len(left_out(desk.runs.folder)) == 4, "those of both nodes"
    desk.end("ended")
    assert instrument.held == set()


@pytest.mark.parametrize("spoil", [lambda it: it.refusals.update({("follower", "begin"): LOST}), None])
def test_a_calibration_that_one_node_refuses_is_undone_at_the_other(
    desk: CellDesk, instrument: Instrument, spoil: Callable[[Instrument], None] | None
) -> None:
    if spoil is None:
        instrument.failing.add("camera-off")
    else:
        spoil(instrument)
    with pytest.raises(LinkError, match=r"not at (follower: no answer|camera-off: it fails).*; undone at lead"):
        desk.begin(BOTH, "anna", 2)
    assert instrument.held == set()
    assert desk.runs.load() is None
    assert ("follower", "end") in instrument.said, "it may be held, and only its answer was lost"


def test_what_cannot_be_undone_is_said(desk: CellDesk, instrument: Instrument) -> None:
    instrument.refusals = {("follower", "begin"): LOST, ("lead", "end"): LinkRefusedError("another command goes on")}
    with pytest.raises(LinkError, match=r"not undone at lead: another command goes on"):
        desk.begin(BOTH, "anna", 2)


def test_a_cell_that_one_node_did_not_take_is_left_out_whole(desk: CellDesk, instrument: Instrument) -> None:
    desk.begin(BOTH, "anna", 2)
    instrument.refusals["follower", "take"] = LOST
    with pytest.raises(LinkError, match=r"2 frames are left out.*not at follower: no answer") as said:
        desk.take(400.0)
    assert said.value.remedy == "take it again"
    run = desk.runs.load()
    assert run is not None
    assert not run.takes[0].used
    assert any("follower: no answer" in doubt for doubt in run.takes[0].doubts)
    assert len(left_out(desk.runs.folder)) == 2
    instrument.refusals.clear()
    desk.take(400.0)
    run = desk.runs.load()
    assert run is not None
    assert [take.used for take in run.takes] == [False, True]


def test_a_cell_that_no_node_took_is_not_kept(desk: CellDesk, instrument: Instrument) -> None:
    desk.begin(BOTH, "anna", 2)
    instrument.refusals = {(name, "take"): LOST for name in BOTH}
    with pytest.raises(LinkLostError):
        desk.take(400.0)
    run = desk.runs.load()
    assert run is not None
    assert run.takes == ()


def test_the_end_lets_go_who_answers_and_says_who_does_not(desk: CellDesk, instrument: Instrument) -> None:
    desk.begin(BOTH, "anna", 2)
    instrument.refusals["follower", "end"] = LOST
    with pytest.raises(LinkError, match="not at follower") as said:
        desk.end("ended")
    assert said.value.remedy == "let its cameras go as soon as it answers"
    run = desk.runs.load()
    assert run is not None
    assert run.state == "ended"
    instrument.refusals.clear()
    desk.let_go(["follower"])
    assert instrument.held == set()


def test_an_end_that_no_node_hears_changes_nothing(desk: CellDesk, instrument: Instrument) -> None:
    desk.begin(BOTH, "anna", 2)
    instrument.refusals = {(name, "end"): LOST for name in BOTH}
    with pytest.raises(LinkLostError):
        desk.end("cancelled")
    run = desk.runs.load()
    assert run is not None
    assert run.state == "going"


def test_one_that_goes_on_is_held_again_and_not_begun_anew(desk: CellDesk, instrument: Instrument) -> None:
    desk.begin(BOTH, "anna", 2)
    desk.take(None)
    instrument.held.clear()  # started anew meanwhile
    assert "goes on" in desk.begin(["lead"], "bert", 5)
    assert instrument.held == set(BOTH)
    run = desk.runs.load()
    assert run is not None
    assert (run.by, len(run.takes)) == ("anna", 1)


def test_nothing_is_taken_without_a_calibration_and_none_begins_without_cameras(desk: CellDesk) -> None:
    with pytest.raises(LinkRefusedError, match="no calibration is going on"):
        desk.take(400.0)
    with pytest.raises(InputError, match="no node with cameras"):
        desk.begin([], "anna", 2)
    with pytest.raises(InputError, match="1 to 10"):
        desk.begin(BOTH, "anna", 11)
