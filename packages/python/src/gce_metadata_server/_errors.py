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
        reason = problem.get("detail") or problem.get("title") or "refused"
        super().__init__(f"{request}: {reason}{_place(problem)} (status {status})")


def _place(problem: dict[str, Any]) -> str:
    """The member of the document that was sent, by its JSON pointer."""
    pointers = [error["source"]["pointer"] for error in problem.get("errors", []) if "source" in error]
    return f", at {pointers[0]}" if pointers else ""


class VerificationError(AssertionError):
    """Requests were expected that the server did not receive, or not as often. The message says what was asked instead."""
