"""`gossamer backup`: where the file ends up, what is asked, what it exits with."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from node.chat import backup as records
from node.commandline import backups
from node.crypto import backup as file
from node.crypto.keys import Identity
from node.crypto.vault import Cost
from node.errors import Refused

from .conftest import Scripted

Exits = Callable[..., tuple[int, str, str]]
PHRASE = "for the safe"


@pytest.fixture
def phrase(tmp_path: Path) -> str:
    (tmp_path / "phrase").write_text(f"{PHRASE}\n")
    return str(tmp_path / "phrase")


@pytest.fixture
def made(node: Scripted, tmp_path: Path) -> Path:
    path = tmp_path / "backups" / "gossamer-1.backup"
    path.parent.mkdir()
    path.write_bytes(b"sealed")
    node.answers["backup_create"] = {
        "path": str(path),
        "size": 6,
        "rooms": 2,
        "contacts": 1,
        "messages": 7,
    }
    return path


def test_a_backup_is_taken_to_where_it_was_asked_for(
    node: Scripted, made: Path, tmp_path: Path, phrase: str, gossamer_exits: Exits
) -> None:
    target = tmp_path / "mine.backup"
    code, out, err = gossamer_exits("backup", "create", str(target), "--passphrase-file", phrase)
    assert (code, out) == (0, "") and "7 messages, 2 rooms, 1 contact" in err
    assert node.asked == [("backup_create", {"passphrase": PHRASE, "timeout": backups.PATIENCE})]
    assert target.read_bytes() == b"sealed" and target.stat().st_mode & 0o777 == 0o600
    assert not made.exists() and PHRASE not in err


def test_nothing_beside_the_file_is_touched_whatever_lies_there(
    node: Scripted, made: Path, tmp_path: Path, phrase: str, gossamer_exits: Exits
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    precious, target = tmp_path / "precious", there / "mine"
    precious.write_text("words")
    precious.chmod(0o644)
    (there / "mine.new").symlink_to(precious)
    assert gossamer_exits("backup", "create", str(target), "--passphrase-file", phrase)[0] == 0
    assert precious.read_text() == "words" and precious.stat().st_mode & 0o777 == 0o644
    assert target.read_bytes() == b"sealed" and target.stat().st_mode & 0o777 == 0o600
    assert sorted(one.name for one in there.iterdir()) == ["mine", "mine.new"]


def test_a_file_that_is_there_is_replaced_only_by_force(
    node: Scripted, made: Path, tmp_path: Path, phrase: str, gossamer_exits: Exits
) -> None:
    target = tmp_path / "mine.backup"
    target.write_bytes(b"precious")
    words = ("backup", "create", str(target), "--passphrase-file", phrase)
    code, _, err = gossamer_exits(*words)
    assert (code, "file_exists" in err) == (7, True)
    assert node.asked == [] and target.read_bytes() == b"precious"
    assert gossamer_exits(*words, "--force")[0] == 0
    assert target.read_bytes() == b"sealed"


def test_a_file_that_cannot_be_is_refused_before_anything_is_asked(
    node: Scripted, tmp_path: Path, phrase: str, gossamer_exits: Exits
) -> None:
    for target in (tmp_path, tmp_path / "no" / "folder"):
        code, _, err = gossamer_exits("backup", "create", str(target), "--passphrase-file", phrase)
        assert (code, "invalid" in err) == (2, True)
    assert node.asked == []


def test_a_passphrase_is_demanded(
    node: Scripted, made: Path, tmp_path: Path, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    code, _, err = gossamer_exits("backup", "create", str(tmp_path / "mine"))
    assert (code, "invalid" in err) == (2, True)
    (tmp_path / "none").write_text("\n")
    words = ("backup", "create", str(tmp_path / "mine"), "--passphrase-file", str(tmp_path / "none"))
    assert gossamer_exits(*words)[0] == 2
    assert node.asked == []


def test_what_the_node_refuses_is_told(
    node: Scripted, tmp_path: Path, phrase: str, gossamer_exits: Exits
) -> None:
    node.answers["backup_create"] = Refused("busy", "later", retryable=True)
    words = ("backup", "create", str(tmp_path / "mine"), "--passphrase-file", phrase)
    code, _, err = gossamer_exits(*words)
    assert (code, "busy" in err) == (1, True)
    assert not (tmp_path / "mine").exists()


def test_verify_and_restore_say_what_is_wrong(tmp_path: Path, phrase: str, gossamer_exits: Exits) -> None:
    path = tmp_path / "file"
    opened = ("--passphrase-file", phrase)
    assert gossamer_exits("backup", "verify", str(path), *opened)[0] == 6
    path.write_bytes(b"x" * 200)
    code, _, err = gossamer_exits("backup", "verify", str(path), *opened)
    assert (code, "backup_damaged" in err) == (1, True)
    me = Identity.generate(os.urandom, 20_000)
    writer = file.Writer(b"another", os.urandom, Cost(1, 8192))
    head = records.encode(records.Head(1, "1", me.account, "bob", False, 0))
    path.write_bytes(writer.head + writer.add(head) + writer.finish())
    for word in ("verify", "restore"):
        code, out, err = gossamer_exits("--json", "backup", word, str(path), *opened)
        assert (code, out) == (4, "") if word == "verify" else code in (4, 7)
        assert json.loads(err)["error"]["code"] in {"wrong_passphrase", "home_exists"}
