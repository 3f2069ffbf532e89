"""What is written beside each frame and spectrum: when, how, by which clock, and why the exposure is what it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from so2cam.instrument.clock_quality import ClockQuality
from so2cam.observe.exposure import ExposureDecision
from so2cam.observe.statistics import DarkCheck, LightLevel
from so2cam.store.items import format_microseconds


@dataclass(frozen=True, slots=True)
class Note:
    """The agent's part of an item's record."""

    kind: str
    grid_time: datetime | None
    """the grid time that was aimed at; None: it was taken beside the grid"""
    offset_s: float | None
    """mid-exposure minus grid time [s]"""
    clock: ClockQuality
    clock_steps: int
    monotonic_s: float
    skipped: int
    """grid times passed over since the item before"""
    level: LightLevel
    automatic: bool
    decision: ExposureDecision | None
    dark: DarkCheck | None
    cell_ppm_m: float | None
    period_s: float
    version: str

    def to_json(self) -> dict[str, Any]:
        """Return the note as it stands in the sidecar's object ``so2cam``; what is not known is left out."""
        decision, dark = self.decision, self.dark
        found: dict[str, Any] = {
            "grid_time": None if self.grid_time is None else format_microseconds(self.grid_time),
            "grid_offset_s": _rounded(self.offset_s),
            "period_s": self.period_s,
            "skipped_grid_points": self.skipped,
            "monotonic_s": _rounded(self.monotonic_s),
            "clock": _known(
                {
                    "quality": self.clock.quality,
                    "maximum_error_s": _rounded(self.clock.maximum_error_s),
                    "steps": self.clock_steps,
                }
            ),
            "light": None
            if not self.level.measured
            else {
                "bright": round(self.level.bright, 5),
                "middle": round(self.level.middle, 5),
                "saturated_share": round(self.level.saturated_share, 6),
                "clipped": self.level.clipped,
            },
            "automatic_exposure": self.automatic,
            "next_exposure": None
            if decision is None
            else {
                "exposure_s": decision.exposure_s,
                "coadds": decision.coadds,
                "reason": decision.reason.value,
            },
            "dark": None if dark is None else {"dark": dark.dark, "median_dn": round(dark.median_dn, 3)},
            "software": self.version,
        }
        return _known(found)


def _known(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value is not None}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
