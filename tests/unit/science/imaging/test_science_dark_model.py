from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.records import Band, FrameInfo, FrameKind
from so2cam.science.imaging.dark_model import mean_exposure_s, modelled_dark, select_offset_and_dark

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)
OFFSET = np.array([[10.0, 11.0], [12.0, 13.0]], np.float32)
CURRENT = np.array([[0.0, 2.0], [4.0, -1.0]], np.float32)
"""Dark signal [DN s-1]."""


def frame(
    exposure_s: float,
    minutes: float = 0.0,
    *,
    band: Band = Band.ON,
    gain: float = 1.0,
    kind: FrameKind = FrameKind.DARK,
) -> FrameInfo:
    time = NOON + timedelta(minutes=minutes)
    return FrameInfo(Path(f"{band}_{exposure_s}_{minutes}"), band, kind, time, exposure_s, gain)


def select(
    exposure_s: float, *darks: FrameInfo, averaging_s: float = 3600.0
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]] | None:
    """Return exposures of the offsets, of the darks, and all their times [min]."""
    plume = frame(exposure_s, kind=FrameKind.PLUME)
    chosen = select_offset_and_dark(plume, darks, exposure_tolerance=0.01, averaging_s=averaging_s)
    if chosen is None:
        return None
    offsets, longs = chosen
    minutes = tuple(round((dark.time - NOON).total_seconds() / 60, 6) for dark in (*offsets, *longs))
    return tuple(dark.exposure_s for dark in offsets), tuple(dark.exposure_s for dark in longs), minutes


# --- the model ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exposure_s", [0.001, 0.1, 0.5, 2.0, 4.0])
def test_dark_of_a_linear_detector_is_found_exactly(exposure_s: float) -> None:
    def truth(t: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return np.asarray(OFFSET + CURRENT * np.float32(t), np.float32)

    dark = modelled_dark(truth(0.1), truth(2.0), 0.1, 2.0, exposure_s)
    assert dark.dtype == np.float32
    np.testing.assert_allclose(dark, truth(exposure_s), rtol=1e-6)


def test_the_exposure_of_the_offset_counts() -> None:
    dark = modelled_dark(np.full((1, 1), 20, np.float32), np.full((1, 1), 40, np.float32), 1.0, 3.0, 2.0)
    assert dark[0, 0] == 30.0


def test_what_is_not_known_stays_unknown() -> None:
    offset = OFFSET.copy()
    offset[0, 1] = np.nan
    dark = modelled_dark(offset, OFFSET + 1, 0.0, 1.0, 0.5)
    assert np.isnan(dark[0, 1])
    assert np.isfinite(dark).sum() == 3


@pytest.mark.parametrize(
    ("t_offset_s", "t_dark_s", "exposure_s", "reason"),
    [
        (1.0, 1.99, 1.0, "at least 2 times the offset's"),
        (0.0, 0.0, 1.0, "at least 2 times the offset's"),
        (-1.0, 1.0, 1.0, "at least 2 times the offset's"),
        (float("nan"), 1.0, 1.0, "at least 2 times the offset's"),
        (0.0, 1.0, 2.01, "take darks of at least 1.005 s"),
        (0.0, 1.0, 0.0, "cannot be told"),
    ],
)
def test_what_the_model_refuses(t_offset_s: float, t_dark_s: float, exposure_s: float, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        modelled_dark(OFFSET, OFFSET, t_offset_s, t_dark_s, exposure_s)


def test_images_of_one_shape() -> None:
    with pytest.raises(ValueError, match="images of one shape"):
        modelled_dark(OFFSET, OFFSET[:1], 0.0, 1.0, 0.5)


# --- the choice --------------------------------------------------------------------------------------------------


def test_shortest_and_longest() -> None:
    darks = [frame(0.5, 3), frame(0.001, 1), frame(1.0, 4), frame(1.0, 5), frame(0.001, 2)]
    assert select(0.4, *darks) == ((0.001, 0.001), (1.0, 1.0), (1, 2, 4, 5))


def test_other_bands_gains_and_kinds_do_not_count() -> None:
    darks = [frame(0.001), frame(1.0)]
    others = [
        frame(2.0, band=Band.OFF),
        frame(2.0, gain=2.0),
        frame(2.0, kind=FrameKind.CLEAR),
    ]
    assert select(0.4, *darks, *others) == ((0.001,), (1.0,), (0, 0))
    assert select(0.4, *others) is None


def test_nearest_set_in_time() -> None:
    early = [frame(0.001, -200), frame(1.0, -199)]
    late = [frame(0.001, 150), frame(1.5, 151)]
    assert select(0.4, *early, *late) == ((0.001,), (1.5,), (150, 151))
    lone = frame(1.2, 70)
    assert select(0.4, *early, lone, *late) == ((0.001,), (1.5,), (150, 151)), "one exposure alone tells nothing"


def test_a_set_that_does_not_reach_is_passed_over() -> None:
    near = [frame(0.001, 10), frame(0.1, 11)]
    far = [frame(0.001, 200), frame(1.0, 201)]
    assert select(0.2, *near, *far) == ((0.001,), (0.1,), (10, 11))
    assert select(0.21, *near, *far) == ((0.001,), (1.0,), (200, 201))
    assert select(2.1, *near, *far) is None


def test_offset_and_dark_of_different_times_where_no_set_has_both() -> None:
    assert select(0.4, frame(0.001, -300), frame(1.0, 300)) == ((0.001,), (1.0,), (-300, 300))


def test_within_a_long_set_those_near_in_time() -> None:
    darks = [frame(exposure, minutes) for minutes in range(-180, 240, 30) for exposure in (0.001, 1.0)]
    chosen = select(0.4, *darks, averaging_s=1800.0)
    assert chosen == ((0.001,) * 3, (1.0,) * 3, (-30, 0, 30, -30, 0, 30))


def test_exposures_too_alike_tell_nothing() -> None:
    assert select(0.4, frame(0.5), frame(0.9)) is None
    assert select(0.4, frame(0.5), frame(1.0)) == ((0.5,), (1.0,), (0, 0))
    assert select(0.4, frame(0.5)) is None
    assert select(0.4, frame(0.0), frame(1.0)) == ((0.0,), (1.0,), (0, 0))


def test_mean_exposure() -> None:
    assert mean_exposure_s([frame(1.0), frame(1.01)]) == pytest.approx(1.005)
