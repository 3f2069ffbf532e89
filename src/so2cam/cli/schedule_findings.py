"""What contradicts or is doubtful in a site's schedule, said on the terminal."""

from datetime import UTC, datetime

from so2cam.cli.console import report_error, report_warning
from so2cam.core.errors import SiteFileError
from so2cam.formats.sitefile import LoadedSite
from so2cam.observe.schedule import check_schedule


def report_schedule(loaded: LoadedSite, *, refuse: bool = True) -> tuple[int, int]:
    """Print risks of the schedule as warnings; return how many risks and how many contradictions it has.

    With ``refuse`` the first contradiction is raised as a SiteFileError instead of being printed.
    """
    instrument = loaded.site.instrument
    if instrument is None or instrument.schedule is None:
        return 0, 0
    risks, errors = 0, []
    for finding in check_schedule(instrument.schedule, loaded.site.camera.position, datetime.now(UTC).year):
        if finding.severity == "risk":
            risks += 1
            report_warning(f"{finding.key}: {finding.message}\n  What to do: {finding.remedy}")
        else:
            errors.append(SiteFileError(finding.message, file=loaded.path, key=finding.key, remedy=finding.remedy))
    if refuse and errors:
        raise errors[0]
    for error in errors:
        report_error(str(error))
    return risks, len(errors)
