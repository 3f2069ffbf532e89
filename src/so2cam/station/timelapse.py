"""Time-lapse video of a day: frames of one band as a person would see them, by ffmpeg.

Frames are chosen evenly in time, stretched to what is in them, and marked with time and site. H.264 in MP4, which every
browser and phone plays (``.mp4``), or VP8 in WebM (``.webm``).
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from so2cam.core.errors import InputError, OutputError
from so2cam.core.records import FrameInfo
from so2cam.store.atomic import atomic_write

Grey = npt.NDArray[np.uint8]

CODECS: Final[dict[str, tuple[str, ...]]] = {
    ".mp4": ("-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-movflags", "+faststart", "-f", "mp4"),
    ".webm": ("-c:v", "libvpx", "-crf", "10", "-b:v", "4M", "-deadline", "realtime", "-f", "webm"),
}
"""What ffmpeg is told for each ending."""
_STRIP_PX: Final = 28
_FOLLOW: Final = 0.15
"""Share by which the stretch follows the frames: light changes slowly, and a video must not flicker."""
_JUMP: Final = 2.0
"""From such a factor on the stretch is taken anew: exposure was changed, or the sun rose."""
_END_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class TimelapseOptions:
    """``longest_s``: of the video; ``width_px``: images are reduced to it, never enlarged."""

    frames_per_second: float = 25.0
    longest_s: float = 60.0
    width_px: int = 1280
    ffmpeg: str = "ffmpeg"

    @property
    def most(self) -> int:
        """The largest number of frames."""
        return max(1, int(self.longest_s * self.frames_per_second))


@dataclass(frozen=True, slots=True)
class TimelapseReport:
    """What the video holds."""

    path: Path
    frames: int
    unreadable: int
    seconds: float


def choose_evenly(frames: Sequence[FrameInfo], most: int) -> list[FrameInfo]:
    """Return at most ``most`` frames, in order of time, one for each equal step of time that has any.

    So time runs evenly, whatever the rate of capture was; where nothing was captured the video leaps.
    """
    ordered = sorted(frames, key=lambda frame: frame.time)
    if len(ordered) <= most:
        return ordered
    start = ordered[0].time
    step = (ordered[-1].time - start + timedelta(microseconds=1)) / most
    chosen: dict[int, FrameInfo] = {}
    for frame in ordered:
        chosen.setdefault(min(int((frame.time - start) / step), most - 1), frame)
    return list(chosen.values())


class Stretch:
    """Brings counts to grey levels: from the darkest to the brightest percent, followed from frame to frame."""

    def __init__(self) -> None:
        self._limits: tuple[float, float] | None = None

    def grey(self, counts: npt.NDArray[Any]) -> Grey:
        """Return the frame (rows, columns) as 8-bit grey levels."""
        sample = counts[::7, ::7]
        low, high = (float(value) for value in np.percentile(sample, (1.0, 99.5)))
        high = max(high, low + 1.0)
        if self._limits is None or not 1 / _JUMP < (high - low) / (self._limits[1] - self._limits[0]) < _JUMP:
            self._limits = (low, high)
        else:
            old_low, old_high = self._limits
            self._limits = (old_low + _FOLLOW * (low - old_low), old_high + _FOLLOW * (high - old_high))
        low, high = self._limits
        above = np.clip(counts.astype(np.float32) - low, 0, None)
        return np.asarray(cv2.convertScaleAbs(above, alpha=255 / (high - low)), np.uint8)


def write_timelapse(
    frames: Sequence[FrameInfo],
    out: Path,
    read: Callable[[FrameInfo], npt.NDArray[Any] | None],
    *,
    title: str,
    options: TimelapseOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TimelapseReport:
    """Write the video of ``frames`` to ``out``; ``read`` gives the counts (rows, columns), None where it cannot.

    The file takes its place when it is whole. Raises InputError where there is no frame, ffmpeg is not installed or the
    ending is not known; OutputError where ffmpeg fails.
    """
    chosen = options or TimelapseOptions()
    codec = CODECS.get(out.suffix.lower())
    if codec is None:
        raise InputError(
            "is no kind of video that is written", file=out, remedy=f"end the name with {' or '.join(CODECS)}"
        )
    if shutil.which(chosen.ffmpeg) is None:
        raise InputError("ffmpeg is not there", value=chosen.ffmpeg, remedy="install it (Debian: apt install ffmpeg)")
    wanted = choose_evenly(frames, chosen.most)
    if not wanted:
        raise InputError("there are no frames for a video", remedy="choose another day or band")
    done = _Done()

    def write(temporary: Path) -> None:
        images = _images(wanted, read, chosen, title, done, progress)
        first = next(images, None)
        if first is None:
            raise InputError(
                f"none of {len(wanted)} frames could be read", file=wanted[0].path, remedy="see `so2cam check`"
            )
        with _encoder(temporary, first.shape, chosen, codec) as encode:
            encode(first)
            for image in images:
                encode(image)

    atomic_write(out, write)
    return TimelapseReport(out, done.frames, done.unreadable, done.frames / chosen.frames_per_second)


@dataclass(slots=True)
class _Done:
    frames: int = 0
    unreadable: int = 0


def _images(
    frames: Sequence[FrameInfo],
    read: Callable[[FrameInfo], npt.NDArray[Any] | None],
    options: TimelapseOptions,
    title: str,
    done: _Done,
    progress: Callable[[int, int], None] | None,
) -> Iterator[Grey]:
    stretch, shape = Stretch(), None
    for number, info in enumerate(frames):
        counts = read(info)
        if counts is None or (shape is not None and counts.shape != shape):
            done.unreadable += 1
        else:
            shape = counts.shape
            done.frames += 1
            yield draw(stretch.grey(counts), f"{info.time:%Y-%m-%d %H:%M:%S} UTC", title, options.width_px)
        if progress is not None:
            progress(number + 1, len(frames))


def draw(grey: Grey, left: str, right: str, width_px: int) -> Grey:
    """Return a frame of the video, (rows, columns), both even: the image, and a strip with two texts below it."""
    rows, columns = grey.shape
    scale = min(1.0, width_px / columns)
    width, height = (max(2, int(side * scale) // 2 * 2) for side in (columns, rows))
    image = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
    strip = np.zeros((_STRIP_PX, width), np.uint8)
    size = min(0.5, width / 1100)
    for text, at_right in ((left, False), (right.encode("ascii", "replace").decode(), True)):
        (length, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
        x = width - length - 8 if at_right else 8
        cv2.putText(strip, text, (x, 19), cv2.FONT_HERSHEY_SIMPLEX, size, 225, 1, cv2.LINE_AA)
    return np.vstack((image, strip))


@contextmanager
def _encoder(
    path: Path, shape: tuple[int, ...], options: TimelapseOptions, codec: tuple[str, ...]
) -> Iterator[Callable[[Grey], None]]:
    """Give a function that takes frames of ``shape``. Raises OutputError where ffmpeg fails, in the end too."""
    command = [
        *(options.ffmpeg, "-nostdin", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "gray"),
        *("-s", f"{shape[1]}x{shape[0]}", "-r", f"{options.frames_per_second:g}", "-i", "pipe:0"),
        *(*codec[:-2], "-pix_fmt", "yuv420p", *codec[-2:], str(path)),
    ]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - ffmpeg, no shell
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
        )
        stream = process.stdin
        if stream is None:
            raise OutputError("ffmpeg takes no frames", file=path)
        try:
            yield lambda image: _feed(stream, image)
            stream.close()
            code = process.wait(_END_S)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            code = -1
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(_END_S)
            if not stream.closed:
                _close(stream)
        if code != 0:
            errors.seek(0)
            said = errors.read().decode("utf-8", "replace").strip().splitlines()
            raise OutputError(
                f"ffmpeg could not write the video: {said[-1] if said else 'it ended early'}",
                file=path.name,
                remedy="check the space on the disk, and that this ffmpeg has the codec",
            )


def _feed(stream: Any, image: Grey) -> None:
    stream.write(np.ascontiguousarray(image).tobytes())


def _close(stream: Any) -> None:
    try:
        stream.close()
    except BrokenPipeError:
        return
