"""Messages for somebody who aims the cameras: what they should see, and whether all is well."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Sight(_Message):
    """Where do the cameras look, what should they see, and between which exposures?"""

    type: Literal["sight"] = "sight"


class Examine(_Message):
    """Is everything well before the case is closed? Takes some seconds."""

    type: Literal["examine"] = "examine"


class Place(_Message):
    """A place as a camera sees it; ``x`` and ``y`` are its pixel, where it is before the camera."""

    name: str
    azimuth_deg: float
    elevation_deg: float
    distance_m: float
    x: float | None = None
    y: float | None = None


class CameraSight(_Message):
    """A camera as the site file has it: what it should see. Pixels are those of the stored image.

    ``horizon`` is the line of elevation 0 from the left edge to the right one, null where it is not in the image.
    """

    device: str
    band: Literal["on", "off"]
    width_px: int
    height_px: int
    maximum_dn: int
    shortest_exposure_s: float
    longest_exposure_s: float
    azimuth_deg: float
    elevation_deg: float
    roll_deg: float
    field_of_view_deg: tuple[float, float]
    horizon: tuple[tuple[float, float], tuple[float, float]] | None = None
    places: tuple[Place, ...] = ()


class SightResult(_Message):
    """What each camera of the node should see."""

    type: Literal["sight"] = "sight"
    cameras: tuple[CameraSight, ...]


class Finding(_Message):
    """One thing that was looked at; ``remedy`` says what to do where it is bad."""

    topic: str
    title: str
    verdict: Literal["good", "bad", "none"]
    text: str
    remedy: str | None = None


class ExamineResult(_Message):
    """What the examination found. ``good``: nothing is bad."""

    type: Literal["examined"] = "examined"
    time: AwareDatetime
    good: bool
    findings: tuple[Finding, ...]
