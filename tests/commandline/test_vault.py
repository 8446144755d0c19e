from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from node.commandline.daily import read_pairs
from node.errors import Refused
from node.store import identity

from .conftest import Scripted

pytestmark = pytest.mark.usefixtures("cheap_passphrases")
Exits = Callable[..., tuple[int, str, str]]
SECRET = "open sesame"


@pytest.fixture
def home(node: Scripted, tmp_path: Path) -> Path:
    node.hello["connectivity"] = "locked"
    identity.create(tmp_path, b"keys", passphrase=SECRET.encode(), entropy=os.urandom)
    return tmp_path


def stdin(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_a_passphrase_comes_from_standard_input_a_line_each(
    node: Scripted, home: Path, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin(monkeypatch, f" {SECRET}\nanother one \r\n")
    assert gossamer_exits("passphrase", "set")[0] == 0
    assert node.asked == [("vault_passphrase", {"current": f" {SECRET}", "passphrase": "another one "})]
    stdin(monkeypatch, f"{SECRET}\n")
    assert gossamer_exits("unlock", "--passphrase-file", "-")[0] == 0
    assert node.asked[-1] == ("vault_unlock", {"passphrase": SECRET})
    stdin(monkeypatch, "\n")
    code, _, err = gossamer_exits("passphrase", "remove")
    assert (code, "invalid" in err) == (2, True)


def test_a_passphrase_comes_from_a_file(node: Scripted, home: Path, gossamer_exits: Exits) -> None:
    (home / "now").write_text(f"{SECRET}\nmore\n")
    (home / "next").write_text("another one")
    now, following = str(home / "now"), str(home / "next")
    assert gossamer_exits("passphrase", "remove", "--passphrase-file", now)[0] == 0
    words = ("passphrase", "set", "--passphrase-file", now, "--new-passphrase-file", following)
    assert gossamer_exits(*words)[0] == 0
    code, out, err = gossamer_exits("unlock", "--passphrase-file", now)
    assert code == 0
    assert SECRET not in out + err
    assert [keys for _, keys in node.asked] == [
        {"current": SECRET},
        {"current": SECRET, "passphrase": "another one"},
        {"passphrase": SECRET},
    ]
    (home / "now").write_bytes(b"\xff\n")
    assert gossamer_exits("unlock", "--passphrase-file", now)[0] == 2


def test_a_terminal_is_asked_for_both_and_plain_keys_for_the_new_one_alone(
    node: Scripted, tmp_path: Path, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, bool, bool]] = []

    def prompt(text: str, *, hide_input: bool, confirmation_prompt: bool, err: bool) -> str:
        asked.append((text, hide_input, confirmation_prompt))
        return SECRET

    monkeypatch.setattr("click.prompt", prompt)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    identity.create(tmp_path, b"keys", passphrase=None, entropy=os.urandom)
    assert gossamer_exits("passphrase", "set")[0] == 0
    assert asked == [("New passphrase", True, True)]
    identity.change(tmp_path, None, SECRET.encode(), entropy=os.urandom)
    assert gossamer_exits("passphrase", "set")[0] == 0
    assert asked[1:] == [("Your passphrase", True, False), ("New passphrase", True, True)]


@pytest.mark.parametrize(("code", "exit_code"), [("locked", 4), ("wrong_passphrase", 4), ("not_sealed", 4)])
def test_what_the_vault_refuses_is_not_allowed(
    node: Scripted, gossamer_exits: Exits, code: str, exit_code: int
) -> None:
    node.answers["vault_lock"] = Refused(code, "no")
    assert gossamer_exits("lock")[0] == exit_code
    del node.answers["vault_lock"]
    assert gossamer_exits("lock")[0] == 0


def test_an_open_node_is_not_asked_to_open(node: Scripted, gossamer_exits: Exits) -> None:
    node.hello["connectivity"] = "synced"
    assert gossamer_exits("unlock")[0] == 0
    assert node.asked == []


@pytest.mark.parametrize("word", ["passphrase=x", "passphrase:=1", "current=x"])
def test_a_passphrase_is_never_an_argument(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match="standard input"):
        read_pairs("vault_passphrase", (word,))
    for command, key in (("backup_create", "passphrase"), ("vault_unlock", "passphrase"), ("hello", "token")):
        with pytest.raises(Refused, match="standard input"):
            read_pairs(command, (f"{key}=x",))
    stdin(monkeypatch, '{"passphrase": "x"}')
    assert read_pairs("vault_passphrase", ("-",)) == {"passphrase": "x"}
