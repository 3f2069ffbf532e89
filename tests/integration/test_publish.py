"""Publication to real servers on this machine: rclone's own WebDAV and SFTP."""

import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import time as daytime
from pathlib import Path

import pytest

from so2cam.core.errors import InputError
from so2cam.core.site_publication import Publication, Remote
from so2cam.station.publish import PublicationService, PublicFolders, Publisher, collect, key_of
from so2cam.station.publish_ledger import PublishLedger
from so2cam.station.publish_rclone import PART, PublishError, PublishStoppedError, Rclone, join, part_path

needs_rclone = pytest.mark.skipif(shutil.which("rclone") is None, reason="rclone is not installed (apt install rclone)")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """``rclone serve`` of a folder, and the configuration of a remote that leads there."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.root, self.port = kind, folder / "served", free_port()
        self.root.mkdir()
        self.configuration = folder / "rclone.conf"
        secret = subprocess.run(["rclone", "obscure", "pw"], check=True, capture_output=True, text=True).stdout.strip()
        if kind == "webdav":
            where = f"type = webdav\nurl = http://127.0.0.1:{self.port}\nvendor = other\n"
        else:
            where = f"type = sftp\nhost = 127.0.0.1\nport = {self.port}\nshell_type = none\ndisable_hashcheck = true\n"
        self.configuration.write_text(f"[there]\n{where}user = u\npass = {secret}\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *("rclone", "serve", self.kind, str(self.root), "--addr", f"127.0.0.1:{self.port}"),
                *("--user", "u", "--pass", "pw", "--config", str(self.configuration)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        limit = time.monotonic() + 20
        while time.monotonic() < limit:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("rclone serve did not start")

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(10)
            self.process = None


@pytest.fixture(params=["webdav", "sftp"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    served = Server(request.param, tmp_path)
    served.start()
    try:
        yield served
    finally:
        served.stop()


@pytest.fixture
def dav(tmp_path: Path) -> Iterator[Server]:
    served = Server("webdav", tmp_path)
    served.start()
    try:
        yield served
    finally:
        served.stop()


REMOTE = Remote(name="web", remote="there:volcano/villarrica")


@pytest.fixture
def folders(tmp_path: Path) -> PublicFolders:
    page, daily = tmp_path / "page", tmp_path / "daily" / "2026"
    page.mkdir()
    daily.mkdir(parents=True)
    (page / "index.html").write_text("<p>one</p>")
    (page / "latest.jpg").write_bytes(b"picture")
    (page / ".hidden").write_text("no")
    (daily / "2026-03-01 (é).csv").write_text("time,rate\n")
    return PublicFolders(page=page, daily=tmp_path / "daily")


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    with PublishLedger(tmp_path / "publication.sqlite") as ledger:
        yield Publisher(Rclone(configuration=tmp_path / "rclone.conf"), ledger, tmp_path / "staging")


def there(server: Server) -> dict[str, bytes]:
    return {str(p.relative_to(server.root)): p.read_bytes() for p in server.root.rglob("*") if p.is_file()}


@needs_rclone
def test_what_is_new_or_changed_is_sent_once(server: Server, folders: PublicFolders, publisher: Publisher) -> None:
    files = collect(folders, REMOTE.what)
    assert [file.path for file in files] == ["latest.jpg", "index.html", "daily/2026/2026-03-01 (é).csv"]
    first = publisher.publish(REMOTE, files)
    assert (first.sent, first.failed) == ([file.path for file in files], {})
    assert there(server) == {
        "volcano/villarrica/index.html": b"<p>one</p>",
        "volcano/villarrica/latest.jpg": b"picture",
        "volcano/villarrica/daily/2026/2026-03-01 (é).csv": b"time,rate\n",
    }
    again = publisher.publish(REMOTE, files)
    assert (again.sent, again.unchanged) == ([], 3)
    assert folders.page is not None
    (folders.page / "index.html").write_text("<p>two</p>")  # of the same length
    assert publisher.publish(REMOTE, files).sent == ["index.html"]
    assert there(server)["volcano/villarrica/index.html"] == b"<p>two</p>"
    (folders.page / "index.html").touch()
    assert publisher.publish(REMOTE, files).sent == []


@needs_rclone
def test_a_server_that_is_away_is_tried_again(dav: Server, folders: PublicFolders, publisher: Publisher) -> None:
    dav.stop()
    files = collect(folders, REMOTE.what)
    report = publisher.publish(REMOTE, files)
    assert len(report.failed) == 3
    assert report.sent == []
    dav.start()
    assert len(publisher.publish(REMOTE, files).sent) == 3


@needs_rclone
def test_a_whole_upload_that_was_not_renamed_is_used(
    dav: Server, folders: PublicFolders, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, real = collect(folders, ("page",))[:1], Rclone.run
    calls: list[str] = []

    def cut(allow: Callable[[str], bool]) -> None:
        def run(self: Rclone, arguments: list[str], **more: object) -> str:
            calls.append(arguments[0])
            if not allow(arguments[0]):
                raise PublishError("the line is cut")
            return real(self, arguments, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(Rclone, "run", run)

    cut(lambda command: command != "moveto")
    assert publisher.publish(REMOTE, files).failed == {"latest.jpg": "the line is cut"}
    (part,) = there(dav)
    assert part.startswith(f"volcano/villarrica/{PART}")
    calls.clear()
    cut(lambda command: command != "copyto")
    assert publisher.publish(REMOTE, files).sent == ["latest.jpg"]
    assert "copyto" not in calls
    assert list(there(dav)) == ["volcano/villarrica/latest.jpg"]


@needs_rclone
def test_what_was_left_of_an_older_content_is_removed(
    dav: Server, folders: PublicFolders, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, real = collect(folders, ("page",))[:1], Rclone.run

    def run(self: Rclone, arguments: list[str], **more: object) -> str:
        if arguments[0] == "moveto":
            raise PublishError("the line is cut")
        return real(self, arguments, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Rclone, "run", run)
        publisher.publish(REMOTE, files)
    files[0].local.write_bytes(b"another picture")
    publisher.publish(REMOTE, files)
    assert there(dav) == {"volcano/villarrica/latest.jpg": b"another picture"}


@needs_rclone
def test_a_service_publishes_until_it_is_told_to_stop(
    dav: Server, folders: PublicFolders, publisher: Publisher
) -> None:
    stop, asked = threading.Event(), threading.Event()

    def prepare() -> PublicFolders:
        asked.set()
        return folders

    service = PublicationService(publisher, REMOTE.model_copy(update={"what": ("page",)}), prepare)
    thread = threading.Thread(target=service.run, args=(stop,))
    thread.start()
    limit = time.monotonic() + 30
    while len(there(dav)) < 2 and time.monotonic() < limit:
        stop.wait(0.1)
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    assert asked.is_set()
    assert "volcano/villarrica/latest.jpg" in there(dav)


@needs_rclone
def test_a_check_leaves_nothing(dav: Server, tmp_path: Path) -> None:
    rclone = Rclone(configuration=tmp_path / "rclone.conf")
    rclone.check("there:")
    assert there(dav) == {}
    with pytest.raises(PublishError):
        rclone.check("nowhere:")


@needs_rclone
def test_stopping_and_timeouts(dav: Server, tmp_path: Path) -> None:
    rclone, stop = Rclone(configuration=tmp_path / "rclone.conf"), threading.Event()
    stop.set()
    with pytest.raises(PublishStoppedError):
        rclone.run(["rcd", "--rc-addr", f"127.0.0.1:{free_port()}", "--rc-no-auth"], timeout_s=30, stop=stop)
    with pytest.raises(PublishError, match="longer than"):
        rclone.run(["rcd", "--rc-addr", f"127.0.0.1:{free_port()}", "--rc-no-auth"], timeout_s=0.3)


def test_without_rclone_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the program is not there"):
        Rclone(program=str(tmp_path / "none")).require()


def test_links_out_of_the_folder_are_left_out(folders: PublicFolders, tmp_path: Path) -> None:
    assert folders.page is not None
    (tmp_path / "secret").write_text("x")
    (folders.page / "link.html").symlink_to(tmp_path / "secret")
    assert [file.path for file in collect(folders, ("page",))] == ["latest.jpg", "index.html"]


def test_names() -> None:
    assert join("there:", "a/b") == "there:a/b"
    assert join("there:x", "a") == "there:x/a"
    assert join("there:x/", "") == "there:x/"
    assert part_path("daily/a.csv", "00").startswith(f"daily/{PART}")
    assert part_path("a.csv", "00") != part_path("a.csv", "01")
    assert key_of(REMOTE) != key_of(REMOTE.model_copy(update={"remote": "there:other"}))


@pytest.mark.parametrize("remote", ["/home/a", "there", "--config:x", "a:b\nc", ":x"])
def test_a_remote_must_look_like_one(remote: str) -> None:
    with pytest.raises(ValueError, match="must be like"):
        Remote(name="x", remote=remote)


def test_windows_may_go_over_midnight() -> None:
    night = Remote(name="x", remote="a:b", window=(daytime(22), daytime(4)))
    assert [night.open_at(daytime(hour)) for hour in (21, 22, 3, 4)] == [False, True, True, False]
    noon = Remote(name="x", remote="a:b", window=(daytime(11), daytime(13)))
    assert [noon.open_at(daytime(hour)) for hour in (10, 11, 13)] == [False, True, False]
    assert Remote(name="x", remote="a:b").open_at(daytime(3))
    with pytest.raises(ValueError, match="two are called 'x'"):
        Publication(remotes=(night, noon))
