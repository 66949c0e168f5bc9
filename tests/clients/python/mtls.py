# google-auth in strict mTLS mode: it connects to port 443 of the metadata server only, with the certificates of a folder.

import os
from pathlib import Path

import urllib3.util.connection
from google.auth.compute_engine import _metadata, _mtls
from google.auth.transport.requests import Request

HOST, PORT = os.environ["MTLS_ADDRESS"].rsplit(":", 1)
FOLDER = Path(os.environ["MTLS_FOLDER"])

# The library reads certificates from fixed paths of a VM, set when it is loaded; point them to the folder.
for function in (_mtls.should_use_mds_mtls, _mtls.MdsMtlsAdapter.__init__):
    config = function.__defaults__[0]
    config.ca_cert_path, config.client_combined_cert_path = FOLDER / "root.crt", FOLDER / "client.key"

# Redirect connections to the server, as a VM's routes do. The host names are kept and verified.
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
