"""No secret stands in what is kept under version control."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECRETS = {
    "private key": re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}"),
    "token of this project": re.compile(r"\bso2_[0-9]{8}_[A-Za-z0-9_-]{30,}"),
    "key of a cloud": re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[A-Za-z0-9_-]{35}\b|\bsk-[A-Za-z0-9]{32,}\b"),
    "token of a forge": re.compile(r"\b(?:ghp|gho|ghs|glpat|pypi)[_-][A-Za-z0-9_-]{30,}"),
    "token of a messenger": re.compile(r"\bxox[abpr]-[A-Za-z0-9-]{20,}|\b\d{9,10}:AA[A-Za-z0-9_-]{33}\b"),
}
SAMPLES = {
    "private key": "-----BEGIN EC PRIVATE KEY-----\n" + 50 * "A",
    "token of this project": "so2_" + "12345678_" + 40 * "x",
    "key of a cloud": "AKIA" + 16 * "Z",
    "token of a forge": "ghp_" + 36 * "a",
    "token of a messenger": "123456789:AA" + 33 * "b",
}


def kept() -> list[Path]:
    """The files under version control; where there is none (an unpacked archive), all of source, tests and docs."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode == 0 and done.stdout:
        return [ROOT / name for name in done.stdout.decode().split("\0") if name]
    return [
        path
        for part in ("src", "tests", "docs", "examples")
        for path in (ROOT / part).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]


@pytest.mark.parametrize("kind", list(SECRETS))
def test_each_kind_would_be_found(kind: str) -> None:
    assert SECRETS[kind].search(f"password = '{SAMPLES[kind]}'")


def test_no_secret_is_kept() -> None:
    files = kept()
    assert len(files) > 500
    found = []
    for path in files:
        if not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", errors="ignore")
        found += [f"{path.relative_to(ROOT)}: {kind}" for kind, pattern in SECRETS.items() if pattern.search(text)]
    assert found == []
