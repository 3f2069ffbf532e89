"""The images of a run, on request: stacks in zarr or netCDF, a picture per pair, and a video.

``ImageWriter`` takes one record at a time and keeps no more than a chunk of them. Stacks hold 16-bit integers with a
scale (``packing``); pictures and video are drawn at the end of a run, when the range of its colours is known.
"""

from so2cam.formats.images.record import (
    FORMATS,
    QUANTITIES,
    Format,
    ImageRecord,
    Quantity,
    RateCurve,
    total_rates,
)
from so2cam.formats.images.writer import ImageWriter

__all__ = ["FORMATS", "QUANTITIES", "Format", "ImageRecord", "ImageWriter", "Quantity", "RateCurve", "total_rates"]
