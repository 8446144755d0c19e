from __future__ import annotations

import json
from collections.abc import Callable

from .conftest import CLUB, Scripted

Exits = Callable[..., tuple[int, str, str]]
FOUND = {"id": "m-1", "room": CLUB, "username": "b\x1bob", "timestamp": 1730736486, "message": "tea\x1b[2J"}


def test_what_is_found_is_printed_a_line_each_made_harmless(node: Scripted, gossamer_exits: Exits) -> None:
    node.answers["search"] = {"messages": [FOUND, {**FOUND, "room": "left"}], "more": True}
    code, out, err = gossamer_exits("search", "tea", "--room", "club", "--limit", "2")
    assert code == 0
    first, second = out.splitlines()
    assert "club  b\\x1bob: tea\\x1b[2J" in first
    assert "?  b" in second
    assert err.startswith("more:  gossamer --home ") and err.endswith(
        " search tea --room club --before m-1\n"
    )
    assert ("search", {"text": "tea", "room": CLUB, "limit": 2}) in node.asked


def test_json_is_what_the_node_says_and_nothing_found_is_no_failure(
    node: Scripted, gossamer_exits: Exits
) -> None:
    node.answers["search"] = {"messages": [], "more": False}
    code, out, _ = gossamer_exits("search", "tea", "--json")
    assert (code, json.loads(out)) == (0, {"messages": [], "more": False})
    assert gossamer_exits("search", "tea") == (0, "", "nothing was found\n")
