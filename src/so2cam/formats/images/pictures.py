"""A PNG picture per pair, drawn from the stack once a run is over, so that all share one range of colours."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import cv2

from so2cam.core.times import format_utc
from so2cam.formats.images.canvas import Canvas, Labels, Moment
from so2cam.formats.images.colours import ColourScale, Pixels, spread_evenly
from so2cam.formats.images.overlay import Arrows, flow_arrows, typical_speed
from so2cam.formats.images.packing import LARGEST, LAYERS, MISSING, Codes, LayerName
from so2cam.formats.images.record import Quantity
from so2cam.formats.images.stack import LineHistory
from so2cam.formats.images.zarr_stack import ZarrStackReader

_FLOW: Final[tuple[Literal["flow_x"], Literal["flow_y"]]] = ("flow_x", "flow_y")
_FLOW_LAYERS: Final = (LAYERS[2], LAYERS[3])
_SAMPLE: Final = 40
"""So many images of a run say how fast its plume typically moves."""
_HEADER_BYTES: Final = 33
"""Signature and header of a PNG file; text stands after them."""
_PLUME_SHARE: Final = 0.3
"""Arrows stand where a value is beyond this share of the range of colours."""


@dataclass(frozen=True, slots=True)
class Gallery:
    """A stack and how it is drawn: the scale of one of its layers, lines, words, and whether motion is shown."""

    reader: ZarrStackReader
    scale: ColourScale
    lines: LineHistory
    labels: Labels
    with_flow: bool

    @property
    def names(self) -> tuple[LayerName, ...]:
        """The layers that are read."""
        return (self.scale.layer.name, *(_FLOW if self.with_flow else ()))

    def speed(self) -> float:
        """Return the run's typical apparent speed [px s-1] from some of its images, NaN where there is none."""
        if not self.with_flow:
            return float("nan")
        numbers = spread_evenly(len(self.reader.times), _SAMPLE)
        return typical_speed([self._arrows(self.reader.image(number, self.names)) for number in numbers])

    def moments(self) -> Iterator[Moment]:
        """Yield what each picture shows, in order of time."""
        for number, codes in enumerate(self.reader.images(self.names)):
            arrows = self._arrows(codes) if self.with_flow else None
            yield Moment(self.reader.times[number], codes[self.scale.layer.name], self.lines.at(number), arrows)

    def _arrows(self, codes: dict[LayerName, Codes]) -> Arrows:
        scale = self.scale
        layer = scale.layer
        threshold = scale.low + _PLUME_SHARE * (scale.high - scale.low)
        lowest = min(max((threshold - layer.add_offset) / layer.scale_factor, 0.0), LARGEST)
        image = codes[layer.name]
        return flow_arrows((codes["flow_x"], codes["flow_y"]), _FLOW_LAYERS, (image > lowest) & (image != MISSING))


def picture_name(quantity: Quantity, time: datetime) -> str:
    """Return a picture's file name, like ``absorbance_2018-03-26T144408.123Z.png``: no file system refuses it."""
    return f"{quantity}_{format_utc(time).replace(':', '')}.png"


def write_pictures(folder: Path, quantity: Quantity, gallery: Gallery, done: Callable[[], None]) -> None:
    """Write a picture of every image into ``folder``; ``done`` is called after each. Raises OSError."""
    canvas = Canvas(gallery.reader.shape, gallery.scale, gallery.labels, typical_speed=gallery.speed())
    for moment in gallery.moments():
        write_png(folder / picture_name(quantity, moment.time), canvas.draw(moment), moment.time, gallery.scale.title)
        done()


def write_png(path: Path, pixels: Pixels, time: datetime, title: str) -> None:
    """Write ``pixels`` (rows, columns, 4), all opaque, to ``path`` as PNG with its title and time. Raises OSError."""
    whole, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGR), _png_parameters())
    if not whole:
        raise OSError(f"the picture cannot be encoded, {pixels.shape[1]} x {pixels.shape[0]} pixels")
    data = encoded.tobytes()
    words = {"Title": title.replace("₂", "2"), "Creation Time": format_utc(time), "Software": "so2cam"}
    text = b"".join(_text_chunk(key, value) for key, value in words.items())
    path.write_bytes(data[:_HEADER_BYTES] + text + data[_HEADER_BYTES:])


def _png_parameters() -> list[int]:
    """Lowest compression without filters: smallest and fastest for noise in the colours of a table."""
    parameters = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    if hasattr(cv2, "IMWRITE_PNG_FILTER"):
        parameters += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]
    return parameters


def _text_chunk(key: str, value: str) -> bytes:
    body = b"tEXt" + key.encode("latin-1") + b"\0" + value.encode("latin-1", "replace")
    return (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
