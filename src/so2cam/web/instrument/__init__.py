"""The parts of the Instrument page: one module for each of its tabs."""
