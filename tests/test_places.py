"""The files of a home beside its store: the token that nobody guesses, the address, the log."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from node import places
from node.places import RuntimeFile, admin_token, start_log
from node.store import files


def test_a_crash_between_overwriting_and_renaming_leaves_the_new_token(tmp_path: Path) -> None:
    path, fresh = tmp_path / "token", "n" * 43
    first = admin_token(tmp_path)
    assert admin_token(tmp_path) == first and path.stat().st_mode & 0o777 == 0o600
    files.write_synced(files.staged(path), fresh.encode())
    assert admin_token(tmp_path) == first
    files.write_synced(path, bytes(43))
    assert admin_token(tmp_path) == fresh == path.read_text()


@pytest.mark.parametrize(
    "left", [b"", b"\n", bytes(43), bytes(64), b"short", b"x" * 42, b"a" * 20 + bytes(23)]
)
def test_what_is_no_token_is_replaced_by_one(tmp_path: Path, left: bytes) -> None:
    files.write_synced(tmp_path / "token", left)
    token = admin_token(tmp_path)
    assert len(token) == 43 and token.isprintable() and token == admin_token(tmp_path)


async def test_where_a_node_is_reached_is_written_as_soon_as_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    room: list[bool] = []
    replace = files.replace

    def full(path: Path, data: bytes) -> None:
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(path, data)

    monkeypatch.setattr(files, "replace", full)
    monkeypatch.setattr(places, "TRY_AGAIN", 0.01)
    runtime, path = RuntimeFile(tmp_path), tmp_path / "runtime.json"
    await runtime.write({"pid": 1})
    assert "tried again" in caplog.text
    await runtime.write({"pid": 2})
    assert not path.exists()
    room.append(True)
    async with asyncio.timeout(30):
        while not path.exists():
            await asyncio.sleep(0.01)
    assert json.loads(path.read_bytes()) == {"pid": 2}
    await runtime.remove()
    assert not path.exists()
    room.clear()
    await runtime.write({"pid": 3})
    await runtime.remove()
    room.append(True)
    await asyncio.sleep(0.05)
    assert not path.exists(), "what is removed does not come back"


def test_what_the_log_has_no_room_for_is_said_on_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger("node")
    before = list(root.handlers), root.level, root.propagate
    root.handlers = []
    try:
        start_log(tmp_path, "info")
        (handler,) = root.handlers
        assert isinstance(handler, logging.StreamHandler)

        def full(_text: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(handler.stream, "write", full, raising=False)
        logging.getLogger("node.daemon").error("there is no room")
        assert "ERROR node.daemon there is no room" in capsys.readouterr().err
        handler.close()
    finally:
        root.handlers, root.level, root.propagate = before


async def test_a_node_that_ends_leaves_nothing_behind_of_what_was_being_written_just_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[bytes] = []
    writing, goes_on = threading.Event(), threading.Event()
    replace = files.replace

    def slow(path: Path, data: bytes) -> None:
        tries.append(data)
        if len(tries) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        writing.set()
        goes_on.wait(5)
        replace(path, data)

    monkeypatch.setattr(files, "replace", slow)
    monkeypatch.setattr(places, "TRY_AGAIN", 0.01)
    runtime, path = RuntimeFile(tmp_path), tmp_path / "runtime.json"
    await runtime.write({"pid": 1})
    await asyncio.to_thread(writing.wait, 5)
    removing = asyncio.create_task(runtime.remove())
    await asyncio.sleep(0.05)
    goes_on.set()
    await removing
    await asyncio.sleep(0.05)
    assert len(tries) == 2 and not path.exists()
