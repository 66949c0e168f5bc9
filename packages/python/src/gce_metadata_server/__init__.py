"""A metadata server of Google Compute Engine for tests.

>>> from gce_metadata_server import MetadataServer
>>> with MetadataServer() as vm:
...     subprocess.run(["my-program"], env=vm.env, check=True)

For pytest there are the fixtures `gce_metadata` and `gce_metadata_server` and the marker `gce_metadata`.
"""

from ._binary import BinaryNotFoundError, find_binary
from ._client import Client, connect
from ._errors import AdminError, ServerError, VerificationError
from ._faults import Fault, Faults, fault
from ._requests import Request
from ._scenario import Scenario
from ._server import MetadataServer
from ._tokens import Tokens

__all__ = [
    "AdminError",
    "BinaryNotFoundError",
    "Client",
    "Fault",
    "Faults",
    "MetadataServer",
    "Request",
    "Scenario",
    "ServerError",
    "Tokens",
    "VerificationError",
    "connect",
    "fault",
    "find_binary",
]
