"""The rows of the matrix: the clients, how they are started, and which versions they have."""

import glob
import gzip
import json
import os
import re
import subprocess
from typing import Callable, NamedTuple

from . import ADDED, INSTALLED, ROOT

PROGRAMS = f"{ROOT}/tests/clients"
TOKEN = {"path": "instance/service-accounts/*/token"}


class Client(NamedTuple):
    name: str
    language: str
    command: list[str]
    version: Callable[[], str]
    is_older: bool = False
    environment: dict = {}
    # The requests that faults apply to, and that are counted.
    request: dict = TOKEN
    # Runs on an isolated machine (tests/clients/guest), and gets no tokens.
    is_guest: bool = False


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def python(venv, is_older):
    interpreter = f"{venv}/bin/python"
    code = "from importlib.metadata import version; print(version('google-auth'))"
    version = lambda: output(interpreter, "-c", code).strip()
    yield Client("google-auth", "Python", [interpreter, f"{PROGRAMS}/python/retry.py"], version, is_older)


def node(folder, is_older):
    modules = f"{folder}/node_modules"

    def version(package):
        with open(f"{modules}/{package}/package.json") as file:
            return json.load(file)["version"]

    for package in ["google-auth-library", "gcp-metadata"]:
        command = ["node", f"{PROGRAMS}/node/retry.js", package]
        of_package = lambda package=package: version(package)
        yield Client(package, "Node", command, of_package, is_older, {"NODE_PATH": modules})


def go(binary, is_older):
    def version(module):
        return re.search(rf"dep\t{re.escape(module)}\tv(\S+)", output("go", "version", "-m", binary))[1]

    for name, module in [
        ("compute/metadata", "cloud.google.com/go/compute/metadata"),
        ("x/oauth2", "golang.org/x/oauth2"),
    ]:
        of_module = lambda module=module: version(module)
        yield Client(name, "Go", [binary, name], of_module, is_older)


def java(jars, classes, is_older):
    library = "google-auth-library-oauth2-http"

    def version():
        (jar,) = glob.glob(f"{jars}/{library}-*.jar")
        return re.search(rf"{library}-(.*)\.jar", jar)[1]

    # Small heaps and one compiler, because many clients run at a time.
    options = ["-Xmx64m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    yield Client("google-auth-library-java", "Java", ["java", *options, "-cp", f"{classes}:{jars}/*", "Retry"], version, is_older)


def rust(binary, lock, is_older):
    def version(package):
        with open(lock) as file:
            return re.search(rf'name = "{package}"\nversion = "(.*)"', file.read())[1]

    for package in ["google-cloud-auth", "object_store"]:
        of_package = lambda package=package: version(package)
        yield Client(package, "Rust", [binary, package], of_package, is_older)


def curl_version():
    return output("curl", "--version").split()[1]


def guest_agent_version():
    changelog = f"{INSTALLED}/guest/system/usr/share/doc/google-guest-agent/changelog.Debian.gz"
    with gzip.open(changelog, "rt") as file:
        return re.search(r"\((.*?)\)", file.readline())[1].split("-")[0]


def guest_agent():
    isolated = ["unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
    sudo = [] if os.geteuid() == 0 else ["sudo", "--preserve-env=FAULT,NOT_READY"]
    machine = ["bash", f"{PROGRAMS}/guest/machine.sh", "SERVER", f"{PROGRAMS}/guest/vm.json", "retry.sh"]
    command = [*sudo, *isolated, *machine]
    metadata = {"urlPathPattern": "/computeMetadata/v1/+"}
    return Client("guest agent", "Debian", command, guest_agent_version, request=metadata, is_guest=True)


CLIENTS = [
    *python(f"{INSTALLED}/venv", False),
    *python(f"{ADDED}/venv", True),
    *node(f"{INSTALLED}/node", False),
    *node(f"{ADDED}/node", True),
    *go(f"{ADDED}/go", False),
    *go(f"{ADDED}/go-older", True),
    *java(f"{INSTALLED}/java", f"{ADDED}/classes", False),
    *java(f"{ADDED}/java", f"{ADDED}/classes", True),
    *rust(f"{INSTALLED}/rust/debug/retry", f"{PROGRAMS}/rust/Cargo.lock", False),
    *rust(f"{INSTALLED}/rust/debug/retry-older", f"{PROGRAMS}/rust/older/Cargo.lock", True),
    Client("curl with gcloud's settings", "shell", ["bash", f"{PROGRAMS}/retry.sh"], curl_version),
    guest_agent(),
]
