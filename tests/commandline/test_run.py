from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli import gossamer
from node.commandline.run import _ask_passphrase, greeting, opened
from node.config import Settings
from node.crypto.links import ContactLink, encode_contact
from node.store import identity

LINK = encode_contact(ContactLink(bytes(32), bytes(32), bytes(16), 20_000, ("ws://192.168.1.4:7118",)))


def test_the_greeting_gives_the_link_who_can_use_it_and_commands_that_exist() -> None:
    lines = greeting("gossamer --home '/a b'", "al\x1bice", Path("/a b"), LINK)
    assert f"  {LINK}" in lines
    assert any("only on this network" in line for line in lines)
    assert not any("\x1b" in line for line in lines)
    pasted = [shlex.split(line, comments=True) for line in lines if line.startswith("  gossamer --home")]
    assert len(pasted) == 5
    for program, home, path, command, *_ in pasted:
        assert (program, home, path) == ("gossamer", "--home", "/a b")
        assert command in gossamer.lazy


def test_the_first_run_says_in_two_lines_what_is_open_and_kept() -> None:
    lines = [line for line in opened("gossamer --home H", {"host": "::", "port": 7118}, 512 << 20) if line]
    assert len(lines) == 2
    assert "7118 on ::" in lines[0]
    assert "512 MiB at most (`gossamer --home H config set hold_mib N`)" in lines[1]
    assert "nothing" in opened("gossamer", None, 1 << 20)[1]


def asked(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Stand in for a terminal at which these answers are typed; returns what was asked."""
    questions: list[str] = []
    waiting = iter(answers)

    def prompt(text: str, **_: Any) -> str:
        questions.append(text)
        return next(waiting)

    monkeypatch.setattr("click.prompt", prompt)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    return questions


def test_a_terminal_is_asked_for_a_passphrase_to_seal_and_to_open(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = Settings(home=tmp_path)
    questions = asked(monkeypatch, "", "sesame", "sesame")
    assert _ask_passphrase(home) is None
    assert _ask_passphrase(home) == b"sesame"
    identity.create(tmp_path, b"keys", passphrase=b"sesame", entropy=os.urandom)
    assert _ask_passphrase(home) == b"sesame"
    assert ["seals" in question for question in questions] == [True, True, False]


def test_nothing_is_asked_where_a_file_has_it_nor_of_plain_keys_nor_without_terminal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    questions = asked(monkeypatch)
    assert _ask_passphrase(Settings(home=tmp_path, passphrase_file=tmp_path / "file")) is None
    identity.create(tmp_path, b"keys", passphrase=None, entropy=os.urandom)
    assert _ask_passphrase(Settings(home=tmp_path)) is None
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False))
    assert _ask_passphrase(Settings(home=tmp_path / "other")) is None
    assert questions == []


def test_a_node_that_cannot_start_says_the_code_and_exits_with_it(
    gossamer_exits: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    code, _, err = gossamer_exits("--home", str(tmp_path / "file" / "home"), "run", "--json", "--listen=off")
    assert code in {1, 2}
    assert json.loads(err)["error"]["code"] in {"home_unusable", "invalid_config"}
    secret = str(tmp_path / "no.secret")
    words = ("run", "--listen", "off", "--bridge", "127.0.0.1:0", "--network-secret", secret)
    code, _, err = gossamer_exits("--home", str(tmp_path / "home"), *words)
    assert (code, "invalid_config" in err) == (2, True)
    assert not (tmp_path / "home" / "gossamer.sock").exists()
    phrase = str(tmp_path / "no.phrase")
    code, _, err = gossamer_exits("--home", str(tmp_path / "other"), "run", "--passphrase-file", phrase)
    assert (code, "invalid_config" in err) == (2, True)
