"""What every command handler works with: the state, the machines beside it, and how answers are given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from node.bridge.ports import BridgeEffect
from node.chat import events
from node.chat.turn import Turn
from node.engine.asked import Asked
from node.engine.effects import (
    AnswerStatus,
    FetchAfter,
    FetchMessages,
    LockVault,
    ReadChannel,
    SealVault,
    ShredSoon,
    StopNode,
    WriteBackup,
)
from node.engine.inbox import Inbox
from node.engine.inviting import Inviting
from node.engine.state import State
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
    started_wall_ms: int
    addresses: Callable[[], tuple[str, ...]]
    node_record: Callable[[], bytes]
    after: list[
        BridgeEffect
        | AnswerStatus
        | StopNode
        | LockVault
        | SealVault
        | WriteBackup
        | ShredSoon
        | ReadChannel
        | FetchAfter
        | FetchMessages
    ] = field(default_factory=list)
    mesh_orders: list[Any] = field(default_factory=list)
    asked: Asked = field(init=False)

    def __post_init__(self) -> None:
        """Begin with no command that waits."""
        self.asked = Asked(self.state.changing)

    def ok(self, turn: Turn, session: int, req: str | int | None, fields: dict[str, Any]) -> None:
        """Answer a command that is done."""
        turn.reply(session, events.Ok(req=req, fields=fields))
