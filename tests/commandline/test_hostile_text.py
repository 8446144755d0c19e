"""Hostile text in every field of every answer and event: what arrives at a real terminal obeys none of it."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from msgspec import inspect

from cli import gossamer
from node.chat import answers, events
from node.commandline import asking, doctor, transfers
from node.commandline.app import invoke
from node.commandline.output import FSI, PDI
from node.crypto.links import ContactLink, encode_contact

from .conftest import Scripted
from .test_output import ATTACKS

EVIL = "x" + "".join(ATTACKS).encode("utf-8", "replace").decode() + "[bold red]y[/]" + "e" + "\u0301" * 60
ONE = "c1c1c1c1-0000-8000-8000-000000000003"
IDS = frozenset({"room", "user_id", "invite", "id", "placeholder", "log_epoch", "attachment"})
LINK = encode_contact(ContactLink(bytes(32), bytes(32), bytes(16), 20_000, ("ws://192.168.1.4:7118",)))
NOT_HERE = ("run", "demo", "service", "erase", "backup restore", "backup verify", "completion", "version",
            "config", "schema", "sim", "stop", "network", "passphrase", "unlock", "chat", "doctor",
            "contact link")  # fmt: skip
"""They print no answer of a node's, or ask at a terminal, or (`chat`, `tail`) have a test of their own."""
MORE = {
    "room update": ["--topic", "x"],
    "profile set": ["--status", "x"],
    "presence set": ["--busy", "on"],
    "notification read": [ONE],
    "send": [ONE, "hi"],
    "attachment get": ["--quiet", ONE],
    "attachment put": ["--quiet"],
    "peer add": ["ws://h:1"],
    "peer remove": ["ws://h:1"],
}
"""What a command needs beside its arguments, or in their place."""
OWN = re.compile(r"\x1b\[[0-9;]*m|\n")


def invented(kind: inspect.Type, key: str = "") -> Any:
    """Return a value of a type with hostile text wherever there is text."""
    match kind:
        case inspect.StrType():
            return LINK if key == "link" else ONE if key in IDS else EVIL
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.BoolType():
            return True
        case inspect.IntType() | inspect.FloatType():
            return 1
        case inspect.UnionType(types=types):
            return invented(next(t for t in types if not isinstance(t, inspect.NoneType)), key)
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return [invented(item, key)]
        case inspect.StructType(fields=fields, cls=cls):
            made = {f.encode_name: invented(f.type, f.encode_name) for f in fields}
            tag = cls.__struct_config__.tag
            return made if tag is None else {"event": tag, **made}
        case _:
            return {EVIL: EVIL}


def struct(kind: type) -> Any:
    return invented(inspect.type_info(kind))


class Terminal:
    """A pseudo terminal in the place of standard output and error; `text` is all that arrived at it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._ours, theirs = os.openpty()
        os.set_blocking(self._ours, True)
        import tty

        tty.setraw(theirs)
        self._file = io.TextIOWrapper(
            os.fdopen(theirs, "wb", buffering=0), encoding="utf-8", write_through=True
        )
        for name in ("stdout", "stderr"):
            patch.setattr(sys, name, self._file)
        patch.setenv("TERM", "xterm-256color")
        patch.delenv("NO_COLOR", raising=False)
        self._held = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._ours, 65_536)
            except OSError:  # the other side was closed
                return
            self._held += data

    def text(self) -> str:
        self._file.close()
        self._reader.join(5)
        os.close(self._ours)
        return self._held.decode("utf-8", "surrogateescape")


def obeyed(text: str) -> list[str]:
    """Return what a terminal would obey in `text` that is none of ours."""
    rest = OWN.sub("", text).replace(FSI, "").replace(PDI, "")
    kinds = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return [hex(ord(c)) for c in rest if unicodedata.category(c) in kinds and c not in "\u200c\u200d"]


def leaves(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, *path, name)
        else:
            yield " ".join((*path, name)), command


COMMANDS = {
    words: command
    for words, command in leaves(gossamer)
    if not any(words == name or words.startswith(f"{name} ") for name in NOT_HERE) and words != "tail"
}


def arguments(words: str, command: click.Command, tmp_path: Path) -> list[str]:
    """Return plausible values for a command's arguments."""
    if words.startswith("peer ") or words in ("send", "notification read", "attachment get"):
        return MORE.get(words, [])
    given = MORE.get(words, [])
    for param in command.params:
        if isinstance(param, click.Argument) and (param.required or param.name in ("invite", "room")):
            match param.type:
                case click.Choice(choices=choices):
                    given = [*given, str(choices[0])]
                case click.Path():
                    given = [*given, str(tmp_path / "file")]
                case _:
                    given = [*given, "node_status" if param.name == "command" else ONE]
    return given


@pytest.fixture
def hostile(node: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scripted:
    node.answers = {name: struct(answer) for name, answer in answers.BY_COMMAND.items()}
    (offer,) = node.answers["invite_list"]["invites"]
    node.answers["batch"]["results"] = [{"event": "ok", EVIL: EVIL}]
    offer |= {"state": "delivered", "target": EVIL}
    node.answers["backup_create"]["path"] = str(tmp_path / "made.backup")
    (tmp_path / "made.backup").write_bytes(b"sealed")

    async def get(_app: Any, _facts: Any, into: Any, _step: Any) -> None:
        into.write(b"x")

    async def put(_app: Any, path: Path, _step: Any) -> Any:
        return await node.call("attachment_put", name=path.name)

    monkeypatch.setattr(transfers, "get", get)
    monkeypatch.setattr(transfers, "put", put)
    node.hello = {"user_id": ONE, "username": "me", "connectivity": "synced"}
    return node


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["people", "json"])
@pytest.mark.parametrize("words", COMMANDS)
def test_no_control_byte_but_our_own_arrives_at_the_terminal(
    words: str, form: tuple[str, ...], hostile: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = '{"event":"room_list"}' if words == "batch" else LINK
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{given}\n"))
    (tmp_path / "file").write_text("x")
    monkeypatch.chdir(tmp_path)
    terminal = Terminal(monkeypatch)
    code = invoke(gossamer, [*form, *words.split(), *arguments(words, COMMANDS[words], tmp_path)])
    shown = terminal.text()
    assert hostile.asked, f"{words} asked nothing: exit {code}, {shown[:300]!r}"
    assert code == 0, shown[:400]
    assert obeyed(shown) == []
    if form and shown:
        json.loads(shown.split("\n")[0])


def test_refusals_in_a_peers_words_obey_nothing(hostile: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    from node.errors import Refused

    hostile.answers["user_message"] = Refused("ambiguous_user", EVIL, candidates=[{EVIL: EVIL}, EVIL])
    terminal = Terminal(monkeypatch)
    assert invoke(gossamer, ["send", ONE, "hi"]) == 7
    shown = terminal.text()
    assert "ambiguous_user" in shown and obeyed(shown) == []


@pytest.mark.parametrize("words", [["tail"], ["chat", ONE], ["--json", "chat", ONE]])
def test_no_event_shown_as_it_comes_is_obeyed(
    words: list[str], hostile: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("/who\n/rooms\n/x\nhi\n"))
    hostile.events_to_give = [struct(kind) for kind in events.BY_NAME.values()]
    terminal = Terminal(monkeypatch)
    invoke(gossamer, words)
    shown = terminal.text()
    assert len(shown) > 500 and obeyed(shown) == []


def test_the_doctor_obeys_nothing(hostile: Scripted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "connected", asking.connected)
    monkeypatch.setattr("node.commandline.ailments.running", lambda _home: 1)
    terminal = Terminal(monkeypatch)
    invoke(gossamer, ["doctor"])
    shown = terminal.text()
    assert "node" in shown and obeyed(shown) == []


def test_every_kind_of_value_is_invented_as_its_struct_wants_it() -> None:
    """Else a command would fail before it prints, and this page would test nothing."""
    for answer in answers.BY_COMMAND.values():
        msgspec.convert(struct(answer), answer)
    for kind in events.BY_NAME.values():
        msgspec.convert(struct(kind), kind)
