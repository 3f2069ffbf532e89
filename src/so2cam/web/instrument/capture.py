"""Start and stop, single items, darks: what people ask for beside the schedule."""

from functools import partial
from html import escape
from typing import Final

from nicegui import ui

from so2cam.core.errors import InputError, So2camError
from so2cam.core.health import DeviceHealth, DeviceState
from so2cam.link import messages
from so2cam.link.messages import Darks, Shot, Start, Stop
from so2cam.station.node_items import SpectrumCurve, curve, fetch, sequences_of
from so2cam.station.nodes import NodeLook
from so2cam.station.together import Told
from so2cam.web.instrument.desk import Desk
from so2cam.web.instrument.pictures import curve_svg, picture_url
from so2cam.web.instrument.words import exposure, state_of
from so2cam.web.parts import Chip, Report, field, panel, pick
from so2cam.web.props import put_props
from so2cam.web.typed import read_number

KINDS: Final = {"plume": "plume", "clear": "clear sky", "test": "test"}
SHOTS: Final = {"test": "test", "plume": "plume", "clear": "clear sky", "dark": "dark", "lamp": "lamp (spectrometer)"}
MOST_IN_A_ROW: Final = 200


def draw_capture(desk: Desk) -> None:
    """Draw the panels."""
    with ui.element("div").classes("so-columns so-cards"):
        _draw_run(desk)
        _draw_shot(desk)
        _draw_darks(desk)


class _Targets:
    """Which devices are meant: all, or those that are chosen."""

    def __init__(self, desk: Desk, test: str) -> None:
        self._desk, self._test = desk, test
        self._boxes: dict[str, ui.checkbox] = {}
        self._row = ui.element("div").classes("so-row").props('role=group aria-label="Devices"')
        desk.watch(self._update)

    def _update(self, look: NodeLook) -> None:
        for device in self._desk.devices("camera", "spectrometer"):
            if device.name not in self._boxes:
                with self._row:
                    box = self._boxes[device.name] = ui.checkbox(device.name, value=True).props("dense")
                    put_props(box, {"data-testid": f"{self._test}-{device.name}"})

    def names(self) -> tuple[str, ...]:
        """Return the devices that are chosen, nothing where all are: those of nodes that do not answer are meant too.

        Raises InputError where none is chosen.
        """
        found = tuple(name for name, box in self._boxes.items() if box.value)
        if not found and self._boxes:
            raise InputError("no device is chosen", remedy="choose one")
        return () if len(found) == len(self._boxes) else found


def _draw_run(desk: Desk) -> None:
    box, head = panel(
        "Continuous capture", test="run", hint="on the time grid, until it is stopped or the schedule changes it"
    )
    with head:
        chip = Chip(test="run-state")
    with box:
        words = ui.label("").classes("so-quiet").props("data-testid=run-words")
        targets = _Targets(desk, "run")
        with ui.element("div").classes("so-row"):
            kind = pick("Kind", KINDS, "plume", test="run-kind")
            count = field("How many", example="no end", test="run-count", props="inputmode=numeric")
        row = ui.element("div").classes("so-row")
        report = Report(test="run-report")

        def start() -> str:
            many = str(count.value or "").strip()
            if many and not many.isdigit():
                raise InputError("this is no number of items", value=many, remedy="leave it empty for no end")
            return desk.say(Start(devices=targets.names(), kind=kind.value, count=int(many) if many else None))

        def stop(force: bool) -> str:
            return desk.say(Stop(devices=targets.names(), force=force))

        with row:
            desk.button("Start", start, test="run-start", report=report)
            desk.button("Stop", lambda: stop(False), test="run-stop", report=report, quiet=True)
            desk.button(
                "Stop all",
                lambda: stop(True),
                test="run-force",
                report=report,
                quiet=True,
                confirm="Stop, and end darks and calibrations that are going on too?",
            )
        _draw_pause(desk)

    def update(look: NodeLook) -> None:
        devices = desk.devices("camera", "spectrometer")
        busy = [device for device in devices if device.state.value in ("capturing", "darks", "cells")]
        chip.set(f"{len(busy)} of {len(devices)} busy" if devices else "", "ok" if busy else "")
        lines = [f"{device.name}: {state_of(device)[0]}{_kind(device)}" for device in devices]
        words.set_text(" · ".join(lines))

    desk.watch(update)


def _kind(device: DeviceHealth) -> str:
    capturing = device.state is DeviceState.CAPTURING and device.kind is not None
    return f" {KINDS.get(device.kind or '', device.kind)}" if capturing else ""


def _draw_pause(desk: Desk) -> None:
    ui.element("hr").classes("so-rule")
    with ui.element("div").classes("so-row"):
        ui.label("Schedule").classes("so-strong")
        hours = pick("Pause for", {"": "until resumed", "1": "1 h", "4": "4 h", "24": "24 h"}, "4", test="pause-for")
    row = ui.element("div").classes("so-row")
    report = Report(test="pause-report")

    def schedule(action: str) -> str:
        seconds = float(hours.value) * 3600 if action == "pause" and hours.value else None
        said = messages.Schedule.model_validate({"action": action, "for_s": seconds})
        return desk.say(said)

    with row:
        desk.button("Pause", lambda: schedule("pause"), test="pause", report=report, quiet=True)
        desk.button("Resume", lambda: schedule("resume"), test="resume", report=report, quiet=True)


def _draw_shot(desk: Desk) -> None:
    box, _ = panel("Single items", test="shot", hint="one item now, beside whatever else goes on")
    with box:
        targets = _Targets(desk, "shot")
        with ui.element("div").classes("so-row"):
            kind = pick("Kind", SHOTS, "test", test="shot-kind")
            length = field("Exposure", example="as set", test="shot-exposure", props='suffix="ms" inputmode=decimal')
            times = field("In a row", value="1", test="shot-times", props="inputmode=numeric")
        row = ui.element("div").classes("so-row")
        report = Report(test="shot-report")
        pictures = ui.element("div").classes("so-shots").props("data-testid=shots")
    taken: list[tuple[str, int]] = []
    shown: list[tuple[str, int]] = []
    progress = {"done": 0, "of": 0}

    def take() -> str:
        many = str(times.value or "1").strip()
        if not many.isdigit() or not 1 <= int(many) <= MOST_IN_A_ROW:
            raise InputError(f"in a row: 1 to {MOST_IN_A_ROW}", value=many)
        exposure_s = _milliseconds(str(length.value or ""))
        taken.clear()
        progress.update(done=0, of=int(many))
        said = ""
        try:
            for done in range(int(many)):
                told = desk.tell(Shot(devices=targets.names(), kind=kind.value, exposure_s=exposure_s))
                progress["done"] = done + 1
                taken[:] = _numbers(told)
                said = told.require().words
        finally:
            progress.update(done=0, of=0)
        return said if int(many) == 1 else f"{many} times taken; the last: {said}"

    async def show() -> None:
        pictures.clear()
        for device, sequence in list(taken):
            spectrometers = [one.name for one in desk.devices("spectrometer")]
            with pictures, ui.element("figure").classes("so-shot") as figure:
                put_props(figure, {"data-testid": f"shot-of-{device}"})
                if device in spectrometers:
                    found = await desk.view.in_thread(partial(_curve, desk, device, sequence))
                    ui.html(curve_svg(found) if found else "", sanitize=False)
                else:
                    source = picture_url(desk.node_of(device), device, sequence)
                    said = f"the item just taken by {device}"
                    put_props(ui.element("img").classes("so-picture"), {"src": source, "alt": said})
                ui.html(f"<figcaption>{escape(device)}, item {sequence}</figcaption>", sanitize=False)

    with row:
        desk.button("Take", take, test="shot-take", report=report)

    async def look() -> None:
        if 0 < progress["done"] < progress["of"]:
            report.say(f"Taking … {progress['done']} of {progress['of']}")
        elif not progress["of"] and taken and taken != shown:
            shown[:] = taken
            await show()

    desk.view.every(0.3, look)


def _numbers(told: Told) -> list[tuple[str, int]]:
    return [
        (outcome.device, sequence)
        for part in told.done
        for outcome in part.outcomes
        for sequence in sequences_of(outcome.values.get("sequences"))[-1:]
    ]


def _curve(desk: Desk, device: str, sequence: int) -> SpectrumCurve | None:
    try:
        return curve(fetch(desk.view.pages.nodes, desk.node_of(device), sequence))
    except So2camError:
        return None


def _milliseconds(text: str) -> float | None:
    if not text.strip():
        return None
    try:
        value = read_number(text) / 1e3
    except InputError as wrong:
        raise InputError(f"the exposure {wrong.message}", value=text, remedy="type it in ms") from None
    if value <= 0:
        raise InputError("the exposure must be above 0", value=text)
    return value


def _draw_darks(desk: Desk) -> None:
    box, head = panel("Darks", test="darks", hint="frames without light: they hold what the detector adds by itself")
    with head:
        chip = Chip(test="darks-state")
    with box:
        ui.label(
            "There is no shutter: take darks at night, or cover the lenses first. A set has each exposure that was "
            "used since the last one; devices go on as before when it is over."
        ).classes("so-quiet so-small")
        targets = _Targets(desk, "darks")
        with ui.element("div").classes("so-row"):
            repeats = field("Repeats", example="as set", test="darks-repeats", props="inputmode=numeric")
            exposures = field(
                "Exposures (blanks between)", example="those used", test="darks-exposures", props='suffix="ms"'
            )
        row = ui.element("div").classes("so-row")
        report = Report(test="darks-report")

    def begin() -> str:
        many = str(repeats.value or "").strip()
        if many and not (many.isdigit() and 1 <= int(many) <= 100):
            raise InputError("repeats: 1 to 100", value=many)
        given = tuple(
            value for part in str(exposures.value or "").split() if (value := _milliseconds(part)) is not None
        )
        return desk.say(Darks(devices=targets.names(), repeats=int(many) if many else None, exposures_s=given))

    with row:
        desk.button(
            "Begin a dark set",
            begin,
            test="darks-begin",
            report=report,
            confirm="Is it dark in front of the lenses: night, or covered?",
        )
        desk.button(
            "Stop darks",
            lambda: desk.say(Stop(devices=targets.names(), force=True)),
            test="darks-stop",
            report=report,
            quiet=True,
            confirm="Stop the dark set? Capture stops too, until it is started or the schedule changes.",
        )

    def update(look: NodeLook) -> None:
        devices = desk.devices("camera", "spectrometer")
        going = [device for device in devices if device.state.value == "darks"]
        if going:
            chip.set(f"{', '.join(device.name for device in going)}: going on, {exposure(going[0].exposure_s)}", "ok")
        else:
            chip.set("none going on", "")

    desk.watch(update)
