"""From counts to absorbance images: dark, flat, registration, sky background, optical depth."""
