"""Spectra: from counts of a spectrometer to SO2 columns."""
