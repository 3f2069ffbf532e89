"""Files of spectra: names, folders, readers of every format, and tracks of a satellite receiver."""
