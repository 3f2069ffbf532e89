"""An order of a run from what somebody asks for: pages and other programs make it alike."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from so2cam.core.errors import InputError
from so2cam.core.records import Band
from so2cam.formats.images import FORMATS, QUANTITIES
from so2cam.station.drafts import SiteDraft
from so2cam.station.run_settings import SITE_FILE, settings_text
from so2cam.station.run_store import Kind, RunImages, RunOrder

LONGEST_NAME: Final = 60
_NAMES: Final[dict[Kind, str]] = {"live": "live results"}


@dataclass(frozen=True, slots=True)
class RunWish:
    """What somebody asks for. ``settings``, ``changes`` and ``methods``: see ``run_settings.settings_text``."""

    kind: Kind
    by: str
    start: datetime
    end: datetime
    name: str = ""
    settings: str = SITE_FILE
    changes: str = ""
    methods: tuple[str, ...] = ()
    images: RunImages | None = None
    columns_of: int | None = None
    band: Band | None = None


def order_of(wish: RunWish, draft: SiteDraft) -> RunOrder:
    """Return the order of a wish. Raises InputError or SiteFileError where it cannot be one."""
    kind, images = wish.kind, None
    if kind == "live":
        text, words = settings_text(draft, SITE_FILE, "")
    else:
        text, words = settings_text(draft, wish.settings, wish.changes, wish.methods if kind == "process" else ())
    if kind == "process":
        images = wish.images
    if images is not None:
        _require(images.formats, FORMATS, "images.formats")
        _require(images.quantities, QUANTITIES, "images.quantities")
        if images.every < 1:
            raise InputError("must be a whole number from 1 on", key="images.every", value=images.every)
    name = " ".join(wish.name.split())[:LONGEST_NAME]
    band = (wish.band or Band.ON) if kind == "film" else None
    default = f"film of the {band.value} band" if band is not None else _NAMES.get(kind, "")
    columns_of = wish.columns_of if kind == "process" else None
    return RunOrder(
        kind, name or default, wish.by, wish.start, wish.end, text, words, images, columns_of=columns_of, band=band
    )


def with_video(images: RunImages | None, quantity: str) -> RunImages:
    """Return images with a video among them, all of ``quantity``: a video shows one."""
    if images is None:
        return RunImages(("video",), (quantity,))
    return replace(images, formats=tuple(dict.fromkeys((*images.formats, "video"))), quantities=(quantity,))


def _require(given: tuple[str, ...], known: tuple[str, ...], key: str) -> None:
    unknown = [one for one in given if one not in known]
    if unknown or not given:
        raise InputError(
            "must be some of those that there are",
            key=key,
            value=", ".join(unknown) or "none",
            remedy=f"name one or more of {', '.join(known)}",
        )
