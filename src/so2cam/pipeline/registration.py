"""The registration of a run: as given, from control points, or found in the run's own frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from pydantic import ValidationError

from so2cam.core.errors import InputError, SiteFileError
from so2cam.core.records import FloatArray, FramePair
from so2cam.core.site import Registration, Site
from so2cam.pipeline.frames import DarkLibrary, FrameReader
from so2cam.pipeline.steps import dark_corrected
from so2cam.science.imaging.alignment import (
    Alignment,
    align,
    control_point_residuals,
    displacement_between,
    fit_control_points,
    terrain_correlation,
)

PAIRS_TRIED = 7
"""Pairs, spread over a run, in which terrain is looked at."""

_DISAGREEMENT_PX = 3.0
"""R.m.s. distance between two pairs' registrations that no drift of fixed cameras explains."""


@dataclass(frozen=True, slots=True)
class PairAlignment:
    """What one pair says: its alignment, and how well terrain agrees under the site file's own matrix."""

    time: datetime
    alignment: Alignment
    correlation_given: float


@dataclass(frozen=True, slots=True)
class FoundRegistration:
    """The registration found in a run.

    ``matrix`` (2 x 3) is that of the pair which agrees best with all others; ``spread_px`` the largest r.m.s.
    distance of any other pair's from it, ``drift_px`` that between the first and the last, and
    ``from_given_px`` that of the site file's matrix.
    """

    matrix: FloatArray
    pairs: tuple[PairAlignment, ...]
    correlation: float
    uncertainty_px: float
    spread_px: float
    drift_px: float
    from_given_px: float

    @property
    def used(self) -> tuple[PairAlignment, ...]:
        """Pairs whose alignment is good."""
        return tuple(pair for pair in self.pairs if pair.alignment.status == "ok")


def find_registration(
    site: Site, pairs: Sequence[FramePair], darks: DarkLibrary, reader: FrameReader
) -> FoundRegistration:
    """Find the registration in up to seven pairs spread over ``pairs``.

    Raises InputError where terrain or skyline are not seen well enough in any of them.
    """
    given = np.array(site.registration.matrix, np.float64)
    shape = (site.camera.optics.height_px, site.camera.optics.width_px)
    count = min(PAIRS_TRIED, len(pairs))
    chosen = [pairs[index] for index in np.unique(np.linspace(0, len(pairs) - 1, count).round().astype(int))]
    found = [found for pair in chosen if (found := _align_pair(site, pair, darks, reader, given)) is not None]
    good = [pair for pair in found if pair.alignment.status == "ok"]
    if not good:
        if not found:
            raise InputError(
                f"no registration found: of {len(chosen)} pairs none can be read and has darks of both bands",
                key="registration.source",
                remedy="take darks of both bands first, with the lenses covered",
            )
        states = sorted({pair.alignment.status.replace("_", " ") for pair in found})
        raise InputError(
            f"no registration found in {len(chosen)} pairs: {', '.join(states)}",
            key="registration.source",
            remedy="frames must show terrain or a skyline in both bands; or give control_points, or the matrix",
        )
    distances = np.array(
        [[displacement_between(a.alignment.matrix, b.alignment.matrix, shape).rms_px for b in good] for a in good]
    )
    best = int(np.argmin(distances.sum(axis=1)))
    if float(distances[best].max()) > _DISAGREEMENT_PX:
        raise InputError(
            f"the registrations of {len(good)} pairs differ by up to {distances[best].max():.1f} px: what moves was "
            "taken for terrain",
            key="registration.source",
            remedy="frames must show terrain or a skyline in both bands; or give control_points, or the matrix",
        )
    matrix = good[best].alignment.matrix
    return FoundRegistration(
        matrix=matrix,
        pairs=tuple(found),
        correlation=float(np.median([pair.alignment.correlation for pair in good])),
        uncertainty_px=float(np.median([pair.alignment.uncertainty_px for pair in good])),
        spread_px=float(distances[best].max()),
        drift_px=float(distances[0, -1]),
        from_given_px=displacement_between(matrix, given, shape).rms_px,
    )


def resolve_registration(
    site: Site, pairs: Sequence[FramePair], darks: DarkLibrary, reader: FrameReader
) -> tuple[Site, tuple[str, ...]]:
    """Return ``site`` with the matrix that a run uses, and what its user should know of it.

    The products record this matrix whatever it came from. Raises InputError or SiteFileError where there is none.
    """
    registration = site.registration
    if registration.source == "matrix":
        return site, ()
    if registration.source == "control-points":
        alignment, worst = control_point_registration(registration)
        notes = (
            (f"control points fit to {alignment.residual_px:.1f} px only; the worst is off by {worst:.1f} px",)
            if alignment.status != "ok"
            else ()
        )
        return _with_matrix(site, alignment.matrix), notes
    found = find_registration(site, pairs, darks, reader)
    notes = ()
    if found.drift_px > 1:
        notes = (f"the two cameras moved against each other by {found.drift_px:.1f} px during the run",)
    return _with_matrix(site, found.matrix), notes


def control_point_registration(registration: Registration) -> tuple[Alignment, float]:
    """Return the registration through a site file's control points, and the largest distance [px] of a point."""
    points = np.array(registration.control_points or (), np.float64).reshape(-1, 4)
    try:
        alignment = fit_control_points(points[:, :2], points[:, 2:], model=registration.model)
    except ValueError as error:
        raise SiteFileError(
            str(error), key="registration.control_points", remedy="add points far apart from one another"
        ) from None
    return alignment, float(control_point_residuals(alignment.matrix, points[:, :2], points[:, 2:]).max())


def _with_matrix(site: Site, matrix: FloatArray) -> Site:
    settings = site.registration.model_dump(mode="json")
    settings["matrix"] = [[round(float(value), 9) for value in row] for row in matrix]
    try:
        return site.model_copy(update={"registration": Registration.model_validate(settings)})
    except ValidationError:
        raise SiteFileError(
            "what was found is no mapping between two cameras of one kind: it mirrors, or scales by more than two",
            key="registration",
            value=settings["matrix"],
            remedy="check the control points: on-band x and y first, then off-band x and y",
        ) from None


def _align_pair(
    site: Site, pair: FramePair, darks: DarkLibrary, reader: FrameReader, given: FloatArray
) -> PairAlignment | None:
    images = []
    for info in (pair.on, pair.off):
        dark, frame = darks.dark_for(info), reader.read(info)
        if dark is None or frame is None:
            return None
        images.append(dark_corrected(frame.counts, dark, site.camera.sensor))
    (on, valid_on), (off, valid_off) = images
    settings = site.registration
    alignment = align(on, off, valid_on, valid_off, model=settings.model, maximum_shift_px=settings.maximum_shift_px)
    return PairAlignment(pair.time, alignment, terrain_correlation(on, off, valid_on, valid_off, given))
