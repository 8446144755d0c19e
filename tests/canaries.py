"""What must never be logged, wherever in the suite it turns up: keys, passphrases, tokens, message text.

`watch` sits where each of them passes. After every test all that our loggers were given in it, at DEBUG and
with tracebacks, is searched. What real nodes write is searched by `tests.e2e.leaks`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from node.bridge.guard import Credentials, Grant
from node.chat.commands import messages
from node.crypto import primitives
from node.crypto.keys import Identity
from tests.e2e.leaks import spellings

LONG = 12
"""Characters of a text from which on it is not found by chance."""
KEYS = ("account_seed", "device_seed", "dik_secret", "intro_secret", "node_seed")


class Canaries(logging.Handler):
    """Remembers what is secret and what was logged, until the next test."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._secrets: set[str | bytes] = set()
        self._logged: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what was logged, as it would be written."""
        self._logged.append(self.format(record))

    def note(self, secret: str | bytes) -> None:
        """Remember a secret."""
        if len(secret) >= LONG:
            self._secrets.add(secret)

    def begin(self) -> None:
        """Forget the test before."""
        self._secrets.clear()
        self._logged.clear()

    def found(self) -> list[str]:
        """Return what was logged of what is secret."""
        if not self._logged:
            return []
        written = "\n".join(self._logged).encode("utf-8", "backslashreplace")
        return [repr(secret) for secret in self._secrets if any(form in written for form in _forms(secret))]


def _forms(secret: str | bytes) -> set[bytes]:
    return spellings(secret) if isinstance(secret, bytes) else {secret.encode("utf-8", "backslashreplace")}


def watch(canaries: Canaries) -> None:
    """Note every secret that passes one of these places, for as long as the process lives."""
    own = logging.getLogger("node")
    own.addHandler(canaries)
    own.setLevel(logging.DEBUG)

    def on_identity(made: Identity, *_: Any) -> None:
        for name in KEYS:
            canaries.note(getattr(made, name))

    def on_passphrase(_: Any, passphrase: bytes, *__: Any) -> None:
        canaries.note(passphrase.decode("utf-8", "replace"))

    def on_token(grant: Grant | None, _: Any, token: str, *__: Any) -> None:
        if grant is not None:
            canaries.note(token)

    _after(Identity, "__post_init__", lambda _, made, *rest: on_identity(made, *rest))
    _after(messages, "_measure", lambda _, text: canaries.note(text))
    _after(Credentials, "lookup", on_token)
    _after(primitives, "argon2id", on_passphrase)


def _after(owner: Any, name: str, note: Callable[..., None]) -> None:
    """Call `note(result, *arguments)` after each call of a function."""
    real = getattr(owner, name)

    def call(*args: Any, **keys: Any) -> Any:
        result = real(*args, **keys)
        note(result, *args)
        return result

    setattr(owner, name, call)
