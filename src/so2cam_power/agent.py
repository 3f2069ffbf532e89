"""Asking the agent of this computer to stop, over its Unix socket: one line of JSON there, one back."""

import json
import socket

from so2cam_power.clock import Clock
from so2cam_power.errors import PowerError

_LONGEST = 1_048_576


def ask_to_stop(path: str, timeout_s: float, clock: Clock | None = None) -> str:
    """Ask the agent on the socket ``path`` to stop cleanly; return what it says it did.

    Takes at most about ``timeout_s`` [s]. Raises PowerError where there is no agent, or no answer in time.
    """
    return _text(ask(path, {"type": "shutdown"}, timeout_s, clock))


def ask(path: str, command: dict[str, object], timeout_s: float, clock: Clock | None = None) -> dict[str, object]:
    """Send ``command`` to the agent and return the ``result`` of its reply. Raises PowerError as ``ask_to_stop``."""
    ticks = clock or Clock()
    end = ticks.monotonic() + timeout_s
    request = json.dumps({"id": 1, "command": command}).encode() + b"\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        try:
            line.settimeout(timeout_s)
            line.connect(path)
            line.sendall(request)
            answer = b""
            while not answer.endswith(b"\n"):
                line.settimeout(max(0.001, end - ticks.monotonic()))
                part = line.recv(65_536)
                if not part or len(answer) + len(part) > _LONGEST:
                    raise PowerError("the agent ended the connection without an answer")
                answer += part
        except TimeoutError:
            raise PowerError(f"the agent did not answer within {timeout_s:g} s") from None
        except OSError as error:
            raise PowerError(f"the agent cannot be reached on {path}: {error.strerror or error}") from None
    try:
        result = json.loads(answer)["result"]
    except (ValueError, KeyError, TypeError):
        raise PowerError("the agent's answer cannot be understood") from None
    if not isinstance(result, dict):
        raise PowerError("the agent's answer cannot be understood")
    return result


def _text(result: dict[str, object]) -> str:
    text = str(result.get("text", ""))
    if result.get("type") == "refused":
        raise PowerError(f"the agent refused: {text}")
    return text or "done"
