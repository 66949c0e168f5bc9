"""Handles preemptions and maintenances by long polls, as the samples of Compute Engine's documents do: prints each value of a key."""

import os
import sys
import time

import requests

key = sys.argv[1]
url = f"http://{os.environ['GCE_METADATA_HOST']}/computeMetadata/v1/instance/{key}"
last_etag = "0"
while True:
    response = requests.get(
        url,
        params={"last_etag": last_etag, "wait_for_change": True},
        headers={"Metadata-Flavor": "Google"},
    )
    # The metadata server answers 503 while a machine is maintained.
    if response.status_code == 503:
        time.sleep(1)
        continue
    response.raise_for_status()
    last_etag = response.headers["etag"]
    print(response.text, flush=True)
