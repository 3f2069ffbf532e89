"""Items that a node keeps, looked at from the station without waiting for the archive: pictures, spectra, sidecars."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from so2cam.formats.npy import array_of
from so2cam.link.errors import LinkError
from so2cam.link.protocol import MAXIMUM_PART_BYTES, Items, ItemsResult, LinkItem, Preview, Read
from so2cam.station.archive import origin_of
from so2cam.station.cell_run import CellFrame, frame_of
from so2cam.station.nodes import Nodes

POINTS: Final = 512
"""A spectrum is shown with so many points at most."""


@dataclass(frozen=True, slots=True)
class SpectrumCurve:
    """A spectrum to look at: wavelengths [nm] and counts, thinned by taking the highest of neighbours."""

    wavelengths_nm: tuple[float, ...]
    counts: tuple[float, ...]


def item_of(nodes: Nodes, node: str, sequence: int) -> LinkItem:
    """Return an item of a node. Raises LinkError where it keeps none of this number."""
    found = nodes.ask(node, Items(after=sequence - 1, limit=1))
    if not isinstance(found, ItemsResult) or not found.items or found.items[0].sequence != sequence:
        raise LinkError("the node does not keep this item any more", key="sequence", value=sequence)
    return found.items[0]


def fetch(nodes: Nodes, node: str, sequence: int, *, sidecar: bool = False) -> bytes:
    """Return one of the two files of an item. Raises LinkError."""
    data, total = b"", 1
    while len(data) < total:
        said = Read.model_validate(
            {
                "sequence": sequence,
                "part": "sidecar" if sidecar else "main",
                "offset": len(data),
                "length": MAXIMUM_PART_BYTES,
            }
        )
        head, piece = nodes.read(node, said)
        total = head.total
        if not piece:
            break
        data += piece
    return data


def sidecar_of(nodes: Nodes, node: str, sequence: int) -> dict[str, Any]:
    """Return the sidecar of an item. Raises LinkError where there is none that can be read."""
    try:
        content = json.loads(fetch(nodes, node, sequence, sidecar=True))
    except ValueError:
        raise LinkError("the sidecar cannot be read", key="sequence", value=sequence) from None
    return content if isinstance(content, dict) else {}


def picture(nodes: Nodes, node: str, device: str, *, width: int = 486, sequence: int | None = None) -> bytes:
    """Return a JPEG of the latest frame of a camera, or of the item ``sequence``. Raises LinkError."""
    return nodes.read(node, Preview(device=device, width=width, sequence=sequence))[1]


def curve(data: bytes) -> SpectrumCurve:
    """Return the spectrum in a file of wavelengths and counts (2, pixels). Raises LinkError where it is none."""
    try:
        values = array_of(data)
    except ValueError:
        raise LinkError("the spectrum cannot be read") from None
    if values.dtype.kind not in "iuf" or values.ndim != 2 or values.shape[0] != 2 or values.shape[1] < 2:
        raise LinkError("this is no spectrum")
    step = max(1, -(-values.shape[1] // POINTS))
    whole = values[:, : values.shape[1] // step * step].reshape(2, -1, step)
    wavelengths, counts = whole[0].mean(axis=1), whole[1].max(axis=1)
    return SpectrumCurve(tuple(float(x) for x in wavelengths), tuple(float(y) for y in counts))


def sequences_of(values: object) -> tuple[int, ...]:
    """Return the numbers of items in what a device answered (``sequences``: numbers with commas)."""
    return tuple(int(part) for part in str(values or "").split(",") if part.strip().isdigit())


def cell_frames(nodes: Nodes, node: str, numbers: Sequence[tuple[str, int]]) -> tuple[CellFrame, ...]:
    """Return the frames of a node of these devices and numbers. Raises LinkError."""
    found = []
    for _, sequence in numbers:
        item = item_of(nodes, node, sequence)
        found.append(frame_of(node, item, origin_of(item), sidecar_of(nodes, node, sequence)))
    return tuple(found)
