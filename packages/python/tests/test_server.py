"""Start, stop, and what a test changes."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import ask, eventually, runs

from gce_metadata_server import AdminError, MetadataServer, ServerError, connect

CONFIG = {"instance": {"attributes": {"color": "blue"}}, "project": {"projectId": "my-project"}}


def test_the_config_is_a_dict_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "vm.json"
    file.write_text(json.dumps(CONFIG))
    for config in (CONFIG, file, str(file)):
        with MetadataServer(config) as vm:
            assert ask(vm, "instance/attributes/color") == (200, "blue")
            assert vm.get("project/project-id") == "my-project"


def test_options_are_passed_on() -> None:
    with MetadataServer(args=["--offline-token-lifetime", "10s"]) as vm:
        _, token = ask(vm, "instance/service-accounts/default/token")
        assert json.loads(token)["expires_in"] <= 10


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    file = tmp_path / "vm.json"
    file.write_text('{"instance": 5}')
    with pytest.raises(ServerError, match=r"(?s)exit status 1.*vm.json:1:.*instance"):
        MetadataServer(file)
    with pytest.raises(ServerError, match="--no-such-option"):
        MetadataServer(args=["--no-such-option"])


def test_a_server_without_http_is_refused_and_stopped(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="no HTTP listener.*--domain-socket"):
        MetadataServer(args=["--domain-socket", str(tmp_path / "socket")])
    eventually(lambda: not (tmp_path / "socket").exists())


def test_a_large_config_needs_a_file() -> None:
    with pytest.raises(ServerError, match="to a file"):
        MetadataServer({"instance": {"attributes": {"startup-script": "x" * 200_000}}})


def test_stop_ends_the_process_and_keeps_the_log() -> None:
    vm = MetadataServer()
    eventually(lambda: "listening" in vm.log)
    vm.stop()
    vm.stop()
    assert not runs(vm.pid)
    assert "draining" in vm.log
    with pytest.raises(ServerError, match="no answer from http://127.0.0.1"):
        vm.reset()


def test_a_dropped_server_ends() -> None:
    pid = MetadataServer().pid
    gc.collect()
    eventually(lambda: not runs(pid))


def start_and(action: str) -> int:
    """Runs a program that starts a server and then ends by this action. Returns the ID of the server's process."""
    code = f"import os, signal, sys, gce_metadata_server as g; vm = g.MetadataServer(); print(vm.pid, flush=True); {action}"
    return int(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout)


@pytest.mark.parametrize(
    "action",
    ["pass", "sys.exit(3)", "os._exit(3)", "1 / 0", "os.kill(os.getpid(), signal.SIGTERM)", "os.kill(os.getpid(), signal.SIGKILL)"],
)
def test_the_server_ends_with_its_program(action: str) -> None:
    pid = start_and(action)
    eventually(lambda: not runs(pid))


def test_a_forked_child_does_not_stop_the_server(server: MetadataServer) -> None:
    child = multiprocessing.get_context("fork").Process(target=gc.collect)
    child.start()
    child.join()
    pid = os.fork()
    if pid == 0:
        # As an interpreter does at its end.
        server.stop()
        os._exit(0)
    os.waitpid(pid, 0)
    assert runs(server.pid)


def test_the_process_sees_the_vm_and_then_its_own_environment_again(vm: MetadataServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("NO_PROXY", "example.com")
    monkeypatch.delenv("GCE_METADATA_HOST", raising=False)
    before = dict(os.environ)
    with vm.environment():
        assert os.environ["GCE_METADATA_HOST"] == os.environ["GCE_METADATA_IP"] == vm.host
        assert os.environ["NO_PROXY"].startswith("example.com,127.0.0.1")
        assert "NO_GCE_CHECK" not in os.environ
        assert connect().get("project/project-id") == "sample-project"
    assert dict(os.environ) == before
    assert "NO_GCE_CHECK" not in vm.env
    with pytest.raises(ServerError, match="not set"):
        connect()


def test_the_folder_for_a_login_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    vm = MetadataServer()
    folder = vm.env["CLOUDSDK_CONFIG"]
    assert vm.env["CLOUDSDK_CONFIG"] == folder
    assert os.listdir(folder) == []
    vm.stop()
    assert not os.path.exists(folder)


def test_a_change_wakes_a_program_that_waits(vm: MetadataServer) -> None:
    answers: list[tuple[int, str]] = []
    waiting = threading.Thread(target=lambda: answers.append(ask(vm, "instance/preempted?wait_for_change=true&last_etag=0")))
    vm.set("instance/preempted", "TRUE")
    waiting.start()
    waiting.join()
    assert answers == [(200, "TRUE")]


def test_values_are_set_patched_removed_and_reset(vm: MetadataServer) -> None:
    vm.set("instance/attributes/color", "blue")
    vm.patch({"instance": {"attributes": {"size": "L", "my-key": None}}})
    vm.patch({"count": "2"}, "instance/attributes")
    vm.unset("instance/attributes/enable-oslogin")
    assert vm.get("instance/attributes") == {"color": "blue", "count": "2", "size": "L"}
    assert vm.get()["computeMetadata"]["v1"]["instance"]["attributes"]["count"] == "2"
    with pytest.raises(AdminError, match=r"`a b\?` can't be part of a URL's path"):
        vm.set("instance/attributes/a b?", "escaped in the URL")
    vm.replace(CONFIG)
    assert ask(vm, "instance/attributes/?recursive=true") == (200, '{"color":"blue"}')
    vm.reset()
    assert vm.get("instance/attributes/my-key") == "my value"


def test_a_refused_change_says_why(vm: MetadataServer) -> None:
    with pytest.raises(AdminError, match="PUT /__admin/metadata/instance: instance: an object is expected") as refused:
        vm.set("instance", 5)
    assert (refused.value.status, refused.value.problem["title"]) == (422, "Unprocessable Entity")


def test_tokens_are_given_rotated_and_cleared(vm: MetadataServer) -> None:
    def token() -> str:
        return str(json.loads(ask(vm, "instance/service-accounts/default/token")[1])["access_token"])

    vm.tokens.set(access_token="made-up", expires_in=60)
    assert token() == "made-up"
    assert "made-up" not in json.dumps(vm.tokens.status()) + vm.log + repr(vm)
    vm.tokens.clear()
    first = token()
    assert token() == first
    vm.tokens.rotate()
    assert token() != first


def test_requests_of_the_helper_use_no_proxy(monkeypatch: pytest.MonkeyPatch, vm: MetadataServer) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert vm.get("instance/name") == "vm-1"


def test_the_token_of_the_admin_api_is_sent_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_ADMIN_TOKEN", "made-up-secret")
    with MetadataServer() as vm:
        assert vm.get("instance/name") == "vm-1"
        with pytest.raises(AdminError) as refused:
            vm.set("instance", 5)
        monkeypatch.delenv("GCE_METADATA_ADMIN_TOKEN")
        with pytest.raises(AdminError, match="status 401"):
            vm.get()
        assert "made-up-secret" not in str(refused.value) + repr(refused.value.problem) + vm.log


def test_an_admin_api_at_a_unix_socket_is_refused(vm: MetadataServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", vm.host)
    monkeypatch.setenv("GCE_METADATA_ADMIN", "unix:/run/admin.socket")
    with pytest.raises(ServerError, match="GCE_METADATA_ADMIN is unix:/run/admin.socket"):
        connect()


def test_a_program_that_is_stopped_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gce_metadata_server._process.STOP_TIMEOUT", 0.1)
    vm = MetadataServer()
    os.kill(vm.pid, signal.SIGSTOP)
    vm.stop()
    assert not runs(vm.pid)
