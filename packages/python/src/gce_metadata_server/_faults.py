"""Faults: answers that the server gives instead of its usual ones, or with a delay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._admin import Admin
from ._requests import Pattern

Document = Mapping[str, Any]


def fault(
    path: str,
    *instructions: str,
    status: int | None = None,
    times: int | None = None,
    delay: float | None = None,
    body: str | None = None,
    headers: Mapping[str, str] | None = None,
    method: str | None = None,
    query: Mapping[str, str] | None = None,
    **members: Any,
) -> dict[str, Any]:
    """The document of a fault.

    Args:
        path: the path of the metadata, such as `instance/service-accounts/*/token`; a segment `*` is any one segment.
        *instructions: one per request, such as `return-503`, `return-reset-connection` or `stall-for-2s`; later requests are
            answered as usual.
        status: the status of the answer, instead of instructions.
        times: how many requests are answered so; all if left out.
        delay: seconds before the answer. Without a status the answer is the usual one.
        body: the body of the answer, instead of Google's own page.
        headers: headers of the answer.
        method: only requests with this method.
        query: only requests with these parameters.
        **members: further members of the document, such as `probability=0.5, seed=7`.
    """
    document: dict[str, Any] = {"request": Pattern(path, method, query).document(), **members}
    if instructions:
        if (status, times, delay, body, headers) != (None, None, None, None, None):
            raise ValueError("a fault has either instructions, or a status, delay, body or headers with `times`")
        document["instructions"] = list(instructions)
        return document
    response: dict[str, Any] = {}
    if status is not None:
        response["status"] = status
    elif delay is not None:
        # The usual answer, in WireMock's words.
        response["proxyBaseUrl"] = "http://metadata.google.internal"
    if delay is not None:
        response["fixedDelayMilliseconds"] = round(delay * 1000)
    if body is not None:
        response["body"] = body
    if headers:
        response["headers"] = dict(headers)
    if response:
        document["response"] = {**response, **members.get("response", {})}
    if times is not None:
        document["failRequestCount"] = times
    return document


class Fault:
    """A fault that the server has."""

    def __init__(self, admin: Admin, identifier: str) -> None:
        self._admin = admin
        #: The UUID of the fault.
        self.id = identifier

    @property
    def document(self) -> dict[str, Any]:
        """The fault, with its counters as they are now in `metadata.metadataServer`: `matched`, `injected`, `completed`."""
        document: dict[str, Any] = self._admin.call("GET", f"mappings/{self.id}")
        return document

    @property
    def injected(self) -> int:
        """How many requests were answered by the fault."""
        count: int = self.document["metadata"]["metadataServer"]["injected"]
        return count

    def remove(self) -> None:
        """Removes the fault."""
        self._admin.call("DELETE", f"mappings/{self.id}")

    def __enter__(self) -> Fault:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class Faults:
    """The faults of a server."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin

    def add(self, path_or_document: str | Document, *instructions: str, **options: Any) -> Fault:
        """Adds a fault: the arguments of `fault`, or a document.

        The result is a context manager that removes the fault at its end; `reset` of the server removes all.
        """
        if isinstance(path_or_document, str):
            document: Document = fault(path_or_document, *instructions, **options)
        elif instructions or options:
            raise TypeError("a document takes no further arguments")
        else:
            document = path_or_document
        return Fault(self._admin, self._admin.call("POST", "mappings", document)["id"])

    def list(self) -> list[Fault]:
        """All faults."""
        return [Fault(self._admin, each["id"]) for each in self._admin.call("GET", "mappings")["mappings"]]

    def clear(self) -> None:
        """Removes all faults."""
        self._admin.call("DELETE", "mappings")
