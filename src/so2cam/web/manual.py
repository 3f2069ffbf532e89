"""The project's documentation as the pages show it: from the installed package or a checkout, without internet."""

import posixpath
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import markdown2

import so2cam
from so2cam.core.errors import InputError

DOCS: Final = "/help/docs"
"""Where the pages show the documentation"""
FILES: Final = "/help/files"
"""Where its pictures and other files are served"""
_EXTRAS: Final = ["tables", "fenced-code-blocks", "header-ids", "cuddled-lists", "code-friendly"]
_TARGET: Final = re.compile(r'(href|src)="([^"]+)"')
_ELSEWHERE: Final = re.compile(r"[a-z][a-z0-9+.-]*:|/|#")
_BLANK: Final = re.compile(r"\n\s*\n|\n(?=[|*#-])")
"""Between paragraphs, rows of tables, items of lists and headings"""
_MOST_FOUND: Final = 40
_MOST_SHOWN: Final = 240


@dataclass(frozen=True, slots=True)
class Found:
    """A paragraph, row or heading of the documentation that has the words that were looked for."""

    name: str
    title: str
    line: str


def folder() -> Path:
    """Return where the documentation is: in the package as it is installed, else in the checkout."""
    package = Path(so2cam.__file__).resolve().parent
    packed = package / "manual"
    return packed if packed.is_dir() else package.parents[1] / "docs"


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """Return the names of all pages of the documentation, as ``web`` or ``decisions/0002-sky-surface``."""
    root = folder()
    return tuple(sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.md")))


def text_of(name: str) -> str:
    """Return a page as it is written. Raises InputError where there is none of this name."""
    if name not in names():
        raise InputError("there is no such page of the documentation", value=name, remedy="choose one at /help")
    return (folder() / f"{name}.md").read_text(encoding="utf-8")


def title_of(name: str) -> str:
    """Return a page's title: its first heading. Raises InputError where there is no such page."""
    for line in text_of(name).splitlines():
        if line.startswith("# "):
            return line[2:].strip()
    return name


@lru_cache(maxsize=64)
def html_of(name: str) -> str:
    """Return a page as HTML, its links leading to pages here. Raises InputError where there is no such page."""
    html = str(markdown2.markdown(text_of(name), extras=_EXTRAS))
    return _TARGET.sub(lambda match: f'{match[1]}="{_place(name, match[2])}"', html)


def file_of(name: str) -> Path:
    """Return a picture or other file of the documentation. Raises InputError where there is none."""
    root = folder().resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise InputError("there is no such file of the documentation", value=name)
    return path


def search(words: str) -> tuple[Found, ...]:
    """Return paragraphs, rows and headings that hold all of ``words``, in any case; at most 40, titles first."""
    wanted = words.casefold().split()
    if not wanted:
        return ()
    hits = []
    for name in names():
        title = title_of(name)
        for part in _BLANK.split(text_of(name)):
            if all(word in part.casefold() for word in wanted):
                hits.append((not part.startswith("#"), Found(name, title, _shown(part, wanted[0]))))
    hits.sort(key=lambda hit: hit[0])
    return tuple(found for _, found in hits[:_MOST_FOUND])


def _shown(part: str, word: str) -> str:
    """Return some of ``part`` around ``word``, on one line."""
    line = " ".join(part.split()).strip("#|> *-").strip()
    begin = max(0, line.casefold().find(word) - _MOST_SHOWN // 3)
    end = begin + _MOST_SHOWN
    return ("… " if begin else "") + line[begin:end] + (" …" if end < len(line) else "")


def _place(name: str, target: str) -> str:
    """Return where a link of page ``name`` leads within these pages."""
    if _ELSEWHERE.match(target):
        return target
    path, hash_, anchor = target.partition("#")
    whole = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
    if whole.endswith(".md"):
        return f"{DOCS}/{whole.removesuffix('.md')}{hash_}{anchor}"
    return f"{FILES}/{whole}"
