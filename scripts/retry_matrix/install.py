"""Builds the clients, and installs their older versions below target/clients/retry."""

import os
import shutil
import subprocess
import sys

from . import ADDED, INSTALLED, ROOT
from .clients import PROGRAMS


def run(*command, **options):
    subprocess.run(command, check=True, **options)


def newest():
    """Builds the programs that need a compiler. Their libraries come from scripts/test."""
    for folder in ["venv", "node", "java"]:
        if not os.path.isdir(f"{INSTALLED}/{folder}"):
            sys.exit(f"{INSTALLED}/{folder}: not there; scripts/test installs it")
    os.makedirs(ADDED, exist_ok=True)
    run("go", "build", "-o", f"{ADDED}/go", "./retry", cwd=f"{PROGRAMS}/go")
    run("javac", "-cp", f"{INSTALLED}/java/*", "-d", f"{ADDED}/classes", f"{PROGRAMS}/java/Retry.java")
    rust(f"{PROGRAMS}/rust/Cargo.toml", "retry")


def older():
    """Installs the older versions, each from its own manifest, if that has changed."""
    if changed(f"{PROGRAMS}/python/requirements-older.txt", "venv"):
        run("/usr/bin/python3" if os.path.exists("/usr/bin/python3") else "python3", "-m", "venv", "--clear", f"{ADDED}/venv")
        pip = [f"{ADDED}/venv/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run(*pip, "-r", f"{PROGRAMS}/python/requirements-older.txt")
        installed(f"{PROGRAMS}/python/requirements-older.txt", "venv")
    if changed(f"{PROGRAMS}/node/older/package-lock.json", "node"):
        os.makedirs(f"{ADDED}/node", exist_ok=True)
        for file in ["package.json", "package-lock.json", ".npmrc"]:
            shutil.copy(f"{PROGRAMS}/node/older/{file}", f"{ADDED}/node/")
        run("npm", "ci", "--prefix", f"{ADDED}/node", "--no-audit", "--no-fund")
        installed(f"{PROGRAMS}/node/older/package-lock.json", "node")
    if changed(f"{PROGRAMS}/java/pom-older.xml", "java"):
        plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
        run("mvn", "--quiet", "--batch-mode", plugin, "-f", f"{PROGRAMS}/java/pom-older.xml", f"-DoutputDirectory={ADDED}/java")
        installed(f"{PROGRAMS}/java/pom-older.xml", "java")
    run("go", "build", "-o", f"{ADDED}/go-older", "../retry/main.go", cwd=f"{PROGRAMS}/go/older")
    rust(f"{PROGRAMS}/rust/older/Cargo.toml", "retry-older")


def rust(manifest, binary):
    run("cargo", "build", "--locked", "--manifest-path", manifest, "--target-dir", f"{INSTALLED}/rust", "--bin", binary)


def changed(manifest, folder):
    """Whether a manifest is another one than at the last installation."""
    try:
        with open(manifest) as wanted, open(f"{ADDED}/{folder}/installed") as record:
            return wanted.read() != record.read()
    except FileNotFoundError:
        shutil.rmtree(f"{ADDED}/{folder}", ignore_errors=True)
        return True


def installed(manifest, folder):
    shutil.copy(manifest, f"{ADDED}/{folder}/installed")


def server():
    """Builds the server; returns the path of the program."""
    run("cargo", "build", "--all-features", "--bin", "gce-metadata-server", cwd=ROOT)
    return f"{ROOT}/target/debug/gce-metadata-server"
