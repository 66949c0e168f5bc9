"""An HTTP client of the admin API (`/__admin/…`)."""

from __future__ import annotations

import http.client
import json
import os
from typing import Any
from urllib.parse import quote, urlsplit

from ._errors import AdminError, ServerError

#: The server answers within ten seconds; only `requests/verify` may take longer.
TIMEOUT = 30.0

#: A request without a body; None is the JSON value null.
NO_BODY = object()


class Admin:
    """Sends requests to the admin API of one server. It ignores the proxies of the environment."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._address = urlsplit(url).netloc

    def send(
        self, method: str, path: str, body: object = NO_BODY, *, timeout: float = TIMEOUT, also: tuple[int, ...] = ()
    ) -> tuple[int, Any]:
        """Sends `body` as JSON and returns the status and the JSON of the answer.

        `path` is the path below `/__admin/`. Statuses of errors that are expected are listed in `also`.

        Raises:
            AdminError: the server refused the request.
            ServerError: the server did not answer.
        """
        headers, content = _authorization(), None
        if body is not NO_BODY:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        request = f"{method} /__admin/{path}"
        connection = http.client.HTTPConnection(self._address, timeout=timeout)
        try:
            connection.request(method, f"/__admin/{path}", content, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(f"{request}: no answer from {self.url}: {error or type(error).__name__}") from error
        finally:
            connection.close()
        document = _parse(text)
        if answer.status >= 400 and answer.status not in also:
            problem = document if isinstance(document, dict) else {}
            raise AdminError(answer.status, problem, request)
        return answer.status, document

    def call(self, method: str, path: str, body: object = NO_BODY) -> Any:
        """Sends a request as `send` does, and returns the JSON of its answer."""
        return self.send(method, path, body)[1]


def _authorization() -> dict[str, str]:
    """The token of the admin API, if its server demands one."""
    token = os.environ.get("GCE_METADATA_ADMIN_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def escaped(path: str) -> str:
    """A path of the metadata as it is written in a URL."""
    return quote(path.strip("/"), safe="/@:")


def query(**parameters: str | None) -> str:
    """A query with these parameters, without those that are None."""
    pairs = [f"{name}={quote(value, safe='')}" for name, value in parameters.items() if value is not None]
    return "?" + "&".join(pairs) if pairs else ""


def _parse(text: bytes) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None
