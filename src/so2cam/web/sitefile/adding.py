"""Asks what another element of an array of tables is called, and of which kind it is; and adds it to the draft."""

from typing import Any

from nicegui import ui

from so2cam.core.site_keys import EACH, key_info
from so2cam.formats.siteedit import MISSING, KeyPath, key_text
from so2cam.station.draft_tables import added_table
from so2cam.station.key_rows import elements
from so2cam.web.setup import Setup


async def add_element(setup: Setup, path: KeyPath) -> KeyPath | None:
    """Ask, add it, and return its key; None where nothing was added."""
    models = key_info(path).models
    has_name = any("name" in model.model_fields for model in models)
    tables = setup.state.written(path)
    as_names = isinstance(tables, dict)
    kinds = key_info((*path, EACH, "type")).choices if any("type" in one.model_fields for one in models) else ()
    taken = {str(name) for name, _ in elements(tables)}
    if not (has_name or kinds or as_names):
        return await _put(setup, path, tables, {}, "")
    with ui.dialog() as dialog, ui.card().classes("so-panel").props("data-testid=add-dialog"):
        ui.label(f"Another one of {key_text(path)}")
        name = ui.input("Name").props("autofocus outlined dense data-testid=add-name").classes("so-input")
        name.set_visibility(has_name or as_names)
        kind = ui.select(list(kinds), value=kinds[0] if kinds else None, label="Type")
        kind.props("outlined dense data-testid=add-type").classes("so-input").set_visibility(bool(kinds))
        why = ui.label("").classes("so-key-error").props("data-testid=add-error role=alert")

        def add() -> None:
            said = str(name.value or "").strip()
            if (has_name or as_names) and not said:
                why.set_text("It needs a name.")
            elif said in taken:
                why.set_text("There is one of this name.")
            else:
                dialog.submit(said)

        with ui.row():
            ui.button("Cancel", on_click=lambda: dialog.submit(None)).props("flat no-caps")
            ui.button("Add", on_click=add).props("unelevated no-caps data-testid=add-yes")
    said = await dialog
    dialog.delete()
    if said is None:
        return None
    content: dict[str, Any] = {"type": str(kind.value)} if kinds else {}
    return await _put(setup, path, tables, content, str(said))


async def _put(setup: Setup, path: KeyPath, tables: Any, content: dict[str, Any], name: str) -> KeyPath | None:
    made, key, value = added_table(tables, path, name, content)
    return made if await setup.change({key: value}, f"add {key_text(made)}", seen={key: MISSING}) else None
