"""The tokens of a running server."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from ._admin import Admin

ACCOUNT = "default"


class Tokens:
    """Changes the tokens that accounts get. An account is an e-mail, or an alias such as `default`."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin

    def set(
        self,
        account: str = ACCOUNT,
        *,
        access_token: str | None = None,
        expires_in: int | None = None,
        id_token: str | None = None,
        then: str | None = None,
        lifetime: int | None = None,
        skew: int | None = None,
        reuse: bool | None = None,
    ) -> None:
        """Gives the account tokens, or changes how the server makes them. A second call replaces the first.

        Args:
            account: the account.
            access_token: the access token to serve.
            expires_in: seconds until the access token ends (3600).
            id_token: the identity token to serve, until its `exp`.
            then: after a given token has ended: `source`, a token that the server makes; `unavailable`, status 503.
            lifetime: seconds that tokens are valid which the server makes.
            skew: the stated lifetime of an access token minus its true one, in seconds.
            reuse: False: each request gets a new token.
        """
        given = {
            "access_token": access_token,
            "expires_in": expires_in,
            "id_token": id_token,
            "then": then,
            "lifetime": lifetime,
            "skew": skew,
            "reuse": reuse,
        }
        body = {name: value for name, value in given.items() if value is not None}
        self._admin.call("PUT", f"tokens/{_escaped(account)}", body)

    def rotate(self, account: str = ACCOUNT) -> None:
        """Drops the cached tokens of the account, so that the next answer is a new token."""
        self._admin.call("POST", f"tokens/{_escaped(account)}/rotate")

    def clear(self, account: str = ACCOUNT) -> None:
        """Undoes `set`."""
        self._admin.call("DELETE", f"tokens/{_escaped(account)}")

    def status(self) -> Any:
        """The accounts with the source and expiry of their tokens. It has no token."""
        return self._admin.call("GET", "tokens")


def _escaped(account: str) -> str:
    return quote(account, safe="@")
