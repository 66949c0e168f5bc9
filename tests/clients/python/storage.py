# google-cloud-storage lists buckets with credentials from the server. The API is a stub that accepts only the token that the
# server issued.

import http.server
import json
import os
import threading
import urllib.request

from google.cloud import storage

# Tokens differ by scope, so the stub asks for the library's scopes.
SCOPES = ",".join(storage.Client.SCOPE)
TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token?scopes=" + SCOPES


def metadata(path):
    url = "http://" + os.environ["GCE_METADATA_HOST"] + path
    return urllib.request.urlopen(urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})).read()


class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = "Bearer " + json.loads(metadata(TOKEN))["access_token"]
        is_known = self.headers["Authorization"] == wanted and "project=sample-project" in self.path
        answer = {"kind": "storage#buckets", "items": [{"kind": "storage#bucket", "id": "b", "name": "bucket-1"}]}
        body = json.dumps(answer if is_known else {"error": {"code": 401, "message": "unknown token"}}).encode()
        self.send_response(200 if is_known else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


api = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
threading.Thread(target=api.serve_forever, daemon=True).start()
client = storage.Client(client_options={"api_endpoint": f"http://127.0.0.1:{api.server_port}"})
buckets = [bucket.name for bucket in client.list_buckets(retry=None)]
assert client.project == "sample-project", client.project
assert buckets == ["bucket-1"], buckets
print("google-cloud-storage: ok")
