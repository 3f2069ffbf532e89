"""A frame of the spool as a message for the image viewer: its counts, and what an installer wants to know of them."""

import json
import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from so2cam.core.errors import So2camError
from so2cam.formats.native import OWN_KEY
from so2cam.formats.png import read_counts
from so2cam.link.errors import LinkError
from so2cam.observe.focus import measure_focus
from so2cam.observe.statistics import SATURATION_FRACTION, make_histogram
from so2cam.pages.frames import FrameHeader, encode_frame
from so2cam.store.items import StoredItem

Counts = npt.NDArray[np.uint16]
_BINS: Final = 64
_BRIGHTEST_PX: Final = 100
_LABELS: Final = {"on": "On band", "off": "Off band"}


def to_frame(data: bytes, sidecar: bytes, item: StoredItem, width: int) -> bytes:
    """Return the message of a frame: ``data`` is its PNG, ``sidecar`` its record, ``width`` the most columns.

    Saturated share, histogram and sharpness are of the whole frame. Raises LinkError where it cannot be read.
    """
    try:
        dn = read_counts(data, item.name)
        said = _record(sidecar)
    except (So2camError, ValueError) as error:
        raise LinkError(f"the picture cannot be read: {error}", remedy="run so2cam spool verify") from None
    scale = 1 if dn.dtype == np.uint16 else max(int(said.get("steps") or 1), 1)
    counts = np.clip(np.rint(dn * np.float64(scale)), 0, 65535).astype(np.uint16)
    maximum_dn = float(2 ** int(said.get("bits") or 16) - 1)
    saturation = math.ceil(SATURATION_FRACTION * maximum_dn * scale - 1e-9)
    histogram = make_histogram(counts, scale)
    focus = measure_focus(counts / scale)
    band = str(said.get("band") or "")
    more: dict[str, Any] = {
        "tag": str(item.sequence),
        "device": item.device,
        "band": band,
        "kind": item.subject,
        "exposure_s": said.get("exposure_s"),
        "gain": said.get("gain"),
        "maximum_dn": maximum_dn,
        "full_columns": counts.shape[1],
        "full_rows": counts.shape[0],
        "saturated_fraction": histogram.share_from(SATURATION_FRACTION * maximum_dn),
        "brightest_dn": _number(histogram.brightest_dn(_BRIGHTEST_PX)),
        "median_dn": _number(histogram.percentile_dn(50)),
        "histogram": histogram.binned(_BINS, maximum_dn).tolist(),
        "sharpness": _number(focus.sharpness),
        "sharpness_uncertainty": _number(focus.uncertainty),
    }
    header = FrameHeader(
        label=_LABELS.get(band, item.device),
        unit="DN",
        time=item.time,
        scale=1 / scale,
        saturation=min(saturation, 65535),
        more=more,
    )
    return encode_frame(reduce_counts(counts, width, saturation), header)


def reduce_counts(counts: Counts, width: int, saturation: int) -> Counts:
    """Return ``counts`` (rows, columns) with at most ``width`` columns: means of square blocks, edges left out.

    A block with a saturated pixel shows its brightest one, so that saturation is never averaged away.
    """
    step = math.ceil(counts.shape[1] / width)
    if step <= 1 or min(counts.shape) < step:
        return counts
    rows, columns = (size // step for size in counts.shape)
    blocks = counts[: rows * step, : columns * step].reshape(rows, step, columns, step)
    brightest = blocks.max(axis=(1, 3))
    means: Counts = np.rint(blocks.mean(axis=(1, 3))).astype(np.uint16)
    return np.where(brightest >= saturation, brightest, means).astype(np.uint16, copy=False)


def _record(sidecar: bytes) -> dict[str, Any]:
    found = json.loads(sidecar)
    own = found.get(OWN_KEY, {}) if isinstance(found, dict) else None
    if not isinstance(own, dict):
        raise ValueError("the sidecar is no record of a frame")  # noqa: TRY004 - a file's content
    return own


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
