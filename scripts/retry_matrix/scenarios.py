"""The columns of the matrix: what goes wrong at the metadata server."""

from typing import NamedTuple


class Scenario(NamedTuple):
    name: str
    # Members of a stub mapping, without `request`; none: no fault.
    fault: dict | None = None
    # Body for /__admin/tokens/default.
    tokens: dict | None = None
    # How many tokens the client gets, one after the other.
    times: int = 1
    # The server refuses connections for this number of seconds from the start of the client.
    not_ready: float = 0
    # Not for the guest agent, which gets no tokens.
    is_of_tokens: bool = False


# Tables of the page: a heading and its columns.
TABLES = [
    (
        "Statuses",
        [
            Scenario("no fault"),
            Scenario("503 once", {"instructions": ["return-503"]}),
            Scenario("503 twice", {"instructions": ["return-503"] * 2}),
            Scenario("503 five times", {"instructions": ["return-503"] * 5}),
            Scenario(
                "429 once, `Retry-After: 3`",
                {"response": {"status": 429, "headers": {"Retry-After": "3"}}, "failRequestCount": 1},
            ),
            Scenario("404 always", {"response": {"status": 404}}, is_of_tokens=True),
        ],
    ),
    (
        "Connections and bodies",
        [
            Scenario("connection reset once", {"instructions": ["return-reset-connection"]}),
            Scenario("one answer hangs for 3 s", {"instructions": ["stall-for-3s"]}),
            Scenario("one answer hangs for 70 s", {"instructions": ["stall-for-70s"]}),
            Scenario("JSON truncated once", {"instructions": ["return-broken-stream"]}),
            Scenario("JSON corrupted once", {"instructions": ["return-corrupted-data"]}),
        ],
    ),
    (
        "Start and expiry",
        [
            Scenario("not ready for 5 s", not_ready=5),
            Scenario("tokens expire in 10 s; three calls", tokens={"lifetime": 10}, times=3, is_of_tokens=True),
        ],
    ),
]
SCENARIOS = [scenario for _, scenarios in TABLES for scenario in scenarios]
# The scenarios of --quick, in which no client waits for long.
QUICK = ["503 twice", "connection reset once"]
