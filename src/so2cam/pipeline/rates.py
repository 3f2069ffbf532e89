"""From columns on a line and a speed to an emission rate with its uncertainties, for every kind of speed."""

from collections.abc import Mapping

import numpy as np

from so2cam.core.constants import KG_M2_PER_MOLEC_CM2
from so2cam.core.records import FloatArray
from so2cam.core.site import OpticalFlow
from so2cam.core.status import EmissionStatus
from so2cam.core.uncertainty import Budget, Term
from so2cam.pipeline.flow_speed import (
    FLOW_METHODS,
    Approach,
    Arrival,
    Interval,
    LineMotion,
    line_motions,
    motion_between,
)
from so2cam.pipeline.geometry import LineGeometry
from so2cam.pipeline.records import Emission, MomentarySpeed
from so2cam.pipeline.steps import LineMeasurement
from so2cam.science.emission.lines import LineSamples
from so2cam.science.emission.rate import (
    CROSS_CORRELATION_SYSTEMATIC,
    OPTICAL_FLOW_SYSTEMATIC,
    Estimate,
    LineColumns,
    integrate,
)
from so2cam.science.geometry.wind import wind_speed_across


def motion_emission(
    line: LineSamples,
    columns: LineColumns,
    ica: Estimate,
    motion: LineMotion,
    interval: Interval,
    settings: OpticalFlow,
    approach: Approach | None = None,
) -> Emission:
    """Return the emission rate with the speed that images show: ``motion`` in the ``interval`` after the columns.

    With the motion in the interval before, ``approach``, the speed is that at the time of the columns; one that is too
    uncertain is left out.
    """
    to_speed = line.normal_step_m / interval.seconds
    column_weight = columns.column * line.piece_m
    spacing_px = line.line.length_px / line.x.size

    def through(one: LineMotion, seconds: float) -> tuple[float, float, float, bool]:
        """Rate, 1 sigma by the flow, what of it is another in the next interval, and whether it is small enough."""
        weight = KG_M2_PER_MOLEC_CM2 * column_weight * (line.normal_step_m / seconds)
        rate = float(np.sum(np.sum(one.vectors * line.normal, axis=1) * weight))
        by_windows = one.passing_uncertainty(weight, spacing_px)
        by_flow = float(np.hypot(np.sum(weight * one.common_px), by_windows))
        limit = max(settings.maximum_relative_uncertainty * abs(rate), settings.acceptable_uncertainty_m_s * ica.value)
        good = bool(np.isfinite(rate) and by_flow <= limit)
        return rate, by_flow, by_windows, good

    rate_after, by_flow, noise_after, good = through(motion, interval.seconds)
    if not good:
        return Emission(EmissionStatus.FLOW_UNRELIABLE)
    by_time, change, by_windows = interval.uncertainty_s / interval.seconds, 0.0, noise_after
    if approach is not None:
        before, earlier = approach.gas, approach.interval
        rate_before, _, noise_before, good = through(before, earlier.seconds)
        if good:
            motion = motion_between(before, motion, (earlier.seconds, interval.seconds))
            _, by_flow, by_windows, _ = through(motion, interval.seconds)
            share = earlier.seconds / (earlier.seconds + interval.seconds)
            by_time = root_sum((1 - share) * earlier.uncertainty_s / earlier.seconds, share * by_time)
            # Somewhere between the two means, nobody knows where: 1 sigma of a rectangle of that width, less its noise.
            # What is steady at each place (gas that speeds up on its way) or kept by the gas (an eddy that is carried
            # past) is interpolated rightly: only what changes for both is not known.
            rate_there = through(approach.place, earlier.seconds)[0]
            changed2 = np.fmin((rate_after - rate_before) ** 2, (rate_after - rate_there) ** 2)
            width2 = float(changed2) - noise_after**2 - noise_before**2
            change = float(np.sqrt(max(width2, 0.0) / 12))
    speed = np.sum(motion.vectors * line.normal, axis=1) * to_speed
    rate = integrate(
        columns,
        speed * line.piece_m,
        relative_distance_uncertainty=line.relative_distance_uncertainty,
        relative_optics_uncertainty=line.relative_optics_uncertainty,
        distance_power=2,
    )
    effective = rate.value / ica.value
    # Windows lean on the region's motion, and a moment on two intervals: what that leaves open they do not show. What
    # the region's motion errs by they all show, as they show the rounding of stamps.
    by_region = float(np.sqrt(max(by_flow**2 - by_windows**2, 0.0)))
    momentary = MomentarySpeed(
        speed=effective,
        noise=root_sum(by_region / ica.value, by_time * effective),
        unseen=root_sum(by_windows / ica.value, change / ica.value),
    )
    return Emission(
        status=EmissionStatus.OK,
        rate=rate.value,
        momentary=momentary,
        budget=_with(
            rate,
            {
                Term.SPEED: by_flow,
                Term.SPEED_CHANGE: change,
                Term.INTERVAL: by_time * rate.value,
                Term.SPEED_METHOD: OPTICAL_FLOW_SYSTEMATIC * rate.value,
            },
        ),
        speed=effective,
        speed_uncertainty=root_sum(
            by_flow / ica.value,
            change / ica.value,
            by_time * effective,
            OPTICAL_FLOW_SYSTEMATIC * effective,
            line.relative_distance_uncertainty * effective,
            line.relative_optics_uncertainty * effective,
        ),
        direction_deg=_mean_direction_deg(motion.vectors, column_weight),
    )


def flow_emissions(
    line: LineSamples,
    columns: LineColumns,
    ica: Estimate,
    motions: Mapping[str, LineMotion | EmissionStatus],
    interval: Interval,
    settings: OpticalFlow,
    arrival: Arrival | None,
) -> dict[str, Emission]:
    """Return the emission rate by each method of ``motions``, and of the motion that led to the image, where known."""
    came: Mapping[str, LineMotion | EmissionStatus] = {}
    there: Mapping[str, LineMotion | EmissionStatus] = {}
    if arrival is not None:
        methods = tuple(method for method in motions if method in FLOW_METHODS)
        main = arrival.main.get(line.line.name)
        came = line_motions(methods, arrival.flow, line, columns.column, main, arriving=True)
        there = line_motions(methods, arrival.flow, line, columns.column, main)
    emissions = {}
    for method, motion in motions.items():
        if isinstance(motion, EmissionStatus):
            emissions[method] = Emission(motion)
            continue
        approach, gas, place = None, came.get(method), there.get(method)
        if arrival is not None and isinstance(gas, LineMotion):
            approach = Approach(gas, place if isinstance(place, LineMotion) else gas, arrival.interval)
        emissions[method] = motion_emission(line, columns, ica, motion, interval, settings, approach)
    return emissions


def lag_emission(
    line: LineSamples,
    measurement: LineMeasurement,
    speed: float,
    sigma: float,
    normal: tuple[float, float],
    variation: float = 0.0,
) -> Emission:
    """Return the emission rate with the speed [m s-1] found by cross-correlation along ``normal`` (x, y).

    ``sigma`` is that of the speed of all of a window, ``variation`` 1 sigma by which the speed at a moment of it
    differs, relative.
    """
    columns, ica = measurement.columns, measurement.ica
    if columns is None or ica is None:
        return Emission(measurement.status)
    along = line.normal @ np.array(normal)
    across = speed * along
    rate = integrate(
        columns,
        across * line.piece_m,
        relative_distance_uncertainty=line.relative_distance_uncertainty,
        relative_optics_uncertainty=line.relative_optics_uncertainty,
        distance_power=2,
    )
    relative_sigma = abs(sigma / speed)
    effective = rate.value / ica.value if ica.value != 0 else float(speed * np.mean(along))
    return Emission(
        status=EmissionStatus.OK,
        rate=rate.value,
        budget=_with(
            rate,
            {
                Term.SPEED: rate.value * relative_sigma,
                Term.SPEED_CHANGE: rate.value * variation,
                Term.SPEED_METHOD: CROSS_CORRELATION_SYSTEMATIC * rate.value,
            },
        ),
        speed=effective,
        speed_uncertainty=abs(effective)
        * root_sum(
            relative_sigma,
            variation,
            CROSS_CORRELATION_SYSTEMATIC,
            line.relative_distance_uncertainty,
            line.relative_optics_uncertainty,
        ),
        direction_deg=direction_deg(normal if speed >= 0 else (-normal[0], -normal[1])),
    )


def wind_emission(geometry: LineGeometry, line: LineSamples, measurement: LineMeasurement) -> Emission:
    """Return the emission rate with the speed of the wind. What is not known of the wind is systematic."""
    columns, ica, wind = measurement.columns, measurement.ica, geometry.wind
    if columns is None or ica is None:
        return Emission(measurement.status)
    if wind is None or geometry.plane is None:
        return Emission(EmissionStatus.NO_WIND)
    weight = columns.column * line.piece_m
    across = wind_speed_across(
        geometry.camera,
        line.x,
        line.y,
        line.distance_m,
        line.normal,
        line.normal_step_m,
        speed_m_s=wind.speed_m_s,
        speed_uncertainty_m_s=wind.speed_uncertainty_m_s,
        towards_azimuth_rad=float(np.radians(wind.direction_from_deg + 180)),
        azimuth_uncertainty_rad=float(np.radians(wind.direction_uncertainty_deg)),
        weight=weight,
    )
    rate = integrate(
        columns,
        across.speed_m_s * line.piece_m,
        relative_distance_uncertainty=line.relative_distance_uncertainty,
        relative_optics_uncertainty=line.relative_optics_uncertainty,
        distance_power=1,
    )
    # Speed and direction are off for all of the line at once: each adds up along it, and the two are independent.
    by_speed = KG_M2_PER_MOLEC_CM2 * float(np.sum(weight * across.by_speed_m_s))
    by_direction = KG_M2_PER_MOLEC_CM2 * float(np.sum(weight * across.by_direction_m_s))
    by_wind = float(np.hypot(by_speed, by_direction))
    if not np.isfinite(rate.value):
        return Emission(EmissionStatus.PLUME_ALONG_VIEW)
    effective = rate.value / ica.value if ica.value != 0 else float(np.mean(across.speed_m_s))
    sigma = by_wind / abs(ica.value) if ica.value != 0 else wind.speed_uncertainty_m_s
    return Emission(
        status=EmissionStatus.OK,
        rate=rate.value,
        budget=_with(rate, {Term.WIND: by_wind}),
        speed=effective,
        speed_uncertainty=sigma,
        direction_deg=_mean_direction_deg(across.motion_px_s, weight),
    )


def _with(rate: Estimate, terms: Budget) -> Budget:
    """Return the budget of ``rate`` and ``terms``, each not negative."""
    return {**rate.budget, **{term: abs(sigma) for term, sigma in terms.items()}}


def root_sum(*parts: float) -> float:
    """Return the root of the sum of squares."""
    return float(np.sqrt(sum(part**2 for part in parts)))


def direction_deg(vector: tuple[float, float]) -> float:
    """Return the direction in the image, 0 up, 90 right, of (x, y) with y downward."""
    return float(np.degrees(np.arctan2(vector[0], -vector[1])) % 360)


def _mean_direction_deg(vectors: FloatArray, weight: FloatArray) -> float:
    mean = np.sum(vectors * weight[:, None], axis=0)
    return direction_deg((float(mean[0]), float(mean[1])))
