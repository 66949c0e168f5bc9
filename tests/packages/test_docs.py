"""The commands and programs of the documentation that need the packages, run in the order of each page in an empty folder.

A block of commands that these tests run has the comment `not run: tests/packages runs it`, and the comment `file: NAME` writes a
block to a file.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import ROOT, Shell, make_venv

RUN = "not run: tests/packages runs it"
BLOCK = re.compile(rf"^<!-- ({RUN}|file: (?P<name>\S+)) -->\n```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("packages/*/README.md")])
PAGES = [page for page in DOCUMENTS if RUN in page.read_text()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_work(page: Path, node_shell: Shell) -> None:
    make_venv(node_shell)
    for block in BLOCK.finditer(page.read_text()):
        if block["name"]:
            node_shell.write(block["name"], block["text"])
        else:
            node_shell.script(block["text"])


def test_pages_have_such_commands() -> None:
    names = {str(page.relative_to(ROOT)) for page in PAGES}
    assert {"README.md", "docs/testing.md", "packages/npm/README.md", "packages/python/README.md"} <= names
