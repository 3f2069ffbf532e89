"""so2cam: permanent volcanic SO2 cameras, from raw frames to emission rates with honest uncertainties."""

__version__: str


def __getattr__(name: str) -> str:
    """Look up the version where it is asked for: that takes longer than many commands."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("so2cam")
