import json, os, threading, urllib.request

host, admin = os.environ["GCE_METADATA_HOST"], os.environ["GCE_METADATA_ADMIN"]


def metadata(path):
    """The value and the entity tag of a path."""
    url = f"http://{host}/computeMetadata/v1/{path}"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})) as answer:
        return answer.read().decode(), answer.headers.get("ETag")


def change(path, value):
    """Changes the metadata or the tokens by the admin API."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{admin}/__admin/{path}", json.dumps(value).encode(), headers, method="PUT")
    urllib.request.urlopen(request).close()


# Change a value.
change("metadata/instance/attributes/color", "blue")
print("color:", metadata("instance/attributes/color")[0])

# See a long poll wake.
_, tag = metadata("instance/preempted")
threading.Thread(target=change, args=("metadata/instance/preempted", "TRUE")).start()
print("preempted:", metadata(f"instance/preempted?wait_for_change=true&last_etag={tag}")[0])

# Make tokens expire in ten seconds.
change("tokens/default", {"lifetime": 10})
token = json.loads(metadata("instance/service-accounts/default/token")[0])
print("expires within 10 s:", token["expires_in"] <= 10)
