"""`gossamer erase`: all that is ours goes, keys first, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from node.commandline import erase
from node.store.lock import HomeLock

Exits = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    for name in (*erase.KEYS, *erase.FILES, "gossamer.log.1", "gossamer.db.v3", "identity.key.new", "lock"):
        (home / name).write_bytes(b"secret")
    (home / "attachments").mkdir()
    for name in ("ab" * 32, "cd" * 32 + ".part", "ef" * 16 + ".new"):
        (home / "attachments" / name).write_bytes(b"sealed")
    monkeypatch.setenv("GOSSAMER_HOME", str(home))
    return home


def test_a_home_is_erased_whole_with_its_folder(home: Path, gossamer_exits: Exits) -> None:
    code, out, _ = gossamer_exits("--json", "erase", "--yes")
    assert code == 0 and json.loads(out)["left"] == []
    assert not home.exists()


def test_what_is_not_ours_and_the_backups_stay(home: Path, gossamer_exits: Exits) -> None:
    for name in ("notes.txt", "draft.new", "attachments/photo.jpg"):
        (home / name).write_text("mine")
    (home / "backups").mkdir()
    (home / "backups" / "one").write_text("sealed")
    assert gossamer_exits("erase", "--yes")[0] == 0
    assert sorted(path.name for path in home.iterdir()) == [
        "attachments",
        "backups",
        "draft.new",
        "notes.txt",
    ]
    assert [path.name for path in (home / "attachments").iterdir()] == ["photo.jpg"]


def test_backups_go_when_that_is_said(home: Path, gossamer_exits: Exits) -> None:
    (home / "backups").mkdir()
    (home / "backups" / "one").write_text("sealed")
    assert gossamer_exits("erase", "--yes", "--backups")[0] == 0
    assert not home.exists()


def test_the_keys_are_overwritten_before_they_are_removed_and_before_all_else(
    home: Path, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: list[tuple[str, bytes]] = []
    unlink = Path.unlink

    def noting(path: Path, missing_ok: bool = False) -> None:
        gone.append((path.name, path.read_bytes()))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", noting)
    assert gossamer_exits("erase", "--yes")[0] == 0
    assert [name for name, _ in gone[: len(erase.KEYS)]] == list(erase.KEYS)
    assert all(data == bytes(6) for name, data in gone if name.removesuffix(".new") in erase.KEYS)


def test_a_running_node_keeps_its_home(home: Path, gossamer_exits: Exits) -> None:
    lock = HomeLock.take(home)
    code, _, err = gossamer_exits("erase", "--yes")
    lock.release()
    assert code == 7 and "home_locked" in err and (home / "identity.key").read_bytes() == b"secret"


def test_nothing_is_erased_without_a_terminal_to_ask_at(home: Path, gossamer_exits: Exits) -> None:
    assert gossamer_exits("erase")[0] == 2
    assert (home / "identity.key").read_bytes() == b"secret"


def test_a_wrong_name_erases_nothing(
    home: Path, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.prompt", lambda *_, **__: "hom")
    assert gossamer_exits("erase")[0] == 2
    assert (home / "identity.key").read_bytes() == b"secret"


def test_a_folder_that_is_no_home_is_not_touched(
    tmp_path: Path, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("somebody's")
    monkeypatch.setenv("GOSSAMER_HOME", str(tmp_path))
    assert gossamer_exits("erase", "--yes")[0] == 6
    assert (tmp_path / "token").read_text() == "somebody's"


def test_a_link_out_of_the_home_is_removed_and_not_followed(
    home: Path, tmp_path: Path, gossamer_exits: Exits
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    (home / "token").unlink()
    (home / "token").symlink_to(outside / "file")
    assert gossamer_exits("erase", "--yes")[0] == 0
    assert (outside / "file").read_text() == "mine"
