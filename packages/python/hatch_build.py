"""The two kinds of wheels: one with the program, for its platform, and one without it, for all others.

pip prefers the first. The second exists so that pip can install the package everywhere, where the package then says what to do.
scripts/release/wheel sets the variables.
"""

from __future__ import annotations

import os
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

PROGRAM = "gce-metadata-server"

#: The path of the compiled program.
BINARY = os.environ.get("WHEEL_BINARY")
#: The platform tag of the wheel, such as manylinux_2_28_x86_64.
PLATFORM = os.environ.get("WHEEL_PLATFORM")


class WheelHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the program among the scripts of the wheel, and names its platform in the tag."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it writes the wheel."""
        if BINARY:
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{PLATFORM}"
            build_data["shared_scripts"][BINARY] = PROGRAM


class ScriptsHook(MetadataHookInterface):
    """Gives the wheel without the program a script of that name, which says what to do."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Called by hatchling before it reads the metadata."""
        metadata["scripts"] = {} if BINARY else {PROGRAM: "gce_metadata_server.__main__:main"}
