"""What keeps an update from being made."""

from so2cam.core.errors import So2camError


class UpdateError(So2camError):
    """The update cannot be made; what runs is as it was."""
