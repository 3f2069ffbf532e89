"""From counts to SO2 columns: reference spectra, line shape, forward model, fit, wavelengths."""
