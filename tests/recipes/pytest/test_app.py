from concurrent.futures import ThreadPoolExecutor

import google.auth

import app
from conftest import eventually


def test_default_credentials_are_those_of_the_vm():
    credentials, project = google.auth.default()
    assert isinstance(credentials, google.auth.compute_engine.Credentials)
    assert project == "my-project"


def test_a_custom_attribute():
    assert app.metadata("instance/attributes/color").text == "blue"


def test_the_program_notices_that_its_vm_is_preempted(vm):
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(app.wait_for_preemption)
        vm(preempted="TRUE")
        waiting.result(timeout=30)


def test_a_request_after_the_token_has_expired_has_a_new_token(storage):
    reports = app.Reports(storage.url)
    assert reports.download("today") == "all is well"
    first = storage.tokens[-1]
    eventually(lambda: storage.has_expired(first))
    assert reports.download("today") == "all is well"
    assert storage.tokens[-1] != first
