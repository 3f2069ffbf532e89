"""The latest lines of the node's log, filtered."""

from html import escape

from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.link.protocol import LogLine, Logs
from so2cam.web.instrument.desk import Desk
from so2cam.web.parts import Choice, panel

_EVERY_S = 3.0
_MOST = 300


async def draw_logs(desk: Desk) -> None:
    """Draw the filter and the lines, the newest first."""
    box, head = panel("Log of the node", test="log")
    state = {"level": "info", "text": ""}

    async def read() -> None:
        said = Logs.model_validate({"limit": _MOST, "level": state["level"], "text": state["text"][:100]})
        try:
            found = await desk.view.shared(
                f"logs/{desk.node}/{said.level}/{said.text}", 1.0, lambda: desk.ask(said).lines
            )
        except So2camError as problem:
            if not lines.is_deleted:
                note.set_text(f"No newer lines: {problem.message}")
            return
        if not lines.is_deleted:
            note.set_text("" if found else "No line is like that.")
            lines.set_content(_table(found))

    async def choose(level: str) -> None:
        state["level"] = level
        await read()

    async def type_(text: str) -> None:
        state["text"] = text
        await read()

    with head:
        Choice(
            [("info", "all"), ("warning", "warnings"), ("error", "errors")],
            "info",
            choose,
            label="From which level on",
            test="log-level",
        )
        ui.input(placeholder="containing …", on_change=lambda event: type_(str(event.value or ""))).props(
            'dense outlined clearable debounce=300 data-testid=log-text aria-label="only lines that contain this"'
        ).classes("so-input")
    with box:
        note = ui.label("").classes("so-quiet").props("data-testid=log-note")
        lines = ui.html("", sanitize=False)
    desk.view.every(_EVERY_S, read, immediate=False)
    await read()


def _table(found: tuple[LogLine, ...]) -> str:
    rows = "".join(
        f'<tr data-level="{escape(line.level)}"><td title="{line.time:%Y-%m-%d %H:%M:%S} UTC">'
        f"{line.time:%m-%d %H:%M:%S}</td>"
        f"<td>{escape(line.level)}</td><td>{escape(line.device or '')}</td><td>{escape(line.text)}</td></tr>"
        for line in reversed(found)
    )
    table = f'<table class="so-table" data-testid="log-table"><tbody>{rows}</tbody></table>'
    return f'<div class="so-scroll so-log">{table}</div>'
