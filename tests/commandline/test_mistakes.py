"""What somebody does wrongly at first: told in one form, with what to do, and nothing is done by halves."""

from __future__ import annotations

import errno
import io
import os
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from cli import gossamer
from node.client import target_of
from node.commandline import ailments, doctor, run
from node.commandline.ailments import FAIL, OK, Finding
from node.commandline.app import App
from node.commandline.receipts import _timed
from node.commandline.runtime import alive, is_new
from node.config import Endpoint, Settings, load
from node.errors import Refused
from node.running import port_taken
from node.store.records import Put, Table
from node.store.sqlite import SqliteStore
from tests.store.samples import KEYS

from .conftest import Scripted

Exits = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("words", [("send",), ("rom", "list"), ("history", "club", "--limit", "x"), ("why",)])
def test_a_usage_error_is_the_one_line_of_every_error_then_how_it_is_used(
    gossamer_exits: Exits, words: tuple[str, ...]
) -> None:
    code, out, err = gossamer_exits(*words)
    first, usage, more = err.strip().split("\n")
    assert (code, out) == (2, "")
    assert re.fullmatch(r"error: .+ \(usage\)", first)
    assert usage.startswith("Usage: gossamer ") and more.startswith("more:  gossamer ")


def test_a_group_alone_shows_its_help(gossamer_exits: Exits) -> None:
    code, _, err = gossamer_exits("room")
    assert code == 2 and "Make a room called NAME" in err and "error:" not in err


def test_the_list_of_commands_breaks_off_no_sentence() -> None:
    root = click.Context(gossamer)
    commands = [gossamer, *(gossamer.get_command(root, name) for name in gossamer.list_commands(root))]
    shown = [one.get_help(click.Context(one)) for one in commands if isinstance(one, click.Group)]
    assert len(shown) > 10
    assert [text for text in shown if re.search(r"\w\.\.\.\n|\w\.\.\.$", text)] == []


@pytest.mark.parametrize("given", [("",), ("-",)])
def test_an_empty_text_is_not_sent(
    node: Scripted, gossamer_exits: Exits, given: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    code, _, err = gossamer_exits("send", "club", *given)
    assert code == 2 and "the text is empty" in err
    assert node.asked == []


def test_a_command_of_the_bridge_that_is_misspelt_is_answered_with_the_likely_one(
    node: Scripted, gossamer_exits: Exits
) -> None:
    node.answers["user_mesage"] = Refused("unknown_event", "there is no command 'user_mesage'")
    code, _, err = gossamer_exits("call", "user_mesage")
    assert code == 2 and "did you mean 'user_message'?" in err


def test_the_beginning_of_no_message_says_where_it_was_looked_for(
    node: Scripted, gossamer_exits: Exits
) -> None:
    node.answers["history_get"] = {"messages": []}
    code, _, err = gossamer_exits("message", "delete", "club", "99999999")
    assert code == 6 and "newest 200" in err and "--ids" in err


def test_who_asks_to_be_a_contact_is_answered_by_a_line_that_can_be_pasted(
    node: Scripted, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOSSAMER_HOME")
    row = {"user_id": "d", "username": "dave", "state": "incoming", "message": "hi"}
    node.answers["contact_list"] = {"contacts": [row]}
    assert re.search(
        r"dave asks: hi:  \S*gossamer contact accept dave ", gossamer_exits("contact", "list")[2]
    )


@pytest.mark.parametrize("avatar", ["/nope/me.png", "https://example.org/me.png", __file__])
def test_a_file_or_an_address_is_said_to_be_no_picture_for_others(
    node: Scripted, gossamer_exits: Exits, avatar: str
) -> None:
    assert "profile set --avatar" in gossamer_exits("profile", "set", "--avatar", avatar)[2]
    assert gossamer_exits("profile", "set", "--avatar", "\U0001f98a")[2] == ""


def test_a_moment_in_a_reason_is_shown_as_a_clock_shows_it() -> None:
    assert re.fullmatch(r"last heard of at \d{4}-\d\d-\d\d \d\d:\d\d", _timed("last heard of at 1730730000"))
    assert _timed(None) == ""


def test_a_number_is_no_host(tmp_path: Path) -> None:
    for text in ("7200", "1:7118"):
        with pytest.raises(Refused, match="has no host") as fault:
            load(tmp_path, {"listen": text})
        assert fault.value.code == "invalid_config"
    assert load(tmp_path, {"listen": ":7200"}).listen == Endpoint("127.0.0.1", 7200, given=True)


@pytest.mark.parametrize(
    ("fault", "code", "exits"),
    [
        (
            OSError(errno.EADDRINUSE, "Address already in use (while attempting to bind on ...)"),
            "port_taken",
            7,
        ),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"), "invalid_config", 2),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "invalid_config", 2),
    ],
)
def test_a_place_that_cannot_be_listened_at_is_said_once_with_what_to_change(
    fault: OSError, code: str, exits: int
) -> None:
    found = port_taken("mesh", Endpoint("foo", 7118), fault)
    assert (found.code, found.exit_code) == (code, exits)
    assert "while" not in str(found) and "--listen" in str(found)


async def test_a_name_that_comes_after_the_first_run_is_not_passed_over(
    node: Scripted, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from node.crypto.links import ContactLink, encode_contact

    node.answers["profile_get"] = {
        "link": encode_contact(ContactLink(bytes(32), bytes(32), bytes(16), 0, ()))
    }
    node.hello["connectivity"] = "alone"
    settings = Settings(home=tmp_path)
    await run.greet(App(), settings, first=False, named="al ice")
    assert "profile set --name 'al ice'" in capsys.readouterr().err
    await run.greet(App(), settings, first=False, named="alice")
    assert "profile set" not in capsys.readouterr().err


async def test_a_first_start_that_failed_has_not_taken_the_name_away(tmp_path: Path) -> None:
    assert is_new(tmp_path)
    home = tmp_path / "a#b ?mode=rw&x=%20"  # a folder may be called so, and nothing is made beside it
    home.mkdir()
    store = await SqliteStore.open(home / "gossamer.db", KEYS)
    assert is_new(home) and finding(home, "database").state == OK
    await store.commit([Put(Table.SELF, b"me", b"x")])
    assert not is_new(home)
    await store.close()
    assert not is_new(home) and list(tmp_path.iterdir()) == [home]


@pytest.mark.parametrize(
    "words", [("erase", "--yes"), ("service", "install"), ("config", "set", "name", "x")]
)
def test_a_home_of_another_user_is_one_line_and_a_way_to_take_it_back(
    gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...]
) -> None:
    def refuse(self: Path, *_: object, **__: object) -> object:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    (tmp_path / "identity.key").write_text("")
    (tmp_path / "config.toml").write_text("")
    for name in ("open", "read_bytes", "read_text"):
        monkeypatch.setattr(Path, name, refuse)
    code, out, err = gossamer_exits("--home", str(tmp_path), *words)
    assert (code, out) in {(1, ""), (2, "")} and err.count("\n") == 1 and "Permission denied" in err


def cli(*words: str, into: Any) -> tuple[int, str]:
    env = {**os.environ, "GOSSAMER_HOME": "/nonexistent"}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "cli", *words],
        check=False,
        stdout=into,
        stderr=subprocess.PIPE,
        env=env,
        cwd=root,
    )
    return done.returncode, done.stderr.decode()


def test_output_that_a_full_disk_does_not_take_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        code, err = cli("version", into=full)
    assert code == 1 and err.count("\n") == 1 and err.rstrip().endswith("(storage_full)")


def test_a_reader_that_has_seen_enough_makes_no_failure() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert cli("schema", into=writer) == (0, "")
    finally:
        os.close(writer)


def test_a_folder_that_is_not_there_is_one_line(gossamer_exits: Exits) -> None:
    code, _, err = gossamer_exits("schema", "--write", "/nonexistent/x")
    assert code == 6 and err.startswith("error: /nonexistent/x/") and err.count("\n") == 1


def test_the_sdk_says_of_a_home_that_it_may_not_read_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(self: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(Refused, match="another user") as fault:
        target_of(tmp_path)
    assert fault.value.code == "unauthorized"


# -- the doctor -----------------------------------------------------------------------------------


def finding(home: Path, check: str) -> Finding:
    home.chmod(0o700)
    return next(one for one in ailments.of_home(home) if one.check == check)


def test_a_process_that_has_ended_and_waits_for_its_parent_is_no_node(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    try:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        assert Path(f"/proc/{ended.pid}").exists()
        assert not alive(ended.pid) and alive(os.getpid())
    finally:
        ended.wait()


def test_a_number_that_went_to_another_program_is_not_said_to_be_stopped_by_us(
    no_node: None, tmp_path: Path, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    from node.commandline import asking

    monkeypatch.setattr(doctor, "connected", asking.connected)
    (tmp_path / "runtime.json").write_text(f'{{"pid":{os.getpid()}}}')
    code, out, _ = gossamer_exits("doctor")
    assert code == 1 and "nobody listens" in out and "start it" not in out and f"kill {os.getpid()}" in out


def test_a_database_of_a_newer_release_is_not_said_to_be_well(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "gossamer.db") as conn:
        conn.execute("PRAGMA user_version = 999")
    found = finding(tmp_path, "database")
    assert found.state == FAIL and "newer release" in found.text
    with sqlite3.connect(tmp_path / "gossamer.db") as conn:
        conn.execute("PRAGMA user_version = 0")
    assert finding(tmp_path, "database").state == OK


def test_a_damaged_identity_is_a_finding_among_the_others(tmp_path: Path) -> None:
    (tmp_path / "identity.key").write_text("garbage")
    found = finding(tmp_path, "identity")
    assert found.state == FAIL and "damaged" in found.text and found.do
    assert finding(tmp_path, "disk")


def test_what_the_doctor_says_to_do_about_modes_can_be_pasted(tmp_path: Path) -> None:
    (tmp_path / "my home").mkdir(mode=0o755)
    found = next(one for one in ailments.of_home(tmp_path / "my home") if one.check == "permissions")
    assert found.do.startswith(f"chmod -R go= '{tmp_path}/my home' ")


def test_one_address_is_not_told_as_many() -> None:
    status = {"version": "0", "uptime_s": 1, "connectivity": "connecting", "links": 0}
    peers = [
        {"state": "down", "address": "ws://a:1", "last_error": None, "source": "configured", "retry_s": 1}
    ]
    for rows, said in ((peers, "the one address that is dialled does not"), (peers * 2, "of 2 addresses")):
        mesh = next(one for one in ailments.of_a_node(status, rows, ()) if one.check == "mesh")
        assert mesh.text.startswith(said)


def test_the_doctor_and_the_list_say_the_address_that_a_frontend_of_a_dialect_knows() -> None:
    row = {"dialect": "001", "state": "on", "enabled": True, "address": "http://127.0.0.1:7117", "why": None}
    assert [one.text for one in ailments.of_dialects([row])] == ["001 is spoken at ws://127.0.0.1:7117/ws"]


def test_a_node_whose_account_went_on_elsewhere_is_not_said_to_be_well() -> None:
    status = {"version": "0", "uptime_s": 1, "connectivity": "synced", "links": 1, "revoked": True}
    found = {one.check: one for one in ailments.of_a_node(status, [], ())}
    assert found["device"].state == FAIL and found["device"].do
    assert "device" not in {one.check for one in ailments.of_a_node({**status, "revoked": False}, [], ())}


def test_what_this_user_may_not_read_is_the_one_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("")
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "token" and allowed(path, mode))
    (found,) = ailments.of_home(tmp_path)
    assert (found.check, found.state) == ("permissions", FAIL) and "token" in found.text
    assert found.do.startswith("sudo chown -R ")
