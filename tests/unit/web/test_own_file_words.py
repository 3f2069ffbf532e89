"""Keys of the instrument: the card of such a key, and the dialog that saves, say that it reads its own file."""

import asyncio
from typing import Any

import pytest
from nicegui import ui

from so2cam.station.own_file import OWN_FILE
from so2cam.web.setup import _DraftBar
from so2cam.web.sitefile.book import Book
from so2cam.web.sitefile.keycard import KeyCard

NODES = [{"name": "lead", "devices": [{"name": "a", "type": "camera", "driver": "simulated", "band": "on"}]}]
OF_NODE = ("instrument", "nodes")
OF_STATION = ("processing", "background", "mode")


def texts(view: Any, test: str) -> list[str]:
    found = (one for one in view.client.elements.values() if one.props.get("data-testid") == test)
    return [one.text for one in found if isinstance(one, ui.label)]


@pytest.mark.parametrize(("path", "said"), [(OF_NODE, 1), (OF_STATION, 0)], ids=["instrument", "station"])
def test_the_card_of_a_key_says_whose_file_it_is(desk: Any, path: tuple[str, ...], said: int) -> None:
    async def work(view: Any, setup: Any) -> None:
        async def go(_: object) -> None:
            raise AssertionError("goes elsewhere")

        desk.change({OF_NODE: NODES})
        KeyCard(Book(view, setup, go, go), go).show(path)
        found = texts(view, "card-own-file")
        assert len(found) == said
        assert all(OWN_FILE in one for one in found)

    desk.run(work)


@pytest.mark.parametrize("of_instrument", [True, False], ids=["instrument", "station"])
def test_the_dialog_that_saves_names_the_keys_of_the_instrument(desk: Any, of_instrument: bool) -> None:
    desk.pages.restart = None
    desk.context.trouble = ""

    async def work(view: Any, setup: Any) -> None:
        bar = _DraftBar(view, setup)
        desk.change({OF_NODE: NODES} if of_instrument else {OF_STATION: "plane"})

        async def ask() -> None:
            with view.client:
                await bar._ask_save()

        asked = asyncio.create_task(ask())
        for _ in range(5):
            await asyncio.sleep(0)
        found = texts(view, "save-own-file")
        asked.cancel()
        assert len(found) == of_instrument
        assert all("instrument.nodes.lead.devices.a.driver" in one for one in found)

    desk.run(work)
