"""Makes, lists, changes, counts and removes faults with WireMock's client."""

import os
import time
import urllib.error
import urllib.request

from wiremock.client import (
    DelayDistribution,
    DelayDistributionMethods,
    HttpMethods,
    Mapping,
    MappingRequest,
    MappingResponse,
    Mappings,
    NearMissMatchPatternRequest,
    Requests,
    ResponseFaultType,
)
from wiremock.constants import Config
from wiremock.exceptions import InvalidInputException, NotFoundException

Config.base_url = os.environ["GCE_METADATA_ADMIN"] + "/__admin"
ID = "/computeMetadata/v1/instance/id"
TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"


def ask(path):
    """The status, the headers and the body; None for a connection without an answer."""
    url = f"http://{os.environ['GCE_METADATA_HOST']}{path}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()
    except (ConnectionError, urllib.error.URLError):
        return None


def stub(response, **members):
    pattern = "/computeMetadata/v1/instance/service-accounts/[^/]+/token"
    request = MappingRequest(method=HttpMethods.GET, url_path_pattern=pattern)
    return Mapping(priority=1, request=request, response=response, persistent=False, **members)


# Make.
busy = MappingResponse(status=503, body="try later", headers={"Retry-After": "1"}, fixed_delay_milliseconds=250)
added = Mappings.create_mapping(stub(busy))
start = time.monotonic()
status, headers, body = ask(TOKEN)
assert (status, headers["Retry-After"], body) == (503, "1", "try later")
assert time.monotonic() - start >= 0.25
assert ask(ID)[0] == 200

# List, show, change.
assert [mapping.id for mapping in Mappings.retrieve_all_mappings().mappings] == [added.id]
shown = Mappings.retrieve_mapping(added)
assert (shown.request.url_path_pattern, shown.response.status) == (added.request.url_path_pattern, 503)
shown.response = MappingResponse(status=429, json_body={"error": "busy"})
assert Mappings.update_mapping(shown).id == added.id
assert ask(TOKEN)[::2] == (429, '{"error":"busy"}')

# Count.
pattern = NearMissMatchPatternRequest(url=TOKEN, method="GET")
assert Requests.get_matching_request_count(pattern).count == 2

# Faults of connections, and delays by a distribution.
closed = Mappings.create_mapping(stub(MappingResponse(fault=ResponseFaultType.EMPTY_RESPONSE)))
assert ask(TOKEN) is None
Mappings.delete_mapping(closed)
drawn = DelayDistribution(distribution_type=DelayDistributionMethods.UNIFORM, lower=10, upper=20)
Mappings.create_mapping(stub(MappingResponse(status=500, delay_distribution=drawn)))
assert ask(TOKEN)[0] == 500

# What this server can't do is refused with its name, and changes nothing.
for refused, name in [
    (stub(MappingResponse(fault=ResponseFaultType.RANDOM_DATA_THEN_CLOSE)), "/response/fault"),
    (stub(MappingResponse(status=503), scenario_name="a"), "/scenarioName"),
]:
    try:
        Mappings.create_mapping(refused)
        raise SystemExit(f"{name} was accepted")
    except InvalidInputException as error:
        assert name in str(error), error
assert Mappings.retrieve_all_mappings().meta.total == 2

# Remove.
Mappings.delete_mapping(added)
try:
    Mappings.retrieve_mapping(added)
    raise SystemExit("the fault is still there")
except NotFoundException:
    pass
Mappings.reset_mappings()
assert Mappings.retrieve_all_mappings().meta.total == 0 and ask(TOKEN)[0] == 200
Mappings.create_mapping(stub(busy))
Mappings.delete_all_mappings()
assert Mappings.retrieve_all_mappings().meta.total == 0 and ask(TOKEN)[0] == 200
