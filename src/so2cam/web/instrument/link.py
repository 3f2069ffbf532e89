"""Pairing with a node, the state of its link, and forgetting it."""

from collections.abc import Callable
from html import escape

from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.core.site_link import DEFAULT_PORT
from so2cam.link.addresses import host_text, parse_host, spaced
from so2cam.link.protocol import Role
from so2cam.station.nodes import NodeInfo, NodeLook
from so2cam.web.instrument.desk import Desk
from so2cam.web.instrument.words import facts, size
from so2cam.web.parts import Report, action, ask, field, panel, time_text
from so2cam.web.view import View

_WAYS = {"dialled": "this station calls it", "calls-in": "it calls this station", "none": "not paired"}


def draw_pairing(
    view: View,
    info: NodeInfo | None,
    busy: Callable[[bool], None] = lambda begun: None,
    *,
    then: Callable[[], object] | None = None,
) -> None:
    """Draw the form that pairs with a node: its address and the code that it shows.

    ``busy`` is told when pairing begins, and when it came to nothing; ``then`` is called when it is paired, without it
    the node's page is opened.
    """
    box, _ = panel("Pair with an instrument" if info is None else f"Pair with {info.name}", test="pair")
    known = "" if info is None or info.host is None else f"{info.host}:{info.port}"
    name = info.name if info is not None else "NAME"
    with box:
        ui.html(
            "<p>Pairing makes the two computers trust each other, once. On the instrument somebody makes a code:</p>"
            f'<pre class="so-code">so2cam pair offer SITE --node {escape(name)} --role operator '
            "--receiver station</pre>"
            "<p>The code stands there for ten minutes and works once. It is not sent: both sides prove that they know "
            "it, and from then on only the certificate that was shown is accepted.</p>",
            sanitize=False,
        )
        with ui.element("div").classes("so-row"):
            host = field("Address", value=known, example="192.168.5.5:8443", test="pair-host", wide=True)
            code = field("Code", example="ABCDEF-GHJKL", test="pair-code", props="autocomplete=off", wide=True)
        row = ui.element("div").classes("so-row")
        report = Report(test="pair-report")
        found: dict[str, str] = {}

        def join() -> str:
            address, port = parse_host(str(host.value or "").strip())
            busy(True)
            try:
                pairing = view.pages.nodes.join(address, port, str(code.value or "").strip())
            except So2camError:
                busy(False)
                raise
            found.update(node=pairing.name, fingerprint=pairing.fingerprint)
            receives = "" if pairing.receiver else "; it gives no files: offer with --receiver station for that"
            view.pages.note(view.visitor, "instrument.pair", {"node": pairing.name, "host": f"{address}:{port}"})
            return f"paired with {pairing.name} of {pairing.site}, as {pairing.role}{receives}"

        async def after() -> None:
            if found:
                view.changed("instrument/nodes")
                await _compare(found["fingerprint"])
                if then is not None:
                    then()
                    return
                view.client.open(view.link("/instrument", node=found["node"], tab="link"))

        def done() -> None:
            ui.timer(0.01, after, once=True)

        with row:
            action(view, "Pair", join, test="pair-go", report=report, role=Role.ADMIN, after=done)


async def _compare(fingerprint: str) -> None:
    question = (
        "Paired. Who wants to be quite sure compares the certificate with the one that `so2cam pair offer` shows: "
        + spaced(fingerprint)
    )
    await ask(question, "Go on")


def _draw_offer(view: View) -> None:
    """Draw what makes a code for an instrument that calls this station."""
    box, _ = panel("An instrument that calls this station", test="offer")
    listen = view.context.settings.listen
    port = "" if listen is None else f":{listen.port}"
    with box:
        ui.html(
            "<p>Behind a mobile network an instrument cannot be called: it calls this station. Make a code here, and "
            "type it there within ten minutes:</p>"
            f'<pre class="so-code">so2cam pair join STATION{port} --site SITE --node NAME</pre>',
            sanitize=False,
        )
        shown = ui.label("").classes("so-strong so-mono").props("data-testid=offer-code")
        row = ui.element("div").classes("so-row")
        report = Report(test="offer-report")
    made: dict[str, str] = {}

    def offer() -> str:
        found = view.pages.nodes.offer()
        made["code"] = found.code
        view.pages.note(view.visitor, "instrument.offer", {})
        return "a code was made; it is valid for ten minutes, once"

    with row:
        action(
            view,
            "Make a code",
            offer,
            test="offer-go",
            report=report,
            role=Role.ADMIN,
            after=lambda: shown.set_text(made.get("code", "")),
        )


def draw_link(desk: Desk) -> None:
    """Draw the state of the link, and what ends it."""
    view, info = desk.view, desk.info
    with ui.element("div").classes("so-columns so-cards"):
        box, _ = panel("Link", test="link")
        with box:
            shown = ui.html("", sanitize=False)
            row = ui.element("div").classes("so-row")
            report = Report(test="link-report")
        if info.way == "dialled":
            _draw_address(desk)
        draw_pairing(view, None)
        if view.context.settings.listen is not None:
            _draw_offer(view)

    def forget() -> str:
        view.pages.nodes.forget(desk.node)
        view.pages.note(view.visitor, "instrument.unpair", {"node": desk.node})
        return f"{desk.node} is forgotten here; its token there is revoked with so2cam token revoke"

    with row:
        action(
            view,
            "Forget this pairing",
            forget,
            test="unpair",
            report=report,
            role=Role.ADMIN,
            confirm=f"Forget {desk.node}? Nothing is fetched from it any more, until it is paired anew.",
            danger=True,
            after=lambda: ui.timer(1.5, lambda: view.client.open(view.link("/instrument", node=desk.node)), once=True),
        )

    def update(look: NodeLook) -> None:
        shown.set_content(_facts(desk, info, look))

    desk.watch(update)


def _draw_address(desk: Desk) -> None:
    """Draw the form that changes where a node is dialled: its token and certificate stay."""
    view, info = desk.view, desk.info
    box, _ = panel("Another address", test="address")
    with box:
        ui.label(
            f"Where {info.name} is called. The pairing stays: no new code is needed. Whoever answers there must show "
            "the certificate of the pairing."
        ).classes("so-quiet so-small")
        with ui.element("div").classes("so-row"):
            known = "" if info.host is None else host_text(info.host, info.port or DEFAULT_PORT)
            host = field("Address", value=known, example="192.168.5.5:8443", test="address-host", wide=True)
        unanswered = ui.checkbox("Keep it although nobody answers there yet").props("data-testid=address-unanswered")
        row = ui.element("div").classes("so-row")
        report = Report(test="address-report")
    done: list[str] = []

    def move() -> str:
        address, port = parse_host(str(host.value or "").strip())
        shown = host_text(address, port)
        detail = {"node": desk.node, "host": shown}
        try:
            view.pages.nodes.move(desk.node, address, port, unanswered=bool(unanswered.value))
        except So2camError:
            view.pages.note(view.visitor, "instrument.address", detail, "refused")
            raise
        view.pages.note(view.visitor, "instrument.address", detail)
        done.append(shown)
        return f"{desk.node} is called at {shown} from now on"

    def moved() -> None:
        if done:
            view.changed("instrument/nodes")
            desk.told()
            again = view.link("/instrument", node=desk.node, tab="link")
            ui.timer(1.5, lambda: view.client.open(again), once=True)

    with row:
        action(view, "Change the address", move, test="address-go", report=report, role=Role.ADMIN, after=moved)


def _facts(desk: Desk, info: NodeInfo, look: NodeLook) -> str:
    transfer = desk.view.pages.nodes.transfer(desk.node)
    rows = [
        ("connected", "yes" if look.connected else "no", look.error or ""),
        ("last seen", time_text(look.seen), "by this station since it started"),
        ("who calls", _WAYS.get(info.way, info.way), ""),
        ("address", f"{info.host}:{info.port}" if info.host else "–", ""),
        ("our role there", info.role or "–", "what this station may do at the node"),
        (
            "files",
            f"fetched as {info.receiver}" if info.receiver else "not fetched",
            "whose confirmation lets the node delete",
        ),
    ]
    if transfer is not None:
        last = "–" if transfer.last_item is None else transfer.last_item.name
        rows += [
            ("fetched", f"{transfer.items} items, {size(transfer.bytes)}", "since the station started"),
            ("waiting", "–" if transfer.waiting is None else f"{transfer.waiting}, {size(transfer.waiting_bytes)}", ""),
            ("last item", last, ""),
        ]
    seal = (
        ""
        if info.fingerprint is None
        else (
            '<p class="so-quiet so-small" title="SHA-256 of the certificate that is accepted">certificate '
            f'<span class="so-mono" data-testid="fingerprint">{spaced(info.fingerprint)}</span></p>'
        )
    )
    trouble = f'<p class="so-doubt">{escape(look.error)} {escape(look.remedy or "")}</p>' if look.error else ""
    return facts(rows) + seal + trouble
