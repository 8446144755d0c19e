"""What every command handler works with: the state, the machines beside it, and how answers are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from node.bridge.ports import BridgeEffect, CommandReceived
from node.chat import events
from node.chat.commands import Command
from node.chat.turn import Turn
from node.engine.asked import Asked
from node.engine.blocks import Blocks
from node.engine.effects import (
    AnswerStatus,
    FetchAfter,
    FetchMessages,
    Hold,
    KeepToken,
    LockVault,
    ReadChannel,
    SealVault,
    ShredSoon,
    StopNode,
    WriteBackup,
)
from node.engine.inbox import Inbox
from node.engine.inviting import Inviting
from node.engine.shelving import Shelving
from node.engine.state import State
from node.errors import Refused
from node.mesh.mesh import Mesh


class _Later:
    """Somebody else answers this command."""


LATER: Final = _Later()
Answer: TypeAlias = "dict[str, Any] | _Later"


@dataclass
class Desk:
    """The engine's parts, as commands see them; `after` collects effects for the shell."""

    state: State
    mesh: Mesh
    inbox: Inbox
    inviting: Inviting
    shelving: Shelving
    started_wall_ms: int
    addresses: Callable[[], tuple[str, ...]]
    node_record: Callable[[], bytes]
    received: CommandReceived | None = None
    """The command that is being done, for those that are answered later."""
    after: list[
        BridgeEffect
        | AnswerStatus
        | StopNode
        | LockVault
        | SealVault
        | WriteBackup
        | KeepToken
        | ShredSoon
        | ReadChannel
        | FetchAfter
        | FetchMessages
        | Hold
    ] = field(default_factory=list)
    mesh_orders: list[Any] = field(default_factory=list)
    sealing: int = 0
    """Contents that the folder is sealing; their commands travel with them."""
    searching: list[CommandReceived] = field(default_factory=list)
    """Those that look for a message in every room."""
    asked: Asked = field(init=False)
    blocks: Blocks = field(init=False)
    in_batch: bool = False
    """While the commands of a batch are done: then none can be answered later."""

    def __post_init__(self) -> None:
        """Begin with no command that waits."""
        self.asked = Asked(self.state.changing, self.answer_later)

    def nonced(self, command: Command) -> CommandReceived | None:
        """Return the command being done if it has a nonce, so that its answer is remembered when it comes."""
        if command.nonce is None or self.received is None:
            return None
        return replace(self.received, rewrites=self.state.nonces.rewrites)

    def answer_later(self) -> None:
        """Say that a command waits for the store or the shell, before anything is noted for that.

        Raises:
            Refused: In a batch, whose results come together (`not_in_batch`).
        """
        if self.in_batch:
            text = "this has to be read from the store first: send it alone"
            raise Refused("not_in_batch", text, field="event")

    def ok(self, turn: Turn, session: int, req: str | int | None, fields: dict[str, Any]) -> None:
        """Answer a command that is done."""
        turn.reply(session, events.Ok(req=req, fields=fields))

    @property
    def doing(self) -> CommandReceived:
        """The command that is being done."""
        assert self.received is not None
        return self.received

    def unanswered(self) -> list[CommandReceived]:
        """Return the commands that wait for the store."""
        return [*self.asked.waiting(), *self.inbox.reading.waiting(), *self.searching]

    def finish(self, turn: Turn, received: CommandReceived, answer: dict[str, Any] | Refused) -> None:
        """Answer a command that somebody else has done or could not do; remember what was done for its nonce.

        If the same was asked twice at once, and done twice, both are answered what came of the first.
        """
        try:
            if isinstance(answer, Refused):
                raise answer
            known = self.state.nonces.first_result(turn, received)
        except Refused as fault:
            turn.reply(received.session, events.error_of(fault, received.command.req))
            return
        if known is None:
            self.state.nonces.remember(turn, received, answer)
        self.ok(turn, received.session, received.command.req, answer if known is None else known)
