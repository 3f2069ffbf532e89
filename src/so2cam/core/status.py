"""What a value is worth: the status of every emission rate and the quality flags of every pair.

A value that is not ``OK`` is NaN, and its status says why. Names and numbers are part of the product format.
"""

from enum import IntEnum, IntFlag
from typing import Final


class EmissionStatus(IntEnum):
    """Why an emission rate is there, or why it is missing (``flag_values`` of ``emission_rate_status``)."""

    OK = 0
    NO_DARK = 1
    NO_SKY = 2
    LINE_NOT_COVERED = 3
    LINE_MASKED = 4
    NO_NEXT_PAIR = 5
    GAP_TOO_LONG = 6
    FLOW_UNRELIABLE = 7
    NO_SECOND_LINE = 8
    TOO_FEW_SAMPLES = 9
    NO_CORRELATION = 10
    LAG_NOT_RESOLVED = 11
    PART_MISSING = 12
    TIME_NOT_INCREASING = 13
    NO_PLUME = 14
    NO_WIND = 15
    PLUME_ALONG_VIEW = 16
    SHIFT_UNRELIABLE = 17
    NO_CALIBRATION = 18
    PENDING = 19
    NOT_ASKED = 20


STATUS_TEXT: Final[dict[EmissionStatus, str]] = {
    EmissionStatus.OK: "valid",
    EmissionStatus.NO_DARK: "no dark frame of the same band, gain and exposure",
    EmissionStatus.NO_SKY: "too little plume-free sky, or no area of it that the background mode can use",
    EmissionStatus.LINE_NOT_COVERED: "the line leaves the area that both bands cover",
    EmissionStatus.LINE_MASKED: "too many saturated, dark or masked pixels on the line",
    EmissionStatus.NO_NEXT_PAIR: "the last pair of a sequence has no later pair to measure motion with",
    EmissionStatus.GAP_TOO_LONG: "the next pair is too long after this one to measure motion",
    EmissionStatus.FLOW_UNRELIABLE: "too little texture in the plume to measure motion",
    EmissionStatus.NO_SECOND_LINE: "cross-correlation needs two lines of this plume, and the site file names none",
    EmissionStatus.TOO_FEW_SAMPLES: "too few pairs in this window for cross-correlation",
    EmissionStatus.NO_CORRELATION: "the two lines' series do not correlate beyond chance",
    EmissionStatus.LAG_NOT_RESOLVED: "the lag is not told apart from zero, or lies at the edge of the search",
    EmissionStatus.PART_MISSING: "a line that belongs to the total has no value",
    EmissionStatus.TIME_NOT_INCREASING: "the pair's time is not after the one before it",
    EmissionStatus.NO_PLUME: "no plume on the line above the noise, so its motion is unknown",
    EmissionStatus.NO_WIND: "the wind is not known at this time",
    EmissionStatus.PLUME_ALONG_VIEW: "the plume drifts along the line of sight, so that its distance is unknown",
    EmissionStatus.SHIFT_UNRELIABLE: "no clear shift of the plume's profile along its axis",
    EmissionStatus.NO_CALIBRATION: "no calibration: the spectrometer gives none at this time, and there is no other",
    EmissionStatus.PENDING: "live: the window of this method is not over yet; the value comes with its end",
    EmissionStatus.NOT_ASKED: "the settings of that time had no such line, or not this speed method",
}


class QualityFlag(IntFlag):
    """Things to know about a pair whose values may still be valid (bits of ``image_quality_flags``)."""

    NONE = 0
    SATURATED_PIXELS = 1
    DARK_PIXELS = 2
    PLUME_AT_LINE_END = 4
    FEW_SKY_PIXELS = 8
    INTERPOLATED_SAMPLES = 16
    CALIBRATION_EXTRAPOLATED = 32
    LARGE_PAIR_OFFSET = 64
    CLOUD_IN_BACKGROUND = 128
    SUN_IN_VIEW = 256
    PLUME_LEAVES_IMAGE = 512
    PLUME_TOWARD_CAMERA = 1024
    POOR_CORRELATION = 2048
    CALIBRATION_STALE = 4096
    CALIBRATION_STORED = 8192
    DILUTION_UNKNOWN = 16384
    STALE_FRAME = 32768
    METHODS_DISAGREE = 65536
    DILUTION_UNCORRECTED = 131072


QUALITY_TEXT: Final[dict[QualityFlag, str]] = {
    QualityFlag.SATURATED_PIXELS: "more than 0.1 % of the pixels of a band are saturated",
    QualityFlag.DARK_PIXELS: "more than 60 % of the pixels of a band are too dark to use",
    QualityFlag.PLUME_AT_LINE_END: "an end of a line lies in the plume: baseline too high, emission rate too low",
    QualityFlag.FEW_SKY_PIXELS: "less than 15 % of the image is plume-free sky",
    QualityFlag.INTERPOLATED_SAMPLES: "masked samples on a line were interpolated",
    QualityFlag.CALIBRATION_EXTRAPOLATED: "absorbance on a line above all that was calibrated",
    QualityFlag.LARGE_PAIR_OFFSET: "on- and off-band frames further apart than half the pairing tolerance",
    QualityFlag.CLOUD_IN_BACKGROUND: "the sky beside the plume is uneven or changes as clouds make it",
    QualityFlag.SUN_IN_VIEW: "the sun stands in the image or close to it",
    QualityFlag.PLUME_LEAVES_IMAGE: "the plume lies on the image's edge beside a line: part of it is not seen",
    QualityFlag.PLUME_TOWARD_CAMERA: "the plume drifts within 30 degrees of the line of sight: distance little known",
    QualityFlag.POOR_CORRELATION: "images and spectrometer follow each other poorly: the calibration is doubtful",
    QualityFlag.CALIBRATION_STALE: "the newest point of the calibration is old",
    QualityFlag.CALIBRATION_STORED: "calibrated by an earlier calibration, made under the most similar light",
    QualityFlag.DILUTION_UNKNOWN: "light dilution should be corrected, but is not known yet: rates are too low",
    QualityFlag.STALE_FRAME: "a frame has the very counts of the one before it: the camera hangs",
    QualityFlag.METHODS_DISAGREE: "speed methods differ by more than their uncertainties: at least one is wrong",
    QualityFlag.DILUTION_UNCORRECTED: "light dilution not corrected: by clean air alone rates are 5 % or more too low",
}
