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
_HEADING: Final = re.compile(r'<h([1-6]) id="([^"]+)">(.*?)</h\1>', re.DOTALL)
_TAG: Final = re.compile(r"<[^>]+>")
_NOTE: Final = re.compile(r'^!!! \w+ "([^"]*)"\n((?:    .*\n|\n(?=    ))+)', re.MULTILINE)
"""A note that stands out: its title, and its text, indented"""
_BLANK: Final = re.compile(r"\n\s*\n|\n(?=[|*#-])")
"""Between paragraphs, rows of tables, items of lists and headings"""
_CODE: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARKS: Final = re.compile(r"[`*|]+| \| |-{3,}")
_MOST_FOUND: Final = 40
_MOST_SHOWN: Final = 240


@dataclass(frozen=True, slots=True)
class Found:
    """A paragraph, row or heading of the documentation that has the words that were looked for."""

    name: str
    title: str
    line: str


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading within a page of the documentation: its level (1 is the title), anchor, and text as HTML."""

    level: int
    anchor: str
    text: str


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
    html = str(markdown2.markdown(_NOTE.sub(_quoted, text_of(name)), extras=_EXTRAS))
    html = _HEADING.sub(_linked, html)
    return _TARGET.sub(lambda match: f'{match[1]}="{_place(name, match[2])}"', html)


def contents_of(name: str) -> tuple[Heading, ...]:
    """Return a page's headings below its title, in order. Raises InputError where there is no such page."""
    found = (Heading(int(match[1]), match[2], _TAG.sub("", match[3])) for match in _HEADING.finditer(html_of(name)))
    return tuple(heading for heading in found if heading.level > 1)


def file_of(name: str) -> Path:
    """Return a picture or other file of the documentation. Raises InputError where there is none."""
    root = folder().resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise InputError("there is no such file of the documentation", value=name)
    return path


def search(words: str) -> tuple[Found, ...]:
    """Return what holds all of ``words``, in any case; at most 40: titles, then headings, then paragraphs and rows."""
    wanted = words.casefold().split()
    if not wanted:
        return ()
    hits = []
    for name in names():
        title = title_of(name)
        for part in _BLANK.split(_CODE.sub("", text_of(name))):
            part = _plain(part)
            if all(word in part.casefold() for word in wanted):
                rank = 0 if part.startswith("# ") else 1 if part.startswith("#") else 2
                hits.append(((rank, "/" in name), Found(name, title, _shown(part, wanted[0]))))
    hits.sort(key=lambda hit: hit[0])
    return tuple(found for _, found in hits[:_MOST_FOUND])


def _plain(part: str) -> str:
    """Return a paragraph without the marks of Markdown, but those of headings."""
    return _MARKS.sub(" ", _LINK.sub(r"\1", part)).strip()


def _shown(part: str, word: str) -> str:
    """Return some of ``part`` around ``word``, on one line."""
    line = " ".join(part.split()).strip("#> -")
    begin = max(0, line.casefold().find(word) - _MOST_SHOWN // 3)
    begin = line.rfind(" ", 0, begin) + 1
    end = begin + _MOST_SHOWN
    return ("… " if begin else "") + line[begin:end] + (" …" if end < len(line) else "")


def _quoted(note: re.Match[str]) -> str:
    """Return a note as a quotation, which every Markdown knows."""
    lines = [f"**{note[1]}.**", *(line.strip() for line in note[2].rstrip().splitlines())]
    return "".join(f"> {line}".rstrip() + "\n" for line in lines) + "\n"


def _linked(heading: re.Match[str]) -> str:
    """Return a heading with a link to itself; the title of a page is where the page begins."""
    level, anchor, text = heading.groups()
    link = "" if level == "1" else f'<a class="so-anchor" href="#{anchor}" aria-label="Link to this heading"></a>'
    return f'<h{level} id="{anchor}">{text}{link}</h{level}>'


def _place(name: str, target: str) -> str:
    """Return where a link of page ``name`` leads within these pages."""
    if _ELSEWHERE.match(target):
        return target
    path, hash_, anchor = target.partition("#")
    whole = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
    if whole.endswith(".md"):
        return f"{DOCS}/{whole.removesuffix('.md')}{hash_}{anchor}"
    return f"{FILES}/{whole}"
