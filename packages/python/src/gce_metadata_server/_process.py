"""The process of a server."""

from __future__ import annotations

import errno
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ._binary import find_binary
from ._errors import ServerError

#: Seconds that a server gets to end by itself. It answers waiting requests at once.
STOP_TIMEOUT = 5.0


class Process:
    """A process of the program that serves, and ends with this process."""

    def __init__(self, args: Sequence[str], variables: Mapping[str, str]) -> None:
        """Starts the program. `variables` are added to its environment."""
        command = [find_binary(), "serve", "--announce", "json", "--exit-with-parent", *args]
        # A file, because a pipe that is not read would block the server.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._final_log = ""
        # A child that is forked later runs the same finalizers, and must not stop its parent's server.
        self._owner = os.getpid()
        try:
            self._process = subprocess.Popen(
                command,
                # The server also ends when this pipe does.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env={**os.environ, **variables},
            )
        except OSError as error:
            self._log.close()
            remedy = ": write a large config to a file and pass its path" if error.errno == errno.E2BIG else ""
            raise ServerError(f"{command[0]} can't be executed: {error}{remedy}") from error

    def start_message(self, timeout: float) -> Any:
        """Waits until the server answers, and returns its addresses."""
        assert self._process.stdout is not None
        pipe, line, deadline = self._process.stdout.fileno(), b"", time.monotonic() + timeout
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([pipe], [], [], max(0, deadline - time.monotonic()))
            if not readable:
                raise ServerError(f"the server did not start within {timeout:g} seconds\n{self.log()}".rstrip())
            part = os.read(pipe, 4096)
            if not part:
                status = self._process.wait()
                raise ServerError(f"the server did not start (exit status {status}):\n{self.log()}".rstrip())
            line += part
        return json.loads(line)

    def log(self) -> str:
        """What the program has written to standard error."""
        if self._log.closed:
            return self._final_log
        # The program writes at the offset of the file, which reading must not change.
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def stop(self) -> None:
        """Ends the program and waits for its end."""
        if os.getpid() != self._owner:
            return
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._final_log = self.log()
        self._log.close()
