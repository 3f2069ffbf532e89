"""Images of a run, on request: each pair's absorbance, columns and motion, handed to the writer as they are made."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from so2cam.core.site import Site
from so2cam.formats.images import ImageRecord, ImageWriter
from so2cam.pipeline.calibrated import column_image
from so2cam.pipeline.records import Observer, PairImages
from so2cam.pipeline.steps import shown_absorbance
from so2cam.science.emission.lines import LineSamples
from so2cam.science.motion.flow import REDUCTION, Flow


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """Which images are written, and how: names of ``FORMATS`` and ``QUANTITIES`` of ``so2cam.formats.images``."""

    formats: tuple[str, ...]
    quantities: tuple[str, ...]
    every: int = 1
    """of so many pairs one has images"""


def open_writer(
    request: ImageRequest | None, out: Path, lines: Sequence[LineSamples]
) -> AbstractContextManager[ImageWriter | None]:
    """Return the writer of a run's images, or a context of None where none are asked for."""
    if request is None:
        return nullcontext()
    steps = [float(samples.normal_step_m.mean()) for samples in lines]
    size = float(np.mean(steps)) if np.isfinite(steps).all() else None
    return ImageWriter(out, formats=request.formats, quantities=request.quantities, metres_per_pixel=size)


def observers(site: Site, request: ImageRequest | None, writer: ImageWriter | None, first: Observer) -> Observer:
    """Return an observer that hands every pair's images to ``first`` and, where there is one, to the writer."""
    if writer is None or request is None:
        return first

    seen = 0

    def observe(images: PairImages) -> None:
        nonlocal seen
        first(images)
        if seen % request.every == 0:
            writer.add(image_record(site, images, request))
        seen += 1

    return observe


def image_record(site: Site, images: PairImages, request: ImageRequest) -> ImageRecord:
    """Return a pair's images with everything masked that is not sky or not valid."""
    image = images.image
    absorbance = shown_absorbance(image)
    columns = flow = None
    if "columns" in request.quantities:
        columns = np.full(absorbance.shape, np.nan, np.float32)
        if images.calibration is not None:
            columns = column_image(absorbance, images.calibration)
    if "flow" in request.quantities and images.flow is not None:
        flow = full_flow_px_s(images.flow, image.valid.shape, images.interval_s)
    return ImageRecord(images.time, absorbance, columns, flow, site.plume_lines)


def full_flow_px_s(flow: Flow, shape: tuple[int, ...], interval_s: float) -> npt.NDArray[np.float32]:
    """Return the apparent velocity [px s-1], (rows, columns, 2), on the whole image; NaN where it is not known."""
    vectors = np.where(flow.valid[..., None], flow.displacement / np.float32(interval_s), np.float32(np.nan))
    full = np.full((*shape, 2), np.nan, np.float32)
    full[flow.region.slices] = np.repeat(np.repeat(vectors, REDUCTION, axis=0), REDUCTION, axis=1)
    return full
