"""The programs in dist/bin."""

from __future__ import annotations

import json
import platform
import zlib
from pathlib import Path

import pytest
from conftest import DIST, Shell, version
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

#: That of RHEL 8, the oldest distribution that is supported.
GLIBC = (2, 28)
PROGRAMS = sorted(DIST.glob("bin/*-linux-gnu/gce-metadata-server"))
IDS = [program.parent.name for program in PROGRAMS]


def needed_versions(program: Path) -> dict[str, str]:
    """The newest version of glibc's symbols that each library must have, and the libraries."""
    with program.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".gnu.version_r")
        assert isinstance(section, GNUVerNeedSection)
        names = {library.name: [each.name for each in versions] for library, versions in section.iter_versions()}
    return {f"{library} {name}": name for library, versions in names.items() for name in versions}


@pytest.mark.parametrize("program", PROGRAMS, ids=IDS)
def test_a_program_needs_no_newer_glibc(program: Path) -> None:
    needed = needed_versions(program)
    assert needed, "no symbol has a version: has the look-up changed?"
    for where, name in needed.items():
        if name.startswith("GLIBC_"):
            assert tuple(map(int, name.removeprefix("GLIBC_").split("."))) <= GLIBC, where
        else:
            # libgcc's unwinder has not changed for twenty years.
            assert name.startswith("GCC_"), where


@pytest.mark.parametrize("program", PROGRAMS, ids=IDS)
def test_a_program_contains_the_list_of_its_crates(program: Path) -> None:
    with program.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".dep-v0")
        assert section is not None
        crates = json.loads(zlib.decompress(section.data()))["packages"]
    versions = {crate["name"]: crate["version"] for crate in crates}
    assert versions["gce-metadata-server"] == version()
    assert "tokio" in versions and "pytest" not in versions


@pytest.mark.parametrize("program", PROGRAMS, ids=IDS)
def test_a_program_has_no_paths_of_the_machine_that_compiled_it(program: Path) -> None:
    text = program.read_bytes()
    for path in (str(Path.home()), str(DIST.parent)):
        assert path == "/" or f"{path}/".encode() not in text, path


def test_the_program_of_this_machine_runs(shell: Shell) -> None:
    program = DIST / f"bin/{platform.machine()}-unknown-linux-gnu/gce-metadata-server"
    assert shell(program, "--version").split() == ["gce-metadata-server", version()]
