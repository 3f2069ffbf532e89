"""A page with nothing but the image viewer, and a server of frames that can be stopped and started again."""

import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from so2cam.pages import read_asset

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>viewer</title>
<link rel="icon" href="data:,">
<style>body { margin: 0 } so2cam-viewer { max-width: 800px }</style>
<script type="module" src="/viewer.js"></script>
<so2cam-viewer label="On band"></so2cam-viewer>
<script>
window.said = [];
const names = ["shape-created", "shape-changed", "shape-removed", "tool-changed", "contrast-changed", "connection",
  "image-click", "shape-selected"];
for (const name of names) addEventListener(name, (event) => said.push({ name, ...event.detail }));
addEventListener("hover", (event) => { window.hovered = event.detail; });
window.frames_seen = 0;
addEventListener("frame", () => { window.frames_seen += 1; });
</script>
"""


class FrameServer:
    """Serves the page, the scripts, and at ``/frame`` the message that ``show`` was last given."""

    def __init__(self, port: int = 0) -> None:
        self.message: bytes | None = None
        self.tag = 0
        self.status: int | None = None
        self.body = b""
        """what comes with ``status``"""
        self.asked: list[dict[str, Any]] = []
        self.sent: list[int] = []
        """the status of each answer to who asked for a frame"""
        self.at_once = 0
        self.most_at_once = 0
        self.hold_s = 0.0
        """How long a call may wait for something new."""
        self._lock = threading.Condition()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def show(self, message: bytes) -> None:
        with self._lock:
            self.message = message
            self.tag += 1
            self._lock.notify_all()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        if parts.path == "/":
            self._send(request, 200, PAGE.encode(), "text/html")
        elif parts.path == "/frame":
            self._frame(request, parts.query)
        else:
            try:
                asset = read_asset(parts.path[1:])
            except KeyError:
                self._send(request, 404, b"", "text/plain")
                return
            self._send(request, 200, asset.content, asset.media_type)

    def _frame(self, request: BaseHTTPRequestHandler, query: str) -> None:
        with self._lock:
            after = parse_qs(query).get("after", [None])[0]
            self.asked.append({"after": after, "authorization": request.headers.get("Authorization")})
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self._lock.wait_for(lambda: after != str(self.tag), self.hold_s)
            self.at_once -= 1
            message, tag, status = self.message, str(self.tag), self.status
        if status == 410 and after == (gone := f"gone-{zlib.crc32(self.body)}"):
            self._send(request, 204, b"", "text/plain")
        elif status == 410:
            self._send(request, status, self.body, "application/json", {"ETag": f'"{gone}"'})
        elif status is not None:
            self._send(request, status, self.body, "application/json")
        elif message is None:
            self._send(request, 404, b"", "text/plain")
        elif after == tag:
            self._send(request, 204, b"", "text/plain")
        else:
            self._send(request, 200, message, "application/octet-stream", {"ETag": f'"{tag}"'})

    def _send(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        body: bytes,
        media: str,
        headers: dict[str, str] | None = None,
    ) -> None:
        if "/frame" in request.path:
            self.sent.append(status)
        request.send_response(status)
        request.send_header("Content-Type", media)
        request.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)
