"""What the set-up pages with an image share: a pair of the archive to choose, and how a preview is."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.core.records import FramePair
from so2cam.core.times import format_utc, parse_utc
from so2cam.station.setup_pairs import SetupPairs
from so2cam.web.moments import MomentField
from so2cam.web.parts import Chip, error, sentence, time_text
from so2cam.web.props import put_props
from so2cam.web.setup import Setup
from so2cam.web.shelf import Slot
from so2cam.web.shell import asset_url
from so2cam.web.view import View
from so2cam.web.viewer import Viewer

NO_PAIRS: Final = "The archive has no pair of plume frames of this day. Take frames in, or choose another day."


def use_styles() -> None:
    """Link the styles of these pages."""
    ui.add_head_html(f'<link rel="stylesheet" href="{asset_url("setup-image.css")}">')


def put_image(viewer: Viewer, slot: Slot, message: bytes | None, why: str) -> None:
    """Show an image; or, for None, ``why`` there is none, in place of the one shown.

    The viewer asks for nothing before there was one.
    """
    if message is None:
        slot.clear(why)
        return
    slot.put(message)
    if viewer.src is None:
        viewer.src = slot.src


class PairBar:
    """The pair that a page looks at: chosen by day, slider and arrows, kept in the address."""

    def __init__(self, view: View, setup: Setup, changed: Callable[[], Awaitable[None]]) -> None:
        self._view, self._setup, self._changed = view, setup, changed
        frames = view.pages.setup_frames[view.site.name]
        self.source = SetupPairs(frames, view.context.board, view.site.name)
        self.pairs: tuple[FramePair, ...] = ()
        self.index = 0
        self._wanted = view.query.get("pair", "")
        self._day: str | None = view.query.get("day")
        self._of: object = None
        with ui.element("div").classes("so-pairs").props("data-testid=pairs"):
            self._day_field = MomentField(
                "Day, UTC", test="pair-day", precision="day", value=self._day, on_change=self._choose_day
            )
            with ui.element("div").classes("so-pair-steps"):
                self._button("chevron_left", "The pair before", "pair-before", -1)
                self._slider = ui.slider(min=0, max=1, step=1, value=0, on_change=self._slid)
                self._slider.props('data-testid=pair-slider aria-label="Pair"').classes("so-grow")
                self._button("chevron_right", "The pair after", "pair-after", 1)
            self._time = ui.label("").classes("so-pair-time").props("data-testid=pair-time")

    @property
    def chosen(self) -> FramePair | None:
        """The pair that is looked at; None where there is none."""
        return self.pairs[self.index] if self.pairs else None

    async def load(self) -> None:
        """Look for pairs, where the draft finds others than before, and choose the one of the address."""
        loaded = self._setup.loaded
        of = (loaded.site.processing.pairing, loaded.site.files, loaded.site.camera, self._day)
        if of == self._of:
            return
        self._of = of
        found = await self._view.in_thread(lambda: self.source.pairs(loaded, day=self._day))
        if self._day is None and found:  # of one day: the newest
            day = f"{found[-1].time:%Y-%m-%d}"
            found = tuple(pair for pair in found if f"{pair.time:%Y-%m-%d}" == day)
            self._day_field.set(found[-1].time)
        self.pairs = found
        self.index = self._nearest()
        self._slider.props(f"max={max(len(found) - 1, 1)}")
        self._slider.set_enabled(len(found) > 1)
        self._show()

    def _nearest(self) -> int:
        try:
            wanted = parse_utc(self._wanted)
        except (So2camError, ValueError):
            return max(len(self.pairs) // 2, 0) if self.pairs else 0
        gaps = [abs((pair.time - wanted).total_seconds()) for pair in self.pairs]
        return gaps.index(min(gaps)) if gaps else 0

    def _button(self, icon: str, title: str, test: str, step: int) -> None:
        button = ui.button(icon=icon, on_click=lambda: self._go(self.index + step))
        put_props(button.props("flat dense"), {"data-testid": test, "title": title, "aria-label": title})

    def _show(self) -> None:
        chosen = self.chosen
        self._slider.value = self.index
        place = f" · {self.index + 1} of {len(self.pairs)}" if self.pairs else ""
        self._time.set_text(f"{time_text(None if chosen is None else chosen.time)}{place}")

    async def _slid(self) -> None:
        await self._go(int(self._slider.value or 0))

    async def _go(self, index: int) -> None:
        index = min(max(index, 0), len(self.pairs) - 1)
        if index == self.index or not self.pairs:
            return
        self.index = index
        self._wanted = format_utc(self.pairs[index].time)
        self._show()
        self._view.keep(pair=self._wanted, day=f"{self.pairs[index].time:%Y-%m-%d}")
        await self._changed()

    async def _choose_day(self) -> None:
        self._day = self._day_field.address or None
        self._wanted = ""
        self._view.keep(day=self._day, pair=None)
        await self._changed()


class Preview:
    """Says how a preview is: being worked out, valid, or why there is none."""

    def __init__(self) -> None:
        self._chip = Chip("", test="preview")
        self.trouble = error("", test="preview-error")
        self.trouble.set_visibility(False)

    def working(self) -> None:
        """It is being worked out."""
        self._chip.set("working …", "")

    def done(self, time: datetime, why: str = "") -> None:
        """It shows the draft as it is; ``why``: why something of it is missing."""
        self._chip.set(
            f"as the draft is now · {time:%H:%M:%S UTC}" if not why else "incomplete", "warn" if why else "ok"
        )
        self._say(why)

    def failed(self, failure: So2camError | str) -> None:
        """There is none."""
        self._chip.set("nothing to show", "bad")
        self._say(failure if isinstance(failure, str) else sentence(failure))

    def _say(self, text: str) -> None:
        self.trouble.set_text(text)
        self.trouble.set_visibility(bool(text))
