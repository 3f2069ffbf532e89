"""Areas of the image that the site file names."""

from so2cam.core.errors import InputError
from so2cam.core.site import Site


def calibration_region(site: Site) -> tuple[slice, slice]:
    """Return the area where cells are read, as an index of an image: all of it where none is given."""
    region = site.processing.calibration.region
    if region is None:
        return slice(None), slice(None)
    x0, y0, x1, y1 = (round(value) for value in region)
    optics = site.camera.optics
    if x1 < 0 or y1 < 0 or x0 >= optics.width_px or y0 >= optics.height_px:
        raise InputError(
            f"lies outside the image of {optics.width_px} x {optics.height_px} pixels",
            key="processing.calibration.region",
            value=region,
            remedy="give (x0, y0, x1, y1) of an area within the image, or leave it out to use all of it",
        )
    return slice(max(y0, 0), y1 + 1), slice(max(x0, 0), x1 + 1)
