"""A film of archived pairs as an element of NiceGUI: image, results, and the emission rate to scrub in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nicegui.element import Element
from nicegui.events import GenericEventArguments

from so2cam.station.live_images import QUANTITIES


@dataclass(frozen=True, slots=True)
class FilmPlace:
    """Where somebody is in a film: the pair's time [microseconds since 1970], what is shown, pairs a second."""

    at: int | None
    quantity: str
    speed: int


class Film(Element, component="film.js"):
    """The film. Numbers and images come by HTTP; only where somebody is passes through NiceGUI."""

    def __init__(
        self,
        src: str,
        images: str,
        *,
        shapes: Sequence[Mapping[str, Any]],
        place: FilmPlace,
        begin: bool = False,
        label: str,
        on_place: Callable[[FilmPlace], None],
    ) -> None:
        """``src``: the film's numbers; ``images``: where ``QUANTITY?time=`` is; ``shapes``: lines over the image.

        ``begin``: it plays at once, unless the browser is asked for little motion; else it waits with a large button.
        """
        super().__init__()
        with self._props.suspend_updates():
            self._props.update(
                {
                    "src": src,
                    "images": images,
                    "shapes": [dict(shape) for shape in shapes],
                    "at": place.at,
                    "first": place.quantity,
                    "pace": place.speed,
                    "begin": begin,
                    "label": label,
                }
            )
        self._on_place = on_place
        self.on("place", self._placed)

    def go_to(self, at: int) -> None:
        """Show the pair nearest to a time [microseconds since 1970]."""
        self.run_method("goTo", at)

    def _placed(self, event: GenericEventArguments) -> None:
        said = event.args if isinstance(event.args, dict) else {}
        at, quantity, speed = said.get("at"), str(said.get("quantity")), said.get("speed")
        if isinstance(at, int) and quantity in QUANTITIES and isinstance(speed, int):
            self._on_place(FilmPlace(at, quantity, speed))
