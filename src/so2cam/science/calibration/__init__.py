"""From absorbance to column density: gas cells."""
