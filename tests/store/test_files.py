from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from node.errors import StoreFull
from node.store import files


def good(data: bytes) -> bool:
    return data.startswith(b"good")


@pytest.mark.parametrize("mask", [0o000, 0o777])
def test_folders_and_files_are_private_under_any_umask(tmp_path: Path, mask: int) -> None:
    home = tmp_path / "home"
    old = os.umask(mask)
    try:
        files.prepare_home(home)
        files.replace(home / "key", b"good")
        files.replace(home / "key", b"good too")
    finally:
        os.umask(old)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "key").stat().st_mode) == 0o600
    assert [file.name for file in home.iterdir()] == ["key"]


def test_a_home_left_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    files.prepare_home(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_room_is_what_can_be_written_and_nothing_of_the_look_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert files.has_room(tmp_path, 4096)

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert not files.has_room(tmp_path, 4096)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_nothing_is_told_from_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(StoreFull, match="No space left"), files.written(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(FileNotFoundError), files.written(tmp_path):
        (tmp_path / "absent").read_bytes()


def test_what_is_replaced_is_overwritten_first(tmp_path: Path) -> None:
    path, twin = tmp_path / "key", tmp_path / "twin"
    files.replace(path, b"good old secret")
    twin.hardlink_to(path)
    files.replace(path, b"good new")
    assert path.read_bytes() == b"good new"
    assert twin.read_bytes() == bytes(15)


def test_a_crash_before_the_overwriting_leaves_the_old(tmp_path: Path) -> None:
    path = tmp_path / "key"
    files.replace(path, b"good old")
    files.write_synced(files.staged(path), b"good new")
    assert files.read(path, good) == b"good old"


def test_a_crash_between_overwriting_and_rename_leaves_the_new(tmp_path: Path) -> None:
    path = tmp_path / "key"
    files.replace(path, b"good old")
    files.write_synced(files.staged(path), b"good new")
    path.write_bytes(bytes(8))
    assert files.read(path, good) == b"good new"
    assert path.read_bytes() == b"good new"
    assert not files.staged(path).exists()


def test_a_crash_while_staging_leaves_the_old(tmp_path: Path) -> None:
    path = tmp_path / "key"
    files.replace(path, b"good old")
    files.staged(path).write_bytes(b"go")
    assert files.read(path, good) == b"good old"


def test_damage_is_returned_for_the_caller_to_name_and_absence_is_none(tmp_path: Path) -> None:
    path = tmp_path / "key"
    assert files.read(path, good) is None
    path.write_bytes(b"bad")
    assert files.read(path, good) == b"bad"
