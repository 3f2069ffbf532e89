"""The documentation within the pages, and what every page says about itself."""

import re
from pathlib import Path

import pytest

from so2cam.core.errors import InputError
from so2cam.web import manual
from so2cam.web.registry import PageSpec, all_pages

EXPLAINED = [spec for spec in all_pages() if not spec.path.startswith(manual.DOCS)]


@pytest.mark.parametrize("spec", EXPLAINED, ids=lambda spec: spec.path)
def test_every_page_explains_itself_in_three_sentences(spec: PageSpec) -> None:
    assert len(re.findall(r"[.!?](?=\s|$)", spec.about)) == 3, spec.about
    assert spec.docs in manual.names()


@pytest.mark.parametrize("name", manual.names())
def test_links_between_pages_lead_to_pages_files_and_headings(name: str) -> None:
    for place in re.findall(r'(?:href|src)="(/help/[^"]+)"', manual.html_of(name)):
        path, _, anchor = place.partition("#")
        if path.startswith(f"{manual.FILES}/"):
            assert manual.file_of(path.removeprefix(f"{manual.FILES}/")).is_file()
            continue
        target = path.removeprefix(f"{manual.DOCS}/")
        assert target in manual.names()
        if anchor:
            assert f'id="{anchor}"' in manual.html_of(target), f"{name} links to {place}"


def test_tables_and_headings_are_rendered() -> None:
    html = manual.html_of("web")
    assert "<table>" in html
    assert '<h1 id="pages-in-a-browser">' in html


def test_a_page_lists_its_headings_in_order() -> None:
    found = manual.contents_of("web")
    assert [heading.anchor for heading in found][:2] == ["signing-in", "every-page"]
    assert ("trying-another-place-of-a-line", 3) in {(heading.anchor, heading.level) for heading in found}
    assert found[0].text == "Signing in"
    assert '<a class="so-anchor" href="#signing-in"' in manual.html_of("web")


def test_a_note_stands_out() -> None:
    html = manual.html_of("devices")
    assert "!!!" not in html
    assert "<blockquote>" in html
    assert "<strong>Never run on hardware.</strong>" in html


def test_search_finds_lines_with_all_words_in_any_case() -> None:
    found = manual.search("SIGNING in")
    assert any(hit.name == "web" and hit.line == "Signing in" for hit in found)
    assert manual.search("light dilution")[0].line == "Light dilution"  # a title goes before all else
    assert not any(set("`*|") & set(hit.line) for hit in manual.search("clear sky"))
    assert manual.search("") == ()
    assert manual.search("xyzzyplugh") == ()


@pytest.mark.parametrize("name", ["../pyproject.toml", "images", "none.png"])
def test_files_elsewhere_are_not_served(name: str) -> None:
    with pytest.raises(InputError):
        manual.file_of(name)


@pytest.mark.parametrize("name", ["../README", "none", ""])
def test_pages_that_are_not_there_are_refused(name: str) -> None:
    with pytest.raises(InputError):
        manual.text_of(name)


def test_the_installed_documentation_goes_before_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "src" / "so2cam"
    (package / "manual").mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.setattr(manual.so2cam, "__file__", str(package / "__init__.py"))
    assert manual.folder() == package.resolve() / "manual"
    (package / "manual").rmdir()
    assert manual.folder() == tmp_path.resolve() / "docs"
