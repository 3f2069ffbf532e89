"""Errors of the link: what could not be said, or was not allowed."""

from so2cam.core.errors import So2camError


class LinkError(So2camError):
    """The link cannot do what it was asked for."""


class LinkLostError(LinkError):
    """The connection broke, or could not be made, for longer than the caller waits."""


class LinkRefusedError(LinkError):
    """The other side refuses: a credential, a right, or the request itself. Asking again does not help."""


class CertificateError(LinkRefusedError):
    """The other side shows another certificate than at pairing."""


class UnfinishedError(So2camError):
    """A command is not over, because its node stops: it is gone on with when the node runs again."""
