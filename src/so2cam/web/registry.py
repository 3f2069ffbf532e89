"""The table of pages: a page is one module in ``web.pages`` with a function that is registered here."""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastapi import Response

from so2cam.link.protocol import Role

if TYPE_CHECKING:
    from so2cam.web.view import View

Built = Response | None
Build = Callable[["View"], Awaitable[Built] | Built]
"""Draws a page, or returns an answer instead of it, as one that leads elsewhere."""


@dataclass(frozen=True, slots=True)
class PageSpec:
    """A page: where it is, what it is called, who may see it, and the keys that lead there."""

    path: str
    title: str
    role: Role
    build: Build
    nav: str | None
    keys: str | None
    order: float
    hint: str
    about: str = ""
    """what the page is for, in three sentences"""
    docs: str = ""
    """the page of the documentation that says more"""
    within: str = ""
    """the path of the page of the navigation to which it belongs, where it is not in it itself"""


_PAGES: Final[dict[str, PageSpec]] = {}


def page(
    path: str,
    *,
    title: str,
    role: Role = Role.VIEWER,
    nav: str | None = None,
    keys: str | None = None,
    order: float = 100,
    hint: str = "",
    about: str = "",
    docs: str = "",
    within: str = "",
) -> Callable[[Build], Build]:
    """Register a function as the page at ``path``. ``nav``: its word in the navigation; absent: it is not there.

    ``keys``: two keys, one after the other, that lead there (``"g l"``). ``order``: its place in the navigation.
    ``about``: what it is for, in three sentences; ``docs``: the name of the page of the documentation that says more.
    ``within``: the path of the page of the navigation that is marked while this one is shown.
    Raises ValueError where a path or keys are taken.
    """

    def register(build: Build) -> Build:
        before = _PAGES.get(path)
        if before is not None and before.build.__module__ != build.__module__:
            raise ValueError(f"two pages are at {path}")
        if keys is not None and any(spec.keys == keys and spec.path != path for spec in _PAGES.values()):
            raise ValueError(f"two pages have the keys {keys}")
        _PAGES[path] = PageSpec(path, title, role, build, nav, keys, order, hint, about, docs, within)
        return build

    return register


def all_pages() -> tuple[PageSpec, ...]:
    """Return all pages, in the order of the navigation, after all modules of ``web.pages`` were read."""
    from so2cam.web import pages

    for module in pkgutil.iter_modules(pages.__path__):
        importlib.import_module(f"{pages.__name__}.{module.name}")
    return tuple(sorted(_PAGES.values(), key=lambda spec: (spec.order, spec.path)))


def navigation() -> tuple[PageSpec, ...]:
    """Return the pages that are in the navigation."""
    return tuple(spec for spec in all_pages() if spec.nav is not None)
