"""Switching the other computer on and off, and seeing whether it is there. Every wait has an end."""

import socket
from collections.abc import Callable
from dataclasses import dataclass

from so2cam_power.clock import Clock, wait_until
from so2cam_power.gpio import Lines
from so2cam_power.settings import Follower

_PULSES = 3


@dataclass(frozen=True)
class FollowerOutcome:
    """Whether the other computer did as wanted, how long that took [s], and what to tell people."""

    done: bool
    after_s: float
    pulses: int
    text: str


def reachable(follower: Follower, timeout_s: float = 2.0) -> bool:
    """Return whether the other computer answers: a connection, or its refusal, comes only from one that is up."""
    try:
        with socket.create_connection((follower.address, follower.port), timeout=timeout_s):
            return True
    except ConnectionRefusedError:
        return True
    except OSError:
        return False


def start_follower(
    follower: Follower,
    lines: Lines,
    clock: Clock,
    is_reachable: Callable[[Follower], bool] = reachable,
) -> FollowerOutcome:
    """Pulse the start line until the other computer answers: up to three times within ``start_timeout_s``.

    A computer that is up already is left alone. The time comes to it by itself, from this one's time server.
    """
    begun = clock.monotonic()
    if is_reachable(follower):
        return FollowerOutcome(True, 0.0, 0, f"the follower ({follower.address}) was on already")
    for pulse in range(1, _PULSES + 1):
        lines.pulse_low(follower.start_gpio, follower.pulse_s)
        if wait_until(lambda: is_reachable(follower), follower.start_timeout_s / _PULSES, clock):
            after = clock.monotonic() - begun
            return FollowerOutcome(True, after, pulse, f"the follower ({follower.address}) is on after {after:.0f} s")
    after = clock.monotonic() - begun
    text = (
        f"the follower ({follower.address}) does not answer {after:.0f} s after {_PULSES} pulses on GPIO "
        f"{follower.start_gpio}: check its power, the wire to its GPIO 3, and the network cable"
    )
    return FollowerOutcome(False, after, _PULSES, text)


def stop_follower(
    follower: Follower,
    lines: Lines,
    clock: Clock,
    is_reachable: Callable[[Follower], bool] = reachable,
) -> FollowerOutcome:
    """Pulse the stop line once and wait until the other computer no longer answers, ``stop_timeout_s`` at most.

    Only one pulse: a second one could be taken for another press of a button.
    """
    begun = clock.monotonic()
    if not is_reachable(follower):
        return FollowerOutcome(True, 0.0, 0, f"the follower ({follower.address}) was off already")
    lines.pulse_low(follower.stop_gpio, follower.pulse_s)
    gone = wait_until(lambda: not is_reachable(follower), follower.stop_timeout_s, clock)
    after = clock.monotonic() - begun
    if gone:
        return FollowerOutcome(True, after, 1, f"the follower ({follower.address}) is off after {after:.0f} s")
    text = (
        f"the follower ({follower.address}) still answers {after:.0f} s after a pulse on GPIO {follower.stop_gpio}: "
        "check the wire to its GPIO 21, and that its boot settings have dtoverlay=gpio-shutdown,gpio_pin=21"
    )
    return FollowerOutcome(False, after, 1, text)
