"""`bridge` on the command line: origins, dialects of other frontends, and logins."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.errors import Refused

from .conftest import Scripted

Exits = Callable[..., tuple[int, str, str]]
OFF: dict[str, Any] = {
    "dialect": "001", "enabled": False, "origins": [], "port": None, "rooms": "open", "serve": None,
    "tls": False, "state": "off", "why": None, "address": None, "fingerprint": None, "cron_secret": None,
}  # fmt: skip
ON = {**OFF, "dialect": "004", "enabled": True, "state": "on", "address": "http://127.0.0.1:7117"}
PAGE = "http://localhost:5173"


def test_enabling_hands_on_what_was_said_and_prints_where_frontends_go(
    node: Scripted, gossamer_exits: Exits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    address, mark = "https://127.0.0.1:3000", "AB:CD"
    serve = str(tmp_path / "dist")
    node.answers["dialect_enable"] = {
        **ON, "dialect": "003", "address": address, "fingerprint": mark, "serve": serve,
        "cron_secret": "/h/c",
    }  # fmt: skip
    code, out, err = gossamer_exits(
        "bridge", "enable", "003", "--origin", PAGE, "--port", "3000", "--serve", "dist",
        "--rooms", "private", "--tls",
    )  # fmt: skip
    assert (code, out) == (0, f"{address}\n")
    assert mark in err and "/h/c" in err and "bridge login --dialect 003" in err
    assert node.asked == [
        (
            "dialect_enable",
            {"dialect": "003", "origin": PAGE, "port": 3000, "serve": serve, "rooms": "private", "tls": True},
        )
    ]


def test_what_is_not_said_is_not_asked_and_every_origin_is_added(
    node: Scripted, gossamer_exits: Exits
) -> None:
    node.answers["dialect_enable"] = ON
    code, out, err = gossamer_exits("bridge", "enable", "004", "--origin", PAGE, "--origin", "file://")
    assert (code, out) == (0, "http://127.0.0.1:7117\n")
    assert "open" in err and "--rooms private" in err and "token create frontend-004" in err
    assert node.asked == [
        ("dialect_enable", {"dialect": "004", "origin": PAGE}),
        ("dialect_enable", {"dialect": "004", "origin": "file://"}),
    ]
    node.answers["dialect_enable"] = {**ON, "dialect": "001", "address": "https://127.0.0.1:3000"}
    assert gossamer_exits("bridge", "enable", "001")[1] == "wss://127.0.0.1:3000/ws\n"
    node.answers["dialect_enable"] = ON
    assert json.loads(gossamer_exits("--json", "bridge", "enable", "004")[1]) == ON
    assert node.asked[-1] == ("dialect_enable", {"dialect": "004"})


@pytest.mark.parametrize(
    ("fault", "exits"),
    [("port_taken", 7), ("no_index", 6), ("tls_missing", 1), ("invalid", 2), ("forbidden", 4)],
)
def test_what_is_refused_exits_by_its_code(
    node: Scripted, gossamer_exits: Exits, fault: str, exits: int
) -> None:
    node.answers["dialect_enable"] = Refused(fault, "no")
    assert gossamer_exits("bridge", "enable", "004", "--port", "3000")[0] == exits


def test_what_is_no_dialect_or_no_port_is_a_wrong_use(node: Scripted, gossamer_exits: Exits) -> None:
    for words in (
        ("005",),
        ("004", "--port", "0"),
        ("004", "--port", "65536"),
        ("004", "--rooms", "some"),
        (),
    ):
        assert gossamer_exits("bridge", "enable", *words)[0] == 2
    assert gossamer_exits("bridge", "disable", "native")[0] == 2
    assert node.asked == []


def test_disabling_takes_all_or_one_origin(node: Scripted, gossamer_exits: Exits) -> None:
    node.answers["dialect_disable"] = OFF
    assert gossamer_exits("bridge", "disable", "001")[0] == 0
    assert gossamer_exits("bridge", "disable", "001", "--origin", PAGE)[0] == 0
    assert node.asked == [
        ("dialect_disable", {"dialect": "001"}),
        ("dialect_disable", {"dialect": "001", "origin": PAGE}),
    ]
    node.answers["dialect_disable"] = Refused("not_enabled", "it is off")
    assert gossamer_exits("bridge", "disable", "001")[0] == 6


def test_the_list_shows_origins_and_the_dialects_that_are_on(node: Scripted, gossamer_exits: Exits) -> None:
    failed = {**ON, "dialect": "002", "state": "failed", "why": "port 3000: in use\x1b[2J", "origins": [PAGE]}
    node.answers["origin_list"] = {"origins": ["http://localhost:1"]}
    node.answers["dialect_list"] = {"dialects": [OFF, failed, ON]}
    code, out, err = gossamer_exits("bridge", "list")
    assert code == 0 and out.splitlines()[0] == "http://localhost:1"
    assert "002" in out and "failed" in out and PAGE in out and "001" not in out and "004" in out
    assert "port 3000: in use" in err and "\x1b" not in err
    shown = json.loads(gossamer_exits("--json", "bridge", "list")[1])
    assert shown["origins"] == ["http://localhost:1"] and shown["dialects"][2] == ON
    node.answers["dialect_list"] = {"dialects": [OFF]}
    assert gossamer_exits("bridge", "list") == (0, "http://localhost:1\n", "")


def test_a_login_is_for_the_nodes_page_or_for_that_of_a_dialect(
    node: Scripted, gossamer_exits: Exits
) -> None:
    node.answers["login_link_create"] = {"url": "http://127.0.0.1:3000/api/v1/login?code=x", "expires_at": 1}
    assert gossamer_exits("bridge", "login", "--dialect", "003")[1].endswith("code=x\n")
    assert gossamer_exits("bridge", "login")[0] == 0
    assert node.asked == [("login_link_create", {"dialect": "003"}), ("login_link_create", {})]
