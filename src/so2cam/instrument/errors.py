"""Errors of the agent."""

from so2cam.core.errors import So2camError


class InstrumentError(So2camError):
    """The agent cannot do what it was asked to, or the site file has no such node."""


class SettingRefusedError(InstrumentError):
    """A setting is outside its limits, or contradicts another. Nothing was changed."""
