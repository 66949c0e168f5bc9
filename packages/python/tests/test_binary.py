"""The look-up of the program, and `python -m`."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gce_metadata_server import BinaryNotFoundError, _binary, find_binary


def make(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


def test_the_variable_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "mine", "")
    monkeypatch.setenv(_binary.VARIABLE, str(tmp_path / "mine"))
    assert find_binary() == str(tmp_path / "mine")
    monkeypatch.setenv(_binary.VARIABLE, str(tmp_path / "none"))
    with pytest.raises(BinaryNotFoundError, match="none, which is no executable file"):
        find_binary()


def test_places_are_tried_in_order_and_scripts_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(_binary.VARIABLE, raising=False)
    monkeypatch.setattr(_binary, "_places", lambda: [tmp_path / "a", tmp_path / "b", tmp_path / "c"])
    make(tmp_path / "b" / _binary.NAME, "#!/usr/bin/python3\n")
    make(tmp_path / "c" / _binary.NAME, "\x7fELF")
    assert find_binary() == str(tmp_path / "c" / _binary.NAME)


def test_without_a_program_the_error_says_where_it_was_looked_for_and_how_to_compile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(_binary.VARIABLE, raising=False)
    monkeypatch.setattr(_binary, "_places", lambda: [tmp_path / "a"])
    with pytest.raises(BinaryNotFoundError) as missing:
        find_binary()
    message = str(missing.value)
    assert str(tmp_path / "a") in message and "cargo install" in message and "\n" not in message
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(BinaryNotFoundError, match="on Windows, use it in WSL"):
        find_binary()


def test_the_package_runs_the_program() -> None:
    command = [sys.executable, "-m", "gce_metadata_server", "exec", "--", "sh", "-c", "echo $GCE_METADATA_HOST; exit 7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert done.stdout.startswith("127.0.0.1:")


def test_the_error_of_the_package_without_a_program_is_one_line(tmp_path: Path) -> None:
    environment = {**os.environ, _binary.VARIABLE: str(tmp_path / "none")}
    command = [sys.executable, "-m", "gce_metadata_server", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
