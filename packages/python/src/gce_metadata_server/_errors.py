"""The errors of this package."""

from __future__ import annotations

from typing import Any


class ServerError(RuntimeError):
    """The server did not start, or it ended. The message has the server's standard error."""


class AdminError(RuntimeError):
    """The admin API refused a request."""

    def __init__(self, status: int, problem: dict[str, Any], request: str) -> None:
        #: The status of the answer, such as 422.
        self.status = status
        #: The problem document (RFC 9457) of the answer.
        self.problem = problem
        super().__init__(f"{request}: {problem.get('detail') or problem.get('title') or 'refused'} (status {status})")


class VerificationError(AssertionError):
    """Requests were expected that the server did not receive, or not as often. The message says what was asked instead."""
