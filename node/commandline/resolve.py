"""What a ROOM, a NAME or an INVITE on the command line means: a name, an id, or its first 8 characters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from node.errors import Refused

PREFIX = 8  # characters of a UUID that are taken for the whole; enough to tell a person's rooms apart

Row = dict[str, Any]


def pick(text: str, rows: Sequence[Row], *, id_key: str, name_key: str, what: str) -> Row:
    """Return the one row that `text` means; an id beats a name, a name beats a beginning of an id.

    Raises:
        Refused: `WHAT_not_found` if none matches, `ambiguous_WHAT` with `candidates` if several do.
    """
    found = matches(text, rows, id_key=id_key, name_key=name_key)
    if not found:
        raise Refused(f"{what}_not_found", f"no {what} is called {text!r}, by name or by id")
    if len(found) > 1:
        candidates = [{id_key: row.get(id_key), name_key: row.get(name_key)} for row in found]
        raise Refused(f"ambiguous_{what}", f"{text!r} means several: use the id", candidates=candidates)
    return found[0]


def matches(text: str, rows: Sequence[Row], *, id_key: str, name_key: str) -> list[Row]:
    """Return the rows that `text` may mean, by the best of the ways in which any does."""
    folded = text.casefold()
    ways = (
        [row for row in rows if str(row.get(id_key)).casefold() == folded],
        [row for row in rows if row.get(name_key) == text],
        [row for row in rows if str(row.get(name_key, "")).casefold() == folded],
        [row for row in rows if len(text) >= PREFIX and str(row.get(id_key)).casefold().startswith(folded)],
    )
    return next((found for found in ways if found), [])
