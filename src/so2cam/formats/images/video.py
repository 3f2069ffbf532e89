"""The run as a video: images in time-lapse and, below them, the emission rate.

WebM with VP8, which every browser plays; VP9 of the same look takes several times as long. Where OpenCV lacks both,
Motion JPEG in AVI, which most players show.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from so2cam.core.errors import OutputError
from so2cam.formats.images.canvas import Canvas
from so2cam.formats.images.colours import Pixels
from so2cam.formats.images.pictures import Gallery
from so2cam.formats.images.rate_panel import PANEL_HEIGHT, RatePanel
from so2cam.formats.images.record import RateCurve

CODECS: Final = ((".webm", "VP80"), (".webm", "VP90"), (".avi", "MJPG"))
"""File name endings and codecs, tried in this order."""

_HARMLESS: Final = "is not supported with codec id"
"""What OpenCV says of every WebM file: containers have other tags than codecs."""
_SHORTEST_S, _SLOWEST, _FASTEST = 60.0, 4.0, 25.0


def default_rate(images: int) -> float:
    """Return images per second [s-1]: a minute for the run, within 4 to 25."""
    return min(max(images / _SHORTEST_S, _SLOWEST), _FASTEST)


def write_video(
    stem: Path,
    gallery: Gallery,
    rates: RateCurve | None,
    done: Callable[[], None],
    *,
    frames_per_second: float | None = None,
) -> Path:
    """Write the run to ``stem`` with the codec's ending, and return that path; ``done`` is called after each frame.

    With ``rates``, the emission rate grows below the images. Raises OutputError where no codec can be opened, or the
    file is not whole.
    """
    times = gallery.reader.times
    panel = PANEL_HEIGHT if rates is not None else 0
    canvas = Canvas(gallery.reader.shape, gallery.scale, gallery.labels, typical_speed=gallery.speed(), panel=panel)
    curve = None if rates is None else RatePanel(canvas, rates, times[0], times[-1])
    speed = default_rate(len(times)) if frames_per_second is None else frames_per_second
    with VideoFile(stem, (canvas.height, canvas.width), speed) as video:
        for moment in gallery.moments():
            video.write(canvas.draw(moment, () if curve is None else curve.show(moment.time)))
            done()
    video.verify()
    return video.path


class VideoFile:
    """A video of frames of ``size`` (height, width), both even, ``frames_per_second`` of them."""

    def __init__(self, stem: Path, size: tuple[int, int], frames_per_second: float) -> None:
        self._size = size
        self.frames = 0
        self.path, self.codec, self._writer = _open(stem, size, frames_per_second)

    def __enter__(self) -> "VideoFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.release()

    def write(self, pixels: Pixels) -> None:
        """Add one frame (height, width, 4): red, green, blue, opacity."""
        if pixels.shape != (*self._size, 4):
            raise ValueError(f"a frame has the shape {pixels.shape}, expected {(*self._size, 4)}")
        self._writer.write(cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGR))
        self.frames += 1

    def verify(self) -> None:
        """Raise OutputError unless the closed file can be opened and is as long as what was written.

        A full disk shows here only: writing frames reports nothing.
        """
        capture = cv2.VideoCapture(str(self.path))
        try:
            readable, first = capture.read()
            count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        finally:
            capture.release()
        if not readable or np.shape(first)[:2] != self._size or abs(count - self.frames) > 1:
            raise OutputError(
                f"the video is not whole: {count:.0f} of {self.frames} frames can be read",
                file=self.path.name,
                remedy="free space on the disk, or leave the video out",
            )


def _open(stem: Path, size: tuple[int, int], frames_per_second: float) -> tuple[Path, str, Any]:
    said: list[str] = []
    for ending, codec in CODECS:
        path = stem.with_name(stem.name + ending)
        with _native_messages(said):
            writer = cv2.VideoWriter()
            opened = writer.open(
                str(path), cv2.VideoWriter.fourcc(*codec), frames_per_second, (size[1], size[0]), isColor=True
            )
        if opened:
            return path, codec, writer
        writer.release()
        path.unlink(missing_ok=True)
    tried = ", ".join(f"{codec} in {ending}" for ending, codec in CODECS)
    raise OutputError(
        f"no video can be written with this OpenCV (tried {tried})" + (f"; it says: {said[-1]}" if said else ""),
        file=stem.name,
        remedy="check the space on the disk, install OpenCV with FFmpeg (opencv-python-headless), or leave it out",
    )


@contextlib.contextmanager
def _native_messages(said: list[str]) -> Iterator[None]:
    """Collect in ``said`` what libraries write to the error stream past Python, instead of showing it."""
    try:
        kept = os.dup(2)
    except OSError:
        yield
        return
    with tempfile.TemporaryFile() as stream:
        os.dup2(stream.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            stream.seek(0)
            lines = stream.read().decode("utf-8", "replace").splitlines()
            said += [line.strip() for line in lines if line.strip() and _HARMLESS not in line]
