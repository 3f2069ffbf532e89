"""Documents that are made from the code, or speak of it, are up to date."""

import subprocess
import sys
from pathlib import Path

from so2cam.core.status import STATUS_TEXT, EmissionStatus, QualityFlag

ROOT = Path(__file__).resolve().parents[2]


def test_page_of_the_site_file_is_what_its_tool_writes() -> None:
    tool = ROOT / "tools" / "document_site_file.py"
    done = subprocess.run([sys.executable, str(tool), "--check"], check=False)
    assert done.returncode == 0, "run: python tools/document_site_file.py"


def test_page_of_statuses_names_all_of_them() -> None:
    page = (ROOT / "docs" / "status.md").read_text(encoding="utf-8")
    for status in EmissionStatus:
        assert f"`{status.name.lower()}`" in page
        assert STATUS_TEXT[status]
    for flag in QualityFlag:
        if flag:
            assert f"| {flag.value} | `{flag.name.lower()}`" in page  # type: ignore[union-attr]


def test_every_document_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert page.relative_to(ROOT / "docs").as_posix() in navigation
