"""The admin token's file: made once, and never something that can be guessed, whatever a crash left."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.daemon import admin_token
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
