"""What the tests share. They run with the installed package; `pytester` runs pytest with its plugin."""

from __future__ import annotations

import http.client
import os
import time
from collections.abc import Callable, Iterator

import pytest

from gce_metadata_server import Client, MetadataServer

pytest_plugins = ["pytester"]


@pytest.fixture(scope="session")
def server() -> Iterator[MetadataServer]:
    """A server of the sample VM."""
    with MetadataServer() as vm:
        yield vm


@pytest.fixture
def vm(server: MetadataServer) -> MetadataServer:
    server.reset()
    return server


def ask(vm: Client, path: str) -> tuple[int, str]:
    """Asks as a program does: status and body."""
    connection = http.client.HTTPConnection(vm.host, timeout=60)
    connection.request("GET", f"/computeMetadata/v1/{path}", headers={"Metadata-Flavor": "Google"})
    answer = connection.getresponse()
    status, body = answer.status, answer.read().decode()
    connection.close()
    return status, body


def eventually(condition: Callable[[], bool]) -> None:
    """Waits for something outside of this process."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "not within 30 seconds"
        time.sleep(0.01)


def runs(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children(pid: int) -> list[int]:
    """The processes that this process started."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="ascii") as stat:
                if int(stat.read().rpartition(")")[2].split()[1]) == pid:
                    found.append(int(entry))
        except FileNotFoundError:
            continue
    return found
