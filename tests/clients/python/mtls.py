# google-auth in strict mTLS mode: it asks metadata.google.internal at 443 and nothing else, with the certificates of a folder.

import os
from pathlib import Path

import urllib3.util.connection
from google.auth.compute_engine import _metadata, _mtls
from google.auth.transport.requests import Request

HOST, PORT = os.environ["MTLS_ADDRESS"].rsplit(":", 1)
FOLDER = Path(os.environ["MTLS_FOLDER"])

# Where a VM has them. The library's paths are fixed when it is loaded.
for function in (_mtls.should_use_mds_mtls, _mtls.MdsMtlsAdapter.__init__):
    config = function.__defaults__[0]
    config.ca_cert_path, config.client_combined_cert_path = FOLDER / "root.crt", FOLDER / "client.key"

# What a VM's routes do. The names stay, and are verified.
connect = urllib3.util.connection.create_connection
asked = set()


def connect_here(address, *args, **kwargs):
    asked.add(address)
    return connect((HOST, int(PORT)), *args, **kwargs)


urllib3.util.connection.create_connection = connect_here

os.environ["GCE_METADATA_MTLS_MODE"] = "strict"
request = Request()
assert _metadata.ping(request), "the server is not recognised"
assert _metadata.get_project_id(request) == "sample-project"
token, _ = _metadata.get_service_account_token(request)
assert token.startswith("ya29."), token
assert asked == {("metadata.google.internal", 443), ("169.254.169.254", 443)}, asked
print("google-auth, strict mTLS: ok")
