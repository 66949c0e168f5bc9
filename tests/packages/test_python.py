"""The wheels, as pip and uv install them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import zipfile
from pathlib import Path

import pytest
from conftest import DIST, TOOLS, Shell, copy_tests, eventually, make_venv, pythons, version

PYTHONS = pythons()
MINORS = [re.sub(r".*/", "", python) for python in PYTHONS]
WHEELS = sorted(DIST.glob("*.whl"))
REQUIREMENTS = ["pytest", "pytest-xdist", "google-auth", "google-cloud-storage", "requests"]
START = "import gce_metadata_server as g; vm = g.MetadataServer(); print(g.find_binary()); vm.set('instance/attributes/a', 'b'); vm.stop()"
FOUR_LINES = """\
import google.auth

def test_my_program_runs_on_a_vm(gce_metadata):
    assert google.auth.default()[1] == "sample-project"
"""


@pytest.mark.parametrize("wheel", WHEELS, ids=lambda wheel: wheel.name)
def test_a_wheel_has_the_code_its_types_and_the_licences(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(f"gce_metadata_server-{version()}.dist-info/METADATA").decode()
    for name in ("gce_metadata_server/py.typed", "licenses/LICENSE", "licenses/THIRD-PARTY-LICENSES.txt"):
        assert any(each.endswith(name) for each in names), name
    assert any(each.endswith("scripts/gce-metadata-server") for each in names) == ("-any" not in wheel.name)
    assert "Requires-Dist" not in metadata


@pytest.mark.parametrize("wheel", [each for each in WHEELS if "linux" in each.name], ids=lambda wheel: wheel.name)
def test_the_tag_of_a_wheel_is_that_of_its_program(wheel: Path, shell: Shell) -> None:
    tag = wheel.stem.rsplit("-", 1)[1]
    assert f'"{tag}"' in shell(TOOLS / "python/bin/auditwheel", "show", wheel)


def test_pip_and_four_lines_of_pytest(shell: Shell) -> None:
    make_venv(shell)
    shell("pip", "install", "--quiet", "--find-links", DIST, "gce-metadata-server", "pytest", "google-auth", "requests")
    shell.write("test_vm.py", FOUR_LINES)
    assert "1 passed" in shell("pytest")
    assert shell("gce-metadata-server", "--version").strip().endswith(version())


def test_uvx_runs_a_command(shell: Shell) -> None:
    code = "import os; print(os.environ['GCE_METADATA_HOST'])"
    printed = shell(TOOLS / "python/bin/uvx", "--find-links", DIST, "gce-metadata-server", "exec", "--", "python3", "-c", code)
    assert re.fullmatch(r"127\.0\.0\.1:\d+\n", printed)


def test_a_killed_pytest_leaves_no_server(shell: Shell) -> None:
    make_venv(shell)
    shell("pip", "install", "--quiet", "gce-metadata-server", "pytest")
    wait = "import signal\n\ndef test_wait(gce_metadata):\n    print(gce_metadata.pid, flush=True)\n    signal.pause()\n"
    shell.write("test_wait.py", wait)
    pytest_process = subprocess.Popen(
        [str(shell.folder / "venv/bin/pytest"), "-s", "-q"], cwd=shell.folder, env=shell.env, stdout=subprocess.PIPE, text=True
    )
    assert pytest_process.stdout
    server = next(line.strip() for line in pytest_process.stdout if line.strip().isdigit())
    assert os.readlink(f"/proc/{server}/exe") == str(shell.folder / "venv/bin/gce-metadata-server")
    pytest_process.send_signal(signal.SIGKILL)
    pytest_process.wait()
    eventually(lambda: not os.path.exists(f"/proc/{server}/exe"))


@pytest.mark.parametrize("python", PYTHONS, ids=MINORS)
def test_the_tests_of_the_package_pass_with_the_wheel(python: str, shell: Shell) -> None:
    venv = make_venv(shell, python)
    shell("pip", "install", "--quiet", "gce-metadata-server", *REQUIREMENTS)
    copy_tests("python", ["tests"], shell.folder)
    printed = shell(venv, "-m", "pytest", "-q", "-n", "2", "tests")
    assert " passed" in printed and " failed" not in printed and " skipped" not in printed


def test_the_types_of_the_package_are_strict_and_seen_by_its_users(shell: Shell) -> None:
    make_venv(shell)
    shell("pip", "install", "--quiet", "gce-metadata-server", "mypy", *REQUIREMENTS)
    copy_tests("python", ["tests"], shell.folder)
    shell("mypy", "--strict", "--package", "gce_metadata_server")
    shell("mypy", "--strict", "tests")


def test_a_user_installation_finds_its_program(shell: Shell) -> None:
    python = PYTHONS[-1]
    user = {"PYTHONUSERBASE": str(shell.folder / "user"), "PIP_BREAK_SYSTEM_PACKAGES": "1"}
    shell(python, "-m", "pip", "install", "--quiet", "--user", "--ignore-installed", "gce-metadata-server", **user)
    assert shell(python, "-c", START, **user).strip() == str(shell.folder / "user/bin/gce-metadata-server")


def test_an_installation_in_a_folder_finds_its_program(shell: Shell) -> None:
    shell(PYTHONS[-1], "-m", "pip", "install", "--quiet", "--target", "packages", "gce-metadata-server")
    printed = shell(PYTHONS[-1], "-c", START, PYTHONPATH=str(shell.folder / "packages"))
    assert printed.strip() == str(shell.folder / "packages/bin/gce-metadata-server")


def test_an_environment_with_the_packages_of_the_system_finds_their_program(shell: Shell) -> None:
    base = make_venv(shell)
    shell("pip", "install", "--quiet", "gce-metadata-server")
    shell.script("python - <<'E'\nimport site, pathlib\npathlib.Path('site').write_text(site.getsitepackages()[0])\nE")
    packages = (shell.folder / "site").read_text()
    printed = shell(PYTHONS[0], "-c", START, PYTHONPATH=packages)
    assert printed.strip() == str(base.parent / "gce-metadata-server")


def test_the_wheel_without_a_program_says_in_one_sentence_what_to_do(shell: Shell) -> None:
    make_venv(shell)
    shell("pip", "install", "--quiet", next(wheel for wheel in WHEELS if "-any" in wheel.name))
    for command in (["gce-metadata-server"], ["python", "-m", "gce_metadata_server"]):
        printed = shell(*command, "--version", status=1)
        assert printed.count("\n") == 1
        assert printed.startswith("error: gce-metadata-server has no program for this machine") and "cargo install" in printed
