"""What is valid but risky in a site file's calibration and light dilution."""

from collections.abc import Iterator

from so2cam.core.site import Site

_USUAL_CADENCE_S = 5.0


def calibration_risks(site: Site) -> Iterator[str]:
    """Yield plain sentences, each beginning with its key."""
    calibration = site.processing.calibration
    if calibration.source == "cells" and calibration.label_uncertainty == 0:
        yield "processing.calibration.label_uncertainty: is 0, so the labels of the gas cells are taken as exact."
    if calibration.by_spectrometer:
        yield from _spectrometer_risks(site)
    elif calibration.spectrometer.stored is not None:
        yield (
            f"processing.calibration.spectrometer.stored: is not used with processing.calibration.source = "
            f'"{calibration.source}".'
        )
    dilution = site.processing.light_dilution
    if dilution.mode == "fixed" and not (
        dilution.on_extinction_uncertainty_per_km and dilution.off_extinction_uncertainty_per_km
    ):
        yield (
            "processing.light_dilution.on_extinction_uncertainty_per_km: or that of the off band is 0, so the "
            "extinction is taken as exact."
        )


def _spectrometer_risks(site: Site) -> Iterator[str]:
    calibration = site.processing.calibration
    settings = calibration.spectrometer
    corrected = site.processing.light_dilution.mode != "none"
    if site.spectrometer is None:
        text = (
            f'processing.calibration.source: "{calibration.source}" without a [spectrometer] table: columns can come '
            "by --columns only, and their cross section is taken as known to 6 %"
        )
        if corrected:
            text += "; light dilution is taken out of the images, and whether it is in the columns nobody can tell"
        yield text + "."
    elif calibration.source == "joint" and not corrected and site.spectrometer.light_dilution.mode != "none":
        yield (
            "processing.light_dilution.mode: light dilution is taken out of the spectra and not out of the images, so "
            "that gas cells and spectrometer do not calibrate the same thing."
        )
    if calibration.source == "joint" and settings.stored is not None:
        yield (
            "processing.calibration.spectrometer.stored: new calibrations are added to it, but none is taken from it: "
            "the gas cells hold where the spectrometer gives nothing."
        )
    if settings.policy != "rolling":
        return
    key = "processing.calibration.spectrometer"
    needed = max(settings.minimum_points, settings.field_of_view.minimum_images)
    if settings.window_s < _USUAL_CADENCE_S * needed:
        yield (
            f"{key}.window_s: {settings.window_s:g} s hold the {needed} images that a fit needs only where pairs come "
            f"every {settings.window_s / needed:.1f} s or faster."
        )
    if settings.refit_s > settings.window_s:
        yield (
            f"{key}.refit_s: is longer than window_s ({settings.refit_s:g} and {settings.window_s:g} s), so points "
            "are let go before a fit sees them."
        )
