"""Pictures for people: the latest frame of a camera as JPEG or as a frame message, made once for all who look."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import numpy as np

from so2cam.link.errors import LinkError
from so2cam.link.limits import Bucket
from so2cam.link.preview_frame import to_frame
from so2cam.store.items import StoredItem
from so2cam.store.spool import Spool

AGAIN_S: Final = 1.0
"""A new picture of a device is made at most this often; in between everybody gets the last one."""
MEDIA: Final = {"jpeg": "image/jpeg", "frame": "application/vnd.so2cam.frame"}
"""Media types of the forms of a picture."""
_QUALITY: Final = 80
_KEPT: Final = 16
_SINGLE_PER_S: Final = 4.0
_SINGLE_AT_ONCE: Final = 20.0
Form = Literal["jpeg", "frame"]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's bytes, the item that it shows and its time."""

    data: bytes
    sequence: int
    time: datetime


class Previews:
    """Makes previews of what is in a spool."""

    def __init__(self, spool: Spool, clock: Callable[[], float] = time.monotonic) -> None:
        self._spool = spool
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, int, Form], tuple[float, Picture]] = {}
        self._single: dict[tuple[int, int, Form], Picture] = {}
        self._bucket = Bucket(_SINGLE_PER_S, _SINGLE_AT_ONCE, clock)

    def latest(self, device: str, width: int, after: int = 0, form: Form = "jpeg") -> Picture | None:
        """Return the latest picture of ``device``, ``width`` pixels wide; None where its item is ``after`` or older.

        Raises LinkError where the device has no frame, or it cannot be read.
        """
        name = (device, width, form)
        with self._lock:
            kept = self._kept.get(name)
            if kept is None or self._clock() - kept[0] >= AGAIN_S:
                item = self._latest_item(device)
                if kept is None or kept[1].sequence != item.sequence:
                    picture = Picture(self._make(item, width, form), item.sequence, item.time)
                    if len(self._kept) >= _KEPT:
                        self._kept.clear()
                else:
                    picture = kept[1]
                kept = self._kept[name] = (self._clock(), picture)
        return None if kept[1].sequence <= after else kept[1]

    def of(self, device: str, width: int, sequence: int, form: Form = "jpeg") -> Picture:
        """Return the picture of the item ``sequence``, ``width`` pixels wide.

        They are made one after another, and at most four a second, so that no looking costs capture its computer; the
        newest are kept. Raises UnknownItemError where there is none, LinkError where it is none of ``device``, or no
        picture, or too many are asked for.
        """
        item = self._spool.get(sequence)
        if item.device != device or item.kind != "frame":
            raise LinkError("this item is no picture of this device", key="sequence", value=sequence)
        name = (sequence, width, form)
        with self._lock:
            picture = self._single.pop(name, None)
            if picture is None:
                if not self._bucket.take():
                    raise LinkError("too many pictures in a short time", remedy="wait a moment")
                picture = Picture(self._make(item, width, form), item.sequence, item.time)
            self._single[name] = picture  # the latest last
            if len(self._single) > _KEPT:
                del self._single[next(iter(self._single))]
        return picture

    def _make(self, item: StoredItem, width: int, form: Form) -> bytes:
        data = self._spool.read(item)
        if form == "jpeg":
            return to_jpeg(data, width)
        return to_frame(data, self._spool.read(item, sidecar=True), item, width)

    def _latest_item(self, device: str) -> StoredItem:
        found = self._spool.find(kind="frame", device=device, limit=1, order="newest")
        if not found:
            raise LinkError("there is no picture of this device", key="device", value=device, remedy="name a camera")
        return found[0]


def to_jpeg(data: bytes, width: int) -> bytes:
    """Return an image file of any depth as an 8-bit JPEG, its darkest and brightest 0.5 % at the ends.

    It is never made larger than it is. Raises LinkError where it is no image.
    """
    import cv2

    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if image is None:
        raise LinkError("the picture cannot be read", remedy="run so2cam spool verify")
    if image.ndim == 3:
        image = image.mean(axis=2)
    height, full = image.shape
    if full > width:
        image = cv2.resize(
            image.astype(np.float32), (width, max(1, round(height * width / full))), interpolation=cv2.INTER_AREA
        )
    low, high = (float(value) for value in np.percentile(image, (0.5, 99.5)))
    scaled = np.clip((image.astype(np.float32) - low) * (255.0 / max(high - low, 1.0)), 0, 255).astype(np.uint8)
    done, encoded = cv2.imencode(".jpg", scaled, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise LinkError("the picture cannot be made", remedy="try again")
    return bytes(encoded.tobytes())
