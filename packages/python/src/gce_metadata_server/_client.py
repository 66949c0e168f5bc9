"""A running server, as a test sees it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ._admin import TIMEOUT, Admin, escaped
from ._admin import query as query_of
from ._environment import LoginFolder, client_variables, patched_environment
from ._errors import ServerError, VerificationError
from ._faults import Faults
from ._requests import Pattern, Request, failure
from ._scenario import Scenario
from ._tokens import Tokens


class Client:
    """Changes a running server by its admin API, and sees what programs asked it.

    Methods raise `AdminError` if the server refuses a change.
    """

    def __init__(self, host: str, admin_url: str) -> None:
        #: `HOST:PORT`, the value of `GCE_METADATA_HOST`.
        self.host = host
        #: The URL of the metadata server, such as `http://127.0.0.1:43121`.
        self.url = f"http://{host}"
        #: The URL of the admin API.
        self.admin_url = admin_url
        self._admin = Admin(admin_url)
        self._login: LoginFolder | None = None
        #: The tokens of the accounts.
        self.tokens = Tokens(self._admin)
        #: The faults that programs meet.
        self.faults = Faults(self._admin)

    # The environment of programs.

    @property
    def changes(self) -> dict[str, str | None]:
        """The variables that direct Google's libraries to this server. None means that the variable must be unset."""
        changes = client_variables(self.url)
        folder = str(changes["CLOUDSDK_CONFIG"])
        if self._login is None:
            self._login = LoginFolder(folder)
        else:
            os.rmdir(folder)
        return {**changes, "CLOUDSDK_CONFIG": self._login.path, "GCE_METADATA_ADMIN": self.admin_url}

    @property
    def env(self) -> dict[str, str]:
        """A whole environment for a program that runs as on the VM: that of this process with `changes`.

        >>> subprocess.run(["my-program"], env=vm.env)
        """
        changes = self.changes
        kept = {name: value for name, value in os.environ.items() if name not in changes}
        return {**kept, **{name: value for name, value in changes.items() if value is not None}}

    @contextmanager
    def environment(self) -> Iterator[None]:
        """Directs the libraries in this process to the server: `os.environ` and google-auth are changed, and put back at the end."""
        with patched_environment(self.changes):
            yield

    # The metadata.

    def get(self, path: str = "") -> Any:
        """A value of the metadata, or a directory, in the form of a config. An empty path is the whole config."""
        return self._admin.call("GET", _metadata(path))

    def set(self, path: str, value: object) -> None:
        """Sets a value, such as `set("instance/attributes/color", "blue")`. Programs that wait for it are answered."""
        self._admin.call("PUT", _metadata(path), value)

    def unset(self, path: str) -> None:
        """Removes a value or directory."""
        self._admin.call("DELETE", _metadata(path))

    def patch(self, changes: Mapping[str, Any], path: str = "") -> None:
        """Changes several values at once by a merge patch (RFC 7396), in which None removes a key.

        `patch({"instance": {"preempted": "TRUE"}})` has the keys of a config.
        """
        self._admin.call("PATCH", _metadata(path), dict(changes))

    def replace(self, config: Mapping[str, Any]) -> None:
        """Replaces the whole metadata by that of a config."""
        self._admin.call("PUT", "metadata", dict(config))

    def scenario(self, name: str, **options: Any) -> Scenario:
        """Runs a scenario, such as `scenario("preemption", notice=120)`. The options are those of `Scenario.run`."""
        return Scenario(self._admin, name).run(**options)

    def reset(self) -> None:
        """Undoes all changes: metadata, tokens, faults, scenarios, settings. Empties the journal."""
        self._admin.call("POST", "reset")

    # The requests.

    def requests(
        self,
        path: str | None = None,
        *,
        method: str | None = None,
        query: Mapping[str, str] | None = None,
        unmatched: bool = False,
    ) -> list[Request]:
        """The requests that programs sent, the oldest first.

        Args:
            path: only requests for this path, such as `instance/service-accounts/*/token`.
            method: only requests with this method.
            query: only requests with these parameters.
            unmatched: only requests whose path names nothing.
        """
        pattern = Pattern(path, method, query)
        entries = self._admin.call("GET", "requests" + query_of(unmatched="true" if unmatched else None))["requests"]
        return [request for request in map(Request.of, reversed(entries)) if pattern.matches(request)]

    def verify(
        self,
        path: str | None = None,
        *,
        method: str | None = None,
        query: Mapping[str, str] | None = None,
        times: int | None = None,
        at_least: int | None = None,
        at_most: int | None = None,
        within: float = 0,
    ) -> int:
        """Asserts how often programs sent such a request, by default at least once. Returns how often they did.

        Args:
            path, method, query: as of `requests`.
            times: exactly so often.
            at_least: at least so often.
            at_most: at most so often.
            within: seconds to wait for the requests.

        Raises:
            VerificationError: an assertion error that says what was asked instead.
        """
        if times is not None:
            if (at_least, at_most) != (None, None):
                raise ValueError("`times` is both limits: leave out `at_least` and `at_most`")
            at_least = at_most = times
        limits = {"atLeast": at_least, "atMost": at_most}
        expectation: dict[str, Any] = {
            "request": Pattern(path, method, query).document(),
            "timeout": round(within * 1000),
        }
        if (at_least, at_most) != (None, None):
            expectation["times"] = {name: limit for name, limit in limits.items() if limit is not None}
        status, answer = self._admin.send("POST", "requests/verify", expectation, timeout=TIMEOUT + within, also=(406,))
        if status == 406:
            raise VerificationError(failure(answer))
        count: int = answer["count"]
        return count


def connect() -> Client:
    """The server of this process' environment: `gce-metadata-server exec -- pytest` starts one.

    Raises:
        ServerError: `GCE_METADATA_HOST` or `GCE_METADATA_ADMIN` is not set.
    """
    host, admin = os.environ.get("GCE_METADATA_HOST"), os.environ.get("GCE_METADATA_ADMIN")
    if not host or not admin:
        raise ServerError("GCE_METADATA_HOST and GCE_METADATA_ADMIN are not set: run this with `gce-metadata-server exec -- …`")
    if not admin.startswith("http://"):
        raise ServerError(f"GCE_METADATA_ADMIN is {admin}: an address http://HOST:PORT is needed, as of `--admin 0`")
    return Client(host, admin)


def _metadata(path: str) -> str:
    return f"metadata/{escaped(path)}".rstrip("/")
