"""Time-lapse video with the real ffmpeg."""

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from so2cam.core.errors import InputError, OutputError
from so2cam.core.records import Band, FrameInfo, FrameKind
from so2cam.station.timelapse import Stretch, TimelapseOptions, choose_evenly, draw, write_timelapse

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed (apt install ffmpeg)")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def frames(seconds: Sequence[float]) -> list[FrameInfo]:
    return [
        FrameInfo(Path(f"{second}.png"), Band.ON, FrameKind.PLUME, NOON + timedelta(seconds=second), 0.1, 1.0)
        for second in seconds
    ]


def moving(info: FrameInfo) -> npt.NDArray[Any]:
    counts = np.full((121, 161), 300, np.uint16)
    at = int((info.time - NOON).total_seconds())
    counts[40:80, at : at + 20] = 900
    return counts


@needs_ffmpeg
@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_a_day_becomes_a_video(tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"day{ending}"
    report = write_timelapse(frames(range(100)), out, moving, title="Volcán", options=TimelapseOptions(longest_s=2))
    assert (report.frames, report.unreadable, report.seconds) == (50, 0, 2.0)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    video = cv2.VideoCapture(str(out))
    places = []
    while True:
        there, image = video.read()
        if not there:
            break
        assert image.shape == (120 + 28, 160, 3)
        bright = image[40:80, :, 1] > 200
        places.append(float(np.nonzero(bright.mean(axis=0) > 0.5)[0].mean()))
    video.release()
    assert len(places) == 50
    assert np.allclose(np.diff(places), 2, atol=1), "time runs evenly"


@needs_ffmpeg
def test_what_cannot_be_read_is_left_out_and_counted(tmp_path: Path) -> None:
    report = write_timelapse(
        frames(range(20)),
        tmp_path / "day.mp4",
        lambda info: None if info.time.second % 4 == 0 else moving(info),
        title="x",
    )
    assert (report.frames, report.unreadable) == (15, 5)
    with pytest.raises(InputError, match="none of 20 frames"):
        write_timelapse(frames(range(20)), tmp_path / "none.mp4", lambda _: None, title="x")
    assert not (tmp_path / "none.mp4").exists()


@needs_ffmpeg
def test_a_failing_ffmpeg_leaves_the_last_video(tmp_path: Path) -> None:
    (tmp_path / "day.mp4").write_bytes(b"the last one")
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\nhead -c 100 > /dev/null\necho 'no space left' >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(OutputError, match="no space left"):
        write_timelapse(
            frames(range(100)), tmp_path / "day.mp4", moving, title="x", options=TimelapseOptions(ffmpeg=str(program))
        )
    assert (tmp_path / "day.mp4").read_bytes() == b"the last one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["day.mp4", "ffmpeg"]


def test_bad_input_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no kind of video"):
        write_timelapse(frames([1]), tmp_path / "day.gif", moving, title="x")
    with pytest.raises(InputError, match="ffmpeg is not there"):
        write_timelapse(
            frames([1]), tmp_path / "day.mp4", moving, title="x", options=TimelapseOptions(ffmpeg=str(tmp_path / "no"))
        )


@given(st.lists(st.floats(0, 1000), max_size=60), st.integers(1, 30))
def test_frames_are_chosen_evenly(seconds: list[float], most: int) -> None:
    given_frames = frames(seconds)
    chosen = choose_evenly(given_frames, most)
    assert len(chosen) <= most
    assert [f.time for f in chosen] == sorted(f.time for f in chosen)
    assert bool(chosen) == bool(given_frames)
    assert {f.path for f in chosen} <= {f.path for f in given_frames}


def test_the_stretch_does_not_flicker_and_follows_a_jump() -> None:
    stretch, rng = Stretch(), np.random.default_rng(1)
    scene = np.linspace(100, 600, 10_000).reshape(100, 100)
    levels = [float(stretch.grey(scene * (1 + 0.05 * rng.standard_normal())).mean()) for _ in range(50)]
    raw = [float(Stretch().grey(scene * (1 + 0.05 * rng.standard_normal())).mean()) for _ in range(50)]
    assert np.std(np.diff(levels)) > 0
    assert abs(np.mean(raw) - 127) < 8
    assert abs(float(stretch.grey(scene * 3).mean()) - 127) < 8
    assert Stretch().grey(np.full((50, 50), 7)).max() < 255


def test_texts_stand_in_the_strip() -> None:
    image = draw(np.zeros((100, 400), np.uint8), "left", "right", 1280)
    assert image.shape == (128, 400)
    assert image[:100].max() == 0
    assert image[100:, :80].max() > 150
    assert image[100:, -80:].max() > 150
