"""Properties of elements that hold a text from elsewhere: names, values, hints.

NiceGUI reads ``element.props("...")`` as a list of properties, so that a name with a space in it would make others of
its own, ``innerHTML`` among them. What is not a constant of the program is therefore put in one by one.
"""

from collections.abc import Mapping
from typing import TypeVar

from nicegui.element import Element

_E = TypeVar("_E", bound=Element)


def put_props(element: _E, props: Mapping[str, str]) -> _E:
    """Give an element properties whose values may be any text; return it."""
    for name, value in props.items():
        if element.props.get(name) != value:
            element.props[name] = value
    return element
