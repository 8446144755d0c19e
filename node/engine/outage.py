"""What a node does while its disk takes nothing: it reads, and says of all else that there is no room.

A commit that fails leaves the engine ahead of the store, so that engine is thrown away with everything it
was about to let go, and one made from the store takes its place that changes nothing (docs/architecture.md,
"When the disk is full"). It has no links: what peers have is not taken, and so is fetched later. When there
is room, a third engine, made from the store as at any start, goes on. Frontends stay attached throughout.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from node.bridge.ports import (
    CommandReceived,
    Deliver,
    FileUploaded,
    ReadAnswered,
    SessionEnded,
    SessionStarted,
    UploadKept,
)
from node.chat import events
from node.chat.filing import DropFile, FileSealed
from node.chat.turn import Logged, Reply, Told, Turn
from node.crypto.attachment import object_of
from node.engine import commands, sessions, token_commands
from node.engine.desk import Desk
from node.engine.effects import BackupWritten, Effect, Input, MessagesFetched, TokenKept, VaultSealed
from node.errors import Refused, StoreFull
from node.mesh.ports import CloseLink, LinkOpened
from node.store.records import Loaded

if TYPE_CHECKING:
    from node.engine.engine import Engine

AGAIN = (
    CommandReceived,
    SessionStarted,
    SessionEnded,
    FileSealed,
    FileUploaded,
    VaultSealed,
    BackupWritten,
    TokenKept,
    ReadAnswered,
)
"""What is asked of the engine that takes over: everything of frontends; what peers sent, they send again."""


class Rebuild(Protocol):
    """Makes an engine of what the store has, with these frontends attached."""

    def __call__(self, loaded: Loaded, sessions: tuple[SessionStarted, ...], *, read_only: bool) -> Engine:
        """Make it; a `read_only` one changes nothing."""


def carried_over(desk: Desk, failed: Iterable[Input]) -> tuple[tuple[SessionStarted, ...], list[Input]]:
    """Return (the sessions of before, what to ask again) of inputs that could not be committed.

    What waited for the store is asked again too: its answer goes to the engine that is gone. The folder's
    goes to the one in its place, with the command that it was asked for.
    """
    again: list[Input] = [event for event in failed if isinstance(event, AGAIN)]
    given = {id(event.command) for event in again if isinstance(event, CommandReceived)}
    again = [*(one for one in desk.unanswered() if id(one.command) not in given), *again]
    came = [event for event in again if isinstance(event, SessionStarted)]
    return tuple(kept for kept in desk.state.sessions.values() if kept not in came), again


def refused(done: Iterable[tuple[Input, list[Effect]]]) -> list[Effect]:
    """Return what is answered where nobody asks again: of inputs with what they caused, not committed.

    A command that had waited for the store was done in the turn of what the store brought.
    """
    answers: list[Effect] = []
    for effect in (one for event, came in done if not isinstance(event, AGAIN) for one in came):
        match effect:
            case Deliver(session, events.Ok(req=req)):
                answers.append(Deliver(session, events.error_of(commands.no_room(), req)))
            case Deliver(_, events.Error()):
                answers.append(effect)
            case _:
                pass
    return answers


def start(desk: Desk) -> list[Effect]:
    """Tell the frontends."""
    warning, alone = events.Warning(code=StoreFull.code, message=commands.NO_ROOM), desk.mesh.connectivity
    told: list[Effect] = []
    for session in desk.state.sessions:
        told += [Deliver(session, warning), Deliver(session, events.Connectivity(state=alone))]
    return told


def handle(desk: Desk, turn: Turn, event: Input) -> list[Effect]:
    """Answer what can be answered without writing; whatever would have to be stored is refused."""
    match event:
        case LinkOpened(link):
            return [CloseLink(link, "no room")]
        case CommandReceived():
            _command(desk, turn, event)
        case SessionStarted():
            sessions.started(desk, turn, event)
        case SessionEnded(number):
            desk.state.sessions.pop(number, None)
        case VaultSealed(received, sealed):
            desk.ok(turn, received.session, received.command.req, {"sealed": sealed})
        case BackupWritten(received, fields) | ReadAnswered(received, fields):
            desk.ok(turn, received.session, received.command.req, fields)
        case TokenKept(kept):
            desk.ok(turn, kept.received.session, kept.received.command.req, token_commands.kept(desk, event))
        case FileSealed() | FileUploaded():
            return _filed(event)
        case MessagesFetched(room, found, to_change=False):
            desk.inbox.receipts.fetched(turn, room, found)
        case _:
            return []
    return _let_go(desk, turn, event)


def _filed(event: FileSealed | FileUploaded) -> list[Effect]:
    """Refuse a content that nothing would ever name, and have its file erased."""
    gone: list[Effect] = [] if event.manifest is None else [DropFile(object_of(event.manifest))]
    if isinstance(event, FileUploaded):
        return [UploadKept(event.ticket, fault=commands.no_room()), *gone]
    session, req = event.asked.session, event.asked.command.req
    return [Deliver(session, events.error_of(commands.no_room(), req)), *gone]


def _command(desk: Desk, turn: Turn, received: CommandReceived) -> None:
    try:
        commands.perform(desk, turn, received)
    except Refused as fault:
        turn.reply(received.session, events.error_of(fault, received.command.req))


def _let_go(desk: Desk, turn: Turn, event: Input) -> list[Effect]:
    """Return what the turn shows, unless it would have to write: then nothing of it happens."""
    after, desk.after = list(desk.after), []
    desk.mesh_orders.clear()
    if turn.rows or turn.posts or turn.placed or any(isinstance(out, Logged) for out in turn.out):
        if not isinstance(event, CommandReceived):
            return []
        return [Deliver(event.session, events.error_of(commands.no_room(), event.command.req))]
    shown: list[Effect] = []
    for out in turn.out:
        match out:
            case Reply(session, answer):
                shown.append(Deliver(session, answer))
            case Told(told):
                shown += [Deliver(session, told) for session in desk.state.sessions]
            case Logged():
                pass
    return [*shown, *after]
