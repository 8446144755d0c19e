"""The passphrase in the system's keyring: a real keyring backend, which keeps a dictionary."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

from node.commandline import keychain
from node.commandline.run import _ask_passphrase
from node.config import Settings
from node.errors import Refused
from node.store import identity

from .conftest import Scripted

pytestmark = pytest.mark.usefixtures("cheap_passphrases")
Exits = Callable[..., tuple[int, str, str]]
SECRET = "open sesame"


class Drawer(KeyringBackend):
    """A keyring in memory; `locked` refuses everything."""

    priority = 1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        self._check()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._check()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._check()
        if (service, username) not in self.kept:
            raise PasswordDeleteError(username)
        del self.kept[service, username]

    def _check(self) -> None:
        if self.locked:
            raise KeyringLocked(SECRET)


@pytest.fixture
def drawer() -> Iterator[Drawer]:
    before, drawer = keyring.get_keyring(), Drawer()
    keyring.set_keyring(drawer)
    yield drawer
    keyring.set_keyring(before)


def home_of(tmp_path: Path, passphrase: str | None) -> Path:
    secret = None if passphrase is None else passphrase.encode()
    identity.create(tmp_path, b"keys", passphrase=secret, entropy=os.urandom)
    return tmp_path


def resealing(node: Scripted, home: Path) -> None:
    """Let the scripted node do what a real one does with `vault_passphrase`."""
    call = node.call

    async def real(command: str, **keys: Any) -> dict[str, Any]:
        if command == "vault_passphrase":
            before, after = (keys.get(name) for name in ("current", "passphrase"))
            identity.change(home, before and before.encode(), after and after.encode(), entropy=os.urandom)
        return await call(command, **keys)

    node.call = real  # type: ignore[method-assign]


def test_a_passphrase_made_for_the_keyring_opens_the_home_at_a_start(
    node: Scripted, tmp_path: Path, drawer: Drawer, gossamer_exits: Exits
) -> None:
    home = home_of(tmp_path, None)
    resealing(node, home)
    code, out, err = gossamer_exits("passphrase", "set", "--keyring")
    assert code == 0 and list(drawer.kept) == [("gossamer", str(home))]
    kept = drawer.kept["gossamer", str(home)]
    assert len(kept) >= 40 and kept not in out + err
    assert _ask_passphrase(Settings(home)) == kept.encode()
    node.hello["connectivity"] = "locked"
    assert gossamer_exits("unlock")[0] == 0
    assert node.asked[-1] == ("vault_unlock", {"passphrase": kept})
    assert gossamer_exits("passphrase", "remove")[0] == 0
    assert drawer.kept == {} and not identity.sealed(home)


def test_a_passphrase_of_ones_own_is_kept_too_and_forgotten_with_the_next(
    node: Scripted, tmp_path: Path, drawer: Drawer, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(tmp_path, SECRET)
    resealing(node, home)
    (home / "now").write_text(SECRET)
    (home / "next").write_text("another one")
    words = ("--passphrase-file", str(home / "now"), "--new-passphrase-file", str(home / "next"))
    assert gossamer_exits("passphrase", "set", "--keyring", *words)[0] == 0
    assert keychain.opening(home) == "another one"
    monkeypatch.setattr("sys.stdin", io.StringIO("a third\n"))
    assert gossamer_exits("passphrase", "set")[0] == 0
    assert drawer.kept == {}
    identity.open_identity(home, b"a third")


def test_a_crash_before_or_after_the_file_is_sealed_leaves_a_passphrase_that_opens_it(
    tmp_path: Path, drawer: Drawer
) -> None:
    home = home_of(tmp_path, SECRET)
    keychain.stage(home, SECRET)
    keychain.settle(home)
    keychain.stage(home, "the next")
    assert keychain.opening(home) == SECRET
    identity.change(home, SECRET.encode(), b"the next", entropy=os.urandom)
    assert keychain.opening(home) == "the next"
    keychain.settle(home)
    assert keychain.opening(home) == "the next" and len(drawer.kept) == 1


def test_a_change_cut_off_twice_leaves_a_passphrase_that_opens_the_home(
    tmp_path: Path, drawer: Drawer
) -> None:
    home = home_of(tmp_path, SECRET)
    keychain.stage(home, SECRET)
    keychain.settle(home)
    keychain.stage(home, "made for nobody")
    identity.change(home, SECRET.encode(), b"made for nobody", entropy=os.urandom)
    keychain.stage(home, "one more")
    assert keychain.opening(home) == "made for nobody"


def test_a_keyring_that_holds_another_passphrase_opens_nothing(tmp_path: Path, drawer: Drawer) -> None:
    home = home_of(tmp_path, SECRET)
    keychain.stage(home, "not this one")
    keychain.settle(home)
    assert keychain.opening(home) is None


def test_a_keyring_that_does_not_answer_is_said_and_a_start_goes_on_without(
    node: Scripted, tmp_path: Path, drawer: Drawer, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, said = home_of(tmp_path, SECRET), []
    drawer.locked = True

    class Shown:
        say = staticmethod(said.append)

    monkeypatch.setattr("node.commandline.run.current_app", Shown)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert _ask_passphrase(Settings(home)) is None
    assert "does not answer" in said[0] and SECRET not in said[0]
    code, out, err = gossamer_exits("passphrase", "set", "--keyring")
    assert code == 1 and "keyring" in err and SECRET not in out + err
    assert node.asked == []


def test_without_the_extra_nothing_is_kept_and_it_says_what_to_install(
    node: Scripted, tmp_path: Path, gossamer_exits: Exits, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, load = home_of(tmp_path, SECRET), builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("keyring"):
            raise ImportError(name)
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert keychain.opening(home) is None
    with pytest.raises(Refused, match=r"-m pip install keyring$"):
        keychain.stage(home, "x")
    keychain.forget(home)
