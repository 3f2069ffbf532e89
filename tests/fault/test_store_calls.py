"""Each of the first input and output calls fails once: nothing acknowledged is lost, and all goes on by itself."""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

CALLS = (
    "openat,read,pread64,write,pwrite64,fsync,fdatasync,rename,unlink,mkdir,ftruncate,fallocate,flock,fcntl,close,"
    "newfstatat"
)
PUTS = 6
FIRST = 200


@dataclass(frozen=True)
class Call:
    """A call on the spool: its name, and the how manyth of this name it is in its process."""

    name: str
    number: int


def trace(store_faults: ModuleType, folder: Path, payload: Path, *options: str) -> tuple[dict[int, str], str]:
    """Run a writer under strace, in a new spool; return what it acknowledged, and the calls."""
    root, log = folder / "spool", folder / "calls.txt"
    shutil.rmtree(root, ignore_errors=True)
    done = subprocess.run(
        [
            *("strace", "-y", "-s", "0", "-o", str(log), f"--trace={CALLS}", *options),
            *store_faults.command(root, "camera-on", PUTS, payload),
        ],
        env=store_faults.environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[-1] == ["done"], done.stdout
    return {int(line[1]): line[2] for line in lines if line[0] == "kept"}, log.read_text(errors="replace")


def calls_on(text: str, root: Path) -> list[Call]:
    """Return the calls on the spool, in order."""
    seen: Counter[str] = Counter()
    found = []
    for line in text.splitlines():
        match = re.match(r"([a-z0-9]+)\(", line)
        if match is None:
            continue
        seen[match[1]] += 1
        if str(root) in line:
            found.append(Call(match[1], seen[match[1]]))
    return found


def some(calls: list[Call], count: int) -> list[Call]:
    """Return ``count`` of the calls, spread over all of them."""
    return calls if count >= len(calls) else [calls[index * len(calls) // count] for index in range(count)]


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_a_call_that_fails_once(
    tmp_path: Path, store_faults: ModuleType, rounds: Callable[[int, int], int], error: str
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    payload = store_faults.payloads(tmp_path)["camera-on"]
    try:
        kept, text = trace(store_faults, tmp_path, payload)
    except AssertionError as failure:
        if "ptrace" in str(failure):
            pytest.skip("strace may not trace here")
        raise
    assert len(kept) == PUTS
    calls = calls_on(text, tmp_path / "spool")
    assert len(calls) > FIRST
    hit = 0
    for call in some(calls[:FIRST], rounds(14, FIRST)):
        inject = f"--inject={call.name}:error={error}:when={call.number}"
        kept, text = trace(store_faults, tmp_path, payload, inject)
        hit += any("(INJECTED)" in line and str(tmp_path / "spool") in line for line in text.splitlines())
        assert len(kept) == PUTS, call
        verdict = store_faults.judge(tmp_path / "spool", kept)
        assert (verdict.lost, verdict.corrupt, verdict.unknown) == ([], [], []), call
        assert (verdict.report.missing, verdict.report.damaged) == (0, 0), call
        assert verdict.kept == PUTS + verdict.report.adopted, call
    print(f"\n{hit} calls failed with {error}")
    assert hit >= 0.9 * rounds(
        14, FIRST
    )  # the others fell on a file beside: the process is not quite the same each time


def test_a_write_that_is_cut_short_once(
    tmp_path: Path, store_faults: ModuleType, rounds: Callable[[int, int], int]
) -> None:
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    library = tmp_path / "short_write.so"
    source = Path(__file__).with_name("short_write.c")
    built = subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], capture_output=True)
    if built.returncode:
        pytest.skip("the C compiler cannot build a shared library here")
    payload = store_faults.payloads(tmp_path)["camera-on"]
    root = tmp_path / "spool"
    for number in some(list(range(1, 101)), rounds(8, 100)):
        shutil.rmtree(root, ignore_errors=True)
        writer = store_faults.Writer(
            store_faults.command(root, "camera-on", PUTS, payload),
            {"LD_PRELOAD": str(library), "SHORT_BELOW": str(root), "SHORT_AT": str(number)},
        )
        assert writer.end() == 0
        assert (len(writer.kept), writer.done) == (PUTS, True)
        verdict = store_faults.judge(root, writer.kept)
        assert (verdict.lost, verdict.corrupt, verdict.unknown, verdict.kept) == ([], [], [], PUTS), number


def test_a_write_that_says_more_than_it_did_is_not_acknowledged(
    tmp_path: Path, store_faults: ModuleType, rounds: Callable[[int, int], int]
) -> None:
    """A disk that lies: the call gives back a length, and nothing was written."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    payload = store_faults.payloads(tmp_path)["camera-on"]
    _, text = trace(store_faults, tmp_path, payload)
    writes = [call for call in calls_on(text, tmp_path / "spool") if call.name == "write"]
    for call in some(writes, rounds(3, len(writes))):
        kept, _ = trace(store_faults, tmp_path, payload, f"--inject=write:retval=100:when={call.number}")
        verdict = store_faults.judge(tmp_path / "spool", kept)
        assert (len(kept), verdict.lost, verdict.corrupt, verdict.unknown) == (PUTS, [], [], [])
