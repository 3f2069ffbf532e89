"""The vocabulary: records, units, constants, times, errors and the site file's models. No I/O, no science."""
