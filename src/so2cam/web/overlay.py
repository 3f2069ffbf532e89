"""Two images laid over each other in one viewer: by turns, mixed, or subtracted. The browser does it by itself."""

from typing import Final

from nicegui.element import Element

MODES: Final = (("blink", "By turns"), ("mix", "Mixed"), ("difference", "Difference"))


class Overlay(Element, component="overlay.js"):
    """The viewer. ``first`` and ``second`` are addresses of frame messages with values from 0 to 1."""

    def __init__(self, first: str, second: str, *, mode: str, label: str, test: str) -> None:
        super().__init__()
        self._props.update(
            {"first": first, "second": second, "number": 0, "mode": mode, "seconds": 0.6, "share": 0.5, "label": label}
        )
        self.props(f"data-testid={test}")

    def load(self) -> None:
        """Have the browser fetch both images anew."""
        self._props["number"] = int(self._props["number"]) + 1

    def set_mode(self, mode: str) -> None:
        """Show them in another way."""
        self._props["mode"] = mode

    def set_seconds(self, seconds: float) -> None:
        """How long each is shown by turns."""
        self._props["seconds"] = seconds

    def set_share(self, share: float) -> None:
        """How much of the second is in the mixture, 0 to 1."""
        self._props["share"] = share
