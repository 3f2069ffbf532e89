"""What becomes of the keys that no conversion settles: the reason for each, by the kind of its file.

Keys that are carried where their file is in use are here too, with where they go: for files that are read for
nothing else, such as settings in an older form.
"""

from typing import Final

from so2cam.formats.legacy.account import Outcome

Fate = tuple[Outcome, str]

UNKNOWN: Final[Fate] = (Outcome.LOOK, "is not a key that this import knows; nothing is done with it")
DILUTION: Final[Fate] = (Outcome.OWN_WAY, "light dilution has settings of its own, `processing.light_dilution`")
DILUTION_TABLE: Final[Fate] = (Outcome.OWN_WAY, "so2cam finds light dilution in spectra by a fit, without a table")
SPECTRUM_TABLE: Final[Fate] = (
    Outcome.NOT_USED,
    (
        "no setting names it, or it could not be put beside the site file; line shapes go to "
        "`spectrometer.line_shape.file`, absorption to `spectrometer.references`"
    ),
)
FIELD_OF_VIEW: Final[Fate] = (
    Outcome.NOT_USED,
    (
        "the field of view is searched anew; `processing.calibration.spectrometer.field_of_view` with source = given, "
        "x, y and radius_px keeps this one"
    ),
)
POWER: Final[Fate] = (
    Outcome.NOT_USED,
    (
        'the power board is not in these files: `instrument.schedule.power` (mode = "follow") or windows with do = '
        '"power" say when there is power, and a device wittypi3 or wittypi4 switches it'
    ),
)
SWITCHED_OFF: Final[Fate] = (Outcome.OWN_WAY, "was switched off (commented out)")
CRONTAB_VARIABLE: Final[Fate] = (Outcome.OWN_WAY, "so2cam needs no crontab")

_FRAMES: Final[Fate] = (Outcome.OWN_WAY, "folders of frames are named by `so2cam process --frames`")
_SPECTRA: Final[Fate] = (Outcome.OWN_WAY, "folders of spectra are named by `so2cam process --spectra`; darks by name")
_WATCH: Final[Fate] = (Outcome.OWN_WAY, "folders are watched by `so2cam watch`, or those in `station.watch`")
_CLEAR: Final[Fate] = (Outcome.OWN_WAY, "clear-sky frames are found by their names in the folders of `--frames`")
_SKY: Final[Fate] = (Outcome.OWN_WAY, "plume-free sky is found anew in every pair; no box or threshold is needed")
_BOX: Final[Fate] = (
    Outcome.OWN_WAY,
    "plume-free sky is found anew in every pair, and is the airlight of light dilution too",
)
_SKY_CHECK: Final[Fate] = (Outcome.OWN_WAY, "too little plume-free sky is a status of every value")
_FLOW: Final[Fate] = (Outcome.OWN_WAY, "so2cam has a fixed value for its flow on scaled images")
_HISTOGRAM: Final[Fate] = (Outcome.OWN_WAY, "histograms are taken near each line, weighted by absorbance, without it")
_SCREEN: Final[Fate] = (Outcome.OWN_WAY, "concerns the old program's windows only")
_BUFFER: Final[Fate] = (Outcome.OWN_WAY, "so2cam keeps no buffer of images, so there is none to size or fill")
_IN_NAME: Final[Fate] = (Outcome.OWN_WAY, "read from the name or sidecar of every frame")
_TREE: Final[Fate] = (Outcome.OWN_WAY, "frames are found in every layout of folders")
_IMAGES: Final[Fate] = (
    Outcome.OWN_WAY,
    "products hold units and uncertainties, and are written whole; images are chosen when a run is ordered (`/runs`)",
)
_CALIBRATION_FILE: Final[Fate] = (
    Outcome.OWN_WAY,
    "a calibration by the spectrometer is always written: calibration.nc",
)
_GAP: Final[Fate] = (
    Outcome.OWN_WAY,
    (
        "the old program takes one spectrum that is near; so2cam interpolates between those around the image, each as "
        "far off as `processing.calibration.spectrometer.maximum_gap_s`, for which the old value is too short"
    ),
)
_RADIUS: Final[Fate] = (Outcome.OWN_WAY, "radii up to 0.15 of the image's shorter side are searched")
_OFFSET: Final[Fate] = (
    Outcome.OWN_WAY,
    "the offset is fitted, and never added to columns on lines and in images: plume-free air holds no SO2",
)
_SHIFT: Final[Fate] = (
    Outcome.OWN_WAY,
    "every fit finds shift and stretch; what is always there goes to `spectrometer.detector.wavelength_correction`",
)


def _elsewhere(where: str) -> Fate:
    return (Outcome.NOT_USED, f"is not carried from this file; `{where}` takes it")


_SETTINGS: Final[dict[Fate, str]] = {
    _FRAMES: "img_dir dark_img_dir transfer_dir cell_cal_dir init_dir dark_dir",
    _SPECTRA: "spec_dir dark_spec_dir",
    _WATCH: "watching_dir",
    _CLEAR: "bg_A_path bg_B_path bg_A bg_B bg_dark_A bg_dark_B",
    (
        Outcome.OWN_WAY,
        "no sample is dropped for its value: a baseline from the ends of each line replaces it, without its bias",
    ): "min_cd",
    _SCREEN: "plot_iter auto_bg_cmap",
    _BUFFER: "img_buff_size save_opt_flow",
    DILUTION: "dil_lines use_light_dilution I0_MIN tau_thresh dil_recal_time",
    DILUTION_TABLE: "ld_lookup_1 ld_lookup_2 grid_max_ppmm grid_increment_ppmm",
    _IMAGES: (
        "save_img_aa type_img_aa save_img_cal type_img_cal save_img_so2 type_img_so2 png_compression save_fig_so2 "
        "type_fig_so2"
    ),
    _BOX: "ambient_roi",
    _SKY: "auto_param_bg polyfit_2d_mask_thresh scale_rect xgrad_rect ygrad_rect xgrad_line ygrad_line",
    _SKY_CHECK: "ref_check_lower ref_check_upper ref_check_mode",
    _SHIFT: "shift",
    _elsewhere("spectrometer"): (
        "doas_method ILS_path include_ils_fit start_stray_wave end_stray_wave start_fit_wave end_fit_wave "
        "use_light_dilution_spec LDF spec_recal_time start_fit_wave_ld end_fit_wave_ld"
    ),
    _CALIBRATION_FILE: "save_doas_cal",
    (Outcome.OWN_WAY, "so2cam keeps calibrations of its own: `processing.calibration.spectrometer.stored`"): (
        "cal_series_path"
    ),
    _RADIUS: "maxrad_doas",
    _GAP: "max_doas_cam_dif",
    _OFFSET: "doas_cal_adjust_offset",
    _elsewhere("processing.calibration"): (
        "cal_type_int remove_doas_mins doas_recal doas_fov_recal_mins doas_fov_recal fix_fov polyorder_cal fov_rad "
        "centre_pix_x centre_pix_y use_sensitivity_mask"
    ),
    _HISTOGRAM: "min_length min_count_frac hist_dir_gnum_max hist_dir_binres hist_sigma_tol use_multi_gauss",
    _FLOW: "pyr_scale poly_n poly_sigma",
    (Outcome.OWN_WAY, "the flow is found in the rectangle around the lines"): "use_roi roi_abs",
    _elsewhere("processing.speed.nadeau"): (
        "auto_nadeau_line source_coords nadeau_line_orientation nadeau_line_length max_nad_shift auto_nadeau_pcs"
    ),
}

_DEVICE = "instrument.nodes.devices"
_NO_INSTRUMENT = "[instrument] is written where the files of both cameras are there; else "

_CAMERA: Final[dict[Fate, str]] = {
    (Outcome.NOT_USED, f"{_NO_INSTRUMENT}`{_DEVICE}.exposure_s` (seconds) takes it"): "shutter_speed",
    (Outcome.NOT_USED, f"{_NO_INSTRUMENT}`instrument.acquisition.period_s` takes one over it"): "framerate",
    (Outcome.NOT_USED, f"{_NO_INSTRUMENT}`{_DEVICE}.automatic` takes it"): (
        "min_saturation max_saturation saturation_pixels saturation_rows auto_ss"
    ),
    (Outcome.OWN_WAY, "the driver picamera2 takes raw pixels and bins them by itself"): (
        "raw_num_x raw_num_y raw_pixel_format"
    ),
    (Outcome.OWN_WAY, "the instrument keeps its data in `instrument.storage.folder`"): "save_path",
    _IN_NAME: "analog_gain meta_ext",
    _TREE: "file_sort",
}

_SPECTROMETER: Final[dict[Fate, str]] = {
    (Outcome.NOT_USED, f"no spectrometer is among the devices; `{_DEVICE}.integration_time_s` (seconds) takes it"): (
        "int_time"
    ),
    (Outcome.NOT_USED, f"no spectrometer is among the devices; `{_DEVICE}.coadds` takes it"): "coadd",
    (
        Outcome.NOT_USED,
        "no spectrometer is among the devices; `instrument.acquisition.spectrum_period_s` takes one over it",
    ): "framerate",
    (Outcome.NOT_USED, f"no spectrometer is among the devices; `{_DEVICE}.automatic` takes it"): (
        "min_saturation max_saturation saturation_pixels wavelength_min wavelength_max auto_int"
    ),
    (Outcome.NOT_USED, f"no spectrometer is among the devices; `{_DEVICE}.model` takes it"): "model",
    (Outcome.OWN_WAY, "the driver asks the spectrometer"): "pix_num",
    (Outcome.OWN_WAY, "counts from `spectrometer.detector.saturation_counts` on are saturated"): "bit_depth",
    (Outcome.OWN_WAY, "the field of view is found in the images, or given in their pixels"): "fov",
    (Outcome.OWN_WAY, "the instrument keeps its data in `instrument.storage.folder`"): "save_path",
    _TREE: "file_sort",
}

_SPECTRUM_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "file_ext": (".npy",),
    "file_datestr": ("%Y-%m-%dT%H%M%S",),
    "file_ss": ("{}ss",),
    "file_int_units": ("0.001", "1e-3", "1e-03", ".001"),
    "file_type.meas": ("Plume",),
    "file_type.dark": ("Dark",),
    "file_type.cal": ("ppmm",),
    "file_type.clear": ("Clear",),
    "file_type.test": ("Test",),
}
"""Parts of the names of spectra as so2cam reads them; the old program could be told others."""

_CONFIG: Final[dict[Fate, str]] = {
    (
        Outcome.NOT_USED,
        (
            "the node's address stands in `instrument.nodes.network.address` with its prefix length (192.168.5.5/24), "
            "which is not in these files; the station is told it when the two are paired (`so2cam pair`)"
        ),
    ): "host_ip pi_ip local_ip listen_ip ip_address",
    (Outcome.OWN_WAY, "one port is enough, for commands, data and live values: `instrument.link.port`"): (
        "port_comm port_transfer port_ext port comm_ports transfer_ports ext_ports"
    ),
    (Outcome.OWN_WAY, "the instrument keeps its data in `instrument.storage.folder`, the station in its own"): (
        "data_dir local_data_dir"
    ),
    (Outcome.OWN_WAY, "one site file holds all of it"): "cam_specs cam_specs_on cam_specs_off spec_specs",
    (Outcome.OWN_WAY, "the agent is one program, `so2cam instrument run`"): (
        "cam_script spec_script master_script remote_scripts local_scripts"
    ),
    (Outcome.OWN_WAY, "`instrument.schedule` says what is done when, without programs"): (
        "start_script stop_script dark_script"
    ),
    (Outcome.OWN_WAY, "temperatures and disks are in every health record (`instrument.health`)"): (
        "temp_log disk_space_script"
    ),
    (Outcome.OWN_WAY, "delivered data is deleted when the disk fills up (`instrument.storage`)"): "free_space_ssd",
    (Outcome.OWN_WAY, "the agent watches its devices, and systemd the agent"): "check_run",
    (Outcome.OWN_WAY, "`publication` copies to Dropbox and others, from the station"): "dbx_script",
}

_JOBS: Final[tuple[tuple[str, Fate], ...]] = (
    ("temp", (Outcome.OWN_WAY, "temperatures are in every health record (`instrument.health`)")),
    ("free_space", (Outcome.OWN_WAY, "delivered data is deleted when the disk fills up (`instrument.storage`)")),
    ("disk_space", (Outcome.OWN_WAY, "disks are in every health record, with alarms (`instrument.health`)")),
    ("check_run", (Outcome.OWN_WAY, "the agent watches its devices, and systemd the agent")),
    ("upload", (Outcome.OWN_WAY, "`publication` copies to Dropbox and others, from the station")),
)
"""What a program in a crontab is for, by a part of its name."""
JOB: Final[Fate] = (
    Outcome.NOT_USED,
    "[instrument] is written where the files of both cameras are there; else `instrument.schedule.windows` takes it",
)
OTHER_JOB: Final[Fate] = (Outcome.LOOK, "is no program that this import knows; nothing is done with it")


def _by_key(table: dict[Fate, str]) -> dict[str, Fate]:
    return {key: fate for fate, keys in table.items() for key in keys.split()}


SETTINGS_FATES: Final = _by_key(_SETTINGS)
CAMERA_FATES: Final = _by_key(_CAMERA)
_SPECTROMETER_FATES: Final = _by_key(_SPECTROMETER)
CONFIG_FATES: Final = _by_key(_CONFIG)


def settings_fate(key: str) -> Fate:
    """Return what becomes of a key of the processing settings, nested or not."""
    if key.startswith("species_paths."):
        return _elsewhere("spectrometer.references")
    return SETTINGS_FATES.get(key, UNKNOWN)


def spectrometer_fate(key: str, value: str) -> Fate:
    """Return what becomes of a key of a spectrometer's file: names of spectra are read in one form only."""
    known = _SPECTRUM_NAMES.get(key)
    if known is None:
        return _SPECTROMETER_FATES.get(key, UNKNOWN)
    if value.casefold() in (one.casefold() for one in known):
        return (Outcome.OWN_WAY, "so2cam reads names of spectra in this form")
    return (Outcome.LOOK, f"so2cam reads {known[0]} only, or other files as `spectrometer.files` says")


def job_fate(command: str) -> Fate | None:
    """Return what becomes of a program in a crontab; None for one that is not known."""
    return next((fate for part, fate in _JOBS if part in command.lower()), None)
