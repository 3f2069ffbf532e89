"""What runs at a station: services, each in a thread of its own, under one supervisor.

A service does one thing until it is told to stop. Where one fails, the supervisor says so, waits (1 s, then twice as
long each time, up to a minute) and starts it again; the others go on. Everything that must outlive a failure is in the
archive and the catalogue, never in a service.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Protocol

from so2cam.core.errors import So2camError
from so2cam.core.supervision import SupervisionPoint

_LOG = logging.getLogger(__name__)
FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 60.0
LONGEST_STOP_S: Final = 20.0


class Service(Protocol):
    """One thing that a station does."""

    @property
    def name(self) -> str:
        """A short name, unique at the station: letters, digits, - and /."""

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set, and return soon after. Wait with ``stop.wait(seconds)``, never without end."""


@dataclass(frozen=True, slots=True)
class ServiceState:
    """How a service is: ``waiting`` to start, ``running``, ``failed`` (starts again by itself) or ``ended``."""

    name: str
    state: str = "waiting"
    since: datetime | None = None
    failures: int = 0
    message: str = ""


class Supervisor:
    """Runs services until it is told to stop. A context manager: leaving it stops them."""

    def __init__(self, services: Sequence[Service], *, first_wait_s: float = FIRST_WAIT_S) -> None:
        """Raises ValueError where two services have one name."""
        names = [service.name for service in services]
        if len(set(names)) != len(names):
            raise ValueError(f"two services have one name: {', '.join(sorted(names))}")
        self.stop_event = threading.Event()
        self._first_wait_s = first_wait_s
        self._services = tuple(services)
        self._lock = threading.Lock()
        self._states = {name: ServiceState(name) for name in names}
        self._threads = [
            threading.Thread(target=self._keep, args=(service,), name=f"so2cam-{service.name}", daemon=True)
            for service in services
        ]

    def __enter__(self) -> "Supervisor":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start all services."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = LONGEST_STOP_S) -> tuple[str, ...]:
        """Tell all services to stop and wait for them. Return the names of those that did not within ``timeout_s``."""
        self.stop_event.set()
        limit = datetime.now(UTC).timestamp() + timeout_s
        late = []
        for service, thread in zip(self._services, self._threads, strict=True):
            if thread.ident is not None:
                thread.join(max(0.0, limit - datetime.now(UTC).timestamp()))
                if thread.is_alive():
                    late.append(service.name)
        if late:
            _LOG.warning("did not stop within %g s: %s", timeout_s, ", ".join(late))
        return tuple(late)

    def states(self) -> tuple[ServiceState, ...]:
        """Return how every service is, in the order given."""
        with self._lock:
            return tuple(self._states.values())

    def _keep(self, service: Service) -> None:
        wait_s = self._first_wait_s
        while not self.stop_event.is_set():
            began = datetime.now(UTC)
            self._set(service.name, "running")
            with SupervisionPoint(f"service {service.name}") as point:
                service.run(self.stop_event)
            error = point.error
            if error is not None:
                known = isinstance(error, So2camError)
                _LOG.error("%s: %s", service.name, error, exc_info=None if known else error)
                if (datetime.now(UTC) - began).total_seconds() > LONGEST_WAIT_S:
                    wait_s = self._first_wait_s
                self._set(service.name, "failed", str(error) or type(error).__name__)
                self.stop_event.wait(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
                continue
            break
        self._set(service.name, "ended")

    def _set(self, name: str, state: str, message: str = "") -> None:
        with self._lock:
            old = self._states[name]
            failures = old.failures + (state == "failed")
            self._states[name] = replace(
                old, state=state, since=datetime.now(UTC), failures=failures, message=message or old.message
            )
