"""`gossamer network secret` and `gossamer peer list`: what an owner makes and sees of the mesh."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from node.config import load

from .conftest import Scripted

Exits = Callable[..., tuple[int, str, str]]


def test_a_secret_is_made_for_its_owner_alone_and_is_one_that_the_node_takes(
    tmp_path: Path, gossamer_exits: Exits
) -> None:
    path = tmp_path / "net.secret"
    code, out, err = gossamer_exits("network", "secret", str(path))
    assert code == 0 and path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().strip() not in out + err
    key = load(tmp_path, {"network_secret": str(path)}, {}).network_key()
    assert key is not None and len(key) == 32 and len(set(key)) > 8


def test_one_that_is_there_is_never_written_over(tmp_path: Path, gossamer_exits: Exits) -> None:
    path = tmp_path / "net.secret"
    path.write_text("mine")
    code, _, err = gossamer_exits("network", "secret", str(path))
    assert code == 7 and "file_exists" in err and path.read_text() == "mine"
    assert gossamer_exits("network", "secret", str(tmp_path / "no" / "folder"))[0] == 2


ROWS = [
    {"peer": "ab" * 32, "address": "10.0.0.9:5123", "direction": "in", "rtt_ms": 12.4, "age_s": 75,
     "copies": 9, "state": "live", "source": None, "known_as": "ws://bob:7118",
     "last_error": None, "retry_s": None},
    {"peer": None, "address": "ws://carol:1", "direction": "out", "rtt_ms": None, "age_s": None, "copies": 0,
     "state": "down", "source": "lan", "known_as": None, "last_error": "no answer\x1b[31m", "retry_s": 12.2},
]  # fmt: skip


def test_the_list_of_peers_says_how_each_link_is_or_why_there_is_none(
    node: Scripted, gossamer_exits: Exits
) -> None:
    node.answers |= {"peer_list": {"peers": ROWS}}
    _, out, _ = gossamer_exits("peer", "list")
    head, bob, carol = out.splitlines()
    for word in ("copies", "source", "last error", "again in"):
        assert word in head
    assert "ws://bob:7118" in bob and "12 ms" in bob and "1m 15s" in bob
    assert "lan" in carol and "no answer" in carol and "12s" in carol and "\x1b" not in carol
    assert json.loads(gossamer_exits("--json", "peer", "list")[1]) == {"peers": ROWS}


@pytest.mark.parametrize(
    "url", ["nonsense", "http://a:1", "ws://", "ws://a:99999", "ws://a b", "ws://u@h:1", "wss://[::1"]
)
def test_an_address_that_is_none_is_refused_before_the_node_is_asked(
    node: Scripted, gossamer_exits: Exits, url: str
) -> None:
    code, _, err = gossamer_exits("peer", "add", url)
    assert code == 2 and "ws://HOST:7118" in err
