# google-auth detects the server as GCE's: default credentials, compute credentials, and identity tokens that verify.

import datetime
import os

import google.auth
import google.auth.exceptions
import jwt
from google.auth import compute_engine
from google.auth.compute_engine import _metadata
from google.auth.transport.requests import Request
from google.oauth2 import id_token

SERVER = "http://" + os.environ["GCE_METADATA_HOST"]
EMAIL = "vm-1@sample-project.iam.gserviceaccount.com"
AUDIENCE = "https://service.example.com"


def same(what, got, wanted):
    assert got == wanted, f"{what}: {got!r} instead of {wanted!r}"


request = Request()
assert _metadata.ping(request), "the server is not recognised by its headers"
same("project", _metadata.get_project_id(request), "sample-project")
same("id", str(_metadata.get(request, "instance/id")), "5775171277418378001")
same("attribute", _metadata.get(request, "instance/attributes/my-key"), "my value")
same("tags", _metadata.get(request, "instance/tags"), ["http-server", "https-server"])
same("universe", _metadata.get_universe_domain(request), "googleapis.com")
everything = _metadata.get(request, "", recursive=True)
same("number", everything["project"]["numericProjectId"], 123456789012)

# Default credentials
credentials, project = google.auth.default()
same("project of the default credentials", project, "sample-project")
assert isinstance(credentials, compute_engine.Credentials), f"{credentials} are not a VM's"
credentials.refresh(request)
same("account", credentials.service_account_email, EMAIL)
assert credentials.token.startswith("ya29."), "no access token"
lifetime = credentials.expiry - datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
assert 3000 < lifetime.total_seconds() <= 3600, f"the token lives for {lifetime}"
assert credentials.valid and not credentials.expired, "the token is not valid"

# Compute credentials
compute = compute_engine.Credentials()
compute.refresh(request)
same("token", compute.token, credentials.token)
narrow = compute_engine.Credentials(scopes=["https://www.googleapis.com/auth/userinfo.email"])
narrow.refresh(request)
assert narrow.token != compute.token, "fewer scopes must give another token"
other = compute_engine.Credentials(scopes=["https://www.googleapis.com/auth/devstorage.read_only"])
other.refresh(request)
same("token for a scope that the account lacks", other.token, compute.token)

# Identity tokens, verified with the certificates and with the key set that the server publishes
for path in ["/oauth2/v1/certs", "/oauth2/v3/certs"]:
    token = id_token.fetch_id_token(request, AUDIENCE)
    claims = id_token.verify_token(token, request, AUDIENCE, certs_url=SERVER + path)
    same("iss", claims["iss"], "https://accounts.google.com")
    same("lifetime", claims["exp"] - claims["iat"], 3600)
    try:
        id_token.verify_token(token, request, "https://another.example.com", certs_url=SERVER + path)
        raise AssertionError("a token for another audience was accepted")
    except (google.auth.exceptions.InvalidValue, jwt.InvalidAudienceError) as refusal:
        assert "audience" in str(refusal).lower(), refusal
metadata_identity = compute_engine.IDTokenCredentials(request, AUDIENCE, use_metadata_identity_endpoint=True)
metadata_identity.refresh(request)
id_token.verify_token(metadata_identity.token, request, AUDIENCE, certs_url=SERVER + "/oauth2/v1/certs")

try:
    compute_engine.Credentials(service_account_email="nobody@example.com").refresh(request)
    raise AssertionError("an unknown account got a token")
except google.auth.exceptions.RefreshError:
    pass

print("google-auth: ok")
