"""Every term of the uncertainty budget, in a case where its size is known by hand or by making the error."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from so2cam.core.constants import KG_M2_PER_MOLEC_CM2
from so2cam.core.records import FloatArray, PlumeLine
from so2cam.core.site import OpticalFlow, Registration, Site
from so2cam.core.status import EmissionStatus
from so2cam.core.uncertainty import RANDOM_TERMS, Term, random_part, systematic_part
from so2cam.formats.sitefile import load_site
from so2cam.pipeline.calibrated import Calibration
from so2cam.pipeline.flow_speed import Approach, Interval, LineMotion, motion_between
from so2cam.pipeline.geometry import LineGeometry, Wind, camera_model, lines_at_plume, plume_plane
from so2cam.pipeline.plume_dilution import PlumeDilution
from so2cam.pipeline.rates import lag_emission, motion_emission, wind_emission
from so2cam.pipeline.steps import AbsorbanceImage, LineMeasurement, measure_line
from so2cam.science.calibration.curve import ColumnCurve, fixed_slope
from so2cam.science.emission.lines import LineSamples
from so2cam.science.emission.rate import CROSS_CORRELATION_SYSTEMATIC, OPTICAL_FLOW_SYSTEMATIC
from so2cam.science.imaging.background import SkySurface
from so2cam.science.imaging.light_dilution import (
    DilutionState,
    StateUncertainty,
    correct_absorbance,
    dilute_optical_depth,
)

SHAPE = (240, 320)
K = 1e19
PIECE_M, STEP_M = 2.0, 2.5
Y, X = np.mgrid[0.0 : SHAPE[0], 0.0 : SHAPE[1]]
PLUME = 0.1 * np.exp(-(((Y - 120) / 18) ** 2))
LINE = PlumeLine.straight("line", (160.0, 30.0), (160.0, 210.0), (1.0, 0.0))


@pytest.fixture(scope="module")
def site() -> Site:
    """A site whose registration and aerosol are taken to be exactly known; tests say what is not."""
    loaded = load_site(Path(__file__).resolve().parents[3] / "examples/villarrica/site.toml")
    settings = loaded.site.model_dump(mode="json")
    settings["registration"]["uncertainty_px"] = 0.0
    settings["processing"]["emission"]["aerosol_exponent_uncertainty"] = 0.0
    return Site.model_validate(settings)


def edited(site: Site, shift_px: float = 0.0, aerosol: float = 0.0) -> Site:
    settings = site.model_dump(mode="json")
    settings["registration"]["uncertainty_px"] = shift_px
    settings["processing"]["emission"]["aerosol_exponent_uncertainty"] = aerosol
    return Site.model_validate(settings)


def samples(distance: float = 0.0, optics: float = 0.0) -> LineSamples:
    count = 180
    position = (np.arange(count) + 0.5) / count
    return LineSamples(
        line=LINE,
        x=np.full(count, 160.0),
        y=30 + 180 * position,
        position=position,
        distance_m=np.full(count, 4000.0),
        piece_m=np.full(count, PIECE_M),
        normal_step_m=np.full(count, STEP_M),
        normal=np.tile([1.0, 0.0], (count, 1)),
        relative_distance_uncertainty=distance,
        relative_optics_uncertainty=optics,
    )


def image_of(
    absorbance: FloatArray, log_off: FloatArray | None = None, noise: float = 0.0, structure: float = 0.0
) -> AbsorbanceImage:
    everywhere = np.ones(SHAPE, np.bool_)
    blocks = np.ones((SHAPE[0] // 8, SHAPE[1] // 8), np.bool_)
    return AbsorbanceImage(
        absorbance=absorbance.astype(np.float32),
        valid=everywhere,
        in_sky=everywhere,
        background_level=0.0,
        noise=noise,
        structure=structure,
        sky_share=0.5,
        log_off=(np.zeros(SHAPE) if log_off is None else log_off).astype(np.float32),
        surface=SkySurface(np.zeros(6), np.zeros(6), 2, blocks, blocks, structure),
        sky_off=np.zeros(blocks.shape),
    )


def measure(
    site: Site, image: AbsorbanceImage, line: LineSamples | None = None, calibration: Calibration | None = None
) -> LineMeasurement:
    line = samples() if line is None else line
    calibration = Calibration(fixed_slope(K, 0.0)) if calibration is None else calibration
    found = measure_line(image, line, calibration, site, np.ones(SHAPE, np.bool_))
    assert found.status is EmissionStatus.OK
    return found


def ica_budget(found: LineMeasurement) -> tuple[float, dict[Term, float]]:
    assert found.ica is not None
    return found.ica.value, dict(found.ica.budget)


def only(budget: dict[Term, float], *terms: Term) -> bool:
    """Whether no other term than these has a part."""
    return all(sigma < 1e-9 for term, sigma in budget.items() if term not in terms)


def test_without_any_error_there_is_no_uncertainty(site: Site) -> None:
    value, budget = ica_budget(measure(site, image_of(PLUME, -PLUME)))
    inside = np.exp(-(((samples().y - 120) / 18) ** 2))
    assert value == pytest.approx(KG_M2_PER_MOLEC_CM2 * K * 0.1 * PIECE_M * inside.sum(), rel=2e-3)
    assert only(budget)


def test_registration_is_what_a_shift_of_the_off_band_does(site: Site) -> None:
    # Along x the off band falls off where the plume is; along y it is the plume's own shape.
    shift = 0.4
    log_off = 0.01 * (X - 160) * PLUME / 0.1 + 0.3 * PLUME
    value, budget = ica_budget(measure(edited(site, shift), image_of(PLUME, log_off)))
    assert only(budget, Term.REGISTRATION)
    profile = np.exp(-(((samples().y - 120) / 18) ** 2))
    # The derivative along y is that of a hill, and adds up to nothing.
    expected = KG_M2_PER_MOLEC_CM2 * K * PIECE_M * shift * 0.01 * profile.sum()
    assert budget[Term.REGISTRATION] == pytest.approx(expected, rel=5e-3)
    # The same as the off band being off by that much.
    shifted = PLUME + 0.01 * shift * PLUME / 0.1
    assert ica_budget(measure(site, image_of(shifted)))[0] - value == pytest.approx(expected, rel=5e-3)


def test_registration_along_the_line(site: Site) -> None:
    # An off band whose slope along the line differs between its middle and its ends, which the baseline cannot take.
    shift = 0.4
    log_off = 0.05 * ((Y - 120) / 60) ** 3
    budget = ica_budget(measure(edited(site, shift), image_of(PLUME, log_off)))[1]
    y = samples().y
    slope = 0.05 * 3 * (y - 120) ** 2 / 60**3
    ends = (samples().position <= 0.12) | (samples().position >= 0.88)
    expected = KG_M2_PER_MOLEC_CM2 * K * PIECE_M * shift * abs(float(np.sum(slope - slope[ends].mean())))
    assert budget[Term.REGISTRATION] == pytest.approx(expected, rel=5e-3)
    assert only(budget, Term.REGISTRATION)


def test_a_straight_off_band_does_not_care_for_registration(site: Site) -> None:
    assert only(ica_budget(measure(edited(site, 0.4), image_of(PLUME, 0.001 * X - 0.002 * Y)))[1])


def test_aerosol_is_what_the_on_band_sees_more_of_it(site: Site) -> None:
    # 0.05 of aerosol in the plume, and an Angstrom exponent of 1 +- 1 that is not corrected.
    aerosol = 0.5 * PLUME
    value, budget = ica_budget(measure(edited(site, aerosol=1.0), image_of(PLUME, -aerosol)))
    more = site.camera.filters.off_band_nm / site.camera.filters.on_band_nm - 1
    assert only(budget, Term.AEROSOL)
    assert budget[Term.AEROSOL] == pytest.approx(more * 0.5 * value, rel=1e-4)
    with_aerosol = ica_budget(measure(site, image_of(PLUME + more * aerosol)))[0]
    assert budget[Term.AEROSOL] == pytest.approx(with_aerosol - value, rel=1e-3)


def test_optics_and_distance_enter_a_column_amount_once(site: Site) -> None:
    value, budget = ica_budget(measure(site, image_of(PLUME), samples(distance=0.03, optics=0.005)))
    assert budget[Term.DISTANCE] == pytest.approx(0.03 * value)
    assert budget[Term.OPTICS] == pytest.approx(0.005 * value)
    assert only(budget, Term.DISTANCE, Term.OPTICS)


def test_calibration_and_cross_section(site: Site) -> None:
    covariance = np.array([[4e32, 0.0], [0.0, (0.04 * K) ** 2]])
    curve = ColumnCurve("line", np.array([1e17, K]), covariance, 1.0)
    value, budget = ica_budget(measure(site, image_of(PLUME), calibration=Calibration(curve, 0.02)))
    # The offset is that of plume-free air, which holds no SO2: its error cancels.
    assert budget[Term.CALIBRATION] == pytest.approx(0.04 * value, rel=1e-6)
    assert budget[Term.CROSS_SECTION] == pytest.approx(0.02 * value, rel=1e-9)
    assert only(budget, Term.CALIBRATION, Term.CROSS_SECTION)


def test_a_curve_s_covariance_with_its_correlation(site: Site) -> None:
    parameters = np.array([9e18, 4e18])
    covariance = np.array([[9e34, -6e34], [-6e34, 25e34]])
    curve = ColumnCurve("quadratic", parameters, covariance, 1.0)
    value, budget = ica_budget(measure(site, image_of(4 * PLUME), calibration=Calibration(curve)))
    steps = np.zeros(2)
    for index in range(2):
        moved = parameters.copy()
        moved[index] *= 1.001
        other = ColumnCurve("quadratic", moved, covariance, 1.0)
        again = ica_budget(measure(site, image_of(4 * PLUME), calibration=Calibration(other)))[0]
        steps[index] = (again - value) / (0.001 * parameters[index])
    assert budget[Term.CALIBRATION] == pytest.approx(math.sqrt(steps @ covariance @ steps), rel=1e-6)


def test_noise_background_and_interpolation(site: Site) -> None:
    line, image = samples(), image_of(PLUME, noise=0.004, structure=0.002)
    site = site.model_copy(update={"registration": Registration()})
    value, budget = ica_budget(measure(site, image))
    assert only(budget, Term.PIXEL_NOISE, Term.BACKGROUND)
    inside = line.position <= 0.12, line.position >= 0.88
    # Of the ends each stands for half of the baseline under all of the line.
    unit = KG_M2_PER_MOLEC_CM2 * K * PIECE_M
    assert budget[Term.BACKGROUND] == pytest.approx(unit * 0.002 * math.sqrt(2) * line.x.size / 2, rel=1e-6)
    effective = np.ones(line.x.size)
    for end in inside:
        effective[end] -= line.x.size / 2 / end.sum()
    # Samples lie half way between two rows: neighbours share a pixel.
    pixels = (np.append(effective, 0) + np.append(0, effective)) / 2
    assert budget[Term.PIXEL_NOISE] == pytest.approx(unit * 0.004 * math.sqrt(np.sum(pixels**2)), rel=1e-6)
    image.valid[118:122] = False
    _, holed = ica_budget(measure(site, replace(image, absorbance=np.where(image.valid, image.absorbance, np.nan))))
    # Five samples touch those rows; they get the mean of their neighbours at 116.5 and 122.5, half of it in doubt.
    filled = 5 * 0.1 * np.mean(np.exp(-(((np.array([116.5, 122.5]) - 120) / 18) ** 2)))
    assert holed[Term.INTERPOLATION] == pytest.approx(0.5 * unit * filled, rel=5e-3)
    assert value > 10 * holed[Term.INTERPOLATION]


@pytest.mark.parametrize(
    ("uncertainty", "change"),
    [
        (StateUncertainty(4e-6, 0.0), lambda on, off: (on._replace(extinction_per_m=4.4e-5), off)),
        (StateUncertainty(0.0, 3e-6), lambda on, off: (on, off._replace(extinction_per_m=3.3e-5))),
        (
            StateUncertainty(0.0, 0.0, distance_m=0.02),
            lambda on, off: (on._replace(distance_m=4080.0), off._replace(distance_m=4080.0)),
        ),
        (
            StateUncertainty(0.0, 0.0, airlight_ratio=0.02),
            lambda on, off: (on._replace(airlight_ratio=1.02), off._replace(airlight_ratio=1.02)),
        ),
        (
            StateUncertainty(4e-7, 3e-7, extinction_correlation=1.0),
            lambda on, off: (on._replace(extinction_per_m=4.04e-5), off._replace(extinction_per_m=3.03e-5)),
        ),
    ],
)
def test_light_dilution_is_what_a_wrong_extinction_does(
    site: Site,
    uncertainty: StateUncertainty,
    change: Callable[[DilutionState, DilutionState], tuple[DilutionState, DilutionState]],
) -> None:
    on, off = DilutionState(4e-5, 4000.0), DilutionState(3e-5, 4000.0)
    off_depth = dilute_optical_depth((0.3 * PLUME).astype(np.float32), off)
    on_depth = dilute_optical_depth((1.3 * PLUME).astype(np.float32), on)
    diluted = on_depth - off_depth

    def corrected(first: DilutionState, second: DilutionState) -> AbsorbanceImage:
        absorbance, known = correct_absorbance(diluted, off_depth, first, second)
        assert known.all()
        made = image_of(absorbance.astype(np.float64), -off_depth.astype(np.float64))
        return replace(made, dilution=PlumeDilution(first, second, uncertainty, 1.0, 4000.0), diluted=diluted)

    value, budget = ica_budget(measure(site, corrected(on, off)))
    assert value == pytest.approx(ica_budget(measure(site, image_of(PLUME)))[0], rel=1e-4)
    assert only(budget, Term.LIGHT_DILUTION)
    moved = ica_budget(measure(site, corrected(*change(on, off))))[0]
    assert budget[Term.LIGHT_DILUTION] == pytest.approx(abs(moved - value), rel=0.06)
    assert budget[Term.LIGHT_DILUTION] > 1e-3 * value


def motion(local: float = 0.0, common: float = 0.0) -> LineMotion:
    count = samples().x.size
    return LineMotion(np.tile([4.0, 0.0], (count, 1)), np.full(count, local), np.full(count, common), 24.0)


def test_terms_of_a_speed_that_images_show(site: Site) -> None:
    line = samples(distance=0.03, optics=0.005)
    found = measure(site, image_of(PLUME), line)
    assert found.columns is not None
    assert found.ica is not None
    settings = OpticalFlow()
    rate = motion_emission(line, found.columns, found.ica, motion(common=0.2), Interval(2.0, 0.1), settings)
    # 4 px in 2 s at 2.5 m a pixel.
    assert rate.rate == pytest.approx(5.0 * found.ica.value)
    budget = dict(rate.budget)
    assert budget[Term.SPEED] == pytest.approx(0.05 * rate.rate)
    assert budget[Term.INTERVAL] == pytest.approx(0.05 * rate.rate)
    assert budget[Term.SPEED_METHOD] == pytest.approx(OPTICAL_FLOW_SYSTEMATIC * rate.rate)
    assert budget[Term.DISTANCE] == pytest.approx(2 * 0.03 * rate.rate)
    assert budget[Term.OPTICS] == pytest.approx(2 * 0.005 * rate.rate)
    assert only(budget, Term.SPEED, Term.INTERVAL, Term.SPEED_METHOD, Term.DISTANCE, Term.OPTICS)
    assert rate.random == pytest.approx(math.hypot(0.05, 0.05) * rate.rate)
    # Windows that are independent of each other leave less of the same size.
    local = motion_emission(line, found.columns, found.ica, motion(local=0.2), Interval(2.0, 0.1), settings)
    assert 0.3 * budget[Term.SPEED] < local.budget[Term.SPEED] < 0.9 * budget[Term.SPEED]


def test_a_speed_that_changes_is_that_at_the_time_of_the_columns(site: Site) -> None:
    line = samples()
    found = measure(site, image_of(PLUME), line)
    assert found.columns is not None
    assert found.ica is not None
    columns, ica, settings = found.columns, found.ica, OpticalFlow()
    # 4 px in 2 s after it, 2 px in 4 s before: 2 and 0.5 px a second, 1 s after and 2 s before, and 1.5 in between.
    after, before = motion(common=0.2), replace(motion(common=0.2), vectors=0.5 * motion().vectors)
    times = Interval(2.0, 0.1), Interval(4.0, 0.1)
    rate = motion_emission(line, columns, ica, after, times[0], settings, Approach(before, before, times[1]))
    assert rate.rate == pytest.approx(1.5 * 2.5 * ica.value)
    assert rate.budget[Term.SPEED_CHANGE] == pytest.approx(1.5 * 2.5 / math.sqrt(12) * ica.value)
    # Weights of two thirds and one third; what the region shares adds up, errors of stamps do not.
    assert rate.budget[Term.SPEED] == pytest.approx((2 / 3 * 0.2 / 2 + 1 / 3 * 0.2 / 4) * 2.5 * ica.value)
    assert rate.budget[Term.INTERVAL] == pytest.approx(math.hypot(2 / 3 * 0.05, 1 / 3 * 0.025) * rate.rate)
    steady = motion_emission(line, columns, ica, after, times[0], settings, Approach(after, after, times[0]))
    assert steady.rate == pytest.approx(5.0 * ica.value)
    assert steady.budget[Term.SPEED_CHANGE] == 0
    # Gas that speeds up where it always does, or an eddy that is carried past, is interpolated rightly: no change.
    for approach in (Approach(before, after, times[0]), Approach(after, before, times[0])):
        passing = motion_emission(line, columns, ica, after, times[0], settings, approach)
        assert passing.budget[Term.SPEED_CHANGE] == 0
    # A difference that windows' errors explain is no change.
    noisy = [replace(one, local_px=np.full(line.x.size, 1.5)) for one in (after, before)]
    same = motion_emission(line, columns, ica, noisy[0], times[0], settings, Approach(noisy[1], noisy[1], times[1]))
    assert same.budget[Term.SPEED_CHANGE] < 0.9 * rate.budget[Term.SPEED_CHANGE]
    # What is not known well enough before it is left out.
    wild = replace(before, common_px=np.full(line.x.size, 50.0))
    alone = motion_emission(line, columns, ica, after, times[0], settings, Approach(wild, wild, times[1]))
    assert alone == motion_emission(line, columns, ica, after, times[0], settings)


def test_errors_of_windows_differ_from_interval_to_interval() -> None:
    one = motion(local=0.2, common=0.1)
    both = motion_between(one, one, (2.0, 2.0))
    np.testing.assert_allclose(both.vectors, one.vectors)
    np.testing.assert_allclose(both.local_px, 0.2 / math.sqrt(2))
    np.testing.assert_allclose(both.common_px, 0.1)


def test_terms_of_a_speed_by_cross_correlation(site: Site) -> None:
    line = samples(distance=0.03, optics=0.005)
    rate = lag_emission(line, measure(site, image_of(PLUME), line), -5.0, 0.25, (1.0, 0.0))
    assert rate.rate < 0
    size = abs(rate.rate)
    assert dict(rate.budget)[Term.SPEED] == pytest.approx(0.05 * size)
    assert dict(rate.budget)[Term.SPEED_METHOD] == pytest.approx(CROSS_CORRELATION_SYSTEMATIC * size)
    assert dict(rate.budget)[Term.DISTANCE] == pytest.approx(2 * 0.03 * size)
    assert Term.WIND not in rate.budget
    assert Term.INTERVAL not in rate.budget
    assert all(sigma >= 0 for sigma in rate.budget.values())


def test_terms_of_a_speed_of_the_wind(site: Site) -> None:
    plane, camera = plume_plane(site), camera_model(site)
    lines = {line.line.name: line for line in lines_at_plume(site)}
    line = lines["near"]
    profile = 0.1 * np.exp(-(((line.position - 0.5) / 0.1) ** 2))
    image = image_of(PLUME)
    # The site's own line, with a plume across it.
    wide = np.zeros((486, 648))
    wide[np.round(line.y).astype(int), np.round(line.x).astype(int)] = profile
    blocks = np.ones((60, 81), np.bool_)
    surface = SkySurface(np.zeros(6), np.zeros(6), 2, blocks, blocks, 0.0)
    everywhere = np.ones((486, 648), np.bool_)
    image = replace(
        image,
        absorbance=_thick(wide),
        valid=everywhere,
        in_sky=everywhere,
        log_off=np.zeros((486, 648), np.float32),
        surface=surface,
    )
    found = measure_line(image, line, Calibration(fixed_slope(K, 0.0)), site, everywhere)

    def rate(speed_sigma: float, direction_sigma: float, direction: float = 81.3) -> tuple[float, dict[Term, float]]:
        wind = Wind(6.0, speed_sigma, direction, direction_sigma)
        emission = wind_emission(LineGeometry(EmissionStatus.OK, camera, plane, lines, wind), line, found)
        return emission.rate, dict(emission.budget)

    value, budget = rate(1.2, 1e-6)
    assert budget[Term.WIND] == pytest.approx(0.2 * abs(value), rel=1e-3)
    assert budget[Term.DISTANCE] == pytest.approx(line.relative_distance_uncertainty * abs(value))
    assert budget[Term.OPTICS] == pytest.approx(line.relative_optics_uncertainty * abs(value))
    assert Term.WIND not in RANDOM_TERMS
    assert systematic_part(budget) >= budget[Term.WIND]
    # A direction that is 10 degrees off, seen at 30 degrees from across the view, where it enters in first order.
    value, budget = rate(1e-6, 2.0, 81.3 + 30)
    moved = [rate(1e-6, 2.0, 81.3 + 30 + step)[0] for step in (-2.0, 2.0)]
    assert budget[Term.WIND] == pytest.approx(abs(moved[1] - moved[0]) / 2, rel=0.1)
    assert random_part(budget) == budget[Term.PIXEL_NOISE] == 0


def _thick(image: FloatArray) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    """Widen a line of one pixel so that interpolation between pixels finds it."""
    import cv2

    return np.asarray(cv2.dilate(image.astype(np.float32), np.ones((5, 5), np.uint8)), np.float32)
