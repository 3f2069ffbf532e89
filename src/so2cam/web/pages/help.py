"""Help: what each page is for, how to begin, and the documentation, without internet."""

from html import escape
from importlib.metadata import PackageNotFoundError, version

from nicegui import ui

from so2cam.core.errors import InputError
from so2cam.web import manual
from so2cam.web.parts import empty, field
from so2cam.web.registry import all_pages, page
from so2cam.web.setup import GUIDE
from so2cam.web.shell import asset_url
from so2cam.web.view import View

_ABOUT = (
    "Help says what each page is for and which keys lead there. The documentation below is that of the version that "
    "runs, and needs no internet. Search it by words of any page."
)


@page("/help", title="Help", nav="Help", keys="g o", order=100, hint="How all this works", about=_ABOUT, docs="web")
def help_page(view: View) -> None:
    """Show how to begin, pages, documentation and version."""
    ui.add_head_html(f'<link rel="stylesheet" href="{asset_url("help.css")}">')
    ui.html("<h1>Help</h1>", sanitize=False)
    with ui.element("section").classes("so-panel"):
        ui.html("<h2>How to begin</h2>", sanitize=False)
        ui.html(
            f'<p><a data-testid="help-guide" href="{escape(view.link(GUIDE))}">The guide</a> leads from an empty site '
            f'file to the first emission rate. <a href="{manual.DOCS}/from-pycam">Coming from PyCam</a> tells where '
            "each of its menus and settings is now. Keys: press <kbd>?</kbd> on any page.</p>",
            sanitize=False,
        )
    _draw_search(view)
    with ui.element("section").classes("so-panel"):
        ui.html("<h2>Pages</h2>", sanitize=False)
        rows = "".join(
            f'<dt><a href="{escape(view.link(spec.path))}">{escape(spec.title)}</a> '
            + "".join(f"<kbd>{escape(key)}</kbd>" for key in (spec.keys or "").split())
            + f'</dt><dd>{escape(spec.about)} <a href="{manual.DOCS}/{escape(spec.docs)}">More</a></dd>'
            for spec in all_pages()
            if spec.about and "{" not in spec.path and view.may(spec.role)
        )
        ui.html(f'<dl class="so-help-pages" data-testid="help-pages">{rows}</dl>', sanitize=False)
    with ui.element("section").classes("so-panel"):
        ui.html("<h2>Documentation</h2>", sanitize=False)
        rows = "".join(
            f'<li><a href="{manual.DOCS}/{escape(name)}">{escape(manual.title_of(name))}</a></li>'
            for name in manual.names()
        )
        ui.html(f'<ul class="so-help-docs" data-testid="help-docs">{rows}</ul>', sanitize=False)
    with ui.element("section").classes("so-panel"):
        ui.html(
            f'<h2>About</h2><p data-testid="help-version">so2cam {escape(_version())}, under the BSD 3-clause licence. '
            f'<a href="{manual.DOCS}/data-licences">Licences of the data</a> that come with it.</p>',
            sanitize=False,
        )


@page(f"{manual.DOCS}/{{name:path}}", title="Documentation", within="/help")
def docs_page(view: View) -> None:
    """Show a page of the documentation."""
    ui.add_head_html(f'<link rel="stylesheet" href="{asset_url("help.css")}">')
    name = view.request.path_params["name"]
    try:
        html, contents = manual.html_of(name), manual.contents_of(name)
    except InputError as problem:
        view.client.status_code = 404
        empty(str(problem), title="There is no such page")
        return
    ui.html(f'<p><a href="{escape(view.link("/help"))}">All of the help</a></p>', sanitize=False)
    ui.page_title(f"{manual.title_of(name)} · {view.site.name}")
    with ui.element("div").classes("so-docs-page"):
        if len(contents) > 1:
            ui.html(_contents(contents), sanitize=False).classes("so-docs-side")
        ui.html(html, sanitize=False, tag="article").classes("so-panel so-docs").props("data-testid=docs")
    # The page is drawn after the browser looked for the heading of its address.
    ui.run_javascript("document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView()")


def _contents(contents: tuple[manual.Heading, ...]) -> str:
    rows = "".join(
        f'<li data-level="{heading.level}"><a href="#{escape(heading.anchor)}">{heading.text}</a></li>'
        for heading in contents
    )
    return (
        f'<nav class="so-docs-contents" aria-label="On this page" data-testid="docs-contents"><details open>'
        f"<summary>On this page</summary><ul>{rows}</ul></details></nav>"
    )


def _draw_search(view: View) -> None:
    with ui.element("section").classes("so-panel"):
        ui.html("<h2>Search</h2>", sanitize=False)
        words = field(
            "Words",
            test="help-search",
            value=view.query.get("q", ""),
            example="clear sky",
            props="debounce=300",
            wide=True,
        )
        found = ui.html("", sanitize=False).classes("so-help-found").props("data-testid=help-found role=status")

        async def look() -> None:
            text = str(words.value or "")
            view.keep(q=text)
            hits = await view.in_thread(lambda: manual.search(text))
            rows = "".join(
                f'<li><a href="{manual.DOCS}/{escape(hit.name)}">{escape(hit.title)}</a>: {escape(hit.line)}</li>'
                for hit in hits
            )
            found.set_content(f"<ul>{rows}</ul>" if rows else "<p>Nothing has these words.</p>" if text else "")

        words.on_value_change(look)
        if words.value:
            ui.timer(0.0, look, once=True)


def _version() -> str:
    try:
        return version("so2cam")
    except PackageNotFoundError:
        return "of a checkout"
