"""`token rotate`, `audit` and `schema` on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from node.bridge.schema import FILES, FORMATS, render
from node.errors import Refused

from .conftest import Scripted

Exits = Callable[..., tuple[int, str, str]]
ENTRY = {
    "entry": 7, "ts_ms": 1_730_736_486_123, "who": "bot", "via": "token", "client": "my\x1b[2Jbot",
    "session": 3, "command": "user_message", "code": "ok", "count": 38,
}  # fmt: skip


def test_a_token_is_rotated_and_what_to_use_now_is_printed(node: Scripted, gossamer_exits: Exits) -> None:
    node.answers["token_rotate"] = {
        "name": "owner",
        "scope": "owner",
        "expires_at": None,
        "path": "/home/token",
    }
    assert gossamer_exits("token", "rotate") == (0, "/home/token\n", "")
    node.answers["token_rotate"] = {"name": "bot", "scope": "chat", "expires_at": None, "token": "secret"}
    assert gossamer_exits("token", "rotate", "bot") == (0, "secret\n", "")
    assert node.asked[-1] == ("token_rotate", {"name": "bot"})
    node.answers["token_rotate"] = Refused("token_not_found", "no token is called bot")
    assert gossamer_exits("token", "rotate", "bot")[0] == 6


def test_the_audit_log_is_printed_harmless_and_by_pages(node: Scripted, gossamer_exits: Exits) -> None:
    nobody = {
        **ENTRY,
        "entry": 8,
        "who": None,
        "via": None,
        "client": None,
        "session": None,
        "command": "connect",
    }
    node.answers["audit_list"] = {"entries": [ENTRY, nobody], "more": True}
    code, out, _ = gossamer_exits("audit", "--limit", "2", "--before", "9")
    assert (
        code == 0 and "\x1b" not in out and "my\\x1b[2Jbot" in out and "user_message" in out and "38" in out
    )
    assert node.asked[-1] == ("audit_list", {"limit": 2, "before": 9})
    assert json.loads(gossamer_exits("--json", "audit")[1])["entries"][0]["count"] == 38
    assert gossamer_exits("audit", "--limit", "0")[0] == 2
    node.answers["audit_list"] = Refused("forbidden", "no")
    assert gossamer_exits("audit")[0] == 4


@pytest.mark.parametrize("form", FORMATS)
def test_the_schema_needs_no_node(no_node: None, gossamer_exits: Exits, form: str) -> None:
    assert gossamer_exits("schema", "--format", form) == (0, render(form), "")


def test_the_schema_is_written_where_the_repository_has_it(gossamer_exits: Exits, tmp_path: Path) -> None:
    for place in FILES.values():
        (tmp_path / place).parent.mkdir(exist_ok=True)
    assert gossamer_exits("schema", "--write", str(tmp_path))[0] == 0
    assert (tmp_path / "docs" / "reference.md").read_text() == render("markdown")
    assert gossamer_exits("schema", "--format", "xml")[0] == 2
