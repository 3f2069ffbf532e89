"""From the chosen files of an installation to a site, with every key settled in the account."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from so2cam.core.errors import SiteFileError
from so2cam.core.site import Camera, GeoPoint, Instrument, Optics, PlumePlane, Registration, Site, View, Volcano
from so2cam.formats.legacy.account import Account, FileAccount, Outcome, plain
from so2cam.formats.legacy.calibration import convert_calibration
from so2cam.formats.legacy.choose import (
    Settings,
    Wishes,
    choose_cameras,
    choose_geometry,
    choose_lines,
    choose_registration,
    choose_settings,
    text_of,
)
from so2cam.formats.legacy.dilution import convert_dilution
from so2cam.formats.legacy.files import FileKind, Found, FoundFile, search
from so2cam.formats.legacy.instrument import convert_instrument
from so2cam.formats.legacy.lines import PLACEHOLDER, LegacyLine, correlation_pair, placeholder, read_lines
from so2cam.formats.legacy.listing import list_file, list_found
from so2cam.formats.legacy.optics import convert_camera
from so2cam.formats.legacy.parse import parse_key_values, read_matrix, to_number
from so2cam.formats.legacy.processing import convert_processing
from so2cam.formats.legacy.schedule import convert_schedule
from so2cam.formats.legacy.sitetext import Sources, format_site
from so2cam.formats.legacy.spectra import Copies, convert_spectrometer
from so2cam.formats.legacy.tables import make_table
from so2cam.formats.legacy.volcanoes import TABLE_UNCERTAINTY_M, VENTS, find_vent


@dataclass(frozen=True, slots=True)
class LegacyImport:
    """A site made from an existing installation, its commented text, and the account of all files and keys.

    ``notices`` are what the user must know at once. ``others`` counts files that are no settings, by ending.
    ``copies`` are files that the text names, with what belongs into them, beside the site file.
    """

    folder: Path
    site: Site
    text: str
    files: tuple[FileAccount, ...]
    notices: tuple[str, ...]
    others: dict[str, int]
    not_searched: tuple[tuple[str, str], ...]
    copies: Mapping[str, bytes]

    def count(self, outcome: Outcome) -> int:
        """Return how many keys and whole files had this outcome."""
        keys = sum(entry.outcome is outcome for file in self.files for entry in file.entries.values())
        return keys + sum(file.outcome is outcome for file in self.files)


def import_legacy(
    folder: Path, wishes: Wishes | None = None, *, report_name: str = "the report", can_copy: bool = False
) -> LegacyImport:
    """Return the site of the installation whose setting files lie below ``folder``.

    Raises InputError where files are missing or several fit, and SiteFileError, with file and key, where one that
    is needed is damaged or holds an impossible value. ``report_name`` is named in the text of the site. Only with
    ``can_copy`` does the site name files, which are then in ``copies``.
    """
    wishes = wishes or Wishes()
    account = Account()
    found = search(folder)
    settings = choose_settings(found, wishes.settings)
    geometry = choose_geometry(found, settings, wishes.geometry)
    on_camera, off_camera = choose_cameras(found)
    line_files = choose_lines(found, settings, wishes.lines, account)
    registration_file = choose_registration(found, settings, wishes.registration, account)

    used = [geometry, settings.file, on_camera, off_camera, registration_file, *line_files]
    chosen = {file.name: file for file in used if file is not None}
    list_found(found, chosen.keys(), account)
    for file in chosen.values():
        if file not in found.files:
            list_file(file, is_used=True, account=account)

    volcano, position, view, plane = _convert_geometry(geometry, settings, wishes.vent, account)
    camera = convert_camera(on_camera, off_camera, account)
    lines = read_lines(line_files, camera.optics, account, is_wish=bool(wishes.lines))
    _settle_lines(settings, lines, account)
    matrix = _convert_registration(registration_file, settings, account)
    pair = correlation_pair(lines)
    processing = convert_processing(settings, lines, pair, account)
    calibration = convert_calibration(settings, camera.optics, account)
    copies = Copies(is_possible=can_copy)
    spectrometer = convert_spectrometer(found, settings, account, copies)
    instrument = _convert_instrument(found, (on_camera, off_camera), settings, camera.optics, wishes, account)
    dilution = convert_dilution(found, settings, {file.name for file in line_files}, camera.optics, account)
    site = make_table(
        Site,
        geometry,
        {},
        name=_site_name(volcano.name),
        volcano=volcano,
        camera=Camera(position=position, view=view, optics=camera.optics, sensor=camera.sensor),
        files=camera.files,
        registration=matrix,
        plume_plane=plane,
        lines=tuple(line.line for line in lines) or (placeholder(camera.optics),),
        processing=processing.model_copy(update={"light_dilution": dilution, "calibration": calibration}),
        spectrometer=spectrometer,
        instrument=instrument,
    )
    sources = Sources(
        folder=plain(folder.resolve().name),
        report=plain(report_name),
        geometry=geometry.name,
        camera=on_camera.name if on_camera else None,
        registration=registration_file.name if registration_file else None,
        settings=settings.file.name if settings.file else None,
        lines=tuple(line.file for line in lines),
        lens_note=camera.lens_note,
        devices=tuple(
            file.name
            for file in found.files
            if file in (on_camera, off_camera) or file.kind in (FileKind.SPECTROMETER, FileKind.CRONTAB)
        ),
        is_vent_from_table=wishes.vent is None,
    )
    return LegacyImport(
        folder=folder,
        site=site,
        text=format_site(site, sources),
        files=account.files,
        notices=account.notices,
        others=dict(sorted(found.others.items())),
        not_searched=tuple(found.not_searched),
        copies=copies.files,
    )


def _convert_instrument(
    found: Found,
    cameras: tuple[FoundFile | None, FoundFile | None],
    settings: Settings,
    optics: Optics,
    wishes: Wishes,
    account: Account,
) -> Instrument | None:
    on, off = cameras
    if on is None or off is None or on.name == off.name:
        return None
    is_utc = to_number(settings.values.get("time_zone", 0)) == 0
    schedule = convert_schedule(found, is_utc=is_utc, left_out=wishes.without, account=account)
    return convert_instrument(found, (on, off), optics.height_px, schedule, account)


# --- geometry ----------------------------------------------------------------------------------------------------


def _convert_geometry(
    file: FoundFile, settings: Settings, vent: GeoPoint | None, account: Account
) -> tuple[Volcano, GeoPoint, View, PlumePlane]:
    values = parse_key_values(text_of(file)).values
    numbers = {key: _number(file, values, key) for key in ("lat", "lon", "altitude", "elev", "azim")}
    offset_m = _number(file, values, "alt_offset") if "alt_offset" in values else 0.0
    keys = {"latitude": "lat", "longitude": "lon", "altitude_m": "altitude"}
    position = make_table(
        GeoPoint,
        file,
        keys,
        latitude=numbers["lat"],
        longitude=numbers["lon"],
        altitude_m=round(numbers["altitude"] + offset_m, 3),
    )
    view_keys = {"azimuth_deg": "azim", "elevation_deg": "elev"}
    view = make_table(View, file, view_keys, azimuth_deg=numbers["azim"], elevation_deg=numbers["elev"])
    name = values.get("volcano", "").strip()
    if not name:
        raise SiteFileError("is missing", file=file.path, key="volcano", remedy="add a row volcano=NAME")
    plane = PlumePlane()
    if vent is None:
        vent = find_vent(name)
        if vent is None:
            raise SiteFileError(
                "is not among the volcanoes whose vents so2cam knows",
                file=file.path,
                key="volcano",
                value=plain(name),
                remedy=f"give the vent with --vent LAT,LON,ALT (known are {', '.join(VENTS)})",
            )
        plane = PlumePlane(vent_distance_uncertainty_m=TABLE_UNCERTAINTY_M)
        account.notice(
            f"The vent of {plain(name)} is that of so2cam's table ({vent.latitude}, {vent.longitude}, "
            f"{vent.altitude_m:g} m), good to some {TABLE_UNCERTAINTY_M:g} m: give your own with --vent."
        )
    for key, where in (
        ("lat", "camera.position.latitude"),
        ("lon", "camera.position.longitude"),
        ("altitude", "camera.position.altitude_m"),
        ("azim", "camera.view.azimuth_deg"),
        ("elev", "camera.view.elevation_deg"),
    ):
        account.carry(file.name, key, where)
    account.carry(file.name, "alt_offset", "camera.position.altitude_m", "added to altitude")
    account.carry(file.name, "volcano", "volcano.name", "the old program looks up the vent by it")
    if settings.file is not None:
        account.settle(settings.file.name, "default_cam_geom", Outcome.CARRIED, f"the geometry in use is {file.name}")
    return Volcano(name=plain(name), vent=vent), position, view, plane


def _number(file: FoundFile, values: dict[str, str], key: str) -> float:
    if key not in values:
        raise SiteFileError("is missing", file=file.path, key=key, remedy=f"add a row {key}=...")
    number = to_number(values[key])
    if number is None:
        raise SiteFileError("must be a number", file=file.path, key=key, value=values[key], remedy="correct it")
    return number


def _site_name(volcano: str) -> str:
    letters = "".join(c if c.isascii() and c.isalnum() else "-" for c in volcano.lower())[:60].strip("-")
    return letters or "site"


# --- lines and registration --------------------------------------------------------------------------------------


def _settle_lines(settings: Settings, lines: list[LegacyLine], account: Account) -> None:
    if not lines:
        account.notice(
            f'No usable line was found: the line "{PLACEHOLDER}" is a PLACEHOLDER - draw your own in the site file, '
            "or name line files with --lines. Its emission rates mean nothing."
        )
    adds = [line.line.name for line in lines if line.age != "old"]
    if len(adds) > 1:
        account.notice(
            f"The old program adds up its lines; here {', '.join(adds)} cross one plume, and its total is that of "
            "the first. Lines across another plume need another name in `plume`."
        )
    if settings.file is None:
        return
    if lines:
        account.carry(settings.file.name, "pcs_lines", "lines", "from " + ", ".join(line.file for line in lines))
    else:
        account.settle(
            settings.file.name,
            "pcs_lines",
            Outcome.LOOK,
            "none of these files is in the folder; a placeholder stands in",
        )


def _convert_registration(file: FoundFile | None, settings: Settings, account: Account) -> Registration:
    owner = settings.file.name if settings.file else None
    if file is None:
        name = settings.text("img_registration")
        is_pickle = name is not None and not name.lower().endswith(".npy")
        why = "it is no .npy file (pickles are never read)" if is_pickle else "the file is not in the folder"
        if owner is not None:
            account.settle(owner, "img_registration", Outcome.LOOK, f"{why}; `registration.source` is automatic")
        account.notice(
            "No registration was found: each run finds how the off band lies on the on band in its own frames "
            "(registration.source). See at /setup/registration how well, or name a 2 x 3 .npy file with --registration."
        )
        return Registration(source="automatic")
    registration = make_table(
        Registration, file, {}, "register again, or remove the file", matrix=read_matrix(file.path)
    )
    account.add_file(file.name, file.kind.value, Outcome.CARRIED, "`registration.matrix`")
    if owner is not None:
        account.carry(owner, "img_registration", "registration.matrix", f"from {file.name}")
    return registration
