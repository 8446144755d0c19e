"""No secret of a node in anything that it writes for people: searched for after every test with real nodes.

Secrets: the admin token, the keys of a plain home, and whatever a frontend gave or got as message, token,
passphrase or link. Searched: the log at DEBUG, standard error, `runtime.json`, the audit log, the process's
command line and the metrics (docs/threat-model.md says what may be known of a home, and to whom).
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from node.crypto.keys import Identity
from node.errors import NodeError
from node.store import identity

KEYS = frozenset({"message", "token", "passphrase", "current", "link", "code", "text", "data", "status"})
"""Keys of commands and answers whose values are nobody's but the owner's."""
SHORT = 6
"""Characters: below, a text would be found by chance."""
READ = ("gossamer.log", "gossamer.log.*", "runtime.json", "audit.log*")


def spellings(raw: bytes) -> set[bytes]:
    """Return the ways in which bytes could be written down."""
    coded = (base64.b64encode(raw), base64.urlsafe_b64encode(raw))
    return {raw, raw.hex().encode(), raw.hex().upper().encode(), repr(raw)[2:-1].encode(),
            *(form.rstrip(b"=") for form in coded)}  # fmt: skip


class Secrets:
    """What must not be found of one node, gathered while the test runs."""

    def __init__(self) -> None:
        self.texts: set[str] = set()

    def note(self, frame: dict[str, Any]) -> None:
        """Remember what of a command or an answer is secret."""
        if frame.get("event") in {"error", "warning"}:
            return  # what it says is for people
        for key, value in frame.items():
            if key in KEYS and isinstance(value, str) and len(value) >= SHORT and not _greeted(value):
                self.texts.add(value)

    def spelled(self, home: Path) -> set[bytes]:
        """Return all of them as bytes, and those that the home's own files have."""
        found = {text.encode() for text in self.texts}
        token = home / "token"
        if token.exists():
            found.add(token.read_bytes().strip())
        for raw in _keys(home):
            found |= spellings(raw)
        return {secret for secret in found if len(secret) >= SHORT}


def _greeted(text: str) -> bool:
    """Say whether this is a contact link: the greeting at a start shows one to the owner."""
    return text.startswith("gossamer:c")


def _keys(home: Path) -> list[bytes]:
    try:
        if not identity.exists(home) or identity.sealed(home):
            return []
        stored = identity.open_identity(home, None)
    except (NodeError, OSError):
        return []
    keys = Identity.from_bytes(stored.secrets)
    return [
        stored.master,
        keys.account_seed,
        keys.device_seed,
        keys.dik_secret,
        keys.intro_secret,
        keys.node_seed,
    ]


def written(home: Path, errors: Path) -> dict[str, bytes]:
    """Return what a node has written for people, by where."""
    found = {path.name: path.read_bytes() for pattern in READ for path in home.glob(pattern)}
    if errors.exists():
        found["standard error"] = errors.read_bytes()
    return found


def none_in(places: dict[str, bytes], secrets: set[bytes]) -> None:
    """Raise AssertionError with where a secret was found."""
    for where, data in places.items():
        for secret in secrets:
            at = data.find(secret)
            assert at < 0, f"{where} shows a secret: ...{data[max(0, at - 60) : at + 12]!r}..."
