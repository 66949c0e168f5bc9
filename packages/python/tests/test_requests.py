"""What a program asked, and expectations."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import pytest
from conftest import ask

from gce_metadata_server import MetadataServer, VerificationError

TOKEN = "instance/service-accounts/default/token"


def test_requests_are_listed_in_their_order_with_their_answers(vm: MetadataServer) -> None:
    ask(vm, "instance/id")
    ask(vm, TOKEN + "?scopes=a,b")
    ask(vm, "instance/preemptd")
    requests = vm.requests()
    assert [(each.method, each.path, each.status) for each in requests] == [
        ("GET", "instance/id", 200),
        ("GET", TOKEN, 200),
        ("GET", "instance/preemptd", 404),
    ]
    assert requests[1].query == {"scopes": ["a,b"]}
    assert requests[0].headers["Metadata-Flavor"] == "Google"
    assert abs((datetime.now(timezone.utc) - requests[0].received).total_seconds()) < 60
    assert str(requests[2]) == "GET /computeMetadata/v1/instance/preemptd 404"
    assert [each.path for each in vm.requests(unmatched=True)] == ["instance/preemptd"]


def test_requests_are_filtered(vm: MetadataServer) -> None:
    ask(vm, "instance/id")
    ask(vm, TOKEN + "?scopes=a")
    assert [each.path for each in vm.requests("instance/service-accounts/*/token")] == [TOKEN]
    assert [each.path for each in vm.requests("/computeMetadata/v1/instance/id")] == ["instance/id"]
    assert [each.path for each in vm.requests(query={"scopes": "a"})] == [TOKEN]
    assert vm.requests("instance/*") == vm.requests("instance/id", method="get")
    assert vm.requests("instance/id", method="POST") == []
    assert vm.requests("instance/i.") == []


@pytest.mark.parametrize("path", ["instance/id", "instance/*", "/computeMetadata/v1/instance/id", "instance/i.", "instance/id/*"])
def test_the_server_and_the_helper_match_the_same_requests(vm: MetadataServer, path: str) -> None:
    ask(vm, "instance/id?a=1&a=2")
    for query in (None, {"a": "2"}, {"a": "3"}):
        assert vm.verify(path, query=query, at_least=0) == len(vm.requests(path, query=query))


def test_expectations_hold(vm: MetadataServer) -> None:
    for _ in range(3):
        ask(vm, "instance/id")
    assert vm.verify("instance/id") == 3
    assert vm.verify("instance/id", times=3) == 3
    assert vm.verify("instance/id", at_least=1, at_most=3) == 3
    assert vm.verify("instance/name", times=0) == 0
    with pytest.raises(ValueError, match="both limits"):
        vm.verify("instance/id", times=1, at_most=2)


def test_a_failed_expectation_says_what_was_asked_instead(vm: MetadataServer) -> None:
    ask(vm, "instance/preemptd")
    with pytest.raises(AssertionError) as failed:
        vm.verify("instance/preempted")
    assert isinstance(failed.value, VerificationError)
    message = str(failed.value)
    assert message.startswith("expected at least 1 request for ")
    assert message.endswith("the nearest other requests are:\n  GET /computeMetadata/v1/instance/preemptd")


def test_an_expectation_of_a_key_that_does_not_exist_names_the_nearest(vm: MetadataServer) -> None:
    with pytest.raises(VerificationError, match=r"(?s)no such key; the nearest keys are:\n  instance/preempted"):
        vm.verify("instance/preemptd")


def test_an_expectation_waits(vm: MetadataServer) -> None:
    before = time.monotonic()
    with pytest.raises(VerificationError, match="received 0 requests"):
        vm.verify("instance/id", within=0.2)
    assert time.monotonic() - before >= 0.2
