"""The npm packages, as npm and pnpm install them from a registry."""

from __future__ import annotations

import json
import platform
import re
import tarfile
from pathlib import Path

import pytest
from conftest import DIST, ROOT, Shell, copy_tests, version

TARBALLS = sorted(DIST.glob("*.tgz"))
CPU = {"x86_64": "x64", "aarch64": "arm64"}[platform.machine()]
FOUR_LINES = """\
import { GoogleAuth } from 'google-auth-library';
import { expect } from 'vitest';
import { test } from 'gce-metadata-server/vitest';
test('my program runs on a VM', async ({ vm }) => expect(await new GoogleAuth().getProjectId()).toBe('sample-project'));
"""
START = "const g = require('gce-metadata-server'); console.log(g.findBinary()); g.start().then((vm) => vm.stop())"


def description(tarball: Path) -> dict[str, object]:
    with tarfile.open(tarball) as archive:
        file = archive.extractfile("package/package.json")
        assert file
        found: dict[str, object] = json.load(file)
        return found


@pytest.mark.parametrize("tarball", TARBALLS, ids=lambda tarball: tarball.name)
def test_a_package_has_its_files_and_runs_nothing_when_installed(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        names = {member.name.removeprefix("package/") for member in archive}
    package = description(tarball)
    assert package["version"] == version()
    assert "scripts" not in package and "devDependencies" not in package and "dependencies" not in package
    assert {"LICENSE", "README.md"} <= names
    if package["name"] == "gce-metadata-server":
        platforms = package["optionalDependencies"]
        assert isinstance(platforms, dict) and set(platforms.values()) == {version()}
        assert {"lib/index.js", "lib/index.mjs", "lib/index.d.ts", "lib/vitest.mjs", "lib/vitest-setup.d.mts"} <= names
    else:
        assert package["os"] and package["cpu"] and (package["os"] != ["linux"] or package["libc"] == ["glibc"])
        assert {"bin/gce-metadata-server", "THIRD-PARTY-LICENSES.txt"} <= names


def test_npm_and_four_lines_of_vitest(node_shell: Shell) -> None:
    node_shell("npm", "install", "--save-dev", "gce-metadata-server", "vitest", "google-auth-library")
    node_shell.write("vm.test.js", FOUR_LINES)
    assert "1 passed" in node_shell("npx", "vitest", "run")


def test_npx_runs_a_command(node_shell: Shell) -> None:
    code = "console.log(process.env.GCE_METADATA_HOST)"
    printed = node_shell("npx", "--yes", "gce-metadata-server", "exec", "--", "node", "-e", code, npm_config_cache=str(node_shell.folder))
    assert re.fullmatch(r"127\.0\.0\.1:\d+\n", printed)


def test_pnpm_installs_the_program_of_this_platform_only(node_shell: Shell) -> None:
    node_shell.env["XDG_DATA_HOME"] = str(node_shell.folder / "data")
    node_shell.write("package.json", '{"private": true}')
    node_shell("pnpm", "add", "--save-dev", "gce-metadata-server", "--store-dir", "store", "--config.minimum-release-age=0")
    binary = node_shell("node", "-e", START).strip()
    assert binary.endswith(f"gce-metadata-server-linux-{CPU}/bin/gce-metadata-server")
    assert node_shell("pnpm", "exec", "gce-metadata-server", "--version").strip().endswith(version())


def test_the_tests_of_the_package_pass_with_the_tarball(node_shell: Shell) -> None:
    developed = json.loads((ROOT / "packages/npm/package.json").read_text())["devDependencies"]
    copy_tests("npm", ["test", "vitest.config.mjs", "tsconfig.json"], node_shell.folder)
    node_shell.write("package.json", '{"private": true}')
    node_shell("npm", "install", "--save-dev", "gce-metadata-server", *(f"{name}@{tag}" for name, tag in developed.items()))
    printed = node_shell.script("node --test test/*.test.mjs test/*.test.cjs")
    assert re.search(r"(?m)^# pass [1-9]", printed) and re.search(r"(?m)^# skipped 0$", printed)
    assert "passed" in node_shell("npx", "vitest", "run")
    node_shell("npx", "tsc", "-p", "test")


def test_a_platform_without_a_program_is_one_sentence(node_shell: Shell) -> None:
    node_shell("npm", "install", "--omit=optional", "gce-metadata-server")
    printed = node_shell("npx", "gce-metadata-server", status=1)
    assert printed.count("\n") == 1
    assert printed.startswith("error: gce-metadata-server has no program for this machine") and "cargo install" in printed
