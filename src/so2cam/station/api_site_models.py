"""What the interface says of a site file, its draft and its versions, and what it is told: the shapes of its JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from so2cam.formats.siteedit import key_text
from so2cam.station.api_errors import EditOut, KeyChangeOut, ProblemOut, plain_json
from so2cam.station.draft_edits import DraftState, Version
from so2cam.station.key_rows import KeyRow
from so2cam.station.site_check import Finding
from so2cam.station.site_import import Imported

Revision = Annotated[int, Field(ge=0, le=2**53, description="of the draft as you read it; another one is refused: 409")]
Key = Annotated[str, Field(min_length=1, max_length=300, examples=["processing.background.mode", "lines.near.start"])]
Words = Annotated[str, Field(max_length=500)]


class VersionOut(BaseModel):
    """A site file that was in force from ``time`` on."""

    number: int
    time: datetime
    by: str
    note: str
    sha256: str

    @classmethod
    def of(cls, version: Version) -> "VersionOut":
        """Return a version as it is told."""
        return cls(**{name: getattr(version, name) for name in cls.model_fields})


class SiteFileOut(BaseModel):
    """A site file that is saved."""

    site: str
    version: int = Field(description="its number; that of the newest for the file in force")
    written: dict[str, Any] = Field(description="what stands in the file")
    settings: dict[str, Any] | None = Field(description="complete, with defaults; null where it is not valid")


class DraftOut(BaseModel):
    """The draft, which all share who set the site up."""

    site: str
    revision: int = Field(description="another number, another draft; whoever changes it sends this")
    version: int = Field(description="number of the version that it stands on")
    changed: bool = Field(description="whether it differs from the saved file")
    problem: ProblemOut | None = Field(description="the first thing that is wrong in it")
    edits: list[EditOut]
    notes: list[str] = Field(description="what could not be put on top of a file that was changed by hand")
    written: dict[str, Any] = Field(description="what stands in it")

    @classmethod
    def of(cls, site: str, state: DraftState, version: int, written: Any) -> "DraftOut":
        """Return a draft as it is told."""
        return cls(
            site=site,
            revision=state.number,
            version=version,
            changed=state.changed,
            problem=None if state.problem is None else ProblemOut.of(state.problem),
            edits=[EditOut.of(edit) for edit in state.edits],
            notes=list(state.notes),
            written=plain_json(written),
        )


class KeyOut(BaseModel):
    """A key of the site file, explained. ``value`` is what holds in the draft; ``saved`` what the saved file says."""

    key: str
    role: Literal["key", "table", "tables", "element"]
    kind: str
    origin: Literal["file", "default", "absent", "needed"]
    value: Any
    saved: Any
    changed: bool
    description: str
    unit: str
    choices: list[str]
    limits: str
    required: bool

    @classmethod
    def of(cls, row: KeyRow) -> "KeyOut":
        """Return a row as it is told."""
        info = row.info
        return cls(
            key=row.text,
            role=row.role,
            kind=info.kind,
            origin=row.origin,
            value=plain_json(row.value) if row.role == "key" else None,
            saved=plain_json(row.saved) if row.role == "key" else None,
            changed=row.changed,
            description=info.description,
            unit=info.unit,
            choices=list(info.choices),
            limits=info.limits,
            required=info.required,
        )


class FindingOut(BaseModel):
    """Something that is wrong, or risky. ``key`` is null where it is about the text as a whole."""

    kind: Literal["wrong", "risk"]
    key: str | None
    message: str
    remedy: str

    @classmethod
    def of(cls, finding: Finding) -> "FindingOut":
        """Return a finding as it is told."""
        key = None if finding.path is None else key_text(finding.path)
        return cls(kind=finding.kind, key=key, message=finding.message, remedy=finding.remedy)


class CheckOut(BaseModel):
    """All that is wrong in the draft; where nothing is, all that is risky."""

    revision: int
    valid: bool
    findings: list[FindingOut]


class ComparisonOut(BaseModel):
    """What differs. Where one of the two is not valid, ``problem`` says why and only the text is compared."""

    keys: list[KeyChangeOut]
    text: str = Field(description="a unified diff; empty where the texts are the same")
    problem: ProblemOut | None = None


class ImportOut(BaseModel):
    """What was made of an installation's files, and whether it is in the draft now."""

    source: str
    text: str = Field(description="the site file that was made")
    notices: list[str] = Field(description="what must be known at once")
    counts: dict[str, int]
    report: str = Field(description="what became of every key of every file, in Markdown")
    findings: list[FindingOut]
    taken: bool
    revision: int

    @classmethod
    def of(cls, made: Imported, text: str, findings: tuple[Finding, ...], *, taken: bool, revision: int) -> "ImportOut":
        """Return an import as it is told."""
        return cls(
            source=made.source,
            text=text,
            notices=list(made.notices),
            counts=dict(made.counts),
            report=made.report,
            findings=[FindingOut.of(one) for one in findings],
            taken=taken,
            revision=revision,
        )


# --- what is told --------------------------------------------------------------------------------------------------


class Told(BaseModel):
    """What every change of the draft says."""

    model_config = ConfigDict(extra="forbid")

    revision: Revision


class KeyValue(BaseModel):
    """A key and its new value; null takes the key, or the table, out of the file."""

    model_config = ConfigDict(extra="forbid")

    key: Key
    value: Any = Field(description="as JSON; a table is an object, an array of tables a list of objects")


class Changes(Told):
    """Keys that change at once."""

    changes: Annotated[list[KeyValue], Field(min_length=1, max_length=1000)]
    what: Words = Field(default="", description="the change in words")


class NewTable(Told):
    """Another table of an array of tables."""

    key: Key = Field(description="of the array, as lines or instrument.nodes")
    name: Annotated[str, Field(max_length=100)] = ""
    values: dict[str, Any] = {}


class NewText(Told):
    """The whole text of the draft."""

    text: Annotated[str, Field(max_length=1_000_000)]
    what: Words = "change the text"


class Restored(Told):
    """A version that is put into the draft."""

    version: Annotated[int, Field(ge=1, le=2**31)]


class Saved(Told):
    """The draft is to be saved. ``version``: the one that it stood on when you looked."""

    version: Annotated[int, Field(ge=1, le=2**31)]
    note: Annotated[str, Field(min_length=1, max_length=500)]


class SavedOut(BaseModel):
    """The new version, and when the station works with it."""

    version: VersionOut
    revision: int
    takes_up: Literal["at once", "at the next start"]
