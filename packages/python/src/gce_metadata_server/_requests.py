"""Requests that a server received, and patterns of requests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qs

ROOT = "/computeMetadata/v1/"


@dataclass(frozen=True)
class Request:
    """A request that the server received."""

    method: str
    #: The path without `/computeMetadata/v1/`, such as `instance/id`; the whole path if it is not below that.
    path: str
    #: The values of the parameters by their names.
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    #: The status of the answer. None if the client left before it.
    status: int | None
    received: datetime
    #: Whether the path names something.
    matched: bool
    #: The entry of the journal.
    entry: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Request:
        """Reads an entry of the journal."""
        request = entry["request"]
        path, _, query = request["url"].partition("?")
        return cls(
            method=request["method"],
            path=path[len(ROOT) :] if path.startswith(ROOT) else path,
            query=parse_qs(query, keep_blank_values=True),
            headers=request["headers"],
            status=entry["response"]["status"],
            received=datetime.fromtimestamp(request["loggedDate"] / 1000, timezone.utc),
            matched=entry["wasMatched"],
            entry=entry,
        )

    def __str__(self) -> str:
        return f"{self.method} {self.entry['request']['url']} {self.status or 'client left'}"


@dataclass(frozen=True)
class Pattern:
    """A condition on requests; None matches every request.

    `path` is a path of the metadata, such as `instance/id`, or a whole one that begins with `/`. A segment `*` is any one segment.
    """

    path: str | None = None
    method: str | None = None
    query: Mapping[str, str] | None = None

    def document(self) -> dict[str, Any]:
        """The request pattern of the admin API."""
        document: dict[str, Any] = {}
        if self.path is not None:
            if "*" in self.path.split("/"):
                document["urlPathPattern"] = self._expression()
            else:
                document["urlPath"] = self._whole_path()
        if self.method is not None:
            document["method"] = self.method.upper()
        if self.query:
            document["queryParameters"] = {name: {"equalTo": value} for name, value in self.query.items()}
        return document

    def matches(self, request: Request) -> bool:
        """Whether the server would say that this request matches."""
        whole = request.entry["request"]["url"].partition("?")[0]
        return (
            (self.path is None or re.fullmatch(self._expression(), whole) is not None)
            and (self.method is None or self.method.upper() == request.method)
            and all(value in request.query.get(name, []) for name, value in (self.query or {}).items())
        )

    def _whole_path(self) -> str:
        path = self.path or ""
        return path if path.startswith("/") else ROOT + path

    def _expression(self) -> str:
        segments = self._whole_path().split("/")
        return "/".join("[^/]+" if segment == "*" else re.escape(segment) for segment in segments)


def failure(problem: Mapping[str, Any]) -> str:
    """The message of an expectation that does not hold, with what was asked instead."""
    lines = [problem["detail"]]
    nearest = [miss["request"] for miss in problem.get("nearMisses", [])]
    if nearest:
        lines.append("the nearest other requests are:")
        lines += [f"  {request['method']} {request['url']}" for request in nearest]
    keys = problem.get("metadataServer", {}).get("nearestKeys", [])
    if keys:
        lines.append("the metadata has no such key; the nearest keys are:")
        lines += [f"  {key}" for key in keys]
    return "\n".join(lines)
