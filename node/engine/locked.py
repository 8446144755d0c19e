"""What a node answers while its vault is locked: a machine in the engine's place, without a key or a row.

Frontends stay attached. `hello`, `node_status`, `vault_unlock` and `node_stop` are answered, everything else
is `error locked` (docs/bridge.md 2). Frontends that came meanwhile are started when the vault opens. A node
that cannot start because its disk is `full` answers the same way, with `storage_full`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeAlias, assert_never

from msgspec import UNSET

from node import __version__
from node.bridge.ports import (
    BridgeInput,
    CommandReceived,
    Deliver,
    EventsWritten,
    FileUploaded,
    ReadAnswered,
    SessionEnded,
    SessionStarted,
    UploadKept,
)
from node.chat import commands, events
from node.clock import Instant
from node.engine.effects import OpenVault, StopNode
from node.engine.sessions import FEATURES, PROTOCOL
from node.errors import Refused, StoreFull

Effect: TypeAlias = Deliver | OpenVault | StopNode | UploadKept
LOCKED = "locked"
"""The connectivity of a node whose vault is locked, and the code of what it cannot do."""
NO_ROOM = "there is no room on the disk, and the node cannot start; it does when there is some"


class Locked:
    """Feed what the bridge brings, carry the effects out; `kept` and `waiting` are for the next engine."""

    def __init__(
        self,
        now: Instant,
        *,
        sessions: Iterable[SessionStarted] = (),
        db_bytes: int = 0,
        full: bool = False,
    ) -> None:
        self._since_ms, self._db_bytes, self._full = now.wall_ms, db_bytes, full
        self._kept = {started.session: started for started in sessions}
        self._waiting: dict[int, SessionStarted] = {}
        self._written: list[EventsWritten] = []

    @property
    def kept(self) -> tuple[SessionStarted, ...]:
        """The sessions of before, which go on when the vault opens."""
        return tuple(self._kept.values())

    @property
    def waiting(self) -> tuple[BridgeInput, ...]:
        """What the next engine has to be told: sessions that came meanwhile, and what was written."""
        return (*self._written, *(replace(started, req=None) for started in self._waiting.values()))

    @property
    def _connectivity(self) -> str:
        return "alone" if self._full else LOCKED

    @property
    def _refusal(self) -> Refused:
        if self._full:
            return Refused(StoreFull.code, NO_ROOM, retryable=True)
        return Refused(LOCKED, "the vault is locked; open it:  gossamer unlock", retryable=True)

    def start(self) -> list[Effect]:
        """Tell the frontends that the vault is locked now."""
        return [Deliver(session, events.Connectivity(state="locked")) for session in self._kept]

    def handle(self, event: BridgeInput, *, now: Instant) -> list[Effect]:
        """Advance the machine; the only method that changes it."""
        match event:
            case SessionStarted():
                return self._started(event)
            case SessionEnded():
                self._kept.pop(event.session, None)
                self._waiting.pop(event.session, None)
                return []
            case EventsWritten():
                self._written.append(event)
                return []
            case CommandReceived():
                return self._command(event.session, event.command, now)
            case ReadAnswered(received):
                return self._command(received.session, received.command, now)
            case FileUploaded(ticket):
                return [UploadKept(ticket, fault=self._refusal)]
            case _:
                assert_never(event)

    def _started(self, started: SessionStarted) -> list[Effect]:
        self._kept.pop(started.session, None)
        self._waiting[started.session] = started
        warned: list[Effect] = []
        if self._full:
            warned = [Deliver(started.session, events.Warning(code=StoreFull.code, message=NO_ROOM))]
        if started.plain:
            return warned
        hello = events.Hello(
            req=UNSET if started.req is None else started.req,
            protocol=PROTOCOL,
            node_version=__version__,
            user_id="",
            username="",
            log_epoch="",
            seq=0,
            features=FEATURES,
            deprecated=[],
            connectivity=self._connectivity,
        )
        return [Deliver(started.session, hello), *warned]

    def _command(self, session: int, command: commands.Command, now: Instant) -> list[Effect]:
        match command:
            case commands.NodeStatus():
                return [Deliver(session, events.Ok(req=command.req, fields=self._status(now)))]
            case commands.NodeStop():
                return [Deliver(session, events.Ok(req=command.req)), StopNode()]
            case commands.VaultUnlock() if not self._full:
                return [OpenVault(session, command.req, command.passphrase)]
            case _:
                return [Deliver(session, events.error_of(self._refusal, command.req))]

    def _status(self, now: Instant) -> dict[str, Any]:
        """Return the keys of `node_status`; what only the open vault knows is empty, or 0."""
        return {
            "version": __version__,
            "uptime_s": (now.wall_ms - self._since_ms) // 1000,
            "connectivity": self._connectivity,
            "links": 0,
            "came_in": 0,
            "contacts": 0,
            "rooms": 0,
            "held_envelopes": 0,
            "db_bytes": self._db_bytes,
            "clients": len(self._kept) + len(self._waiting),
            "username": "",
            "user_id": "",
            "addresses": [],
            "log_epoch": "",
            "seq": 0,
            "clock_skew_s": None,
            "held": {shelf: {"envelopes": 0, "bytes": 0} for shelf in ("own", "known", "other")},
            "held_quota_bytes": 0,
            "held_ids": 0,
            "oldest_held_ms": None,
            "revoked": False,
        }
