"""From the frames of a pair to its absorbance image: everything that needs no other pair."""

import numpy as np

from so2cam.core.records import Frame
from so2cam.core.site import Site
from so2cam.core.status import EmissionStatus, QualityFlag
from so2cam.pipeline.dilution_source import DilutionSource
from so2cam.pipeline.frames import DarkLibrary
from so2cam.pipeline.records import PairRecord
from so2cam.pipeline.references import References
from so2cam.pipeline.steps import (
    AbsorbanceImage,
    LogImage,
    absorbance_image,
    band_log_image,
    even_sensitivity,
    interpolated_off_band,
    pair_flags,
)

_FEW_SKY = 0.15


class ImageChain:
    """Makes absorbance images. What it holds are references; ``dilution`` alone learns from images as they pass."""

    def __init__(
        self, site: Site, references: References, darks: DarkLibrary, dilution: DilutionSource | None = None
    ) -> None:
        self._site = site
        self._references = references
        self._darks = darks
        self.dilution = dilution

    def image(
        self, record: PairRecord, on: Frame, off: Frame, later_off: Frame | None = None
    ) -> AbsorbanceImage | EmissionStatus:
        """Return the absorbance image of ``record``'s pair, or why there is none; what is known of it goes to
        ``record``.
        """
        logs = self.log_images(record, on, off, later_off)
        return EmissionStatus.NO_DARK if logs is None else self.image_of(record, *logs)

    def log_images(
        self, record: PairRecord, on: Frame, off: Frame, later_off: Frame | None = None
    ) -> tuple[LogImage, LogImage] | None:
        """Return the log intensity of the on and the off band; None where a frame has no dark."""
        log_on, log_off = self._log_image(on, 0), self._log_image(off, 1)
        log_later = None if later_off is None else self._log_image(later_off, 1)
        if log_on is None or log_off is None or (later_off is not None and log_later is None):
            return None
        if later_off is not None and log_later is not None:
            log_off = interpolated_off_band(log_off, log_later, off.info.time, later_off.info.time, record.time)
        return log_on, log_off

    def image_of(self, record: PairRecord, log_on: LogImage, log_off: LogImage) -> AbsorbanceImage | EmissionStatus:
        """Return the absorbance image of what ``log_images`` gave, or why there is none."""
        references = self._references
        record.flags |= pair_flags(record.pair, log_on, log_off, self._site)
        dilution = None
        if self.dilution is not None:
            dilution = self.dilution.at(record.time, log_on, log_off)
            if dilution is None:
                record.flags |= QualityFlag.DILUTION_UNKNOWN
            else:
                record.extinction_per_m = dilution.extinctions
        background = self._site.processing.background
        image = absorbance_image(log_on, log_off, references.bands, background, dilution, matrix=references.matrix)
        if image is None or not np.isfinite(image.noise):
            return EmissionStatus.NO_SKY
        if references.sensitivity is not None:
            image = even_sensitivity(image, references.sensitivity)
        record.background_level, record.noise = image.background_level, image.noise
        if image.sky_share < _FEW_SKY:
            record.flags |= QualityFlag.FEW_SKY_PIXELS
        return image

    def _log_image(self, frame: Frame, band: int) -> LogImage | None:
        dark = self._darks.dark_for(frame.info)
        if dark is None:
            return None
        matrix = None if band == 0 else self._references.matrix
        reference = self._references.bands[band]
        return band_log_image(frame.counts, dark, reference, frame.info, self._site.camera.sensor, matrix)
