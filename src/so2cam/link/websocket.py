"""What the link uses of the package websockets; a clear word where it is not installed."""

from so2cam.link.errors import LinkError

try:
    from websockets.exceptions import InvalidHandshake, InvalidState, InvalidStatus, WebSocketException
    from websockets.protocol import State
    from websockets.sync.client import ClientConnection, connect
    from websockets.sync.connection import Connection
    from websockets.sync.server import Server, ServerConnection, serve
except ImportError as error:
    raise LinkError(
        f"the link needs the package {error.name}",
        remedy="pip install 'so2cam[instrument]' on an instrument, 'so2cam[station]' on a station or a laptop",
    ) from None

__all__ = [
    "ClientConnection",
    "Connection",
    "InvalidHandshake",
    "InvalidState",
    "InvalidStatus",
    "Server",
    "ServerConnection",
    "State",
    "WebSocketException",
    "connect",
    "serve",
]
