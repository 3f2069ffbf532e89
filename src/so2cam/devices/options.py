"""Checking the options that only one driver understands."""

from typing import Any, TypeVar

from pydantic import ValidationError

from so2cam.core.site_types import Table
from so2cam.devices.errors import DriverError

_OptionsT = TypeVar("_OptionsT", bound=Table)


def check_options(model: type[_OptionsT], options: dict[str, Any], device: str) -> _OptionsT:
    """Return ``options`` of the device checked by ``model``. Raises DriverError that names key, value and all keys."""
    try:
        return model.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        known = ", ".join(model.model_fields) or "none"
        raise DriverError(
            first["msg"],
            device=device,
            key=f"{device}.options.{key}" if key else f"{device}.options",
            value=first["input"],
            remedy=f"options of this driver are: {known}",
        ) from error
