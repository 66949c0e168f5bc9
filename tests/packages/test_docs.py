"""The commands and programs of the documentation that need the packages, run in the order of each page in an empty folder.

A block of commands that these tests run has the comment `not run: tests/packages runs it`, and the comment `file: NAME` writes a
block to a file. A command that is documented to fail has `|| true`.
"""

from __future__ import annotations

import re

import pytest
from conftest import ROOT, Shell, make_venv

BLOCK = re.compile(
    r"^<!-- (not run: tests/packages runs it|file: (?P<name>\S+)) -->\n```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S
)
PAGES = [page for page in sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")]) if "not run: tests/packages runs it" in page.read_text()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_work(page, node_shell: Shell) -> None:  # type: ignore[no-untyped-def]
    make_venv(node_shell)
    for block in BLOCK.finditer(page.read_text()):
        if block["name"]:
            node_shell.write(block["name"], block["text"])
        else:
            node_shell.script(block["text"])


def test_pages_have_such_commands() -> None:
    assert {"README.md", "testing.md"} <= {page.name for page in PAGES}
