"""The environment that directs programs to a server, and this process' own, changed for a while."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ._binary import find_binary
from ._errors import ServerError

#: google-auth's module that asks the metadata server. It reads the variables of the host once, when it is imported.
GOOGLE_AUTH = "google.auth.compute_engine._metadata"
HOST = "_GCE_METADATA_HOST"


def client_variables(url: str) -> dict[str, str | None]:
    """The variables as `gce-metadata-server env` prints them, which has the only table of them. It makes a new folder for a login."""
    command = [find_binary(), "env", "--url", url, "--format", "json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise ServerError(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr}")
    variables: dict[str, str | None] = json.loads(done.stdout)
    return variables


class LoginFolder:
    """The empty folder in which libraries look for a login of the user. It is removed when the object is dropped."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.remove = weakref.finalize(self, shutil.rmtree, path, ignore_errors=True)


@contextmanager
def patched_environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Sets the variables, unsets those that are None, and directs google-auth to the server. The end puts all of it back."""
    before = {name: os.environ.get(name) for name in changes}
    module = sys.modules.get(GOOGLE_AUTH)
    # None if the module is imported in the meantime.
    host_before: str | None = getattr(module, HOST, None)
    _apply(changes)
    _direct_google_auth(_host())
    try:
        yield
    finally:
        _apply(before)
        _direct_google_auth(host_before or _host())


def _apply(changes: Mapping[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _host() -> str:
    """The host that google-auth reads from the environment."""
    return os.environ.get("GCE_METADATA_HOST") or os.environ.get("GCE_METADATA_ROOT", "metadata.google.internal")


def _direct_google_auth(host: str) -> None:
    module = sys.modules.get(GOOGLE_AUTH)
    if hasattr(module, HOST):
        setattr(module, HOST, host)
