"""What every product says of its making, and how its times are kept."""

from datetime import UTC, datetime, timedelta
from typing import Final

from so2cam.core.records import Provenance
from so2cam.core.times import format_utc, require_utc
from so2cam.formats.sitefile import canonical_settings

CONVENTIONS: Final = "CF-1.11"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def provenance_attributes(provenance: Provenance, *, title: str, instrument: str, references: str) -> dict[str, str]:
    """Return the global attributes of a product: ``title`` of site, made from the data of ``instrument``."""
    created = format_utc(provenance.created)
    return {
        "Conventions": CONVENTIONS,
        "title": f"{title}, {provenance.site_name}",
        "source": f"{instrument}, processed with so2cam {provenance.software_version}",
        "history": f"{created} so2cam {provenance.software_version}: {provenance.command}",
        "references": references,
        "site": provenance.site_name,
        "software_version": provenance.software_version,
        "command": provenance.command,
        "date_created": created,
        "settings": canonical_settings(provenance.settings),
        "settings_sha256": provenance.settings_sha256,
    }


def to_milliseconds(time: datetime) -> int:
    """Return whole milliseconds since 1970, rounded as ``format_utc`` rounds."""
    return ((require_utc(time) - _EPOCH) // timedelta(microseconds=1) + 500) // 1000


def from_milliseconds(value: int) -> datetime:
    """Return the time, UTC, that is ``value`` milliseconds after 1970."""
    return _EPOCH + timedelta(milliseconds=value)
