"""The supervisor: a service that fails is started again, the others go on, and all stop when told to."""

import threading

import pytest

from so2cam.core.errors import So2camError
from so2cam.station.services import Supervisor


class Steady:
    """Works until told to stop."""

    def __init__(self, name: str = "steady") -> None:
        self.name = name
        self.running = threading.Event()

    def run(self, stop: threading.Event) -> None:
        self.running.set()
        stop.wait(30)


class Failing:
    """Fails some times, then works."""

    name = "failing"

    def __init__(self, times: int, error: Exception) -> None:
        self.left, self.error = times, error
        self.recovered = threading.Event()

    def run(self, stop: threading.Event) -> None:
        if self.left:
            self.left -= 1
            raise self.error
        self.recovered.set()
        stop.wait(30)


@pytest.mark.parametrize("error", [RuntimeError("broken"), So2camError("known"), KeyError()])
def test_a_service_that_fails_is_started_again(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    steady, failing = Steady(), Failing(3, error)
    with Supervisor([steady, failing], first_wait_s=0.001) as supervisor:
        assert failing.recovered.wait(20)
        assert steady.running.wait(20)
        states = {state.name: state for state in supervisor.states()}
    assert (states["failing"].failures, states["steady"].failures) == (3, 0)
    assert states["failing"].state == "running"
    assert states["failing"].message
    assert "failing" in caplog.text
    assert [state.state for state in supervisor.states()] == ["ended", "ended"]


def test_a_service_that_does_not_stop_is_named() -> None:
    release = threading.Event()

    class Deaf(Steady):
        def run(self, stop: threading.Event) -> None:
            self.running.set()
            release.wait(30)

    deaf = Deaf("deaf")
    supervisor = Supervisor([deaf, Steady()])
    supervisor.start()
    assert deaf.running.wait(20)
    assert supervisor.stop(timeout_s=0.2) == ("deaf",)
    release.set()
    assert supervisor.stop() == ()


def test_two_services_cannot_have_one_name() -> None:
    with pytest.raises(ValueError, match="one name"):
        Supervisor([Steady(), Steady()])


def test_a_supervisor_that_never_started_stops() -> None:
    assert Supervisor([Steady()]).stop() == ()
