"""The form of runs: what is typed stands in the address, and a reload takes it from there; what an order is made of."""

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from so2cam.core.records import Band
from so2cam.station.run_store import RunImages, RunRecord
from so2cam.web.run_form import _Form, address_of
from so2cam.web.run_words import found_words, kind_words

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
TYPED = {
    "name": "other sky",
    "what": "film-column",
    "start": "2026-03-01T12:00:00",
    "end": "2026-03-01T13:00:00",
    "columns": "4",
    "methods": "flow_raw,flow_hybrid",
    "images": "png",
    "quantity": "flow",
    "every": "3",
    "changes": 'processing.background.mode = "polynomial"',
}


def record(**more: Any) -> RunRecord:
    return RunRecord(4, "spectra", "earlier", "Anna", T0, T0, "the site file", "0" * 64, "1", T0, state="done", **more)


@pytest.fixture
def form(desk: Any) -> Callable[[dict[str, str], Callable[[Any, _Form], None]], None]:
    """A function that draws the form with what an address says, and has a function work with it."""

    def draw(query: dict[str, str], work: Callable[[Any, _Form], None]) -> None:
        async def inside(view: Any, _: Any) -> None:
            store = SimpleNamespace(all=lambda: [record(spectra=9, columns=8)])
            view.pages.runs = SimpleNamespace(store=lambda _: store)
            view.context.catalogue = SimpleNamespace(latest_rates=lambda _: [SimpleNamespace(time=T0)])
            view.query.update(query)
            work(view, _Form(view))

        desk.run(inside)

    return draw


def test_what_is_typed_is_kept_over_a_reload(form: Callable[..., None]) -> None:
    kept: dict[str, str] = {}

    def typing(view: Any, made: _Form) -> None:
        made.keep()
        assert view.kept == {}, "nothing is typed"
        made.name.value, made.what.value, made.columns.value = "other sky", "film-column", "4"
        made.start._box.value, made.end._box.value = "2026-03-01T12:00:00", "2026-03-01 13:00:00"
        made.methods.value, made.images.value = ["flow_raw", "flow_hybrid"], ["png"]
        made.quantity.value, made.every.value, made.changes.value = "flow", "3", TYPED["changes"]
        made.keep()
        kept.update({key: value for key, value in view.kept.items() if value})

    form({}, typing)
    assert kept == {key: value for key, value in TYPED.items() if key != "start"} | {"start": TYPED["start"]}

    def reloaded(view: Any, made: _Form) -> None:
        assert {key: value for key, value in made.typed().items() if value} == TYPED
        made.name.value = ""
        made.keep()
        assert view.kept["name"] is None, "what is taken back goes"

    form(kept, reloaded)


def test_an_address_that_says_nonsense_is_left_out(form: Callable[..., None]) -> None:
    query = {"what": "dance", "columns": "99", "methods": "guess,flow_raw", "images": "gif", "settings": "77"}

    def look(_: Any, made: _Form) -> None:
        assert (made.what.value, made.columns.value, made.source.value) == ("process", "", "file")
        assert (made.methods.value, made.images.value) == (["flow_raw"], [])

    form(query, look)


def test_a_long_text_does_not_make_the_address_too_long() -> None:
    long = "a.b = 1\n" * 2000
    assert address_of({"name": "x", "changes": long}, {}) == {"name": "x", "changes": None}
    assert address_of({"name": "x", "every": "1"}, {"every": "1"}) == {"name": "x", "every": None}


def test_an_order_is_what_the_fields_say(form: Callable[..., None]) -> None:
    def look(_: Any, made: _Form) -> None:
        order = made.order("process")
        assert (order.kind, order.columns_of, order.images) == (
            "process",
            4,
            RunImages(("png", "video"), ("columns",), 3),
        )
        made.images.value = []
        assert made.order("process").images == RunImages(("video",), ("columns",), 3)
        made.what.value = "process"
        assert made.order("process").images is None
        made.what.value = "spectra"
        assert (made.order("process").kind, made.order("process").columns_of) == ("spectra", None)
        assert not made._of_images.visible, "what counts for images alone is not asked for"
        made.what.value = "film-off"
        assert (made.order("process").kind, made.order("process").band) == ("film", Band.OFF)
        assert made.order("live").kind == "live"

    form(TYPED, look)


def test_runs_are_told_by_what_they_made() -> None:
    alone = record(spectra=9, columns=8)
    assert (kind_words(alone), found_words(alone)) == ("spectra alone", "9 spectra")
    film = RunRecord(1, "film", "", "Anna", T0, T0, "", "", "", T0, band=Band.OFF, frames=7)
    assert (kind_words(film), found_words(film)) == ("film of the off band", "7 frames")
    both = RunRecord(1, "process", "", "Anna", T0, T0, "", "", "", T0, columns_of=4, pairs=3, spectra=9)
    assert (kind_words(both), found_words(both)) == ("processed, by the columns of run 4", "3 pairs, 9 spectra")
