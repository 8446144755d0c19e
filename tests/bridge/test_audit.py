"""The audit log: the first time at once, repeats counted, bounded whatever somebody does, never content."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect, unix_connect

from node import auditfile
from node.auditfile import AuditFile
from node.bridge.audit import MAX_COUNTED, MAX_LINES, WINDOW, Audit, Entry, Who
from node.bridge.ports import CredentialsChanged, TokenRecord, hash_token
from node.clock import Instant
from tests.bridge.fake_engine import ROOM, Bridge, recv

BOT = Who("bot", "token", "mybot 2.0", 7)


def at(seconds: float) -> Instant:
    return Instant(seconds, round(seconds * 1000))


def lines(audit: Audit) -> list[Any]:
    return [json.loads(line) for line in audit.take()]


def test_the_first_time_is_a_line_at_once_and_repeats_are_one_more_line_a_minute_later() -> None:
    audit = Audit(last=41)
    audit.saw(BOT, "user_message", "ok", at(1))
    assert lines(audit) == [
        {"entry": 42, "ts_ms": 1000, "who": "bot", "via": "token", "client": "mybot 2.0", "session": 7,
         "command": "user_message", "code": "ok", "count": 1}
    ]  # fmt: skip
    for second in range(2, 40):
        audit.saw(BOT, "user_message", "ok", at(second))
    assert lines(audit) == []
    audit.due(at(1 + WINDOW))
    (late,) = lines(audit)
    assert (late["entry"], late["ts_ms"], late["count"]) == (43, 39_000, 38)
    audit.due(at(3 * WINDOW))
    assert lines(audit) == []
    audit.saw(BOT, "user_message", "ok", at(200))
    assert len(lines(audit)) == 1


def test_another_outcome_command_or_frontend_is_a_line_of_its_own() -> None:
    audit = Audit()
    audit.saw(BOT, "room_create", "ok", at(1))
    audit.saw(BOT, "room_create", "invalid", at(1))
    audit.saw(BOT, "room_list", "ok", at(1))
    audit.saw(Who("bot", "token", "mybot 2.0", 8), "room_list", "ok", at(1))
    assert len(lines(audit)) == 4


def test_no_number_of_connections_and_names_pushes_a_trace_out() -> None:
    audit = Audit()
    for number in range(20_000):
        audit.saw(Who("bot", "token", f"client {number}", number), "hello", "ok", at(number / 400))
    audit.saw(Who("owner", "unix", None, 1), "token_create", "ok", at(50))
    found = lines(audit)
    assert len(found) <= MAX_LINES + 2
    assert found[-2]["client"] is None and found[-2]["who"] == "bot"
    assert (found[-1]["who"], found[-1]["command"]) == ("owner", "token_create")
    audit.close()
    assert sum(line["count"] for line in [*found, *lines(audit)]) == 20_001


def test_what_is_counted_is_bounded() -> None:
    audit = Audit()
    for number in range(MAX_COUNTED + 500):
        audit.saw(Who(f"token {number}"), "hello", "ok", at(1))
    assert len(audit._counts) == MAX_COUNTED


# -- the file -------------------------------------------------------------------------------------


def entry(number: int, **more: Any) -> bytes:
    fields = {"ts_ms": 1, "who": "bot", "via": "token", "client": None, "session": 1, "command": "hello",
              "code": "ok", "count": 1}  # fmt: skip
    return json.dumps({"entry": number, **fields, **more}).encode() + b"\n"


def numbers(page: tuple[list[Entry], bool]) -> tuple[list[int], bool]:
    return [row.entry for row in page[0]], page[1]


def test_the_file_is_private_is_read_in_pages_and_goes_on_after_a_crash(tmp_path: Path) -> None:
    kept = AuditFile(tmp_path)
    assert (kept.last(), kept.page(None, 10)) == (0, ([], False))
    kept.append([entry(number) for number in range(1, 6)])
    assert (tmp_path / "audit.log").stat().st_mode & 0o777 == 0o600
    assert numbers(kept.page(None, 2)) == ([4, 5], True)
    assert numbers(kept.page(4, 2)) == ([2, 3], True)
    assert numbers(kept.page(2, 2)) == ([1], False)
    kept.close()
    with (tmp_path / "audit.log").open("ab") as file:
        file.write(entry(6)[:20])  # cut off by a crash
    again = AuditFile(tmp_path)
    assert again.last() == 5
    again.append([entry(6)])
    assert numbers(again.page(None, 9)) == ([1, 2, 3, 4, 5, 6], False)
    again.close()


def test_the_files_are_four_and_small_and_a_page_reaches_over_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditfile, "MAX_BYTES", 1_000)
    kept = AuditFile(tmp_path)
    for number in range(1, 101):
        kept.append([entry(number)])
    found = sorted(tmp_path.iterdir())
    assert len(found) == 4 and all(path.stat().st_size <= 1_000 for path in found)
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in found)
    shown, more = numbers(kept.page(None, 20))
    assert (shown, more) == (list(range(81, 101)), True)
    assert AuditFile(tmp_path).last() == 100
    kept.close()


def test_a_file_that_cannot_be_written_is_said_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "audit.log").mkdir()
    kept = AuditFile(tmp_path)
    kept.append([entry(1)])
    kept.append([entry(2)])
    assert caplog.text.count("the audit log cannot be written") == 1


# -- at the bridge --------------------------------------------------------------------------------


def seen(bridge: Bridge) -> list[tuple[Any, ...]]:
    rows = bridge.server._kept.page(None, 100)[0]
    return [(row.who, row.via, row.client, row.command, row.code) for row in rows]


async def test_every_way_in_and_every_outcome_is_on_record_without_content(bridge: Bridge) -> None:
    child = TokenRecord("bot", "read", hash_token("c" * 43), 0)
    bridge.server.perform(CredentialsChanged((child,), ()))
    async with connect(bridge.url(token="c" * 43)) as ws:
        await ws.send('{"event":"hello","req":1,"client":"mybot","token":"' + "c" * 43 + '"}')
        await recv(ws)
        await ws.send('{"event":"room_create","req":2,"name":"a secret name"}')
        await recv(ws)
        await ws.send('{"event":"history_get","room":"not an id"}')
        await recv(ws)
        await ws.send("{")
        await recv(ws)
    async with unix_connect(str(bridge.path)) as ws:
        await ws.send(f'{{"event":"user_message","req":1,"room":"{ROOM}","message":"what was said"}}')
        while (await recv(ws))["event"] != "ok":
            pass
    with pytest.raises(Exception, match="401"):
        async with connect(bridge.url(token="wrong")):
            pass
    assert seen(bridge) == [
        ("bot", "token", "mybot", "hello", "ok"),
        ("bot", "token", "mybot", "room_create", "forbidden"),
        ("bot", "token", "mybot", "history_get", "invalid"),
        ("bot", "token", "mybot", "frame", "bad_frame"),
        ("owner", "unix", None, "user_message", "ok"),
        (None, None, None, "connect", "unauthorized"),
    ]
    kept = str(bridge.server._kept.page(None, 100))
    assert not any(word in kept for word in ("secret", "said", "cccc", "wrong", ROOM))


async def test_a_command_whose_frontend_left_before_its_answer_is_on_record_too(bridge: Bridge) -> None:
    bridge.engine.deliver = lambda session, event: None  # type: ignore[method-assign]
    async with connect(bridge.url()) as ws:
        await ws.send('{"event":"room_create","req":2,"name":"tea"}')
        await ws.ping()
        while not any(type(e).__name__ == "CommandReceived" for e in bridge.engine.inputs):
            await (await ws.ping())
    for _ in range(200):
        if seen(bridge):
            break
        import asyncio

        await asyncio.sleep(0.01)
    assert seen(bridge) == [("owner", "token", None, "room_create", "unanswered")]


def test_a_line_that_a_full_disk_cut_off_takes_no_other_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, write = AuditFile(tmp_path), os.write
    audit = Audit()
    for number in range(3):
        audit.saw(Who("bot", session=number), "room_list", "ok", Instant(0.0, 0))
        if number == 1:
            monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:20]))
        kept.append(audit.take())
        monkeypatch.setattr(os, "write", write)
    assert [entry.session for entry in kept.page(None, 10)[0]] == [0, 2]
