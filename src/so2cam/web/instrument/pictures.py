"""Pictures on the Instrument page: the latest of a camera, the latest spectrum, and those of single items."""

from urllib.parse import quote

from nicegui import ui

from so2cam.core.errors import So2camError
from so2cam.core.health import DeviceHealth
from so2cam.link.protocol import Items
from so2cam.station.node_items import SpectrumCurve, curve, fetch
from so2cam.web.instrument.desk import Desk
from so2cam.web.parts import number
from so2cam.web.props import put_props


def picture_url(node: str, device: str, sequence: int, *, latest: bool = False) -> str:
    """Return the address of a JPEG of a frame; ``latest``: of the newest one, ``sequence`` only tells it apart."""
    which = "latest" if latest else str(sequence)
    more = f"?v={sequence}" if latest else ""
    return f"/pages/nodes/{quote(node, safe='')}/picture/{quote(device, safe='')}/{which}{more}"


class LivePicture:
    """The latest frame of a camera, as small as the node makes it."""

    def __init__(self, node: str, device: str) -> None:
        self._node, self._device = node, device
        self._shown: int | None = None
        self._image = ui.element("img").classes("so-picture")
        put_props(self._image, {"data-testid": f"picture-{device}", "alt": f"latest frame of {device}"})
        self._image.set_visibility(False)

    def update(self, device: DeviceHealth) -> None:
        """Show what is new."""
        if device.last_sequence is None or device.last_sequence == self._shown:
            return
        self._shown = device.last_sequence
        put_props(self._image, {"src": picture_url(self._node, self._device, device.last_sequence, latest=True)})
        self._image.set_visibility(True)


class LiveCurve:
    """The latest spectrum of a spectrometer, once every few seconds."""

    def __init__(self, desk: Desk, node: str, device: str) -> None:
        self._desk, self._node, self._device = desk, node, device
        self._shown: int | None = None
        self._html = put_props(ui.html("", sanitize=False), {"data-testid": f"curve-{device}"})
        desk.view.every(3.0, self._draw)

    def update(self, device: DeviceHealth) -> None:
        """Nothing: the spectrum comes by itself."""

    async def _draw(self) -> None:
        desk, node = self._desk, self._node
        try:
            found = await desk.view.shared(
                f"curve/{node}/{self._device}", 2.0, lambda: _latest(desk, node, self._device)
            )
        except So2camError:
            return
        if found is not None and not self._html.is_deleted:
            self._html.set_content(curve_svg(found))


def _latest(desk: Desk, node: str, device: str) -> SpectrumCurve | None:
    found = desk.ask(Items(order="newest", limit=20, kind="spectrum"), node=node).items
    mine = next((item for item in found if item.device == device), None)
    return None if mine is None else curve(fetch(desk.view.pages.nodes, node, mine.sequence))


def curve_svg(found: SpectrumCurve, *, test: str = "spectrum") -> str:
    """Return a spectrum as a drawing: counts over wavelength."""
    first, last = found.wavelengths_nm[0], found.wavelengths_nm[-1]
    low, high = min(0.0, min(found.counts)), max(found.counts) or 1.0
    span = (last - first) or 1.0
    points = " ".join(
        f"{100 * (x - first) / span:.2f},{60 - 58 * (y - low) / (high - low or 1.0):.2f}"
        for x, y in zip(found.wavelengths_nm, found.counts, strict=True)
    )
    return (
        f'<figure class="so-curve" data-testid="{test}"><svg viewBox="0 0 100 61" preserveAspectRatio="none" '
        f'role="img" aria-label="spectrum from {first:.0f} to {last:.0f} nm"><polyline points="{points}"/></svg>'
        f"<figcaption><span>{first:.0f} nm</span><span>highest {number(high, 3)} counts</span>"
        f"<span>{last:.0f} nm</span></figcaption></figure>"
    )
