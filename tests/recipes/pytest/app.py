"""The program under test."""

import os

import google.auth
import google.auth.transport.requests
import requests


def metadata(path):
    url = f"http://{os.environ['GCE_METADATA_HOST']}/computeMetadata/v1/{path}"
    answer = requests.get(url, headers={"Metadata-Flavor": "Google"}, timeout=60)
    answer.raise_for_status()
    return answer


def wait_for_preemption():
    state = metadata("instance/preempted")
    while state.text != "TRUE":
        state = metadata(f"instance/preempted?wait_for_change=true&last_etag={state.headers['ETag']}")


class Reports:
    def __init__(self, storage_url):
        credentials, _ = google.auth.default()
        self.session = google.auth.transport.requests.AuthorizedSession(credentials)
        self.url = storage_url

    def download(self, name):
        answer = self.session.get(f"{self.url}/storage/v1/b/reports/o/{name}?alt=media")
        answer.raise_for_status()
        return answer.text
