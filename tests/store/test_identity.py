from __future__ import annotations

import os
import stat
from pathlib import Path
from random import Random

import pytest

from node.crypto.vault import Cost
from node.errors import Fatal
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
