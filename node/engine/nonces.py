"""First results of commands that carried a nonce: the same nonce again does nothing twice (docs/bridge.md 2).

A result is remembered in the commit of what it is the result of. A nonce is its frontend's word for one thing
to be done: with other contents it is refused, not answered with what was done about something else. Results
of commands that only read are many times as large and cost nothing to find again, so they have a smaller
place of their own and crowd no others out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from node.bridge.guard import SCOPES
from node.bridge.ports import CommandReceived
from node.chat import commands as c
from node.chat.turn import Turn, unpack_row
from node.crypto.primitives import plain_digest
from node.errors import Refused
from node.tables import Table

NONCE_MS = 7 * 86_400_000
"""How long a command can be repeated without being done twice."""
MAX_NONCES = 100_000
"""Results remembered; the oldest go first. With 300 bytes each they take 30 MiB."""
MAX_BYTES = 64 * 1024 * 1024
"""Of all results: reached only where they are hundreds of times as long as those of messages are."""
MAX_READ_BYTES = 4 * 1024 * 1024
"""Of results of commands that only read; beyond it the oldest go, and what they asked is read again."""
MAX_READS = 10_000
"""Of those: short ones crowd no others out by their number either."""
DIGEST_BYTES = 16
_SECRET: Final = ("passphrase", "current")
"""Keys whose values leave no digest behind."""


@dataclass(frozen=True)
class Nonce:
    """The first result of a command that carried this idempotency key."""

    at_ms: int
    fields: str
    digest: bytes = b""
    """Of what was asked; empty where an earlier version remembered it."""
    reads: bool = False
    """Nothing was done by it."""


class Nonces:
    """All that are remembered, the oldest first."""

    def __init__(self) -> None:
        self.all: dict[str, Nonce] = {}
        self.size = 0
        """The characters of all results."""
        self.closed = False
        """While the disk is full: nothing can be remembered, and only what reads is done."""
        self.reads: dict[str, int] = {}
        """The bytes of the results of commands that only read."""
        self.rewrites = 0
        """How often messages were changed since the start."""

    def first_result(self, turn: Turn, received: CommandReceived) -> dict[str, Any] | None:
        """Return what the first command of this nonce was answered; None if none was within seven days.

        Raises:
            Refused: If that one asked for something else (`nonce_reused`).
        """
        if received.command.nonce is None:
            return None
        known = self.all.get(_key(received))
        if known is None or turn.now.wall_ms - known.at_ms > NONCE_MS:
            return None
        if known.digest and known.digest != _digest(received.command):
            text = "this nonce was given to a command with other contents, which was done"
            raise Refused("nonce_reused", text, field="nonce")
        fields: dict[str, Any] = msgspec.json.decode(known.fields)
        return fields

    def remember(self, turn: Turn, received: CommandReceived, answer: dict[str, Any]) -> None:
        """Keep the answer to a command for its nonce, if it has one."""
        if received.command.nonce is None or self.closed:
            return
        if received.rewrites not in {None, self.rewrites}:
            return  # it may have words that are gone since it was read
        key, fields = _key(received), msgspec.json.encode(answer).decode()
        self._let_go(key)
        reads = _only_read(received.command, answer)
        self._take(key, Nonce(turn.now.wall_ms, fields, _digest(received.command), reads))
        turn.put(Table.NONCES, key.encode(), self.all[key])
        while key in self.reads and (
            len(self.reads) > MAX_READS or sum(self.reads.values()) > MAX_READ_BYTES
        ):
            self._forget(turn, next(iter(self.reads)))
        while len(self.all) > MAX_NONCES or (self.size > MAX_BYTES and len(self.all) > 1):
            self._forget(turn, next(iter(self.all)))

    def rewritten(self, turn: Turn) -> None:
        """Messages were changed or erased: what was read of them before is remembered no longer."""
        self.rewrites += 1
        for key in tuple(self.reads):
            self._forget(turn, key)

    def restore(self, stored: Mapping[bytes, bytes]) -> None:
        """Take back what was stored."""
        rows = {key.decode(): unpack_row(data, Nonce) for key, data in stored.items()}
        for key, nonce in sorted(rows.items(), key=lambda entry: entry[1].at_ms):
            self._take(key, nonce)

    def expire(self, turn: Turn) -> None:
        """Forget nonces that are too old to be repeated."""
        limit = turn.now.wall_ms - NONCE_MS
        for key in [key for key, nonce in self.all.items() if nonce.at_ms < limit]:
            self._forget(turn, key)

    def _take(self, key: str, nonce: Nonce) -> None:
        self.all[key] = nonce
        self.size += len(nonce.fields)
        if nonce.reads or _is_read(key.partition(" ")[0]):
            self.reads[key] = len(nonce.fields)

    def _let_go(self, key: str) -> None:
        gone = self.all.pop(key, None)
        self.size -= 0 if gone is None else len(gone.fields)
        self.reads.pop(key, None)

    def _forget(self, turn: Turn, key: str) -> None:
        self._let_go(key)
        turn.delete(Table.NONCES, key.encode())


def _key(received: CommandReceived) -> str:
    """Return what a nonce is remembered by: frontends with tokens of their own do not meet by chance."""
    token = received.token_name
    return f"{c.name_of(received.command)} {len(token)} {token} {received.command.nonce}"


def _digest(command: c.Command) -> bytes:
    plain = _plain(msgspec.to_builtins(msgspec.structs.replace(command, req=None, nonce=None)))
    if isinstance(command, c.Batch):
        plain["commands"] = [_plain(one) for one in plain["commands"]]
    return plain_digest(msgspec.json.encode(plain), DIGEST_BYTES)


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in _SECRET}


def _only_read(command: c.Command, answer: dict[str, Any]) -> bool:
    """Say whether nothing was done by a command; of a batch, by none that was not refused."""
    if not isinstance(command, c.Batch):
        return _is_read(c.name_of(command))
    asked = zip(command.commands, answer["results"], strict=True)
    done = [one["event"] for one, result in asked if result["event"] == "ok"]
    return all(_is_read(name) or name == "ack" for name in done)  # which does nothing the second time


def _is_read(name: str) -> bool:
    return SCOPES.get(name) == "read" and name not in {"batch", "ack"}
