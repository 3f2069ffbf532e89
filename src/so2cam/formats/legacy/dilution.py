"""Lines over ground for light dilution: carried as regions, whose distances are still to be given."""

from so2cam.core.errors import SiteFileError
from so2cam.core.site import Optics
from so2cam.core.site_dilution import LightDilution, TerrainRegion
from so2cam.formats.legacy.account import Account, Outcome
from so2cam.formats.legacy.choose import Settings, is_terrain, text_of
from so2cam.formats.legacy.files import FileKind, Found, FoundFile, distinct, resolve
from so2cam.formats.legacy.lines import inside_image, line_name
from so2cam.formats.legacy.parse import to_number
from so2cam.formats.lines import parse_pycam_line

_WHERE = "processing.light_dilution"
_MOST_REGIONS = 50
_MOST_MINUTES = 24 * 60
_WHAT_IS_MISSING = (
    "the old program takes their distances from a terrain model that it downloads. Give each its distance_m, or "
    'terrain_model, and set mode = "terrain"'
)


def convert_dilution(
    found: Found, settings: Settings, plume_lines: set[str], optics: Optics, account: Account
) -> LightDilution:
    """Return the table for light dilution, switched off, and settle the keys that it comes from.

    ``plume_lines`` are the names of files that are plume lines already. A line that cannot be used is named in the
    account, with the reason.
    """
    regions = _regions(_files(found, settings, plume_lines), optics, account)
    minutes = to_number(settings.values.get("dil_recal_time"))
    is_interval = minutes is not None and 0 < minutes <= _MOST_MINUTES
    if settings.file is not None:
        _settle(settings, settings.file, bool(regions), is_interval, account)
    if settings.flag("use_light_dilution"):
        lines = f"its lines over ground are in {_WHERE}.regions, but " if regions else "for lines over ground "
        account.notice(
            "The old program corrects light dilution. In so2cam it is switched off, so that values will be lower: "
            f"{lines}{_WHAT_IS_MISSING}."
        )
    if is_interval and minutes is not None:
        return LightDilution(regions=regions, recalculation_min=minutes)
    return LightDilution(regions=regions)


def _files(found: Found, settings: Settings, plume_lines: set[str]) -> list[FoundFile]:
    """Return the line files that the settings name for dilution, or those in the folder that are named as such."""
    candidates = [file for file in found.of_kind(FileKind.LINE) if file.name not in plume_lines]
    named = [file for name in settings.texts("dil_lines") for file in resolve(name, candidates)]
    others = [file for file in candidates if is_terrain(file) and not file.is_result]
    return distinct(named or others)[:_MOST_REGIONS]


def _regions(files: list[FoundFile], optics: Optics, account: Account) -> tuple[TerrainRegion, ...]:
    regions: list[TerrainRegion] = []
    for file in files:
        name = line_name(file.path.stem, {region.name for region in regions})
        try:
            line, note = inside_image(parse_pycam_line(text_of(file), name=name, file=file.path), optics, file)
        except SiteFileError as error:
            for key in ("x", "y", "orientation", "type"):
                account.settle(file.name, key, Outcome.LOOK, f"the line is not carried: {error.message}")
            continue
        if line.start is None or line.end is None:
            continue
        where = f"{_WHERE}.regions[{len(regions)}].points"
        regions.append(TerrainRegion(name=name, points=(line.start, line.end)))
        account.carry(file.name, "x", where, note)
        account.carry(file.name, "y", where, note)
        for key in ("orientation", "type"):
            account.settle(file.name, key, Outcome.OWN_WAY, "a line over ground has no side that the plume crosses to")
    return tuple(regions)


def _settle(settings: Settings, file: FoundFile, has_regions: bool, is_interval: bool, account: Account) -> None:
    if has_regions:
        account.carry(file.name, "dil_lines", f"{_WHERE}.regions", "without distances, which are not in the files")
    elif settings.texts("dil_lines"):
        account.settle(file.name, "dil_lines", Outcome.LOOK, "none of these files is in the folder, or can be used")
    if is_interval:
        account.carry(file.name, "dil_recal_time", f"{_WHERE}.recalculation_min")
    if settings.flag("use_light_dilution"):
        account.settle(file.name, "use_light_dilution", Outcome.LOOK, f"`{_WHERE}.mode` is none: {_WHAT_IS_MISSING}")
    else:
        account.carry(file.name, "use_light_dilution", f"{_WHERE}.mode", "none")
