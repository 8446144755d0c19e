from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from node.crypto.vault import Cost
from node.errors import Fatal, StoreFull
from node.store import identity
from node.store.identity import StoredIdentity

CHEAP = Cost(1, 8192)
ENTROPY = Random(1).randbytes
SECRETS = b"account and device seeds"
ME = StoredIdentity(b"M" * 32, SECRETS)


def code_of(home: Path, passphrase: bytes | None) -> tuple[str, int]:
    with pytest.raises(Fatal) as fatal:
        identity.open_identity(home, passphrase)
    return fatal.value.code, fatal.value.exit_code


def test_a_plain_identity_is_made_once_and_read_back(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert not identity.exists(home)
    made = identity.create(home, SECRETS, passphrase=None, entropy=ENTROPY)
    assert (made.secrets, len(made.master)) == (SECRETS, 32)
    assert identity.exists(home)
    assert not identity.sealed(home)
    assert identity.open_identity(home, None) == made
    with pytest.raises(Fatal) as fatal:
        identity.create(home, b"other", passphrase=None, entropy=ENTROPY)
    assert (fatal.value.code, fatal.value.exit_code) == ("identity_exists", 7)
    assert identity.open_identity(home, b"ignored") == made


def test_two_homes_have_two_master_keys(tmp_path: Path) -> None:
    masters = {
        identity.create(tmp_path / n, SECRETS, passphrase=None, entropy=ENTROPY).master for n in ("a", "b")
    }
    assert len(masters) == 2


def test_a_sealed_identity_opens_with_its_passphrase_alone_and_shows_nothing(tmp_path: Path) -> None:
    identity.write(tmp_path, ME, passphrase=b"open sesame", entropy=ENTROPY, cost=CHEAP)
    assert identity.sealed(tmp_path)
    assert identity.open_identity(tmp_path, b"open sesame") == ME
    assert code_of(tmp_path, b"wrong") == ("wrong_passphrase", 4)
    assert code_of(tmp_path, None) == ("wrong_passphrase", 4)
    data = (tmp_path / "identity.key").read_bytes()
    assert SECRETS not in data
    assert ME.master not in data


def test_sealing_a_plain_identity_leaves_no_plain_copy(tmp_path: Path) -> None:
    identity.write(tmp_path, ME, passphrase=None, entropy=ENTROPY)
    (tmp_path / "twin").hardlink_to(tmp_path / "identity.key")
    identity.write(tmp_path, ME, passphrase=b"p", entropy=ENTROPY, cost=CHEAP)
    assert identity.open_identity(tmp_path, b"p") == ME
    assert all(SECRETS not in file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.parametrize("passphrase", [None, b"p"])
def test_every_flipped_bit_of_the_file_is_noticed(tmp_path: Path, passphrase: bytes | None) -> None:
    identity.write(tmp_path, ME, passphrase=passphrase, entropy=ENTROPY, cost=CHEAP)
    path = tmp_path / "identity.key"
    sound = path.read_bytes()
    for at in range(len(sound) * 8):
        harmed = bytearray(sound)
        harmed[at // 8] ^= 1 << at % 8
        path.write_bytes(harmed)
        code, _ = code_of(tmp_path, passphrase)
        assert code == "identity_corrupt"


def test_absence_and_emptiness_are_told_apart(tmp_path: Path) -> None:
    assert code_of(tmp_path, None) == ("no_identity", 1)
    (tmp_path / "identity.key").touch()
    assert code_of(tmp_path, None) == ("identity_corrupt", 1)
    with pytest.raises(Fatal):
        identity.create(tmp_path, SECRETS, passphrase=None, entropy=ENTROPY)


@pytest.mark.parametrize("mask", [0o000, 0o777])
def test_home_and_file_are_private_under_any_umask(tmp_path: Path, mask: int) -> None:
    home = tmp_path / "home"
    old = os.umask(mask)
    try:
        identity.create(home, SECRETS, passphrase=None, entropy=ENTROPY)
    finally:
        os.umask(old)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "identity.key").stat().st_mode) == 0o600


def test_secrets_are_not_shown() -> None:
    assert "seeds" not in repr(ME)
    assert "MMM" not in repr(ME)


CHANGE = """
import itertools, os, sys
from pathlib import Path
from node.crypto.vault import Cost
from node.store import identity

home = Path(sys.argv[1])
phrases = itertools.cycle([b"one", None, b"two", None])
now = None
print("ready", flush=True)
while True:
    fresh = next(phrases)
    identity.change(home, now, fresh, entropy=os.urandom, cost=Cost(1, 8192))
    now = fresh
"""


def opens(home: Path, *phrases: bytes | None) -> bool:
    """Say whether one of these opens the home, with what is in it unharmed."""
    identity.settle(home)
    for phrase in phrases:
        try:
            return identity.open_identity(home, phrase) == ME
        except Fatal as fault:
            assert fault.code == "wrong_passphrase"
    return False


@pytest.mark.slow
def test_kill_9_during_a_change_of_passphrase_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    rng = Random(4)
    for _ in range(8):
        identity.write(tmp_path, ME, passphrase=None, entropy=ENTROPY)
        changer = subprocess.Popen(
            [sys.executable, "-c", CHANGE, str(tmp_path)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
        )
        assert changer.stdout is not None
        assert changer.stdout.readline() == b"ready\n"
        time.sleep(rng.random() * 0.2)
        changer.kill()
        changer.communicate()
        assert opens(tmp_path, b"one", b"two", None)


@pytest.mark.parametrize("fresh", [b"new", None])
def test_a_change_cut_off_at_any_write_leaves_the_old_file_or_the_new_and_no_other_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: bytes | None
) -> None:
    for cut in range(20):
        home = tmp_path / str(cut)
        home.mkdir()
        identity.write(home, ME, passphrase=b"old", entropy=ENTROPY, cost=CHEAP)
        with monkeypatch.context() as patch:
            left = iter(range(cut))

            def fsync(_handle: int, left: Iterator[int] = left) -> None:
                if next(left, None) is None:
                    raise OSError("cut off")

            patch.setattr(os, "fsync", fsync)
            try:
                identity.change(home, b"old", fresh, entropy=ENTROPY, cost=CHEAP)
                whole = True
            except StoreFull:
                whole = False
        assert opens(home, fresh if whole else b"old", fresh)
        assert [file.name for file in home.iterdir()] == ["identity.key"]
        if identity.sealed(home):
            assert all(SECRETS not in file.read_bytes() for file in home.iterdir())
    assert whole


def test_a_wrong_passphrase_changes_nothing(tmp_path: Path) -> None:
    identity.write(tmp_path, ME, passphrase=b"old", entropy=ENTROPY, cost=CHEAP)
    before = (tmp_path / "identity.key").read_bytes()
    for wrong in (b"no", None):
        with pytest.raises(Fatal) as fatal:
            identity.change(tmp_path, wrong, b"new", entropy=ENTROPY, cost=CHEAP)
        assert fatal.value.code == "wrong_passphrase"
    assert (tmp_path / "identity.key").read_bytes() == before
