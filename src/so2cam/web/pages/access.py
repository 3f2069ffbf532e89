"""The access page: who may look at this station and change it."""

import re
from datetime import UTC, datetime
from functools import partial
from html import escape
from typing import Final

from nicegui import ui

from so2cam.core.errors import InputError
from so2cam.link.protocol import Role, role_of_word
from so2cam.link.tokens import TokenRecord
from so2cam.station.access import Access
from so2cam.web import shell
from so2cam.web.parts import Chip, Choice, Report, State, action, empty, panel
from so2cam.web.registry import page
from so2cam.web.tables import TYPED, Column, ago_html, duration, stamp_html, table_html
from so2cam.web.view import View

TOPIC: Final = "tokens"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}")
_DAYS: Final = (("", "always"), ("1", "1 day"), ("30", "30 days"), ("365", "1 year"))
_DAY_S: Final = 86_400.0
_ROLES: Final = (
    ("viewer", "Sees everything but this page and the account of changes. Changes nothing."),
    (
        "operator",
        "Also works with the instrument: settings, schedule, calibration, restart, lines; acknowledges alarms.",
    ),
    ("admin", "Also makes and revokes tokens, pairs instruments, and reads the account of changes."),
)


@page(
    "/access",
    title="Access",
    nav="Access",
    keys="g x",
    role=Role.ADMIN,
    order=90,
    hint="Who may look, and who may change something",
    about=(
        "Tokens say who may look and who may change something. A token is shown once, when it is made, and "
        "can be revoked at any time. Give each person a token of their own, for the account of changes names "
        "its holder."
    ),
    docs="web-health",
)
def access_page(view: View) -> None:
    """Show roles and tokens, make new ones, and revoke them."""
    ui.add_head_html(f'<link rel="stylesheet" href="{shell.asset_url("health.css")}">')
    access = view.pages.door.access
    if not isinstance(access, Access):
        empty(
            "These pages run without sign-in, for the people on this computer alone. A station that was started with "
            "so2cam station run keeps tokens.",
            title="Nobody has to sign in here",
        )
        return
    with ui.element("div").classes("so-columns"):
        _new_token(view, access)
        _roles(view)
    _tokens(view, access)


def _roles(view: View) -> None:
    box, _ = panel("Roles", test="roles")
    with box:
        rows = [(f"<b>{role}</b>", escape(text)) for role, text in _ROLES]
        ui.html(table_html((Column("Role", "lead"), Column("May", "bare")), rows, test="roles-table"), sanitize=False)
        settings = view.context.settings
        with ui.element("div").classes("so-row"):
            ui.label("Without a token")
            words, state, why = _public(pages_public=settings.pages.public, here_open=settings.api.is_open)
            Chip(words, state, test="public")
        ui.label(why).classes("so-note")


def _public(*, pages_public: bool, here_open: bool) -> tuple[str, State, str]:
    """Return who may look without a token, in words, and what of the site file says so."""
    if pages_public:
        return (
            "everybody may look",
            "warn",
            "Whoever reaches this address may look, and change nothing: pages.public of [station] in the site file.",
        )
    switch = "To let everybody look, and change nothing, set pages.public of [station] in the site file."
    if here_open:
        return "this computer may look", "ok", f"Other computers cannot reach this station. {switch}"
    return "nobody", "ok", switch


# --- a new token -------------------------------------------------------------------------------------------------


def _new_token(view: View, access: Access) -> None:
    box, _ = panel(
        "New token", test="new-token", hint="A token is what somebody signs in with; each person has their own."
    )
    form = {"name": "", "role": "viewer", "days": ""}

    def make() -> str:
        name = form["name"].strip()
        if not _NAME.fullmatch(name):
            raise InputError(
                "give a name of letters, digits, blanks, _ . -",
                remedy="as of a person or a program; at most 64 characters",
            )
        valid_s = float(form["days"]) * _DAY_S if form["days"] else None
        made.append(
            access.create(
                name, role_of_word(form["role"]), by=view.visitor.principal, peer=view.visitor.peer, valid_s=valid_s
            )
        )
        return f"{name} has a token now, as {form['role']}"

    def show() -> None:
        if not made:
            return
        shown.clear()
        with shown:
            _once(made.pop(), hide=lambda: shown.set_visibility(False))
        shown.set_visibility(True)
        view.changed(TOPIC)

    made: list[str] = []
    with box:
        with ui.element("div").classes("so-form"):
            with ui.element("label").classes("so-field"):
                ui.label("Name")
                field = ui.element("input").props(
                    'maxlength=64 autocomplete=off placeholder="who or what it is for" data-testid=token-name'
                )
                field.on("input", lambda event: form.update(name=str(event.args)), js_handler=TYPED)
            with ui.element("div").classes("so-field"):
                ui.label("Role")
                options = [(role, role) for role, _ in _ROLES]
                Choice(options, "viewer", lambda role: form.update(role=role), label="Role", test="token-role")
            with ui.element("div").classes("so-field"):
                ui.label("Valid")
                Choice(_DAYS, "", lambda days: form.update(days=days), label="Valid", test="token-days")
        report = Report(test="token-report")
        with ui.element("div").classes("so-row"):
            action(view, "Make token", make, test="token-make", report=report, role=Role.ADMIN, after=show)
        shown = ui.element("div").classes("so-token").props("data-testid=token-shown role=status")
        shown.set_visibility(False)


def _once(token: str, hide: object) -> None:
    ui.label("This is the only time that it is shown. Hand it over by a safe way.")
    ui.html(escape(token), tag="code", sanitize=False).props("data-testid=token-value")
    with ui.element("div").classes("so-row"):
        copy = "navigator.clipboard?.writeText(document.querySelector('[data-testid=token-value]').textContent)"
        ui.button("Copy").props("outline no-caps data-testid=token-copy").on("click", js_handler=f"() => {{{copy}}}")
        ui.button("Done", on_click=hide).props("flat no-caps data-testid=token-done")  # type: ignore[arg-type]


# --- the tokens --------------------------------------------------------------------------------------------------


def _tokens(view: View, access: Access) -> None:
    box, head = panel("Tokens", test="tokens", hint="All that were ever made; never the token itself.")
    with head:
        which = Choice(
            (("valid", "valid"), ("all", "all")), "valid", lambda _: look(), label="Which", test="tokens-which"
        )
    with box:
        report = Report(test="tokens-report")
        table = ui.element("div").props("data-testid=tokens-list")
    drawn: list[tuple[str, float]] = []

    async def look() -> None:
        nonlocal drawn
        records = await view.in_thread(lambda: list(access.list()))
        now_s = datetime.now(UTC).timestamp()
        shown = [record for record in records if which.value == "all" or record.is_valid(now_s)]
        mark = [
            (record.id, (record.used_s or 0.0) + (record.revoked_s or 0.0) + record.is_valid(now_s)) for record in shown
        ]
        if mark == drawn and table.slots["default"].children:
            return
        drawn = mark
        table.clear()
        with table:
            _table(view, access, sorted(shown, key=lambda record: -record.created_s), report)

    view.every(5.0, look)
    view.on_change(TOPIC, look)


def _table(view: View, access: Access, records: list[TokenRecord], report: Report) -> None:
    now = datetime.now(UTC)
    titles = ("Name", "Role", "State", "Made", "Ends", "Last used", "")
    with ui.element("table").classes("so-table is-cards is-middle"):
        heads = "".join(f'<th scope="col">{title}</th>' for title in titles)
        ui.html(f"<tr>{heads}</tr>", tag="thead", sanitize=False)
        with ui.element("tbody"):
            for record in records:
                _row(view, access, record, report, now)


def _row(view: View, access: Access, record: TokenRecord, report: Report, now: datetime) -> None:
    valid = record.is_valid(now.timestamp())
    mine = record.id == view.visitor.principal.id
    state: tuple[str, State] = ("valid", "ok") if valid else ("revoked" if record.revoked_s else "over", "")
    ends = "never"
    if record.expires_s is not None:
        left = record.expires_s - now.timestamp()
        ends = f"in {duration(left)}" if left > 0 else "is over"
    cells = (
        ("", f"{escape(record.name)} <small>{record.id}{' · you' if mine else ''}</small>"),
        ("Role", escape(record.role.word)),
        ("State", f'<span class="so-chip" data-state="{state[1] or "none"}">{state[0]}</span>'),
        ("Made", stamp_html(_moment(record.created_s))),
        ("Ends", escape(ends)),
        ("Last used", "not yet" if record.used_s is None else ago_html(_moment(record.used_s), now)),
    )
    row = ui.element("tr").props(f"data-testid=token-{record.id}")
    if not valid:
        row.classes("is-over")
    with row:
        for label, html in cells:
            cell = ui.html(f"<span>{html}</span>", tag="td", sanitize=False)
            if label:
                cell.props(f'data-label="{label}"').classes("tight" if label != "Role" else "")
            else:
                cell.classes("lead")
        with ui.element("td").classes("tight num"):
            if valid:
                action(
                    view,
                    "Revoke",
                    partial(_revoke, view, access, record),
                    test=f"revoke-{record.id}",
                    report=report,
                    role=Role.ADMIN,
                    confirm=_question(record, mine=mine),
                    after=lambda: view.changed(TOPIC),
                    danger=True,
                ).props("outline dense ")


def _question(record: TokenRecord, *, mine: bool) -> str:
    if mine:
        return "This is your own token: you will be signed out, and need another one to come back. Revoke it?"
    return (
        f"Revoke the token of {record.name}? Whoever has it is signed out at once. A token cannot be made valid again."
    )


def _revoke(view: View, access: Access, record: TokenRecord) -> str:
    admins = [one.id for one in access.list() if one.role is Role.ADMIN and one.is_valid(datetime.now(UTC).timestamp())]
    if admins == [record.id]:
        raise InputError("this is the only admin left", remedy="make another admin first")
    access.revoke(record.id, by=view.visitor.principal, peer=view.visitor.peer)
    return f"The token of {record.name} is revoked"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
