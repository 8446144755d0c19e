"""`gossamer config`: what is in force, what is written, what is refused with the file as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from node.config import KEYS, load

Exits = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for key in KEYS:
        monkeypatch.delenv(f"GOSSAMER_{key.upper()}", raising=False)
    monkeypatch.setenv("GOSSAMER_HOME", str(tmp_path))
    return tmp_path


def test_every_setting_is_shown_with_where_it_comes_from(
    home: Path, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config.toml").write_text('listen = "off"\nrelay = true\n')
    monkeypatch.setenv("GOSSAMER_RELAY", "false")
    code, out, _ = gossamer_exits("--json", "config", "get")
    rows = {row["key"]: row for row in json.loads(out)["settings"]}
    assert code == 0 and tuple(rows) == KEYS
    assert rows["listen"] == {"key": "listen", "value": "off", "source": str(home / "config.toml")}
    assert rows["relay"] == {"key": "relay", "value": False, "source": "the environment"}
    assert rows["bridge"] == {"key": "bridge", "value": "127.0.0.1:7117", "source": "default"}
    assert gossamer_exits("config", "get", "listen") == (0, "off\n", "")


def test_what_is_set_is_what_the_node_reads_and_comments_stay(home: Path, gossamer_exits: Exits) -> None:
    (home / "config.toml").write_text('# mine\nname = "al"  # short\n')
    assert gossamer_exits("config", "set", "peers", "ws://a:1", "wss://b")[0] == 0
    assert gossamer_exits("config", "set", "relay", "true")[0] == 0
    assert load(home, {}, {}).peers == ("ws://a:1", "wss://b") and load(home, {}, {}).relay is True
    assert (home / "config.toml").read_text().startswith('# mine\nname = "al"  # short\n')
    assert (home / "config.toml").stat().st_mode & 0o777 == 0o600
    assert gossamer_exits("config", "unset", "peers")[0] == 0
    assert load(home, {}, {}).peers == ()
    assert gossamer_exits("config", "unset", "peers")[0] == 6


@pytest.mark.parametrize(
    "words",
    [
        ("relay", "maybe"),
        ("bridge", "0.0.0.0:1"),
        ("peers", "http://x"),
        ("nmae", "x"),
        ("name", "a", "b"),
        ("log_level", "loud"),
        ("hold_mib", "9"),
    ],
)
def test_what_the_node_would_refuse_is_not_written(
    home: Path, gossamer_exits: Exits, words: tuple[str, ...]
) -> None:
    (home / "config.toml").write_text('name = "al"\n')
    code, out, err = gossamer_exits("config", "set", *words)
    assert code == 2 and out == "" and err.startswith("error: ")
    assert (home / "config.toml").read_text() == 'name = "al"\n'


def test_a_file_that_is_wrong_already_is_named_and_left_as_it_is(home: Path, gossamer_exits: Exits) -> None:
    (home / "config.toml").write_text("nmae = 1\n")
    for words in (("check",), ("get",), ("set", "relay", "true")):
        code, _, err = gossamer_exits("config", *words)
        assert code == 2 and "did you mean 'name'" in err
    assert (home / "config.toml").read_text() == "nmae = 1\n"


def test_a_check_reads_the_files_that_the_settings_name(home: Path, gossamer_exits: Exits) -> None:
    assert gossamer_exits("config", "check")[0] == 0
    (home / "config.toml").write_text('network_secret = "net"\n')
    code, _, err = gossamer_exits("config", "check")
    assert code == 2 and "net" in err
    (home / "net").write_bytes(bytes(range(32)))
    assert gossamer_exits("config", "check")[0] == 0


def test_who_is_beaten_by_the_environment_is_told(
    gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOSSAMER_NAME", "other")
    code, _, err = gossamer_exits("config", "set", "name", "al")
    assert code == 0 and "GOSSAMER_NAME" in err
