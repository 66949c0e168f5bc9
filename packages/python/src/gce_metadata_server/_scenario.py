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

    def run(self, **parameters: Any) -> Scenario:
        """Starts the run. `in_` is the member `in`, which Python reserves."""
        body = {name.rstrip("_"): value for name, value in parameters.items()}
        self._admin.call("POST", f"{self._path}/run", body)
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
        self._admin.call("POST", f"{self._path}/advance", {"duration": duration})

    def stop(self) -> None:
        """Stops the run, and puts back the values that it changed."""
        self._admin.call("POST", f"{self._path}/stop")

    def __enter__(self) -> Scenario:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
