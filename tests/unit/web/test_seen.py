"""Who changes a key that somebody else has changed since it was drawn is asked, on every page."""

import ast
from collections.abc import Callable, Coroutine, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from nicegui import Client, ui

import so2cam.web
from so2cam.formats.siteedit import MISSING, REMOVE, KeyPath
from so2cam.station.drafts import DraftConflict, SiteDraft
from so2cam.web.landmark import LANDMARK, LandmarkPanel
from so2cam.web.seen import Seen
from so2cam.web.setup import Setup
from so2cam.web.setup_tables import put_named
from so2cam.web.sitefile.book import Book
from so2cam.web.sitefile.keycard import KeyCard

RunAsync = Callable[[Coroutine[Any, Any, None]], None]
TEXT = (Path(__file__).parents[3] / "examples" / "villarrica" / "site.toml").read_text(encoding="utf-8")
ORDER: KeyPath = ("processing", "background", "order")
MODE: KeyPath = ("processing", "background", "mode")
REGIONS: KeyPath = ("processing", "light_dilution", "regions")


class Look:
    """A look at the draft by one person: what they were asked, and what they answer."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "site.toml").write_text(TEXT, encoding="utf-8")
        self.draft = SiteDraft(folder / "site.toml", folder / "setup")
        self.asked: list[KeyPath] = []
        self.answer = "theirs"
        monkeypatch.setattr("so2cam.web.setup._ask_whose", self._ask)
        someone = SimpleNamespace(may=lambda _: True, principal=SimpleNamespace(name="Ann"))
        self.view: Any = SimpleNamespace(
            pages=SimpleNamespace(drafts={"site": self.draft}),
            site=SimpleNamespace(name="site"),
            visitor=someone,
            client=SimpleNamespace(content=nullcontext()),
            query={},
            may=lambda _: True,
            keep=lambda **_: None,
            changed=lambda _: None,
            on_change=lambda *_, **__: None,
            in_thread=self._in_thread,
        )
        self.setup = Setup(cast(Any, self.view))

    async def _ask(self, conflict: DraftConflict, changes: Mapping[KeyPath, Any]) -> str:
        self.asked.append(conflict.path)
        return self.answer

    @staticmethod
    async def _in_thread(work: Callable[[], Any]) -> Any:
        return work()

    def theirs(self, key: KeyPath, value: Any) -> None:
        """Somebody else changes a key."""
        self.draft.change({key: value}, by="Bob")

    def now(self, key: KeyPath) -> Any:
        return self.draft.state().written(key)


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    return Look(tmp_path, monkeypatch)


def test_who_saw_another_value_is_asked(look: Look, run_async: RunAsync) -> None:
    async def change() -> None:
        seen = Seen(look.setup)
        look.theirs(ORDER, 1)
        assert not await seen.change({ORDER: 3, MODE: REMOVE}, "mine")
        assert (look.asked, look.now(ORDER)) == ([ORDER], 1)
        assert look.now(MODE) is not MISSING
        look.answer = "mine"
        assert await seen.change({ORDER: 3}, "mine")
        assert (look.asked, look.now(ORDER)) == ([ORDER, ORDER], 3)
        look.theirs(ORDER, 1)
        seen.drawn()
        assert await seen.change({ORDER: 2}, "mine")
        assert len(look.asked) == 2

    run_async(change())


def test_nobody_is_asked_for_what_they_changed_here_themselves(look: Look, run_async: RunAsync) -> None:
    async def change() -> None:
        seen = Seen(look.setup)  # is never drawn again here
        for value in (1, REMOVE, 3, 2):
            assert await seen.change({ORDER: value}, "mine")
        assert await put_named(look.setup, REGIONS, "ground 1", {"points": [[1.0, 2.0]]}, "drew it")
        for number in (1.0, 2.0):
            assert await seen.change({(*REGIONS, "ground 1", "points"): [[number, 3.0]]}, "moved it")
        assert look.asked == []
        look.theirs(ORDER, 1)
        assert not await seen.change({ORDER: 3}, "mine")
        assert look.asked == [ORDER]

    run_async(change())


def test_a_named_table_that_came_meanwhile_is_not_replaced_unasked(look: Look, run_async: RunAsync) -> None:
    async def put() -> None:
        look.theirs(REGIONS, [{"name": "ground 1", "points": [[1.0, 2.0]]}])
        assert not await put_named(look.setup, REGIONS, "ground 1", {"points": [[9.0, 9.0]]}, "drew it")
        assert look.asked == [(*REGIONS, "ground 1")]

    run_async(put())


def test_a_landmark_that_came_while_somebody_put_theirs_is_asked_for(look: Look, run_async: RunAsync) -> None:
    async def put() -> None:
        with Client(ui.page("/of-a-test"), request=None):
            panel = LandmarkPanel(look.view, look.setup, aim=lambda: None, changed=lambda: None)
            await panel.put((10.0, 20.0))
            place = {"latitude": -39.4, "longitude": -71.9, "altitude_m": 2800.0}
            look.theirs(LANDMARK, {"position": place, "pixel": [1.0, 2.0]})
            await panel._do_use()
            assert look.asked == [LANDMARK]
            assert look.now((*LANDMARK, "pixel")) == [1.0, 2.0]
            await panel._do_remove()
            assert look.asked == [LANDMARK, LANDMARK]

    run_async(put())


def test_a_key_card_remembers_what_it_showed(look: Look, run_async: RunAsync) -> None:
    async def press() -> None:
        with Client(ui.page("/of-a-test"), request=None):

            async def go(_: object) -> None:
                raise AssertionError("goes elsewhere")

            card = KeyCard(Book(look.view, look.setup, go, go), go)
            card.show(MODE)
            look.theirs(MODE, "plane")
            await card._set(MISSING, "back to the default")
            assert (look.asked, look.now(MODE)) == ([MODE], "plane")
            card._changed()
            await card._set(MISSING, "back to the default")
            assert (look.asked, look.now(MODE)) == ([MODE], MISSING)

    run_async(press())


def test_every_change_of_the_draft_says_what_was_seen() -> None:
    found = 0
    for path in sorted(Path(so2cam.web.__path__[0]).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("setup.change"):
                found += 1
                said = [word for word in node.keywords if word.arg == "seen"]
                assert said, f"{path.name}:{node.lineno} changes the draft and does not say what was seen"
                read = [ast.unparse(word.value) for word in said if "state.written" in ast.unparse(word.value)]
                assert not read or path.name == "setup_tables.py", f"{path.name}:{node.lineno} reads it at the click"
    assert found > 8
