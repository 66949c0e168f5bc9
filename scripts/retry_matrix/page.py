"""The tables of docs/retry-matrix.md: writes them, and reads them to compare."""

import datetime
import re

from . import ROOT
from .scenarios import TABLES

PAGE = f"{ROOT}/docs/retry-matrix.md"
BEGIN = "<!-- matrix: made by scripts/retry-matrix -->\n"
END = "<!-- end -->\n"


def row_name(client):
    return f"{client.language}: {client.name}" + (", older" if client.is_older else "")


def rounded(seconds):
    """A time that another run, on another machine, will show too."""
    if seconds < 1.5:
        return "≤ 1 s"
    return f"{round(seconds)} s" if seconds < 10 else f"{5 * round(seconds / 5)} s"


def text(cell):
    """A cell as the page has it: `ok, 3, 2 s`."""
    if cell is None:
        return "–"
    outcome = cell.outcome if cell.outcome == "ok" else f"**{cell.outcome}**"
    return f"{outcome}, {cell.requests}, {rounded(cell.seconds)}"


def tables(clients, cells):
    """The Markdown of all tables. `cells` has a cell, or None, for each client and scenario, by their names."""
    for title, scenarios in TABLES:
        yield f"## {title}\n\n"
        columns = [scenario.name for scenario in scenarios]
        yield f"| client | {' | '.join(columns)} |\n|{' --- |' * (len(columns) + 1)}\n"
        for client in clients:
            row = [text(cells[row_name(client), column]) for column in columns]
            if row != ["–"] * len(row):
                yield f"| {row_name(client)} | {' | '.join(row)} |\n"
        yield "\n"


def versions(clients):
    yield "## Versions\n\n| client | version |\n| --- | --- |\n"
    for client in clients:
        yield f"| {row_name(client)} | {client.version()} |\n"
    yield "\n"


def write(clients, cells):
    with open(PAGE) as file:
        page = file.read()
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    day = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    made = "".join([f"\nThe whole matrix ran on {day}.\n\n", *tables(clients, cells), *versions(clients)])
    with open(PAGE, "w") as file:
        file.write(f"{before}{BEGIN}{made}{END}{after}")


def recorded():
    """Outcome and number of requests of each cell in the page."""
    with open(PAGE) as file:
        lines = file.read().split(BEGIN)[1].split(END)[0].splitlines()
    record, columns = {}, []
    for line in lines:
        if not line.startswith("|"):
            continue
        first, *rest = [field.strip() for field in line.strip("|").split("|")]
        if first == "client":
            columns = rest
            continue
        for column, field in zip(columns, rest):
            if found := re.fullmatch(r"\**(.+?)\**, (\d+), .*", field):
                record[first, column] = (found[1], int(found[2]))
    return record


def differences(cells):
    """A line for each cell that differs from the page in its outcome or its number of requests."""
    record = recorded()
    for (row, column), cell in cells.items():
        wanted = record.get((row, column))
        if cell is not None and wanted != (cell.outcome, cell.requests):
            page = f"{wanted[0]}, {wanted[1]} requests" if wanted else "no such cell"
            yield f"{row}, {column}: {cell.outcome}, {cell.requests} requests; the page has: {page}"
