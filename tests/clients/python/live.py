# google-auth obtains a live token through the server and calls an API that verifies its signature.

import os

import google.auth
from google.auth.transport.requests import AuthorizedSession, Request
from google.oauth2 import id_token

credentials, _ = google.auth.default()
answer = AuthorizedSession(credentials).get(os.environ["API"])
assert answer.status_code == 200, answer.text
assert answer.json()["email"] == os.environ["EMAIL"], answer.text
assert id_token.fetch_id_token(Request(), "https://service.example.com").count(".") == 2, "no identity token"
print("google-auth, live: ok")
