"""Scenarios: changes of a VM on a timeline, such as its preemption."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from ._admin import Admin


class Scenario:
    """A run of a scenario. As a context manager it stops the run at its end, which puts back the values that it changed."""

    def __init__(self, admin: Admin, name: str) -> None:
        self._admin = admin
        self.name = name
        self._path = f"scenarios/{quote(name, safe='')}"

    def run(
        self,
        *,
        in_: str | None = None,
        at: str | None = None,
        progression: str | None = None,
        speed: float | None = None,
        keep: bool | None = None,
        **parameters: Any,
    ) -> Scenario:
        """Starts the run.

        Args:
            in_: a duration such as `5s` before the first state.
            at: the time of the first state (RFC 3339).
            progression: `time`; `manual`, by `step` and `advance`; or `immediate`.
            speed: how fast the timeline runs; 60 is an hour in a minute.
            keep: True: the end does not put back the values that the run changed.
            **parameters: those of the scenario, such as `notice=120`.
        """
        given = {"in": in_, "at": at, "progression": progression, "speed": speed, "keep": keep, "parameters": parameters or None}
        self._admin.call("POST", f"{self._path}/run", {name: value for name, value in given.items() if value is not None})
        return self

    @property
    def state(self) -> str:
        """The name of the current state."""
        scenarios = self._admin.call("GET", "scenarios")["scenarios"]
        state: str = next(each["state"] for each in scenarios if each["name"] == self.name)
        return state

    def step(self) -> None:
        """Goes to the next state at once."""
        self._admin.call("POST", f"{self._path}/step")

    def advance(self, duration: str) -> None:
        """Advances the timeline by a duration such as `30s`."""
        self._admin.call("POST", f"{self._path}/advance", {"by": duration})

    def stop(self) -> None:
        """Stops the run, and puts back the values that it changed."""
        self._admin.call("POST", f"{self._path}/stop")

    def __enter__(self) -> Scenario:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
