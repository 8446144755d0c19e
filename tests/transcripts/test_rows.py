"""Every row and every rule of the five published documents has a transcript that has it.

`rows.txt` beside the transcripts of a dialect lists them: `> NAME : file` for what a frontend says, `< NAME`
for what it is told, `HTTP METHOD path`, and `rule` for what the prose says.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

FOLDER = Path(__file__).parent
NAMES = {"native": 5, "groups_001": 28, "friends_002": 11, "live_003": 18, "rooms_004": 12}
"""How many names of websocket events each document has; one that goes both ways counts once a direction."""
ENDPOINTS = 7


class Row(NamedTuple):
    """One line: `>`, `<`, `HTTP` or `rule`; what; and the transcript that shows it."""

    kind: str
    what: str
    path: Path


def rows(dialect: str) -> list[Row]:
    found = []
    for line in (FOLDER / dialect / "rows.txt").read_text("utf-8").splitlines():
        match = re.fullmatch(r"(>|<|HTTP|rule) (.+?) : ([\w.]+)", line)
        assert match or not line or line.startswith("#"), f"{dialect}: {line}"
        if match:
            found.append(Row(match[1], match[2], FOLDER / dialect / f"{match[3]}.txt"))
    return found


def ours(row: Row) -> bool:
    """Rows that the documents lack are marked."""
    return row.what.endswith(" (ours)")


ROWS = [row for dialect in NAMES for row in rows(dialect)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.path.parent.name} {row.kind} {row.what}")
def test_a_row_has_a_transcript_in_which_it_is_said(row: Row) -> None:
    text = row.path.read_text("utf-8")
    what = row.what.removesuffix(" (ours)")
    if row.kind == "rule":
        assert text.strip()
    elif row.kind == "HTTP":
        method, path = what.split(" ")
        pattern = re.sub(r"\\{\w+\\}", "[^/? ]+", re.escape(path.rstrip("/")))
        assert re.search(rf"^\w+> {method} {pattern}/?([? ]|$)", text, re.MULTILINE)
    else:
        said = rf'^\w+{row.kind} \d*[\[{{].*"{re.escape(what)}"'
        assert re.search(said, text, re.MULTILINE)


@pytest.mark.parametrize("dialect", NAMES)
def test_the_list_has_every_name_of_its_document_once(dialect: str) -> None:
    named = [(row.kind, row.what) for row in rows(dialect) if row.kind in "<>" and not ours(row)]
    assert len(named) == len(set(named))
    names = {what for _, what in named} if dialect == "friends_002" else named
    assert len(names) == NAMES[dialect], sorted(names)


def test_the_endpoints_are_those_of_the_document() -> None:
    assert sum(row.kind == "HTTP" and not ours(row) for row in rows("live_003")) == ENDPOINTS


@pytest.mark.parametrize("dialect", NAMES)
def test_no_transcript_is_played_for_nothing(dialect: str) -> None:
    """In the other dialects a file is there for a row; the native one has commands that no document has."""
    listed = {row.path.stem for row in rows(dialect)} | {"rows"}
    assert dialect == "native" or {path.stem for path in (FOLDER / dialect).glob("*.txt")} <= listed
