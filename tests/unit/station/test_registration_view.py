"""Registration for those who set a site up: points with a known matrix, words, and images laid over each other."""

import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.errors import InputError
from so2cam.core.site import Registration
from so2cam.formats.sitefile import load_site
from so2cam.pages.frames import decode_frame
from so2cam.pipeline.registration import FoundRegistration, PairAlignment
from so2cam.science.imaging.alignment import Alignment
from so2cam.simulate.geometry import registration_matrix
from so2cam.simulate.scenario import load_scenario
from so2cam.station.registration_view import (
    Bands,
    ControlPoint,
    Matrix,
    look_at_found,
    look_at_points,
    matrix_of,
    matrix_words,
    off_of,
    on_of,
    overlay_messages,
    plain_matrix,
)

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "villarrica" / "site.toml"
SHAPE = (486, 648)
TIME = datetime(2026, 1, 15, 14, tzinfo=UTC)


def truth() -> Matrix:
    scenario = load_scenario("baseline")
    return plain_matrix(np.array(registration_matrix(scenario.misregistration, scenario.view.optics)))


def points(*places: tuple[float, float]) -> list[ControlPoint]:
    return [(x, y, *off_of(truth(), (x, y))) for x, y in places]


def test_points_of_a_known_matrix_give_it_back_within_their_rounding() -> None:
    found = look_at_points(points((100, 300), (500, 320), (320, 420), (250, 200)), "similarity", SHAPE)
    assert found.missing == 0
    assert found.problem == ""
    assert found.rms_px is not None
    assert found.rms_px < 0.1  # points are rounded to 0.1 px
    assert len(found.residuals_px) == 4
    assert found.words is not None
    assert found.words.turn_deg == pytest.approx(1.0, abs=0.05)
    assert (found.words.shift_x_px, found.words.shift_y_px) == pytest.approx((12.0, -9.0), abs=0.1)
    assert found.words.scale == pytest.approx(1.0, abs=5e-4)


@pytest.mark.parametrize(("model", "needed"), [("translation", 1), ("euclidean", 2), ("similarity", 2), ("affine", 3)])
def test_too_few_points_say_how_many_are_missing(model: str, needed: int) -> None:
    assert look_at_points([], model, SHAPE).missing == needed
    assert look_at_points(points((100, 300), (500, 320), (320, 420))[:needed], model, SHAPE).matrix is not None


def test_a_wrong_point_is_named() -> None:
    given = points((100, 300), (500, 320), (320, 420), (250, 200), (600, 100))
    given[2] = (320, 420, given[2][2] + 30, given[2][3])
    found = look_at_points(given, "similarity", SHAPE)
    assert "number 3" in found.problem
    assert max(found.residuals_px) == found.residuals_px[2]


def test_points_on_one_line_are_refused_in_words() -> None:
    found = look_at_points(points((100, 100), (200, 200), (300, 300)), "affine", SHAPE)
    assert found.matrix is None
    assert found.problem


def test_there_and_back() -> None:
    assert on_of(truth(), off_of(truth(), (123.0, 345.0))) == pytest.approx((123.0, 345.0), abs=0.1)


def test_which_matrix_a_draft_means() -> None:
    given = Registration(matrix=truth())
    assert matrix_of(given, None) == pytest.approx(np.array(truth()))
    by_points = Registration(source="control-points", control_points=tuple(points((0, 0), (600, 0), (0, 400))))
    np.testing.assert_allclose(matrix_of(by_points, None), truth(), atol=0.2)
    with pytest.raises(InputError, match="every run"):
        matrix_of(Registration(source="automatic"), None)


def test_words_of_the_identity() -> None:
    words = matrix_words(np.eye(2, 3), SHAPE)
    assert (words.shift_x_px, words.shift_y_px, words.turn_deg, words.scale) == pytest.approx((0, 0, 0, 1))


def test_what_was_found_says_how_far_pairs_lie_from_it() -> None:
    site = load_site(EXAMPLE).site
    matrix = np.array(truth())
    shifted = matrix + np.array([[0, 0, 0.5], [0, 0, 0]])
    good = [PairAlignment(TIME, Alignment(one, "similarity", 0.9, 0.05, "ok"), 0.4) for one in (matrix, shifted)]
    none = PairAlignment(TIME, Alignment(np.full((2, 3), np.nan), "similarity", math.nan, math.nan, "no_texture"), 0.1)
    found = look_at_found(FoundRegistration(matrix, (*good, none), 0.9, 0.05, 0.5, 0.5, 1.0), site)
    assert [pair.off_px for pair in found.pairs] == [pytest.approx(0, abs=1e-6), pytest.approx(0.5), None]
    assert found.pairs[2].status == "no texture"
    assert found.correlation_given == pytest.approx(0.4)
    assert found.words.turn_deg == pytest.approx(1.0, abs=1e-6)


def test_the_bands_lie_on_each_other_under_the_known_matrix_and_not_without() -> None:
    rng = np.random.default_rng(1)
    rows, columns = 48, 64
    scene = np.kron(rng.uniform(100, 900, (rows // 4 + 4, columns // 4 + 4)), np.ones((4, 4))).astype(np.float32)
    on, off = scene[8 : 8 + rows, 8 : 8 + columns], 2 * scene[8 - 3 : 8 - 3 + rows, 8 - 5 : 8 - 5 + columns]
    bands = Bands(on, off)

    def difference(matrix: Matrix | None) -> float:
        first, second = (decode_frame(message) for message in overlay_messages(bands, matrix, TIME))
        codes = [np.where(pixels == 65535, np.nan, pixels * header["scale"]) for header, pixels in (first, second)]
        return float(np.nanmedian(np.abs(codes[0] - codes[1])))

    assert difference(((1, 0, 5), (0, 1, 3))) < 0.01
    assert difference(None) > 0.1


def test_bands_that_share_nothing_give_no_value() -> None:
    empty = Bands(np.full((32, 48), np.nan, np.float32), np.ones((32, 48), np.float32))
    header, pixels = decode_frame(overlay_messages(empty, None, TIME)[0])
    assert header["invalid"] == 65535
    assert (pixels == 65535).all()
