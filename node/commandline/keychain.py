"""The passphrase in the system's keyring: a sealed home that opens while its owner is logged in.

The extra `keyring` brings the library; without it nothing is looked up, and keeping one says what
to install. What is kept opens `identity.key` exactly as a typed passphrase does (docs/crypto.md 3.11), so a
keyring that is lost with its machine loses the home: a passphrase of one's own can be kept there instead.

A new passphrase is kept beside the old one before the file is sealed anew, and takes its place after, so
that a crash in between leaves one that opens.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from types import ModuleType

from node.errors import Fatal, Refused, extra_missing
from node.store import identity

SERVICE = "gossamer"
MADE_BYTES = 32
"""Of a passphrase that nobody types: a key's worth."""


def made() -> str:
    """Return a passphrase for the keyring alone."""
    return secrets.token_urlsafe(MADE_BYTES)


def opening(home: Path) -> str | None:
    """Return the kept passphrase that opens this home; None if there is none, or no keyring to ask.

    Raises:
        Refused: If the keyring does not answer (`keyring_unavailable`).
    """
    if not (identity.exists(home) and identity.sealed(home)):
        return None
    return next((kept for kept in _kept(home) if _opens(home, kept)), None)


def stage(home: Path, passphrase: str) -> None:
    """Keep the passphrase that the home is about to be sealed under, beside the other; raises Refused.

    One that was staged before, and that the home is sealed under by now, is settled first: nobody knows it.
    """
    _library(needed=True)
    waiting = _read(_next(home))
    if waiting is not None and identity.exists(home) and identity.sealed(home) and _opens(home, waiting):
        settle(home)
    _write(_next(home), passphrase)


def settle(home: Path) -> None:
    """The home is sealed under the staged passphrase: it is the one in force; raises Refused."""
    staged = _read(_next(home))
    if staged is not None:
        _write(_name(home), staged)
        _drop(_next(home))


def forget(home: Path) -> None:
    """Keep no passphrase of this home any more; raises Refused."""
    _drop(_name(home))
    _drop(_next(home))


def _kept(home: Path) -> list[str]:
    return [kept for kept in (_read(_name(home)), _read(_next(home))) if kept is not None]


def _opens(home: Path, passphrase: str) -> bool:
    try:
        identity.open_identity(home, passphrase.encode())
    except Fatal as fault:
        if fault.code == "wrong_passphrase":
            return False
        raise
    return True


def _name(home: Path) -> str:
    return str(home.resolve())


def _next(home: Path) -> str:
    return f"{_name(home)} (next)"


def _library(*, needed: bool = False) -> ModuleType | None:
    try:
        import keyring
    except ImportError as exc:
        if needed:
            what = "the system's keyring"
            raise extra_missing("keyring_unavailable", what, "keyring", sys.executable) from exc
        return None
    return keyring


def _read(name: str) -> str | None:
    library = _library()
    if library is None:
        return None
    from keyring.errors import KeyringError, NoKeyringError

    try:
        kept: str | None = library.get_password(SERVICE, name)
    except NoKeyringError:
        return None
    except KeyringError as exc:
        raise _unavailable() from exc
    return kept


def _write(name: str, passphrase: str) -> None:
    from keyring.errors import KeyringError

    library = _library(needed=True)
    assert library is not None
    try:
        library.set_password(SERVICE, name, passphrase)
    except KeyringError as exc:
        raise _unavailable() from exc


def _drop(name: str) -> None:
    library = _library()
    if library is None or _read(name) is None:
        return
    from keyring.errors import KeyringError

    try:
        library.delete_password(SERVICE, name)
    except KeyringError as exc:
        raise _unavailable() from exc


def _unavailable() -> Refused:
    """Without the library's own words: some of them repeat what they were given."""
    text = "the system's keyring does not answer: unlock it, or give the passphrase by --passphrase-file"
    return Refused("keyring_unavailable", text, retryable=True)
