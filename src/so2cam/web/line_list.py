"""The list of the lines beside the image: what each gives, its keys, and what all of them share."""

from collections.abc import Awaitable, Callable, Mapping
from html import escape
from typing import Any, Final

from nicegui import ui

from so2cam.core.site import Site
from so2cam.formats.siteedit import MISSING, REMOVE
from so2cam.station.line_view import LineLook, Speed
from so2cam.web.line_edits import PAIR, TOTAL, names_in
from so2cam.web.line_shapes import colours_of
from so2cam.web.parts import number, panel, with_uncertainty
from so2cam.web.props import put_props
from so2cam.web.setup import Setup

_ROLES: Final = {"emission": "emission rate", "speed": "speed only"}
_NONE: Final = ""
Named = Callable[[str], Awaitable[None]]


class LineList:
    """The list; ``draw`` when lines changed, ``show`` when they were measured."""

    def __init__(
        self,
        setup: Setup,
        *,
        choose: Callable[[str], None],
        flip: Named,
        remove: Named,
        rename: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._setup = setup
        self._choose, self._flip, self._remove, self._rename = choose, flip, remove, rename
        self._drawn: object = None
        self._boxes: dict[str, ui.element] = {}
        self._amounts: dict[str, ui.label] = {}
        self._more: dict[str, ui.label] = {}
        self._whys: dict[str, ui.label] = {}
        self._looks: Mapping[str, LineLook] = {}
        box, _ = panel("Lines", test="lines-list")
        with box:
            self._list = ui.element("div").classes("so-lines")
            with ui.element("div").classes("so-setup-group"):
                self._shared = ui.element("div").classes("so-keys")

    def draw(self, site: Site, colours: Mapping[str, str], chosen: str) -> None:
        """Draw all lines, where anything of them that stands here changed."""
        state = self._setup.state
        now = (
            [(one.name, one.role, one.plume, one.normal) for one in site.lines],
            chosen,
            state.written(TOTAL),
            state.written(PAIR),
        )
        if now == self._drawn:
            return
        self._drawn = now
        for held in (self._boxes, self._amounts, self._more, self._whys):
            held.clear()
        self._list.clear()
        with self._list:
            for one in site.lines:
                self._draw_line(one.name, _kind(one), colours[one.name], chosen=one.name == chosen)
        self._shared.clear()
        with self._shared:
            self._draw_shared(site)
        self.show(self._looks)

    def choose(self, name: str) -> None:
        """Have this line chosen."""
        site = self._setup.site
        self.draw(site, colours_of([one.name for one in site.lines]), name)

    def show(self, looks: Mapping[str, LineLook]) -> None:
        """Show what the lines give."""
        self._looks = looks
        for name, box in self._boxes.items():
            look = looks.get(name)
            amount, sigma = with_uncertainty(*(None, None) if look is None else (look.amount, look.amount_sigma))
            self._amounts[name].set_text(f"{amount} ± {sigma} kg/m" if sigma else amount)
            self._more[name].set_text("" if look is None else _more(look))
            why = "" if look is None else "; ".join(part for part in (look.why, *look.flags) if part)
            self._whys[name].set_text(why)
            self._whys[name].set_visibility(bool(why))
            box.props(f"data-measured={'true' if look is not None and look.amount is not None else 'false'}")

    def _draw_line(self, name: str, kind: str, colour: str, *, chosen: bool) -> None:
        box = ui.element("div").classes("so-line" + (" is-chosen" if chosen else ""))
        put_props(box.style(f"--line: var(--so-{colour})").props("tabindex=0"), {"data-testid": f"line-{name}"})
        box.on("click", lambda: self._choose(name)).on("keydown.enter", lambda: self._choose(name))
        self._boxes[name] = box
        with box:
            with ui.element("div").classes("so-line-head"):
                ui.html(f"<b>{escape(name)}</b>", sanitize=False, tag="span")
                ui.label(kind).classes("so-line-more")
                self._amounts[name] = ui.label("").classes("so-line-amount")
                self._amounts[name].props('title="integrated column amount of this pair"')
            self._more[name] = ui.label("").classes("so-line-more")
            self._whys[name] = ui.label("").classes("so-line-why")
            for what, label in (("amount", self._amounts), ("more", self._more), ("why", self._whys)):
                put_props(label[name], {"data-testid": f"line-{name}-{what}"})
            if chosen:
                self._draw_keys(name)

    def _draw_keys(self, name: str) -> None:
        setup, base = self._setup, ("lines", name)
        with ui.element("div").classes("so-line-keys"):
            field = ui.input("name", value=name).props('dense outlined stack-label data-testid="line-name"')
            field.classes("so-input").on("blur", lambda: self._rename(name, str(field.value or "")))
            field.on("keydown.enter", lambda: self._rename(name, str(field.value or "")))
            if not setup.may_edit:
                field.disable()
            setup.field((*base, "role"), test="line-role")
            setup.field((*base, "plume"), test="line-plume")
            setup.field((*base, "normal"), "plume crosses to", test="line-normal")
        if setup.may_edit:
            with ui.element("div").classes("so-row"):
                ui.button("Turn the arrow", icon="swap_horiz", on_click=lambda: self._flip(name)).props(
                    "flat dense no-caps data-testid=line-flip"
                )
                ui.button("Delete", icon="delete_outline", on_click=lambda: self._remove(name)).props(
                    "flat dense no-caps data-testid=line-delete"
                )

    def _draw_shared(self, site: Site) -> None:
        state, names = self._setup.state, [one.name for one in site.lines]
        total, pair = state.written(TOTAL), state.written(PAIR)
        chosen = [name for name in names_in(total) if name in names]
        found = ", ".join(site.total_lines)
        sums = ui.select(
            [one.name for one in site.lines if one.role == "emission"],
            value=chosen,
            multiple=True,
            label="in the total",
            on_change=lambda event: self._set_total(list(event.value or []), total),
        ).props("dense outlined stack-label use-chips data-testid=lines-total")
        put_props(sums.classes("so-input is-wide"), {"title": found, "hint": "" if chosen else f"by itself: {found}"})
        ends_of_pair = names_in(pair)
        first, second = ends_of_pair if len(ends_of_pair) == 2 else (_NONE, _NONE)
        options = {_NONE: "none", **{name: name for name in names}}
        ends: list[Any] = []

        async def changed() -> None:
            await self._set_pair([str(one.value or "") for one in ends], pair)

        for words, value, test in (("upstream", first, "pair-first"), ("downstream", second, "pair-second")):
            select = ui.select(options, value=value if value in options else _NONE, label=f"cross-correlation: {words}")
            ends.append(select.props(f"dense outlined stack-label data-testid={test}").classes("so-input"))
            select.on_value_change(changed)
        if not self._setup.may_edit:
            for one in (sums, *ends):
                one.disable()

    async def _set_total(self, names: list[str], seen: Any) -> None:
        value = [one.name for one in self._setup.site.lines if one.name in names] or REMOVE
        await self._setup.change({TOTAL: value}, "chose the lines of the total", seen={TOTAL: seen})

    async def _set_pair(self, names: list[str], seen: Any) -> None:
        if names[0] and names[1] and names[0] != names[1]:
            await self._setup.change({PAIR: names}, "chose the lines of cross-correlation", seen={PAIR: seen})
        elif not names[0] and not names[1] and seen is not MISSING:
            await self._setup.change({PAIR: REMOVE}, "took out the lines of cross-correlation", seen={PAIR: seen})


def speed_text(speed: Speed) -> str:
    """Return a speed by one method in words."""
    if speed.speed is None:
        return f"{speed.method.replace('_', ' ')}: – {speed.why}"
    value, sigma = with_uncertainty(speed.speed, speed.sigma)
    return f"{speed.method.replace('_', ' ')} {value} ± {sigma} m/s"


def _more(look: LineLook) -> str:
    parts = [f"{number(look.length_m, 3)} m at the plume, {look.length_px:.0f} px"]
    if look.distance_m is not None:
        parts.append(f"{look.distance_m / 1000:.2f} km away")
    for speed in look.speeds:
        parts.append(speed_text(speed))
        if speed.rate is not None:
            value, sigma = with_uncertainty(speed.rate, speed.rate_sigma)
            parts.append(f"{value} ± {sigma} kg/s")
    return " · ".join(parts)


def _kind(line: Any) -> str:
    kind = "arc" if line.arc is not None else "polyline" if line.points is not None else "straight"
    return f"{kind} · {_ROLES[line.role]}" + (f" · plume {line.plume}" if line.plume != "plume" else "")
