"""google-auth and google-cloud-storage in this process, which read the environment in their own ways."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator

import google.auth
import google.auth.compute_engine
import google.auth.transport.requests
import pytest
from google.cloud import storage  # type: ignore[import-untyped]

from gce_metadata_server import MetadataServer

EMAIL = "vm-1@sample-project.iam.gserviceaccount.com"


def test_the_default_credentials_are_those_of_the_vm(gce_metadata: MetadataServer) -> None:
    # google-auth was imported before the server had started.
    credentials, project = google.auth.default()
    assert isinstance(credentials, google.auth.compute_engine.Credentials)
    credentials.refresh(google.auth.transport.requests.Request())  # type: ignore[no-untyped-call]
    assert (project, credentials.service_account_email) == ("sample-project", EMAIL)
    gce_metadata.verify("instance/service-accounts/default/token")


@pytest.mark.parametrize("imported", ["before", "in", "after"])
def test_google_auth_is_directed_whenever_it_is_imported(imported: str) -> None:
    load = "import google.auth.compute_engine._metadata as m"
    lines = [
        "import os",
        "os.environ.pop('GCE_METADATA_HOST', None); os.environ.pop('GCE_METADATA_ROOT', None)",
        load if imported == "before" else "",
        "from gce_metadata_server import MetadataServer",
        "with MetadataServer() as vm, vm.environment():",
        f"    {load if imported == 'in' else 'pass'}",
        "    import sys; m = sys.modules.get('google.auth.compute_engine._metadata')",
        "    assert m is None or m._GCE_METADATA_HOST == vm.host",
        load,
        "print(m._GCE_METADATA_HOST)",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert done.stdout == "metadata.google.internal\n", done.stderr


class Storage(http.server.ThreadingHTTPServer):
    """A made-up storage service that records the tokens of its clients."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tokens: list[str] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Storage

    def do_GET(self) -> None:
        self.server.tokens.append(self.headers["Authorization"])
        body = b"all is well"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Storage]:
    with Storage() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_storage_client_uses_the_tokens_of_the_vm(gce_metadata: MetadataServer, service: Storage) -> None:
    gce_metadata.tokens.set(access_token="made-up-token", expires_in=3600)
    client = storage.Client(client_options={"api_endpoint": f"http://127.0.0.1:{service.server_port}"})
    assert client.project == "sample-project"
    assert client.bucket("reports").blob("today").download_as_bytes() == b"all is well"
    assert set(service.tokens) == {"Bearer made-up-token"}
    assert json.dumps(gce_metadata.tokens.status()).count("made-up-token") == 0
