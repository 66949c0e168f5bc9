"""The parts of scripts/retry-matrix: scenarios, clients, one cell, and the tables of docs/retry-matrix.md."""

import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# What scripts/test installs, and what scripts/retry-matrix adds.
# npm can't install into a folder behind a symbolic link.
INSTALLED = os.path.realpath(f"{ROOT}/target/clients")
ADDED = f"{INSTALLED}/retry"
