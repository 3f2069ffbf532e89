"""Light dilution during a run."""

from datetime import datetime
from typing import Protocol

from so2cam.pipeline.calibration import ColumnPoint
from so2cam.pipeline.plume_dilution import PlumeDilution
from so2cam.pipeline.steps import LogImage


class DilutionSource(Protocol):
    """Says by how much the plume's light is diluted."""

    def add_column(self, point: ColumnPoint) -> None:
        """Take a column of the spectrometer, with the dilution found with it."""

    def at(self, time: datetime, on: LogImage, off: LogImage) -> PlumeDilution | None:
        """Return what holds at ``time``, having seen both bands' images of it; None where it is not known."""
