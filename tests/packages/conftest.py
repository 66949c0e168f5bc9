"""The artefacts in dist/, and the tools that install them. scripts/packages runs these tests.

Each test works in an empty folder, with nothing but dist/ and the registries of third parties.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"
TOOLS = ROOT / "target/release-tools"
#: The environment of a user: without variables of these tests, of virtual environments and of other package folders.
OWN = ("GCE_METADATA_SERVER_BINARY", "PYTHONPATH", "VIRTUAL_ENV", "NODE_PATH", "NODE_OPTIONS")


def version() -> str:
    found = re.search(r'(?m)^version = "([^"]+)"', (ROOT / "Cargo.toml").read_text())
    assert found
    return found[1]


class Shell:
    """Runs commands in a folder, in the environment of a user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {name: value for name, value in os.environ.items() if name not in OWN}
        self.env["PIP_FIND_LINKS"] = self.env["UV_FIND_LINKS"] = str(DIST)
        self.env["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
        # An earlier build has the same version.
        self.env["UV_CACHE_DIR"] = str(folder / ".uv-cache")
        # google-auth-library also asks gcloud for the project, which takes seconds on a busy machine.
        self.write(".bin/gcloud", "#!/bin/sh\nexit 1\n")
        (folder / ".bin/gcloud").chmod(0o755)
        self.use(folder / ".bin")

    def __call__(self, *command: str | Path, status: int = 0, **env: str) -> str:
        """Runs a command and returns its standard output."""
        done = subprocess.run(
            list(map(str, command)), cwd=self.folder, env={**self.env, **env}, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == status, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if status == 0 else done.stdout + done.stderr

    def script(self, text: str) -> str:
        """Runs commands of a shell."""
        return self("bash", "-euo", "pipefail", "-c", text)

    def write(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def use(self, folder: Path) -> None:
        """Puts a folder of programs into PATH."""
        self.env["PATH"] = f"{folder}:{self.env['PATH']}"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell in an empty folder."""
    return Shell(tmp_path)


def pythons() -> list[str]:
    """The Pythons at hand from 3.9, one of each version."""
    places = [Path("/usr/bin"), *map(Path, os.environ["PATH"].split(":")), *Path.home().glob(".pyenv/versions/*/bin")]
    found: dict[tuple[int, int], str] = {}
    for program in (file for place in places if place.is_dir() for file in sorted(place.glob("python3*"))):
        if not re.fullmatch(r"python3(\.\d+)?", program.name):
            continue
        code = "import sys; print(sys.prefix == sys.base_prefix, *sys.version_info[:2])"
        answer = subprocess.run([program, "-c", code], capture_output=True, text=True, check=False).stdout.split()
        if answer[:1] == ["True"] and (int(answer[1]), int(answer[2])) >= (3, 9):
            found.setdefault((int(answer[1]), int(answer[2])), str(program))
    return [found[each] for each in sorted(found)]


def make_venv(shell: Shell, python: str | None = None) -> Path:
    """A new virtual environment with pip, and its programs in PATH. uv makes it, because some builds of Python can't."""
    shell(TOOLS / "python/bin/uv", "venv", "--quiet", "--seed", "--python", python or pythons()[-1], "venv")
    shell.use(shell.folder / "venv/bin")
    return shell.folder / "venv/bin/python"


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an npm registry with the packages of dist/, which passes on all others."""
    folder = tmp_path_factory.mktemp("registry")
    environment = {**os.environ, "NODE_PATH": str(TOOLS / "registry/node_modules")}
    server = subprocess.Popen(
        ["node", str(ROOT / "tests/packages/registry/registry.js"), str(folder)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin and server.stdout
    port = next(json.loads(line)["port"] for line in server.stdout if '"port"' in line)
    url = f"http://127.0.0.1:{port}/"
    for tarball in sorted(DIST.glob("*.tgz")):
        command = ["npm", "publish", str(tarball), "--registry", url, f"--//127.0.0.1:{port}/:_authToken=made-up"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    yield url
    server.stdin.close()
    server.wait(30)


@pytest.fixture
def node_shell(shell: Shell, registry: str) -> Shell:
    """A shell in an empty folder, whose npm and pnpm use the registry."""
    shell.env["npm_config_registry"] = registry
    shell.env["npm_config_fund"] = shell.env["npm_config_audit"] = shell.env["npm_config_update_notifier"] = "false"
    shell.use(TOOLS / "registry/node_modules/.bin")
    return shell


def copy_tests(package: str, names: Sequence[str], to: Path) -> None:
    """Copies the tests of a package, which then see the installed package and not its sources."""
    for name in names:
        source = ROOT / "packages" / package / name
        if source.is_dir():
            shutil.copytree(source, to / name)
        else:
            shutil.copy(source, to / name)


def eventually(condition: Callable[[], bool]) -> None:
    """Waits for something outside of this process."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "not within 30 seconds"
        time.sleep(0.01)


if not list(DIST.glob("*.whl")):
    sys.exit("dist/ has no packages: run scripts/packages")
