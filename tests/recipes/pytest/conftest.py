"""The VM and the storage service of the tests.

All tests share one metadata server, that of `exec`: google-auth reads GCE_METADATA_HOST once, when it is imported.
"""

import http.server
import json
import os
import pathlib
import threading
import time

import pytest

import app

CONFIG = pathlib.Path(__file__).with_name("vm.json")


def eventually(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "not within 30 seconds"
        time.sleep(0.1)


@pytest.fixture
def vm():
    """Changes values of the instance. The server follows its config file, which is restored after the test."""
    original = CONFIG.read_text()

    def write(text):
        # Renaming shows the server the whole new file at once.
        new = CONFIG.with_suffix(".new")
        new.write_text(text)
        os.replace(new, CONFIG)

    def change(**values):
        config = json.loads(original)
        config["instance"].update(values)
        write(json.dumps(config))

    yield change
    write(original)
    preempted = json.loads(original)["instance"]["preempted"]
    eventually(lambda: app.metadata("instance/preempted").text == preempted)


class Storage(http.server.ThreadingHTTPServer):
    """A storage service that accepts the tokens of the metadata server until they expire."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.expiry = {}
        self.tokens = []

    def accepts(self, token):
        current = app.metadata("instance/service-accounts/default/token").json()
        # expires_in is rounded down to seconds.
        self.expiry[current["access_token"]] = time.monotonic() + current["expires_in"] + 1
        self.tokens.append(token)
        return not self.has_expired(token)

    def has_expired(self, token):
        return self.expiry.get(token, 0) <= time.monotonic()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.send_response(200 if self.server.accepts(token) else 401)
        self.end_headers()
        self.wfile.write(b"all is well")

    def log_message(self, *_):
        pass


@pytest.fixture
def storage():
    with Storage() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
