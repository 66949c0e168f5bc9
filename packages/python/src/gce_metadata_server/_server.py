"""A server of its own for a test."""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Union

from ._client import Client
from ._errors import ServerError
from ._process import Process

Config = Union[str, "os.PathLike[str]", Mapping[str, Any]]


class MetadataServer(Client):
    """A metadata server that runs while the `with` block does.

    >>> with MetadataServer() as vm:
    ...     vm.set("instance/attributes/color", "blue")
    ...     subprocess.run(["my-program"], env=vm.env, check=True)
    ...     vm.verify("instance/attributes/color")

    The server has free ports of 127.0.0.1, and ends with this process, even if that is killed.
    """

    def __init__(self, config: Config | None = None, *, args: Sequence[str] = (), timeout: float = 30) -> None:
        """Starts a server.

        Args:
            config: the metadata: the path of a config file, or the config itself as a dict. Without it the program's own default is
                served: `config.json` of the current folder if that exists, else a sample VM.
            args: further options of the program, such as `["--offline-token-lifetime", "10s"]`.
            timeout: seconds until the server must answer.

        Raises:
            ServerError: the server did not start. The message has what the server wrote to standard error.
            BinaryNotFoundError: the package has no program for this platform.
        """
        variables = {}
        if isinstance(config, Mapping):
            # By the environment, so that no file remains if this process is killed.
            variables["GCE_METADATA_CONFIG"] = json.dumps(config)
        elif config is not None:
            args = ["--config-file", os.fspath(config), *args]
        self._process = Process(["--port", "0", "--admin", "0", *args], variables)
        # Also runs when the object is dropped, and at the end of the interpreter.
        self._stop = weakref.finalize(self, self._process.stop)
        try:
            addresses = self._process.start_message(timeout)
            if "host" not in addresses:
                raise ServerError(f"the server has no HTTP listener; leave out the options {' '.join(args)}")
        except BaseException:
            self._stop()
            raise
        #: The ID of the server's process.
        self.pid: int = addresses["pid"]
        super().__init__(addresses["host"], addresses["admin"])

    @property
    def log(self) -> str:
        """What the server has written to standard error so far. Tokens are never logged."""
        return self._process.log()

    def stop(self) -> None:
        """Stops the server. A second call does nothing."""
        self._stop()
        if self._login is not None:
            self._login.remove()

    def __enter__(self) -> MetadataServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
