"""Where results of the catalogue are from: the runs that made them, with which settings, version and files.

A catalogue outlives changes of its site file and updates of the software, so neither is taken from today: a product
holds the site file's settings only where they are those of its results.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from so2cam import __version__
from so2cam.core.records import Provenance
from so2cam.formats.sitefile import LoadedSite, settings_hash
from so2cam.pipeline.output import as_text
from so2cam.station.catalogue import Catalogue, Run
from so2cam.station.live_day import processing_hash

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ResultOrigin:
    """The runs that made results, the oldest first, and the files that they used: (path in the archive, SHA-256)."""

    runs: tuple[Run, ...]
    inputs: tuple[tuple[str, str], ...]

    @property
    def software_version(self) -> str:
        """The version that made them; all, where there were several."""
        return ", ".join(dict.fromkeys(run.software_version for run in self.runs)) or UNKNOWN

    def is_of(self, loaded: LoadedSite) -> bool:
        """Return whether all runs had these settings, of those on which numbers depend."""
        return {run.settings_sha256 for run in self.runs} == {processing_hash(loaded.site)}

    def settings_sha256(self, loaded: LoadedSite) -> str:
        """Return the hash of the settings ``loaded`` where they are those of the runs, else the hashes of the runs'."""
        if self.is_of(loaded):
            return settings_hash(loaded.settings)
        return ", ".join(dict.fromkeys(run.settings_sha256 for run in self.runs)) or UNKNOWN

    def notes(self, loaded: LoadedSite) -> tuple[str, ...]:
        """Return what is to be said where the runs had other settings, or were by another version, than now."""
        listed = "; ".join(
            dict.fromkeys(
                f"{run.day} with settings {run.settings_sha256[:16]} by so2cam {run.software_version}"
                for run in self.runs
            )
        )
        said = []
        if not self.is_of(loaded):
            said.append(
                "results that were made with other settings than those of the site file now, which are left out: "
                f"{listed or UNKNOWN}"
            )
        elif self.software_version != __version__:
            said.append(f"results of another version than this one, {__version__}: {listed}")
        return tuple(said)

    def content(self, loaded: LoadedSite) -> dict[str, Any]:
        """Return all of it as JSON has it, as ``provenance_of`` takes it; ``loaded`` is the site file now."""
        return {
            "inputs": list(self.inputs),
            "version": self.software_version,
            "settings_sha256": self.settings_sha256(loaded),
            "same_settings": self.is_of(loaded),
            "notes": list(self.notes(loaded)),
        }


def provenance_of(content: Mapping[str, Any], loaded: LoadedSite, command: str) -> Provenance:
    """Return what a product says of its making: of settings only their hash where ``loaded`` has others now."""
    same = content["same_settings"]
    site_file = ((as_text(str(loaded.path)), loaded.sha256),) if same else ()
    return Provenance(
        software_version=content["version"],
        site_name=loaded.site.name,
        settings=loaded.settings if same else {},
        settings_sha256=content["settings_sha256"],
        input_sha256=(*site_file, *((name, digest) for name, digest in content["inputs"])),
        command=as_text(command),
        created=datetime.now(UTC),
    )


def result_origin(catalogue: Catalogue, site: str, *, start: datetime, end: datetime) -> ResultOrigin:
    """Return where the results of ``start`` <= time < ``end`` are from."""
    runs = catalogue.result_runs(site, start=start, end=end)
    inputs: dict[str, str] = {}
    for run in runs:
        unused = {file for file, _ in catalogue.unused(run.id)}
        ids = [*run.inputs, *(entry.file for entry in catalogue.fed(run.id) if entry.file is not None)]
        files = catalogue.files_by_id(key for key in ids if key not in unused)
        inputs |= {file.path: file.sha256 for file in files.values()}
    return ResultOrigin(tuple(runs), tuple(sorted(inputs.items())))
