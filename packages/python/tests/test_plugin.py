"""The pytest plugin, in runs of pytest of its own."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from conftest import children, eventually, runs


def test_the_vm_is_reset_between_tests_and_the_environment_put_back(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import os

        def test_change(gce_metadata):
            gce_metadata.set("instance/attributes/color", "blue")
            assert os.environ["GCE_METADATA_HOST"] == gce_metadata.host

        def test_no_vm():
            assert "GCE_METADATA_ADMIN" not in os.environ

        def test_fresh(gce_metadata, gce_metadata_server):
            assert gce_metadata is gce_metadata_server
            assert "color" not in gce_metadata.get("instance/attributes")
            assert gce_metadata.requests() == []
        """
    )
    pytester.runpytest("-W", "error").assert_outcomes(passed=3)


def test_options_are_those_of_pyproject_toml(pytester: pytest.Pytester) -> None:
    pytester.makefile(".json", vm='{"instance": {"attributes": {"color": "blue"}}}')
    pytester.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        gce_metadata_config = "vm.json"
        gce_metadata_args = "--journal-entries 0"
        """
    )
    folder = pytester.mkpydir("tests")
    (folder / "test_vm.py").write_text(
        "def test_config(gce_metadata):\n"
        "    assert gce_metadata.get('instance/attributes/color') == 'blue'\n"
        "    assert gce_metadata._admin.call('GET', 'requests')['requestJournalDisabled']\n"
    )
    pytester.runpytest("tests").assert_outcomes(passed=1)


def test_the_marker_gives_a_test_its_vm(pytester: pytest.Pytester) -> None:
    pytester.makefile(".json", vm='{"instance": {"attributes": {"color": "green"}}}')
    pytester.makepyfile(
        """
        import pytest
        from gce_metadata_server import connect

        @pytest.mark.gce_metadata(config={"instance": {"attributes": {"color": "blue"}}})
        def test_dict():
            assert connect().get("instance/attributes/color") == "blue"

        @pytest.mark.gce_metadata(config="vm.json")
        def test_file(gce_metadata):
            assert gce_metadata.get("instance/attributes/color") == "green"

        def test_without(gce_metadata):
            assert gce_metadata.get("instance/attributes/my-key") == "my value"

        @pytest.mark.gce_metadata(colour="red")
        def test_typo():
            pass
        """
    )
    result = pytester.runpytest("--strict-markers")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*unexpected keyword argument 'colour'*"])


def test_the_report_of_a_failed_verification_says_what_was_asked(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import urllib.request

        def test_fails(gce_metadata):
            url = gce_metadata.url + "/computeMetadata/v1/instance/id"
            urllib.request.urlopen(urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})).close()
            gce_metadata.verify("instance/zone")
        """
    )
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*expected at least 1 request*", "E*the nearest other requests are:", "E*GET */instance/id"])


def test_a_server_that_does_not_start_is_an_error_with_its_log(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_vm(gce_metadata): pass")
    result = pytester.runpytest("-o", "gce_metadata_config=none.json")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*none.json: No such file or directory*"])


def test_workers_of_xdist_have_servers_of_their_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(20))
        def test_change(gce_metadata, number):
            path = "instance/attributes/number"
            gce_metadata.set(path, str(number))
            assert gce_metadata.get(path) == str(number)
            with open(f"servers-{gce_metadata.pid}", "w"):
                pass
        """
    )
    pytester.runpytest_subprocess("-n", "2").assert_outcomes(passed=20)
    assert len(list(pytester.path.glob("servers-*"))) == 2


def test_a_killed_pytest_leaves_no_server(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import signal

        def test_waits(gce_metadata):
            with open("started", "w"):
                pass
            signal.pause()
        """
    )
    pytest_process = subprocess.Popen([sys.executable, "-m", "pytest", "-q"], cwd=pytester.path, stdout=subprocess.DEVNULL)
    eventually((pytester.path / "started").exists)
    servers = children(pytest_process.pid)
    assert len(servers) == 1
    pytest_process.send_signal(signal.SIGKILL)
    pytest_process.wait()
    eventually(lambda: not any(map(runs, servers)))
