"""What becomes of the keys that the import does not carry itself: the reason for each, by the kind of its file."""

from typing import Final

from so2cam.formats.legacy.account import Outcome

Fate = tuple[Outcome, str]

SPECTROMETER: Final[Fate] = (Outcome.NOT_YET, "needs the spectrometer")
DILUTION: Final[Fate] = (Outcome.OWN_WAY, "light dilution has settings of its own, `processing.light_dilution`")
DILUTION_TABLE: Final[Fate] = (Outcome.OWN_WAY, "so2cam finds light dilution in spectra by a fit, without a table")
INSTRUMENT: Final[Fate] = (Outcome.NOT_YET, "needs the control of the instrument")
SCHEDULE: Final[Fate] = (Outcome.NOT_YET, "needs the schedule of the instrument")
LINK: Final[Fate] = (Outcome.NOT_YET, "needs the link to the instrument")
LIVE: Final[Fate] = (Outcome.NOT_YET, "needs processing while images arrive")
IMAGES: Final[Fate] = (Outcome.NOT_YET, "needs the saving of images and figures")
HISTOGRAM: Final[Fate] = (Outcome.NOT_YET, "needs the histogram speed methods")
NADEAU: Final[Fate] = (Outcome.NOT_YET, "needs the Nadeau speed method")
CAMERA_DOAS: Final[Fate] = (Outcome.NOT_YET, "needs the calibration by the spectrometer")
UNKNOWN: Final[Fate] = (Outcome.LOOK, "is not a key that this import knows; nothing is done with it")

_FRAMES: Final[Fate] = (Outcome.OWN_WAY, "folders of frames are named by `so2cam process --frames`")
_CLEAR: Final[Fate] = (Outcome.OWN_WAY, "clear-sky frames are found by their names in the folders of `--frames`")
_SKY: Final[Fate] = (Outcome.OWN_WAY, "plume-free sky is found anew in every pair; no box or threshold is needed")
_BOX: Final[Fate] = (
    Outcome.OWN_WAY,
    "plume-free sky is found anew in every pair, and is the airlight of light dilution too",
)
_SKY_CHECK: Final[Fate] = (Outcome.OWN_WAY, "too little plume-free sky is a status of every value")
_FLOW: Final[Fate] = (Outcome.OWN_WAY, "so2cam has a fixed value for its flow on scaled images")
_SCREEN: Final[Fate] = (Outcome.OWN_WAY, "concerns the old program's windows only")
_BUFFER: Final[Fate] = (Outcome.OWN_WAY, "so2cam keeps no buffer of images, so there is none to size or fill")
_IN_NAME: Final[Fate] = (Outcome.OWN_WAY, "read from the name or sidecar of every frame")
_TREE: Final[Fate] = (Outcome.OWN_WAY, "frames are found in every layout of folders")

_SETTINGS: Final[dict[Fate, str]] = {
    _FRAMES: "img_dir dark_img_dir transfer_dir cell_cal_dir init_dir dark_dir",
    LIVE: "watching_dir",
    _CLEAR: "bg_A_path bg_B_path bg_A bg_B bg_dark_A bg_dark_B",
    (
        Outcome.OWN_WAY,
        "no sample is dropped for its value: a baseline from the ends of each line replaces it, without its bias",
    ): "min_cd",
    _SCREEN: "plot_iter auto_bg_cmap",
    _BUFFER: "img_buff_size save_opt_flow",
    DILUTION: "dil_lines use_light_dilution I0_MIN tau_thresh dil_recal_time",
    DILUTION_TABLE: "ld_lookup_1 ld_lookup_2 grid_max_ppmm grid_increment_ppmm",
    IMAGES: (
        "save_img_aa type_img_aa save_img_cal type_img_cal save_img_so2 type_img_so2 png_compression save_fig_so2 "
        "type_fig_so2"
    ),
    _BOX: "ambient_roi",
    _SKY: "auto_param_bg polyfit_2d_mask_thresh scale_rect xgrad_rect ygrad_rect xgrad_line ygrad_line",
    _SKY_CHECK: "ref_check_lower ref_check_upper ref_check_mode",
    SPECTROMETER: (
        "spec_dir dark_spec_dir doas_method ILS_path include_ils_fit start_stray_wave end_stray_wave start_fit_wave "
        "end_fit_wave shift use_light_dilution_spec LDF spec_recal_time start_fit_wave_ld end_fit_wave_ld"
    ),
    CAMERA_DOAS: (
        "cal_series_path save_doas_cal maxrad_doas remove_doas_mins doas_recal doas_fov_recal_mins doas_fov_recal "
        "fix_fov max_doas_cam_dif polyorder_cal fov_rad centre_pix_x centre_pix_y doas_cal_adjust_offset"
    ),
    (Outcome.NOT_YET, "needs the correction of the filters' sensitivity across the image"): "use_sensitivity_mask",
    HISTOGRAM: "min_length min_count_frac hist_dir_gnum_max hist_dir_binres hist_sigma_tol use_multi_gauss",
    _FLOW: "pyr_scale poly_n poly_sigma",
    (Outcome.OWN_WAY, "the flow is found in the rectangle around the lines"): "use_roi roi_abs",
    NADEAU: ("auto_nadeau_line source_coords nadeau_line_orientation nadeau_line_length max_nad_shift auto_nadeau_pcs"),
}

_CAMERA: Final[dict[Fate, str]] = {
    INSTRUMENT: (
        "shutter_speed framerate min_saturation max_saturation saturation_pixels saturation_rows auto_ss raw_num_x "
        "raw_num_y raw_pixel_format save_path"
    ),
    _IN_NAME: "analog_gain meta_ext",
    _TREE: "file_sort",
}

_CONFIG: Final[dict[Fate, str]] = {
    LINK: (
        "host_ip pi_ip local_ip listen_ip port_comm port_transfer port_ext ip_address port comm_ports transfer_ports "
        "ext_ports"
    ),
    INSTRUMENT: (
        "data_dir local_data_dir cam_specs cam_specs_on cam_specs_off spec_specs cam_script spec_script master_script "
        "remote_scripts local_scripts dark_script"
    ),
    SCHEDULE: "start_script stop_script temp_log disk_space_script free_space_ssd check_run dbx_script",
}


def _by_key(table: dict[Fate, str]) -> dict[str, Fate]:
    return {key: fate for fate, keys in table.items() for key in keys.split()}


SETTINGS_FATES: Final = _by_key(_SETTINGS)
CAMERA_FATES: Final = _by_key(_CAMERA)
CONFIG_FATES: Final = _by_key(_CONFIG)


def settings_fate(key: str) -> Fate:
    """Return what becomes of a key of the processing settings, nested or not."""
    if key.startswith("species_paths."):
        return SPECTROMETER
    return SETTINGS_FATES.get(key, UNKNOWN)
