"""What can go wrong here, said in plain words."""


class PowerError(Exception):
    """Something that root was to do did not work; the text says what, and what to do."""
