"""What a line would give that is not in the site file: measured on a run's images as the processor measures its own.

For somebody who looks for a better place of a line while images come. Speeds that need a history, cross-correlation and
the shift of profiles, are left out.
"""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from so2cam.core.errors import InputError
from so2cam.core.site import Site, SpeedMethod
from so2cam.core.site_lines import Line
from so2cam.core.status import EmissionStatus, QualityFlag
from so2cam.pipeline.flow_speed import FLOW_METHODS, Arrival, Interval, line_motions, main_motion
from so2cam.pipeline.geometry import SiteGeometry, WindField, resolve_view
from so2cam.pipeline.processor import sky_part
from so2cam.pipeline.rates import flow_emissions, wind_emission
from so2cam.pipeline.records import Emission, PairImages
from so2cam.pipeline.steps import LineMeasurement, measure_line
from so2cam.science.emission.lines import LineSamples, sample_positions
from so2cam.science.motion.flow import flow_region, optical_flow


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What the line gives at one pair: its column amount [kg m-1] (NaN: none), and emission rates by method."""

    images: PairImages
    status: EmissionStatus
    amount: float = float("nan")
    flags: QualityFlag = QualityFlag.NONE
    emissions: dict[str, Emission] = field(default_factory=dict)


class WhatIfLine:
    """One line, measured on the images of pairs. Of the pair before it keeps the motion, for the next one's speed."""

    def __init__(self, site: Site, folder: Path, line: Line) -> None:
        """``folder``: that of the site file. Raises InputError for a line that can never have a value."""
        try:
            for _, point in line.corners:
                site.require_inside(f"lines.{line.name}", point)
            line.to_plume_line()
        except ValueError as error:
            raise InputError(str(error), key=line.name, remedy="draw the line inside the image") from None
        viewed, _ = resolve_view(site)
        self._site = viewed.model_copy(update={"lines": (line,)})
        self._geometry = SiteGeometry(self._site, WindField(self._site, folder))
        speed = site.processing.speed
        usable = tuple(method for method in speed.methods if method in (*FLOW_METHODS, "wind"))
        self.methods: tuple[SpeedMethod, ...] = usable or ("flow_raw",)
        """the site's speed methods that need no history; the plain optical flow where there is none"""
        self._flow_methods = tuple(method for method in self.methods if method in FLOW_METHODS)
        optics = site.camera.optics
        x, y = sample_positions(self._site.plume_lines[0])[:2]
        margin = 3 * speed.optical_flow.window_px
        self._arrival: tuple[datetime, Arrival] | None = None
        self._region = flow_region(x, y, (optics.height_px, optics.width_px), margin_px=margin)

    def measure(self, images: PairImages, later: PairImages | None) -> WhatIf:
        """Return what the line gives at ``images``; ``later`` are those of the next pair, which motion needs."""
        kept, self._arrival = self._arrival, None
        arrival = kept[1] if kept is not None and kept[0] == images.time else None
        geometry = self._geometry.at(images.time)
        status = geometry.status
        if status is EmissionStatus.OK and images.calibration is None:
            status = EmissionStatus.NO_CALIBRATION
        if status is not EmissionStatus.OK or images.calibration is None:
            return self._nothing(images, status)
        (line,) = geometry.lines.values()
        found = measure_line(images.image, line, images.calibration, self._site, images.image.valid)
        if found.status is not EmissionStatus.OK or found.ica is None:
            return self._nothing(images, found.status)
        emissions = self._motion(images, later, line, found, arrival)
        if "wind" in self.methods:
            emissions["wind"] = wind_emission(geometry, line, found)
        return WhatIf(images, EmissionStatus.OK, found.ica.value, found.flags, emissions)

    def _nothing(self, images: PairImages, status: EmissionStatus) -> WhatIf:
        return WhatIf(images, status, emissions={method: Emission(status) for method in self.methods})

    def _motion(
        self,
        images: PairImages,
        later: PairImages | None,
        line: LineSamples,
        found: LineMeasurement,
        arrival: Arrival | None,
    ) -> dict[str, Emission]:
        settings = self._site.processing.speed.optical_flow
        columns, ica = found.columns, found.ica
        status = EmissionStatus.OK
        if later is None or columns is None or ica is None:
            status = EmissionStatus.NO_NEXT_PAIR
        elif not images.interval_s <= settings.maximum_gap_s:
            status = EmissionStatus.GAP_TOO_LONG
        elif ica.value <= 3 * float(np.hypot(ica.random, sky_part(found, line))):
            status = EmissionStatus.NO_PLUME
        if status is not EmissionStatus.OK or later is None or columns is None or ica is None or not self._flow_methods:
            return {method: Emission(status) for method in self._flow_methods}
        flow = optical_flow(
            images.image.absorbance,
            later.image.absorbance,
            images.image.valid & images.image.in_sky,
            later.image.valid & later.image.in_sky,
            self._region,
            window_px=settings.window_px,
            levels=settings.levels,
            iterations=settings.iterations,
            algorithm=settings.algorithm,
        )
        needs_main = bool(set(self._flow_methods) - {"flow_raw"})
        main = main_motion(flow, images.image, line, settings) if needs_main else None
        interval = Interval(images.interval_s, images.interval_uncertainty_s)
        mains = {} if main is None else {line.line.name: main}
        self._arrival = later.time, Arrival(flow, mains, interval)
        motions = line_motions(self._flow_methods, flow, line, columns.column, main)
        return flow_emissions(line, columns, ica, motions, interval, settings, arrival)
