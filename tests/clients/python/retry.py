"""A client of scripts/retry-matrix: gets an access token with google-auth."""

import os
import sys

import google.auth
import google.auth.transport.requests


def get_tokens(times):
    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    for _ in range(times):
        # As before each call of an API: refreshes unless the token is valid.
        credentials.before_request(google.auth.transport.requests.Request(), "GET", "https://example.com", {})


print("started", flush=True)
try:
    get_tokens(int(os.environ["TOKENS"]))
    outcome = "ok"
except Exception as error:
    print(repr(error), file=sys.stderr)
    outcome = f"error {type(error).__name__}"
print(outcome, flush=True)
