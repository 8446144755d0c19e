"""`send --file` and `attachment get`: names are data, and no file of the owner's is ever written over."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from node.commandline import attachments, transfers
from node.commandline.chat import event_lines, message_lines
from node.commandline.safe_names import MAX_BYTES, safe_name
from node.errors import Refused

from .conftest import CLUB, Scripted
from .names_corpus import HOSTILE

Exits = Callable[..., tuple[int, str, str]]
IDENT = "a77ac4ed-0000-8000-8000-000000000001"
DATA = b"hello " * 1000
RESERVED = {"CON", "PRN", "AUX", "NUL", "COM1", "COM9", "LPT1", "COM¹", "CONIN$", "CONOUT$", "CLOCK$"}


def facts(name: str = "tea.png") -> dict[str, Any]:
    digest = blake2b(DATA, digest_size=32, person=b"gsmr1/file").hexdigest()
    return {
        "id": IDENT,
        "name": name,
        "type": "image/png",
        "size": len(DATA),
        "state": "ready",
        "hash": digest,
    }


def check(made: str) -> None:
    """A name that any system takes as one file of a folder, shown as it is."""
    assert made and len(made.encode()) <= MAX_BYTES
    assert not set(made) & set('/\\<>:"|?*\0') and made not in {".", ".."}
    assert made[0] not in ".-~$ " and made[-1] not in ". "
    assert made.split(".", maxsplit=1)[0].strip().upper() not in RESERVED
    assert all(char.isprintable() for char in made)


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name)[:30])
def test_no_name_leads_out_of_the_folder_or_to_a_device(name: str, tmp_path: Path) -> None:
    made = safe_name(name, IDENT)
    check(made)
    folder = tmp_path / "here"
    folder.mkdir()
    with transfers.fresh(folder / made, replace=False) as file:
        file.write(b"x")
    assert [path.name for path in folder.iterdir()] == [made]
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


@given(st.text(max_size=400))
def test_every_name_becomes_a_safe_one(name: str) -> None:
    made = safe_name(name, IDENT)
    check(made)
    assert safe_name(made, IDENT) == made


def test_a_plain_name_stays_as_it_is() -> None:
    for name in ("tea.png", "Grüße an dich.pdf", "写真.jpg", "a-b_c (1).tar.gz"):
        assert safe_name(name, IDENT) == name


@pytest.fixture
def given_out(node: Scripted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Scripted:
    async def get(_app: Any, _facts: Any, into: Any, step: Any) -> None:
        into.write(DATA)
        step(len(DATA))

    monkeypatch.setattr(transfers, "get", get)
    monkeypatch.chdir(tmp_path)
    node.answers["attachment_get"] = facts()
    return node


def test_get_writes_into_this_folder_and_never_over_a_file_that_is_there(
    given_out: Scripted, gossamer_exits: Exits, tmp_path: Path
) -> None:
    code, out, _ = gossamer_exits("--json", "attachment", "get", IDENT)
    assert code == 0 and json.loads(out)["path"] == str(tmp_path / "tea.png")
    assert (tmp_path / "tea.png").read_bytes() == DATA
    (tmp_path / "tea.png").write_bytes(b"mine")
    code, _, err = gossamer_exits("attachment", "get", IDENT)
    assert (code, (tmp_path / "tea.png").read_bytes()) == (7, b"mine")
    assert "file_exists" in err
    assert gossamer_exits("attachment", "get", IDENT, "--force")[0] == 0
    assert (tmp_path / "tea.png").read_bytes() == DATA
    assert gossamer_exits("attachment", "get", IDENT, "--output", "other.bin")[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.bin", "tea.png"]


def test_get_follows_no_link_that_somebody_put_in_its_way(
    given_out: Scripted, gossamer_exits: Exits, tmp_path: Path
) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"mine")
    for aim in (target, tmp_path / "not there"):
        (tmp_path / "tea.png").symlink_to(aim)
        assert gossamer_exits("attachment", "get", IDENT)[0] == 7
        assert gossamer_exits("attachment", "get", IDENT, "--force")[0] == 0
        assert not (tmp_path / "tea.png").is_symlink()
        assert target.read_bytes() == b"mine"
        assert not (tmp_path / "not there").exists()
        (tmp_path / "tea.png").unlink()


def test_a_link_that_is_made_meanwhile_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"mine")
    with (
        pytest.raises(Refused, match="there already"),
        transfers.fresh(tmp_path / "tea.png", replace=False) as file,
    ):
        file.write(DATA)
        (tmp_path / "tea.png").symlink_to(target)
    assert target.read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["precious", "tea.png"]


def test_what_breaks_off_leaves_no_file(
    given_out: Scripted, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def get(_app: Any, _facts: Any, into: Any, _step: Any) -> None:
        into.write(DATA[:100])
        raise Refused("attachment_damaged", "what came is not what the message named")

    monkeypatch.setattr(transfers, "get", get)
    code, _, err = gossamer_exits("attachment", "get", IDENT)
    assert code == 1 and "attachment_damaged" in err
    assert list(tmp_path.iterdir()) == []


def test_send_stores_the_file_first_and_names_it_in_the_message(
    node: Scripted, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def put(_app: Any, path: Path, step: Any) -> dict[str, Any]:
        step(path.stat().st_size)
        return {"attachment": IDENT, "name": path.name}

    monkeypatch.setattr(transfers, "put", put)
    path = tmp_path / "tea.png"
    path.write_bytes(DATA)
    code, out, err = gossamer_exits("send", "club", "--file", str(path))
    assert (code, out.strip(), err) == (0, "m", "")
    asked = ("user_message", {"room": CLUB, "message": "", "attachment": IDENT})
    assert node.asked[-1] == asked
    assert gossamer_exits("send", "club", "look", "--file", str(path))[0] == 0
    assert node.asked[-1][1]["message"] == "look"
    for words, expected in (
        (("send", "club"), 2),
        (("send", "club", "--file", str(tmp_path / "missing")), 6),
        (("send", "club", "--file", str(tmp_path)), 6),
    ):
        assert gossamer_exits(*words)[0] == expected
    os.truncate(path, 64 * 1024 * 1024 + 1)
    code, _, err = gossamer_exits("send", "club", "--file", str(path))
    assert code == 1 and "attachment_too_large" in err


def test_history_and_tail_show_what_a_message_carries_and_obey_none_of_its_name() -> None:
    event = {"event": "user_message", "username": "bob", "timestamp": 1730736486, "message": "look"}
    told = {**facts("x\x1b[2J\u202egnp.exe"), "state": "pending"}
    lines = message_lines({**event, "attachment": told})
    assert lines[1].startswith(" " * 7) and lines[1].endswith(IDENT)
    assert not any(char in lines[1] for char in "\x1b\u202e")
    news = {"event": "attachment", "id": IDENT, "name": "x\x1b[2J", "state": "ready"}
    assert event_lines(news, {}) == [f"* x\\x1b[2J is here:  gossamer attachment get {IDENT}"]
    assert event_lines({**news, "state": "progress"}, {}) == []
    failed = {**news, "state": "failed", "why": "nobody has it any more"}
    assert event_lines(failed, {}) == ["* x\\x1b[2J will not come: nobody has it any more"]


def pages(node: Scripted, monkeypatch: pytest.MonkeyPatch, *told: dict[str, Any]) -> None:
    """Let `attachment_get` answer these in turn, the last again and again, without waiting between them."""
    left = list(told)

    async def call(command: str, **keys: Any) -> dict[str, Any]:
        node.asked.append((command, keys))
        return left.pop(0) if len(left) > 1 else left[0]

    monkeypatch.setattr(node, "call", call)
    monkeypatch.setattr(attachments, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(attachments, "PATIENCE", 0.05)


def test_get_waits_for_one_that_is_on_its_way(
    given_out: Scripted, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    coming = [{**facts(), "state": "pending", "received": size} for size in (0, 0, 1_000, 1_000, 5_000)]
    pages(given_out, monkeypatch, *coming, facts())
    assert gossamer_exits("attachment", "get", IDENT)[0] == 0
    assert (tmp_path / "tea.png").read_bytes() == DATA and len(given_out.asked) == 6


def test_get_waits_no_longer_than_something_comes(
    given_out: Scripted, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pages(given_out, monkeypatch, {**facts(), "state": "pending", "received": 10})
    code, _, err = gossamer_exits("attachment", "get", IDENT)
    assert code != 0 and "attachment_pending" in err and list(tmp_path.iterdir()) == []
