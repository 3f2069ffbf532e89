"""What observing needs and a small computer can afford: frame statistics, exposure, sun, schedule. Pure functions."""
