"""Pictures: colours of known values, what is masked, arrows, lines, and the PNG files."""

import math
from datetime import UTC, datetime
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest

from so2cam.core.records import PlumeLine
from so2cam.formats.images.canvas import Canvas, Labels, Moment
from so2cam.formats.images.colours import (
    HATCH,
    MASKED,
    CodeCounts,
    ColourScale,
    colour_scale,
    colour_table,
    reduce_codes,
    spread_evenly,
)
from so2cam.formats.images.overlay import Arrows, block_size, flow_arrows, round_number_below, typical_speed
from so2cam.formats.images.packing import LAYERS, MISSING, Codes, pack
from so2cam.formats.images.pictures import picture_name, write_png

ABSORBANCE, COLUMNS, FLOW_X, FLOW_Y = LAYERS
TIME = datetime(2018, 3, 26, 14, 44, 8, 123400, tzinfo=UTC)
LEFT, TOP = 46, 66


def scale() -> ColourScale:
    return colour_scale(ABSORBANCE, (0.0, 0.5))


def codes(values: object) -> Codes:
    return pack(np.asarray(values, np.float64), ABSORBANCE)[0]


def colour(share: float, name: str = "viridis") -> list[int]:
    found = mpl.colormaps[name](share, bytes=True)
    return [int(part) for part in found[:3]]


def test_values_have_the_colours_of_the_bar() -> None:
    table = colour_table(scale())
    for value, share in ((0.0, 0.0), (0.1, 0.2), (0.25, 0.5), (0.5, 1.0), (-0.3, 0.0), (2.0, 1.0)):
        assert table[codes([[value]])[0, 0], :3].tolist() == colour(share)
    assert table[MISSING].tolist() == [0, 0, 0, 0]


def test_the_range_of_a_run_leaves_out_stray_pixels() -> None:
    counts = CodeCounts(ABSORBANCE)
    values = np.linspace(0, 0.4, 10_000)
    values[:5] = 5.0
    counts.add(codes(values.reshape(100, 100)))
    counts.add(np.full((100, 100), MISSING, np.uint16))
    low, high = counts.limits()
    assert low == 0.0
    assert high == pytest.approx(0.40, abs=0.0101)


def test_the_range_begins_below_zero_where_values_do() -> None:
    counts = CodeCounts(ABSORBANCE)
    counts.add(codes(np.random.default_rng(1).normal(0, 0.01, (100, 100))))
    low, high = counts.limits()
    assert low == pytest.approx(-0.0233, abs=0.002)
    assert high == pytest.approx(0.0288, abs=0.002)


def test_the_range_is_never_empty() -> None:
    for layer in (ABSORBANCE, COLUMNS):
        nothing = CodeCounts(layer)
        assert colour_scale(layer, nothing.limits()).low == 0
        nothing.add(pack(np.zeros((4, 4)), layer)[0])
        low, high = nothing.limits()
        assert low <= 0 < high


@pytest.mark.parametrize("limits", [(0.5, 0.5), (1.0, 0.0), (math.nan, 1.0)])
def test_limits_must_increase(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="must increase"):
        colour_scale(ABSORBANCE, limits)


def test_columns_are_labelled_in_both_units() -> None:
    found = colour_scale(COLUMNS, (0.0, 3e18))
    assert "10¹⁸ molecules cm⁻²" in found.label
    assert found.factor == 1e18
    assert found.second_factor == pytest.approx(2.50348e15, rel=1e-5)


def test_blocks_are_reduced_to_means_of_what_is_known() -> None:
    image = np.array([[10, 20, MISSING, MISSING, 7], [30, 40, MISSING, 8, 7], [1, 1, 1, 1, 1]], np.uint16)
    assert reduce_codes(image, 2).tolist() == [[25, MISSING]]
    image[1, 2] = 10
    assert reduce_codes(image, 2).tolist() == [[25, 9]]
    assert reduce_codes(image, 1) is image


def test_a_sample_is_spread_over_the_run() -> None:
    assert list(spread_evenly(3, 40)) == [0, 1, 2]
    assert list(spread_evenly(101, 5)) == [0, 25, 50, 75, 100]
    assert list(spread_evenly(0, 5)) == []


def test_a_picture_shows_every_pixel_in_its_place() -> None:
    shape = (120, 650)
    values = np.zeros(shape)
    values[10:60, 100:300] = 0.25
    values[80:, :] = np.nan
    canvas = Canvas(shape, scale(), Labels("Volcano", 2.0), typical_speed=math.nan)
    pixels = canvas.draw(Moment(TIME, codes(values)))
    assert pixels.shape == (canvas.height, canvas.width, 4)
    assert canvas.height % 2 == canvas.width % 2 == 0
    image = pixels[TOP : TOP + 120, LEFT : LEFT + 650, :3]
    assert image[5, 400].tolist() == colour(0.0)
    assert (image[10:60, 100:300] == colour(0.5)).all()
    masked = image[80:].reshape(-1, 3)
    assert {tuple(int(part) for part in pixel) for pixel in np.unique(masked, axis=0)} == {MASKED, HATCH}
    assert (pixels[..., 3] == 255).all()


def test_a_picture_holds_nothing_of_the_one_before() -> None:
    shape = (80, 640)
    line = PlumeLine("near", ((100.0, 10.0), (100.0, 70.0)))
    arrows = Arrows(*(np.array([value]) for value in (300.0, 40.0, 5.0, 0.0)))
    empty = Moment(TIME, codes(np.zeros(shape)))
    fresh = Canvas(shape, scale(), Labels("Volcano"), typical_speed=5.0).draw(empty).copy()
    canvas = Canvas(shape, scale(), Labels("Volcano"), typical_speed=5.0)
    other = canvas.draw(Moment(TIME.replace(hour=3), codes(np.full(shape, 0.3)), (line,), arrows)).copy()
    assert (other != fresh).any()
    assert np.array_equal(canvas.draw(empty), fresh)
    again = canvas.draw(Moment(TIME.replace(hour=3), codes(np.full(shape, 0.3)), (line,), arrows))
    assert np.array_equal(again, other)


def test_small_images_are_enlarged_by_whole_pixels_and_large_ones_reduced() -> None:
    small = Canvas((30, 100), scale(), Labels("V"), typical_speed=math.nan)
    assert small.image_size == (180, 600)
    values = np.zeros((30, 100))
    values[4, 7] = 0.5
    pixels = small.draw(Moment(TIME, codes(values)))[TOP : TOP + 180, LEFT : LEFT + 600, :3]
    assert (pixels[24:30, 42:48] == colour(1.0)).all()
    assert (pixels == colour(1.0)).all(axis=2).sum() == 36
    large = Canvas((1001, 2601), scale(), Labels("V"), typical_speed=math.nan)
    assert large.image_size == (333, 867)
    large.draw(Moment(TIME, codes(np.zeros((1001, 2601)))))


def test_lines_and_arrows_are_drawn_where_they_are() -> None:
    shape = (200, 640)
    canvas = Canvas(shape, scale(), Labels("V"), typical_speed=4.0)
    plain = canvas.draw(Moment(TIME, codes(np.zeros(shape)))).copy()
    line = PlumeLine("a", ((320.0, 40.0), (320.0, 160.0)))
    arrows = Arrows(np.array([100.0]), np.array([100.0]), np.array([4.0]), np.array([0.0]))
    drawn = canvas.draw(Moment(TIME, codes(np.zeros(shape)), (line,), arrows))
    changed = (drawn != plain).any(axis=2)[TOP : TOP + 200, LEFT : LEFT + 640]
    assert changed[150, 319:322].all()
    assert changed[100, 101:125].all()
    rows, columns = np.nonzero(changed[:, :200])
    assert columns.min() == pytest.approx(100, abs=2)
    assert columns.max() == pytest.approx(100 + 1.25 * block_size(640), abs=2)
    assert rows.mean() == pytest.approx(100, abs=1)
    assert not changed[:, 420:].any()


def test_arrows_are_means_of_blocks_of_plume() -> None:
    width = 26 * 4
    plume = np.zeros((8, width), np.bool_)
    plume[:4, :8] = True
    plume[4:, :2] = True
    x = np.full((8, width), 3.0)
    x[:2, :4] = 5.0
    y = np.full((8, width), -1.0)
    y[0, 4:8] = np.nan
    flow = (pack(x, FLOW_X)[0], pack(y, FLOW_Y)[0])
    arrows = flow_arrows(flow, (FLOW_X, FLOW_Y), plume)
    assert arrows.x.tolist() == [1.5, 5.5]
    assert arrows.y.tolist() == [1.5, 1.5]
    np.testing.assert_allclose(arrows.u, [4.0, 3.0])
    np.testing.assert_allclose(arrows.v, [-1.0, -1.0])


def test_the_typical_speed_is_that_of_all_arrows() -> None:
    some = Arrows(np.zeros(2), np.zeros(2), np.array([3.0, 0.0]), np.array([4.0, 0.0]))
    assert typical_speed([some]) == pytest.approx(np.percentile([5.0, 0.0], 95))
    assert math.isnan(typical_speed([]))
    assert math.isnan(typical_speed([Arrows(np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1))]))


@pytest.mark.parametrize(("value", "expected"), [(1.0, 1.0), (4.9, 2.0), (5.0, 5.0), (0.3, 0.2), (999.0, 500.0)])
def test_round_numbers(value: float, expected: float) -> None:
    assert round_number_below(value) == pytest.approx(expected)


def test_a_png_file_is_read_back_with_its_words(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (20, 30, 4), np.uint8)
    write_png(tmp_path / "a.png", pixels, TIME, "SO₂ column density")
    found = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    assert found is not None
    assert np.array_equal(found[..., ::-1], pixels[..., :3])
    data = (tmp_path / "a.png").read_bytes()
    assert b"SO2 column density" in data
    assert b"2018-03-26T14:44:08.123Z" in data


def test_file_names_have_no_colon_and_sort_by_time() -> None:
    assert picture_name("absorbance", TIME) == "absorbance_2018-03-26T144408.123Z.png"
    assert picture_name("flow", TIME.replace(microsecond=0)) < picture_name("flow", TIME)
