"""The import of an existing installation as a site that `so2cam check` takes: lines and schedule are looked at."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from so2cam.core.site import Site
from so2cam.core.site_schedule import Action
from so2cam.formats.legacy import LegacyImport, Wishes, import_legacy
from so2cam.observe.schedule import check_schedule
from so2cam.pipeline.geometry import lines_at_plume

_LEFT_OUT_FIRST: Final[tuple[Action, ...]] = ("darks", "capture")


def import_site(
    folder: Path, wishes: Wishes | None = None, *, report_name: str = "the report", can_copy: bool = False
) -> LegacyImport:
    """Return what ``import_legacy`` makes, without parts of the old schedule that contradict at the camera's place.

    Raises InputError and SiteFileError as that does, and where a line does not cross the plume's plane.
    """
    wishes = wishes or Wishes()
    made = import_legacy(folder, wishes, report_name=report_name, can_copy=can_copy)
    for action in _LEFT_OUT_FIRST:
        reason = _contradiction(made.site)
        if reason is None:
            break
        wishes = replace(wishes, without={**wishes.without, action: reason})
        made = import_legacy(folder, wishes, report_name=report_name, can_copy=can_copy)
    lines_at_plume(made.site)
    return made


def _contradiction(site: Site) -> str | None:
    if site.instrument is None or site.instrument.schedule is None:
        return None
    findings = check_schedule(site.instrument.schedule, site.camera.position, datetime.now(UTC).year)
    return next((finding.message for finding in findings if finding.severity == "error"), None)
