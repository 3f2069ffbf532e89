"""so2cam: permanent volcanic SO2 cameras, from raw frames to emission rates with honest uncertainties."""

from importlib.metadata import version as _version

__version__ = _version("so2cam")
