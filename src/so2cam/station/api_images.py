"""Images for the API: the newest pair's absorbance or column density, as a picture or as numbers."""

import io
from datetime import datetime
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from so2cam.core.records import FloatImage
from so2cam.core.site import Site
from so2cam.pipeline.calibrated import column_image_ppm_m
from so2cam.pipeline.records import PairImages
from so2cam.pipeline.steps import shown_absorbance

Quantity = Literal["absorbance", "column"]
GREY: Final = (96, 96, 96)
_LINE: Final = (255, 255, 255)
_LEAST_SPAN: Final = {"absorbance": 0.05, "column": 200.0}


def values_of(images: PairImages, quantity: Quantity) -> FloatImage | None:
    """Return absorbance, or column density [ppm m], (rows, columns), NaN where there is none.

    None for a column density without a calibration.
    """
    absorbance = shown_absorbance(images.image)
    if quantity == "absorbance":
        return absorbance
    return None if images.calibration is None else column_image_ppm_m(absorbance, images.calibration)


def npy_bytes(values: FloatImage) -> bytes:
    """Return an array as a NumPy file."""
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=False)
    return stream.getvalue()


def picture(site: Site, values: FloatImage, quantity: Quantity, time: datetime, *, width: int | None = None) -> bytes:
    """Return a PNG: viridis from zero to the 99.5th percentile, grey where there is no value, lines, a scale below.

    ``width`` is that of the image [px]; its own where None.
    """
    import cv2

    good = np.isfinite(values)
    top = float(np.percentile(values[good], 99.5)) if good.any() else 0.0
    top = max(top, _LEAST_SPAN[quantity])
    scaled = np.clip(np.nan_to_num(values) / top, 0.0, 1.0)
    pixels = cv2.applyColorMap((scaled * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    pixels[~good] = GREY
    factor = 1.0 if width is None else width / values.shape[1]
    size = (max(1, round(values.shape[1] * factor)), max(1, round(values.shape[0] * factor)))
    pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST))
    for line in site.plume_lines:
        points = np.round((np.array(line.points) + 0.5) * factor - 0.5).astype(np.int32)
        cv2.polylines(pixels, [points.reshape(-1, 1, 2)], False, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.polylines(pixels, [points.reshape(-1, 1, 2)], False, _LINE, 1, cv2.LINE_AA)
    unit = "ppm m" if quantity == "column" else "absorbance"
    whole = np.vstack([pixels, _scale_bar(size[0], top, unit, time)])
    done, encoded = cv2.imencode(".png", whole)
    if not done:
        raise ValueError("the picture cannot be encoded")
    return encoded.tobytes()


def _scale_bar(width: int, top: float, unit: str, time: datetime) -> npt.NDArray[np.uint8]:
    """Return a strip with the scale of colours, its ends, and the time."""
    import cv2

    height, size = 34, 0.38
    strip = np.full((height, width, 3), 24, np.uint8)
    ramp = np.linspace(0, 255, max(2, width - 16)).astype(np.uint8)[None, :].repeat(8, axis=0)
    strip[4:12, 8 : 8 + ramp.shape[1]] = cv2.applyColorMap(ramp, cv2.COLORMAP_VIRIDIS)[:, : max(0, width - 16)]
    end = f"{top:.0f} {unit}" if top >= 10 else f"{top:.2f} {unit}"
    (end_width, _), _ = cv2.getTextSize(end, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    place = (max(8, width - 8 - end_width), 27)
    for text, origin in (("0", (8, 27)), (end, place)):
        cv2.putText(strip, text, origin, cv2.FONT_HERSHEY_SIMPLEX, size, (230, 230, 230), 1, cv2.LINE_AA)
    stamp = f"{time:%Y-%m-%d %H:%M:%S} UTC"
    (stamp_width, _), _ = cv2.getTextSize(stamp, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    left = (width - stamp_width) // 2
    if left > 24 and left + stamp_width < place[0] - 8:
        cv2.putText(strip, stamp, (left, 27), cv2.FONT_HERSHEY_SIMPLEX, size, (230, 230, 230), 1, cv2.LINE_AA)
    return strip
