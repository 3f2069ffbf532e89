"""Pure functions: arrays and numbers in, arrays and uncertainties out. No files, clock, logging or state."""
