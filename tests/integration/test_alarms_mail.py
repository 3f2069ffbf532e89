"""Alarms by mail through apprise, to a mail server on this machine."""

from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from so2cam.core.site_alarms import AlarmTarget
from so2cam.station.notify import AppriseSender, NotifyError, open_to_others, read_address, redact

# Plugins of apprise import a module that later Pythons no longer have.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
pytest.importorskip("apprise")
controller = pytest.importorskip("aiosmtpd.controller")


class Box:
    """Takes mail."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.refuse = False

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refuse:
            return "554 no such volcano"
        self.mails.append(message_from_bytes(envelope.content))
        return "250 OK"


@pytest.fixture
def box() -> Iterator[tuple[Box, int]]:
    class Server(controller.Controller):  # type: ignore[misc]
        def _trigger_server(self) -> None:
            self.port = self.server.sockets[0].getsockname()[1]
            super()._trigger_server()

    taker = Box()
    server = Server(taker, hostname="127.0.0.1", port=0)
    server.start()
    try:
        yield taker, server.port
    finally:
        server.stop(no_assert=True)


def target(folder: Path, address: str) -> AlarmTarget:
    (folder / "mail.url").write_text(f"# the duty's mail\n{address}\n", encoding="utf-8")
    return AlarmTarget(name="duty", url_file="mail.url")


def test_a_mail_arrives(tmp_path: Path, box: tuple[Box, int]) -> None:
    taker, port = box
    address = f"mailto://127.0.0.1:{port}?from=station@volcano.example&to=duty@volcano.example"
    AppriseSender(tmp_path).send(target(tmp_path, address), "[ALARM] Etna: strong", "11 kg/s, above 10\n\nEvent: 1")
    (mail,) = taker.mails
    assert mail["Subject"] == "[ALARM] Etna: strong"
    assert "duty@volcano.example" in mail["To"]
    payload = mail.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert b"11 kg/s, above 10" in payload


def test_a_refusal_is_an_error_without_secrets(
    tmp_path: Path, box: tuple[Box, int], caplog: pytest.LogCaptureFixture
) -> None:
    taker, port = box
    taker.refuse = True
    address = f"mailto://127.0.0.1:{port}?from=station@volcano.example&to=secretname@volcano.example"
    with pytest.raises(NotifyError) as caught:
        AppriseSender(tmp_path).send(target(tmp_path, address), "title", "body")
    assert "secretname" not in str(caught.value) + caplog.text


def test_nobody_there_is_an_error(tmp_path: Path, box: tuple[Box, int]) -> None:
    with pytest.raises(NotifyError):
        AppriseSender(tmp_path).send(
            target(tmp_path, "mailto://127.0.0.1:9?from=a@volcano.example&to=b@volcano.example"), "title", "body"
        )


def test_what_is_no_address_is_said_without_it(tmp_path: Path) -> None:
    with pytest.raises(NotifyError, match="no address that apprise understands") as caught:
        AppriseSender(tmp_path).send(target(tmp_path, "nothing://hunter2"), "title", "body")
    assert "hunter2" not in str(caught.value)


def test_where_addresses_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = AlarmTarget(name="duty", url_environment="SO2CAM_TEST_URL")
    with pytest.raises(NotifyError, match="SO2CAM_TEST_URL is not set"):
        read_address(named, tmp_path)
    monkeypatch.setenv("SO2CAM_TEST_URL", "json://127.0.0.1")
    assert read_address(named, tmp_path) == "json://127.0.0.1"
    with pytest.raises(NotifyError, match="cannot be read"):
        read_address(AlarmTarget(name="duty", url_file="missing"), tmp_path)
    (tmp_path / "empty").write_text("# nothing\n")
    with pytest.raises(NotifyError, match="holds no address"):
        read_address(AlarmTarget(name="duty", url_file="empty"), tmp_path)


def test_files_that_others_can_read_are_found(tmp_path: Path) -> None:
    chosen = target(tmp_path, "json://127.0.0.1")
    (tmp_path / "mail.url").chmod(0o644)
    assert open_to_others(chosen, tmp_path)
    (tmp_path / "mail.url").chmod(0o600)
    assert not open_to_others(chosen, tmp_path)


def test_redaction_keeps_scheme_and_host() -> None:
    address = "mailto://joe:hunter2@example.org?to=duty@example.org"
    assert (
        redact("cannot log in as joe with hunter2 at example.org", address)
        == "cannot log in as joe with *** at example.org"
    )
