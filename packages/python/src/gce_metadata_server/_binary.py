"""Finds the program `gce-metadata-server` that belongs to this package."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

NAME = "gce-metadata-server"

#: Names a program to use instead of the one in the package, for example one that was compiled on this machine.
VARIABLE = "GCE_METADATA_SERVER_BINARY"


class BinaryNotFoundError(FileNotFoundError):
    """The package has no program for this platform, or the program was removed."""


def find_binary() -> str:
    """The path of the program.

    `GCE_METADATA_SERVER_BINARY` comes first. Otherwise it is the program that pip installed with this package, and never another
    program of that name in `PATH`, which may have another version.

    Raises:
        BinaryNotFoundError: there is no such file. The message names the places and the remedy.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        if not os.access(chosen, os.X_OK):
            raise BinaryNotFoundError(f"{VARIABLE} names {chosen}, which is no executable file")
        return chosen
    places = list(dict.fromkeys(_places()))
    for place in places:
        if _is_program(place / NAME):
            return str(place / NAME)
    raise BinaryNotFoundError(_missing(places))


def _is_program(file: Path) -> bool:
    """Whether this is the program, and not the script of the package without one."""
    try:
        with file.open("rb") as opened:
            return opened.read(2) != b"#!"
    except OSError:
        return False


def _places() -> Iterator[Path]:
    """The folders where installers put programs, the most likely first."""
    # A virtual environment, or the Python of the system.
    yield Path(sysconfig.get_path("scripts"))
    # pip install --target or --prefix: bin/ is in the folder of the package, or some folders above it.
    packages = Path(__file__).resolve().parent.parent
    yield packages / "bin"
    yield packages.parent.parent.parent / "bin"
    # pip install --user.
    yield Path(sysconfig.get_path("scripts", scheme=_user_scheme()))
    # An environment that sees the packages of the Python below it (venv --system-site-packages).
    yield Path(sysconfig.get_path("scripts", vars={"base": sys.base_prefix}))


def _user_scheme() -> str:
    if sys.version_info >= (3, 10):
        return sysconfig.get_preferred_scheme("user")
    if os.name == "nt":
        return "nt_user"
    return "osx_framework_user" if sys.platform == "darwin" and sys._framework else "posix_user"


def _missing(places: list[Path]) -> str:
    system = f"{platform.system()} {platform.machine()}"
    looked = ", ".join(str(place) for place in places)
    if sys.platform == "win32":
        remedy = "on Windows, use it in WSL"
    else:
        remedy = (
            "there are programs for Linux x86-64 and arm64 with glibc 2.28 or newer; elsewhere compile it with "
            f"`cargo install --path .` in a clone of the repository and set {VARIABLE} to its path"
        )
    return f"{NAME} has no program for this machine ({system}; looked in {looked}): {remedy}"
