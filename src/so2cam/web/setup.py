"""What all set-up pages share: their own navigation, the draft of the site file and who changed what, and its bar.

A set-up page is a function ``(view, setup)`` registered with ``setup_page``. It changes keys of the draft with
``setup.change`` or bound fields (``setup.field``), and looks again with ``setup.on_change`` when anybody changed them.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final, Literal

from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.core.site import Site
from so2cam.formats.siteedit import MISSING, REMOVE, KeyPath, key_text
from so2cam.formats.sitefile import LoadedSite, check_site
from so2cam.link.protocol import Role
from so2cam.station.draft_edits import in_settings, same
from so2cam.station.drafts import DraftConflict, DraftState, SiteDraft
from so2cam.station.own_file import own_file
from so2cam.web.parts import Report, action, time_text
from so2cam.web.registry import Built, PageSpec, all_pages, page
from so2cam.web.setup_fields import BoundField, written
from so2cam.web.shell import asset_url
from so2cam.web.view import View

TOPIC: Final = "draft"
GUIDE: Final = "/guide"
SITE_FILE: Final = "/setup"
EDITS_FROM: Final = Role.OPERATOR
"""Who may change the draft; saving it is an admin's."""
BuildSetup = Callable[["View", "Setup"], Awaitable[Built] | Built]


def setup_page(
    path: str,
    *,
    title: str,
    order: int,
    hint: str,
    about: str,
    docs: str,
    nav: str | None = None,
    keys: str | None = None,
) -> Callable[[BuildSetup], BuildSetup]:
    """Register a set-up page at ``path``; ``order``: its place among them. See ``registry.page`` for the rest."""

    def register(build: BuildSetup) -> BuildSetup:
        async def show(view: View) -> Built:
            setup = Setup(view)
            _head(view, setup)
            made = build(view, setup)
            return await made if inspect.isawaitable(made) else made

        show.__module__ = build.__module__
        page(
            path,
            title=title,
            role=Role.VIEWER,
            nav=nav,
            keys=keys,
            order=40 + order / 1000,
            hint=hint,
            about=about,
            docs=docs,
            within="" if nav else SITE_FILE,
        )(show)
        return build

    return register


@dataclass(slots=True)
class Setup:
    """One person's look at the draft of a site's file."""

    view: View
    fields_: list[BoundField] = field(default_factory=list)
    following_: bool = False
    own_: dict[KeyPath, Any] = field(default_factory=dict)

    @property
    def draft(self) -> SiteDraft:
        """The draft of this site, shared by all."""
        return self.view.pages.drafts[self.view.site.name]

    @property
    def state(self) -> DraftState:
        """The draft now."""
        return self.draft.state()

    @property
    def loaded(self) -> LoadedSite:
        """The site that the draft describes; the last valid one where it has a problem now."""
        return self.state.loaded

    @property
    def site(self) -> Site:
        """The models of ``loaded``."""
        return self.state.loaded.site

    @property
    def who(self) -> str:
        """Whose changes these are."""
        return self.view.visitor.principal.name

    @property
    def may_edit(self) -> bool:
        """Whether this visitor may change the draft."""
        return self.view.visitor.may(EDITS_FROM)

    def value(self, path: KeyPath) -> Any:
        """Return the value of a key in the draft; its default where the file does not have it; MISSING for neither."""
        return self.state.value(path)

    async def change(
        self, changes: Mapping[KeyPath, Any], what: str = "", *, seen: Mapping[KeyPath, Any] | None = None
    ) -> bool:
        """Change keys of the draft (REMOVE takes one out); return whether it was done.

        ``seen``: what the person had before them; where somebody else changed it meanwhile, they are asked. What they
        changed themselves on this page, and is not drawn yet, is no reason to ask. Errors are said on the page.
        Everybody who looks at the draft is told.
        """
        if not self.view.may(EDITS_FROM):
            ui.notify(f"This needs the role {EDITS_FROM.word}.", type="negative")
            return False
        try:
            await self.view.in_thread(lambda: self.draft.change(changes, by=self.who, what=what, seen=seen))
        except DraftConflict as conflict:
            if (own := self._own(conflict.path)) is not None:
                return await self.change(changes, what, seen={**(seen or {}), conflict.path: own})
            with self.view.client.content:  # it stays when the part of the page that was changed is redrawn
                whose = await _ask_whose(conflict, changes)
            if whose == "theirs":
                self.told()
                return False
            return await self.change(changes, what)
        except So2camError as error:
            ui.notify(str(error), type="negative", multi_line=True)
            return False
        for key, value in changes.items():
            self.own_ = {one: own for one, own in self.own_.items() if one[: len(key)] != key}
            self.own_[key] = MISSING if value is REMOVE else value
        self.told()
        return True

    def _own(self, path: KeyPath) -> Any:
        """Return what the draft has for a key, where it is what was last set on this page; None else."""
        key = next((path[:end] for end in range(len(path), 0, -1) if path[:end] in self.own_), None)
        own = None if key is None else in_settings(self.own_[key], path[len(key) :])
        return own if own is not None and same(own, self.state.written(path)) else None

    def told(self) -> None:
        """Tell everybody that the draft changed."""
        self.view.changed(TOPIC)

    def on_change(self, work: Callable[[], Awaitable[None] | None]) -> None:
        """Call ``work`` whenever anybody changed the draft."""
        self.view.on_change(TOPIC, work, every_s=0.3)

    def field(
        self,
        path: KeyPath,
        label: str | None = None,
        *,
        test: str | None = None,
        wide: bool = False,
        after: Callable[[], object] | None = None,
    ) -> BoundField:
        """Return a field bound to a key. ``after`` is called when this person changed it."""
        made = BoundField(self, path, label=label, test=test, wide=wide, after=after)
        if not self.following_:
            self.following_ = True
            with self.view.client.content:  # it goes on when the part of the page that holds this field is redrawn
                self.on_change(self._update_fields)
        self.fields_.append(made)
        return made

    def fields(self, paths: Sequence[KeyPath], *, after: Callable[[], object] | None = None) -> list[BoundField]:
        """Return fields bound to keys, in a grid."""
        with ui.element("div").classes("so-keys"):
            return [self.field(path, after=after) for path in paths]

    def _update_fields(self) -> None:
        self.fields_ = [one for one in self.fields_ if not one.box.is_deleted]
        for one in self.fields_:
            one.update()


def setup_pages() -> tuple[PageSpec, ...]:
    """Return the set-up pages in their order."""
    return tuple(spec for spec in all_pages() if spec.path in (GUIDE, SITE_FILE) or spec.path.startswith("/setup/"))


def _head(view: View, setup: Setup) -> None:
    ui.add_head_html(f'<link rel="stylesheet" href="{asset_url("setup.css")}">')
    links = "".join(
        f'<a href="{escape(view.link(spec.path))}" title="{escape(spec.hint)}" '
        f'data-testid="setup-nav-{spec.path.removeprefix("/setup").strip("/") or "site"}"'
        f"{' aria-current=page' if spec.path == view.spec.path else ''}>{escape(spec.title)}</a>"
        for spec in setup_pages()
    )
    ui.html(f'<nav class="so-setup-nav" aria-label="Set-up">{links}</nav>', sanitize=False)
    ui.html(
        f'<p class="so-quiet so-setup-about" data-testid="setup-about">{escape(view.spec.about)} '
        f'<a href="/help/docs/{escape(view.spec.docs)}">More</a></p>',
        sanitize=False,
    )
    _DraftBar(view, setup)


class _DraftBar:
    """Says what of the draft is not saved, and by whom; check, compare, undo, save, discard."""

    def __init__(self, view: View, setup: Setup) -> None:
        self._view, self._setup = view, setup
        self._box = ui.element("section").classes("so-draft").props("data-testid=draft")
        with self._box:
            with ui.element("div").classes("so-row"):
                self._words = ui.label("").classes("so-draft-words").props("data-testid=draft-words role=status")
                ui.element("span").classes("so-grow")
                self._buttons = ui.element("div").classes("so-row")
            self._problem = ui.label("").classes("so-error").props("data-testid=draft-problem role=alert")
            self._list = ui.element("ul").classes("so-draft-list").props("data-testid=draft-list")
            self._report = Report(test="draft-report")
        with self._buttons:
            self._check = action(
                view, "Check", self._do_check, test="draft-check", report=self._report, role=Role.VIEWER
            ).props("flat")
            self._compare = ui.button("Changes", on_click=self._toggle).props("flat no-caps data-testid=draft-changes")
            self._undo = action(
                view, "Undo", self._do_undo, test="draft-undo", report=self._report, after=setup.told
            ).props("flat")
            self._discard = action(
                view,
                "Discard",
                self._do_discard,
                test="draft-discard",
                report=self._report,
                confirm="Forget all changes of the draft, those of other people too?",
                danger=True,
                audit="discard the draft",
                after=setup.told,
            ).props("flat")
            self._save = ui.button("Save …", on_click=self._ask_save).props("unelevated no-caps data-testid=draft-save")
            if not view.visitor.may(Role.ADMIN):
                self._save.disable()
                self._save.props('title="This needs the role admin."')
        self._list.set_visibility(False)
        self.show()
        setup.on_change(self.show)

    def show(self) -> None:
        """Show the draft as it is now."""
        state = self._setup.state
        self._words.set_text(draft_words(state))
        self._box.classes(**{"add" if state.changed else "remove": "is-changed"})
        problem = "" if state.problem is None else str(state.problem).replace(f"{state.loaded.path}: ", "")
        trouble = self._view.context.trouble
        if trouble:
            trouble = f"The station runs with the version before, for the saved one cannot be taken up: {trouble}"
        wrong = [text for text in (problem, *state.notes, trouble) if text]
        self._problem.set_text(" ".join(wrong))
        self._problem.set_visibility(bool(wrong))
        for button in (self._save, self._discard, self._undo, self._compare):
            button.set_visibility(state.changed)
        self._list.clear()
        with self._list:
            for edit in reversed(state.edits):
                said = "; ".join(
                    f"{key_text(one.key)}: {written(one.before) or '–'} → {written(one.after) or '–'}"
                    for one in edit.changes
                )
                ui.html(
                    f"<b>{escape(edit.what)}</b> {escape(edit.by)}, {time_text(edit.time)}<br>"
                    f'<span class="so-quiet so-mono">{escape(said[:400])}</span>',
                    sanitize=False,
                    tag="li",
                )
        if not state.changed:
            self._list.set_visibility(False)

    def _toggle(self) -> None:
        self._list.set_visibility(not self._list.visible)

    def _do_check(self) -> str:
        state = self._setup.state
        if state.problem is not None:
            raise state.problem
        risks = check_site(state.loaded.site)
        return "Nothing is wrong." if not risks else f"Valid; {len(risks)} to look at: " + " · ".join(risks)

    def _do_undo(self) -> str:
        undone = self._setup.draft.undo(self._setup.who)
        return "There is nothing of yours to undo" if undone is None else f"Undone: {undone.what}"

    def _do_discard(self) -> str:
        self._setup.draft.discard(self._setup.who)
        return "The draft is the saved file again"

    async def _ask_save(self) -> None:
        with ui.dialog() as dialog, ui.card().classes("so-panel").props("data-testid=save-dialog"):
            when = "the station takes it up at once" if self._view.pages.restart else "it holds from the next start on"
            ui.label(f"Save the draft as a new version of the site file: {when}.")
            own = own_file(self._setup.state)
            if own is not None:
                ui.label(own.words).classes("so-doubt").props("data-testid=save-own-file")
            note = ui.input("What changed, and why").props("autofocus outlined dense data-testid=save-note")
            with ui.row():
                ui.button("Cancel", on_click=lambda: dialog.submit(None)).props("flat no-caps")
                ui.button("Save", on_click=lambda: dialog.submit(str(note.value or ""))).props(
                    "unelevated no-caps data-testid=save-yes"
                )
        said = await dialog
        dialog.delete()
        if said is None or not self._view.may(Role.ADMIN):
            return
        view, who = self._view, self._setup.who
        try:
            version = await view.in_thread(lambda: self._setup.draft.save(said, who))
        except So2camError as error:
            self._report.say(f"Not saved: {error}", "bad")
            return
        await view.in_thread(lambda: view.pages.note(view.visitor, "save the site file", {"version": version.number}))
        when = "the station takes it up" if view.pages.restart is not None else "it holds when the station starts again"
        not_there = "" if own is None else ". The instrument does not: it reads its own file"
        self._report.say(f"Saved as version {version.number}; {when}{not_there}", "ok")
        self._setup.told()
        if view.pages.restart is not None:
            view.pages.restart()


def draft_words(state: DraftState) -> str:
    """Say in words what of the draft is not saved."""
    if not state.changed:
        return "The site file is as it is saved."
    names = list(dict.fromkeys(edit.by for edit in state.edits))
    count = len(state.edits)
    return f"{count} change{'s' if count != 1 else ''} not saved, by {', '.join(names)}."


async def _ask_whose(conflict: DraftConflict, changes: Mapping[KeyPath, Any]) -> Literal["theirs", "mine"]:
    mine = changes.get(conflict.path)
    when = "" if conflict.time is None else f" at {time_text(conflict.time, date=False)}"
    with ui.dialog().props("persistent") as dialog, ui.card().classes("so-panel").props("data-testid=conflict"):
        ui.label(f"{conflict.by or 'Somebody'} changed {key_text(conflict.path)} meanwhile{when}.")
        ui.label(f"Theirs: {written(conflict.theirs) or 'not given'}").props("data-testid=conflict-theirs")
        ui.label(f"Yours: {written(mine) or 'not given'}").props("data-testid=conflict-mine")
        with ui.row():
            ui.button("Keep theirs", on_click=lambda: dialog.submit("theirs")).props(
                "flat no-caps data-testid=conflict-keep-theirs"
            )
            ui.button("Use mine", on_click=lambda: dialog.submit("mine")).props(
                "unelevated no-caps data-testid=conflict-use-mine"
            )
    answer = await dialog
    dialog.delete()
    return "mine" if answer == "mine" else "theirs"
