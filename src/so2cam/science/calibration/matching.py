def interpolate_columns(*a, **k):
    return None
