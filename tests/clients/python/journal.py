"""Reads the journal with WireMock's client: list, one, count, find, unmatched, near misses, reset."""

import os
import urllib.error
import urllib.request

from wiremock.client import (
    Mappings,
    NearMisses,
    NearMissMatchPatternRequest,
    Requests,
    Scenarios,
)
from wiremock.constants import Config

Config.base_url = os.environ["GCE_METADATA_ADMIN"] + "/__admin"
ID = "/computeMetadata/v1/instance/id"


def ask(path):
    url = f"http://{os.environ['GCE_METADATA_HOST']}{path}"
    try:
        urllib.request.urlopen(urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})).close()
    except urllib.error.HTTPError:
        pass


ask(ID)
ask(ID)
ask("/computeMetadata/v1/none")

pattern = NearMissMatchPatternRequest(url=ID, method="GET", headers={"Metadata-Flavor": {"equalTo": "Google"}})
assert Requests.get_matching_request_count(pattern).count == 2
assert [found.url for found in Requests.get_matching_requests(pattern).requests] == [ID, ID]
received = Requests.get_all_received_requests().requests
assert len(received) == 3
assert Requests.get_request(received[0].id).request.url == received[0].request.url
assert [found.url for found in Requests.get_unmatched_requests().requests] == ["/computeMetadata/v1/none"]
assert NearMisses.find_nearest_misses_by_request_pattern(pattern).near_misses
Mappings.delete_all_mappings()
Scenarios.reset_all_scenarios()
Requests.reset_request_journal()
assert Requests.get_matching_request_count(pattern).count == 0
