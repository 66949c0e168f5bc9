"""The pytest plugin: fixtures for a server, its options, and the marker `gce_metadata`.

Each worker of pytest-xdist is a process with a server of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ._server import Config, MetadataServer

CONFIG = "gce_metadata_config"
ARGS = "gce_metadata_args"
MARKER = "gce_metadata"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of pyproject.toml."""
    parser.addini(CONFIG, "config file of the metadata server, relative to this file", type="string", default=None)
    parser.addini(ARGS, "options of the metadata server, such as --offline-token-lifetime 10s", type="args", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(config=None, faults=[]): run the test on a VM with this metadata (a dict, or the path of a config file beside the "
        "test) and these faults, as `gce_metadata_server.fault` makes them",
    )


@pytest.fixture(scope="session")
def gce_metadata_server(pytestconfig: pytest.Config) -> Iterator[MetadataServer]:
    """A server that runs until the end of the tests. It changes no environment; `gce_metadata` does."""
    config = pytestconfig.getini(CONFIG)
    # The folder of pyproject.toml, if that has pytest's options.
    file = pytestconfig.rootpath / config if config else None
    with MetadataServer(file, args=pytestconfig.getini(ARGS)) as server:
        yield server


@pytest.fixture
def gce_metadata(request: pytest.FixtureRequest, gce_metadata_server: MetadataServer) -> Iterator[MetadataServer]:
    """The VM that the test runs on: the session's server in its first state, and the environment that directs programs to it."""
    server = gce_metadata_server
    server.reset()
    marker = request.node.get_closest_marker(MARKER)
    with server.environment():
        if marker is not None:
            _prepare(server, Path(request.node.path).parent, *marker.args, **marker.kwargs)
        yield server


@pytest.fixture(autouse=True)
def _gce_metadata_of_the_marker(request: pytest.FixtureRequest) -> None:
    """A test with the marker needs not name the fixture."""
    if request.node.get_closest_marker(MARKER) is not None:
        request.getfixturevalue("gce_metadata")


def _prepare(
    server: MetadataServer,
    folder: Path,
    config: Config | None = None,
    faults: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Applies the arguments of the marker."""
    if isinstance(config, Mapping):
        server.replace(config)
    elif config is not None:
        server.replace(json.loads((folder / config).read_text(encoding="utf-8")))
    for document in faults:
        server.faults.add(document)
