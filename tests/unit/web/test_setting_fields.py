"""What stands in a field of a setting, and what a message then has."""

import pytest

from so2cam.core.errors import InputError
from so2cam.core.site_devices import BOTTOM_ROW
from so2cam.link.messages import DeviceValues
from so2cam.web.instrument.settings import QUANTITIES, _said, limits

BY_KEY = {quantity.key: quantity for quantity in QUANTITIES}


def test_every_setting_of_the_protocol_has_a_field_with_its_limits() -> None:
    settings = {"shortest_exposure_s": 1e-4, "longest_exposure_s": 1.0}
    assert {*BY_KEY, "automatic"} == set(DeviceValues.model_fields)
    assert [key for key in BY_KEY if not limits(key, dict(settings))] == []


def test_an_empty_last_row_is_the_bottom_of_the_image() -> None:
    last = BY_KEY["last_row"]
    assert (last.shown(BOTTOM_ROW), last.shown(242)) == ("", "242")
    assert (last.kept(""), last.kept("242")) == (BOTTOM_ROW, 242)
    assert (_said(last, BOTTOM_ROW), _said(last, 242)) == ("to the bottom", "242")
    for key in ("first_row", "window_from_nm"):
        with pytest.raises(InputError, match="is missing"):
            BY_KEY[key].kept("")
