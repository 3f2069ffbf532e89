"""The video: frames read back, codecs that are missing, and the growing curve of emission rates."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest

from so2cam.core.errors import OutputError
from so2cam.core.records import Provenance
from so2cam.formats.images import video as module
from so2cam.formats.images.canvas import Canvas, Labels, Moment
from so2cam.formats.images.colours import colour_scale
from so2cam.formats.images.packing import LAYERS, layers_of, pack_record
from so2cam.formats.images.pictures import Gallery
from so2cam.formats.images.rate_panel import PANEL_HEIGHT, RatePanel, interval_medians
from so2cam.formats.images.record import ImageRecord, RateCurve
from so2cam.formats.images.stack import LineHistory
from so2cam.formats.images.video import VideoFile, default_rate, write_video
from so2cam.formats.images.zarr_stack import ZarrStack, ZarrStackReader

START = datetime(2018, 3, 26, 14, 44, 8, tzinfo=UTC)
PROVENANCE = Provenance("1.2.3", "Etna", {"a": 1}, "f" * 64, (), "so2cam process", START)
TIMES = tuple(START + timedelta(seconds=4 * number) for number in range(6))
RATES = RateCurve(TIMES, np.array([2.0, 3.0, np.nan, 4.0, 5.0, 4.5]), np.full(6, 0.25), "total, flow raw")
LEFT, TOP = 46, 66


def read(path: Path) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        there, frame = capture.read()
        if not there:
            capture.release()
            return frames
        frames.append(np.asarray(frame, np.uint8))


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    layers = layers_of(frozenset({"absorbance"}))
    stack = ZarrStack(tmp_path / "a.zarr", layers, (40, 620))
    for number, time in enumerate(TIMES):
        image = np.full((40, 620), 0.1 * number, np.float32)
        stack.append(time, pack_record(ImageRecord(time, image), layers))
    stack.close(PROVENANCE, LineHistory())
    scale = colour_scale(LAYERS[0], (0.0, 0.5))
    return Gallery(ZarrStackReader(tmp_path / "a.zarr"), scale, LineHistory(), Labels("Etna"), with_flow=False)


def test_every_image_is_a_frame_of_the_video(
    gallery: Gallery, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    calls: list[int] = []
    path = write_video(tmp_path / "video", gallery, None, lambda: calls.append(1), frames_per_second=5.0)
    assert path == tmp_path / "video.webm"
    assert len(calls) == 6
    frames = read(path)
    assert len(frames) == 6
    canvas = Canvas((40, 620), gallery.scale, gallery.labels, typical_speed=float("nan"))
    for frame, moment in zip(frames, gallery.moments(), strict=True):
        truth = canvas.draw(moment)[..., 2::-1]
        inside = (slice(TOP + 8, TOP + 32), slice(LEFT + 100, LEFT + 500))
        assert np.abs(frame[inside].astype(int) - truth[inside]).mean() < 6
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(5.0, abs=0.01)
    capture.release()
    assert capfd.readouterr().err == ""


def test_rates_stand_below_the_images_and_grow(gallery: Gallery, tmp_path: Path) -> None:
    without = read(write_video(tmp_path / "one", gallery, None, lambda: None))
    frames = read(write_video(tmp_path / "two", gallery, RATES, lambda: None))
    assert frames[0].shape[0] == without[0].shape[0] + PANEL_HEIGHT
    panel = [frame[without[0].shape[0] :].astype(int) for frame in frames]
    # The curve is blue: red is low where blue is high.
    blue = [int(((part[..., 0] - part[..., 2]) > 60).sum()) for part in panel]
    assert blue[5] > blue[4] > blue[1] > 0


def test_the_panel_says_the_value_of_the_moment() -> None:
    scale = colour_scale(LAYERS[0], (0.0, 0.5))
    canvas = Canvas((40, 620), scale, Labels("Etna"), typical_speed=float("nan"), panel=PANEL_HEIGHT)
    panel = RatePanel(canvas, RATES, TIMES[0], TIMES[-1])

    def said(time: datetime) -> str:
        return next(artist.get_text() for artist in panel.show(time) if hasattr(artist, "get_text"))

    assert said(TIMES[1]) == "3.00 ± 0.25 kg s⁻¹"
    assert said(TIMES[2]) == "no value"
    assert said(TIMES[3] + timedelta(seconds=1)) == "no value"
    assert said(TIMES[0] - timedelta(seconds=1)) == "no value"
    empty = RateCurve((), np.zeros(0), np.zeros(0), "none")
    RatePanel(canvas, empty, TIMES[0], TIMES[0]).show(TIMES[0])


def test_rates_in_any_order_and_with_a_gap_are_drawn_in_order() -> None:
    scale = colour_scale(LAYERS[0], (0.0, 0.5))
    canvas = Canvas((40, 620), scale, Labels("Etna"), typical_speed=float("nan"), panel=PANEL_HEIGHT)
    times = (*TIMES[::-1], TIMES[-1] + timedelta(hours=1))
    rates = RateCurve(times, np.arange(7.0), np.full(7, np.nan), "total")
    panel = RatePanel(canvas, rates, TIMES[0], times[-1])
    shown = panel.show(times[-1])
    curve = shown[2]
    values = np.asarray(curve.get_ydata())  # type: ignore[attr-defined]
    assert np.isnan(values).tolist() == [False] * 6 + [True, False]
    assert values[:6].tolist() == [5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
    canvas.draw(Moment(TIMES[0], np.zeros((40, 620), np.uint16)), shown)


def test_medians_stand_over_dense_rates_once_their_interval_is_over() -> None:
    ms = np.arange(2001, dtype=np.int64) * 1000
    rate = np.where(np.arange(2001) % 10 == 0, 100.0, 2.0)
    rate[500:600] = np.nan
    ends, medians = interval_medians(ms, rate)
    assert ends.tolist() == [10_000.0 * number for number in range(201)]
    assert np.isnan(medians).tolist() == [50 <= number < 60 for number in range(200)]
    assert set(medians[np.isfinite(medians)]) == {2.0}
    times = tuple(START + timedelta(seconds=number) for number in range(2001))
    scale = colour_scale(LAYERS[0], (0.0, 0.5))
    canvas = Canvas((40, 620), scale, Labels("Etna"), typical_speed=float("nan"), panel=PANEL_HEIGHT)
    panel = RatePanel(canvas, RateCurve(times, rate, np.full(2001, 0.1), "total"), times[0], times[-1])
    for second, expected in ((0, 0), (9, 0), (10, 1), (25, 2), (2000, 200)):
        bold = panel.show(times[second])[3]
        assert len(bold.get_ydata()) == expected  # type: ignore[attr-defined]


def test_without_webm_the_video_is_motion_jpeg(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CODECS", ((".webm", "NONE"), (".avi", "MJPG")))
    path = write_video(tmp_path / "video", gallery, None, lambda: None)
    assert path.name == "video.avi"
    assert len(read(path)) == 6
    assert not (tmp_path / "video.webm").exists()


def test_without_any_codec_the_error_says_what_was_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CODECS", ((".webm", "NONE"),))
    with pytest.raises(OutputError, match="tried NONE in"):
        VideoFile(tmp_path / "video", (40, 60), 5.0)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no video can be written"):
        VideoFile(tmp_path / "absent" / "video", (40, 60), 5.0)


def test_a_video_that_was_cut_short_is_an_error(tmp_path: Path) -> None:
    with VideoFile(tmp_path / "video", (64, 96), 5.0) as video:
        for _ in range(12):
            video.write(np.full((64, 96, 4), 200, np.uint8))
    video.verify()
    data = video.path.read_bytes()
    video.path.write_bytes(data[:100])
    with pytest.raises(OutputError, match="not whole"):
        video.verify()


def test_a_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    with VideoFile(tmp_path / "video", (64, 96), 5.0) as video, pytest.raises(ValueError, match="shape"):
        video.write(np.zeros((64, 98, 4), np.uint8))


@pytest.mark.parametrize(("images", "expected"), [(1, 4.0), (60, 4.0), (600, 10.0), (7200, 25.0)])
def test_a_run_lasts_a_minute_within_limits(images: int, expected: float) -> None:
    assert default_rate(images) == expected


def test_messages_of_libraries_are_kept_for_the_error(capfd: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    with module._native_messages(said):
        os.write(2, b"first\n OpenCV: FFMPEG: tag 0x is not supported with codec id 139\nlast\n")
    os.write(2, b"outside")
    assert said == ["first", "last"]
    assert capfd.readouterr().err == "outside"
