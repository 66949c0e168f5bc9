"""The program under test: works until the machine is preempted, then saves its work."""

import os

import requests

URL = f"http://{os.environ['GCE_METADATA_HOST']}/computeMetadata/v1/instance/preempted"

print("working", flush=True)
tag, preempted = "0", "FALSE"
while preempted != "TRUE":
    query = {"wait_for_change": "true", "last_etag": tag, "timeout_sec": 60}
    answer = requests.get(URL, params=query, headers={"Metadata-Flavor": "Google"})
    answer.raise_for_status()
    tag, preempted = answer.headers["ETag"], answer.text
print("saved", flush=True)
