"""What the program asked of the metadata server. Run by: gce-metadata-server exec -- pytest test_requests.py"""

import os

import google.auth
import google.auth.transport.requests
import google.oauth2.id_token
import pytest
import requests

ADMIN = os.environ["GCE_METADATA_ADMIN"]
TOKEN = "instance/service-accounts/*/token"
IDENTITY = "instance/service-accounts/*/identity"
SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"
AUDIENCE = "https://service.example.com"


def program():
    """The program under test."""
    transport = google.auth.transport.requests.Request()
    credentials, _ = google.auth.default(scopes=[SCOPE])
    for _ in range(3):
        credentials.before_request(transport, "GET", "https://storage.googleapis.com/", {})
    google.oauth2.id_token.fetch_id_token(transport, AUDIENCE)


def verify(request, **times):
    """Asserts how often the server received such a request: at_least once, unless times has other numbers."""
    body = {"request": request, "times": times or {"atLeast": 1}}
    answer = requests.post(f"{ADMIN}/__admin/requests/verify", json=body)
    assert answer.status_code == 202, answer.json()["detail"]


@pytest.fixture(autouse=True)
def run_program():
    requests.delete(f"{ADMIN}/__admin/requests")
    program()


def test_the_access_token_has_one_scope():
    verify({"path": TOKEN, "queryParameters": {"scopes": {"equalTo": SCOPE}}})
    verify({"path": TOKEN, "queryParameters": {"scopes": {"doesNotMatch": SCOPE}}}, atMost=0)


def test_the_identity_token_is_for_the_service():
    verify({"path": IDENTITY, "queryParameters": {"audience": {"equalTo": AUDIENCE}}})


def test_every_request_has_the_header():
    verify({"headers": {"Metadata-Flavor": {"equalTo": "Google"}}})
    verify({"headers": {"Metadata-Flavor": {"absent": True}}}, atMost=0)


def test_a_token_is_requested_at_most_once_a_minute():
    events = requests.get(f"{ADMIN}/__admin/requests").json()["requests"]
    asked = [event["request"] for event in events]
    tokens = [request for request in asked if request["metadataServer"].get("token", {}).get("kind") == "access"]
    dates = sorted(request["loggedDate"] for request in tokens)
    assert dates, "no token was requested"
    assert all(later - earlier >= 60_000 for earlier, later in zip(dates, dates[1:])), dates
