"""Several commands in one turn, and so in one commit: a frontend's `batch` (docs/bridge.md, "Batches").

Each is judged as if it had come alone: its scope, its nonce, its refusal. What is refused changes nothing and
takes nothing back of what others did.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec

from node.bridge.guard import may
from node.bridge.ports import CommandReceived
from node.chat import commands as c, events
from node.chat.turn import Turn
from node.engine.desk import LATER, Answer, Desk
from node.errors import PeerFault, Refused

NOT_INSIDE: Final = frozenset(
    {
        "hello",
        "batch",
        "login_link_create",
        "dialect_list",
        "dialect_enable",
        "dialect_disable",
        "history_get",
        "search",
        "node_status",
        "node_stop",
        "backup_create",
        "attachment_put",
        "attachment_get",
        "message_why",
        "token_rotate",
        "vault_lock",
        "vault_unlock",
        "vault_passphrase",
    }
)
"""What opens a session, what is answered by the store or the shell, and so later, and what ends the node."""
Doing: TypeAlias = Callable[[Desk, Turn, CommandReceived], Answer]


def perform(desk: Desk, turn: Turn, session: int, command: c.Batch, do: Doing) -> Answer:
    """Do one command after the other; `results` has an `ok` or `error` for each, in their order."""
    results: list[Any] = []
    halted = False
    for fields in command.commands:
        req = _req(fields)
        try:
            if halted:
                raise Refused("halted", "a command before this one was refused; this one was not done")
            answer = _one(desk, turn, session, fields, do)
            results.append(events.builtins(events.Ok(req=req, fields=answer)))
        except Refused as fault:
            halted = halted or command.halt_on_error
            results.append(events.builtins(events.error_of(fault, req)))
    return {"results": results}


def refusal(fault: PeerFault) -> Refused:
    """Return how a frontend is told that what somebody else sent stands in the way."""
    return Refused("invalid", f"somebody else's data stands in the way: {fault}")


def _req(fields: dict[str, Any]) -> str | int | None:
    req = fields.get("req")
    return req if isinstance(req, str | int) and not isinstance(req, bool) else None


def _one(desk: Desk, turn: Turn, session: int, fields: dict[str, Any], do: Doing) -> dict[str, Any]:
    command = _read(fields)
    name, started = c.name_of(command), desk.state.sessions.get(session)
    if started is not None and not may(started.scope, name):
        raise Refused("forbidden", f"a token of scope {started.scope} may not use {name}")
    if name in NOT_INSIDE:
        raise _not_inside(name)
    ordered, desk.in_batch = len(desk.after), True
    try:
        answer = do(desk, turn, CommandReceived(session, command))
    except PeerFault as fault:
        raise refusal(fault) from fault
    finally:
        desk.in_batch = False
    if answer is LATER:
        del desk.after[ordered:]
        raise _not_inside(name)
    assert isinstance(answer, dict)
    return answer


def _not_inside(name: str) -> Refused:
    return Refused("not_in_batch", f"{name} cannot be asked in a batch", field="event")


def _read(fields: dict[str, Any]) -> c.Command:
    name = fields.get("event")
    if not isinstance(name, str):
        raise Refused("invalid", "a command is an object with the key event", field="event")
    if name not in c.BY_NAME:
        raise Refused("unknown_event", "there is no such command", field="event")
    try:
        return msgspec.convert(fields, c.BY_NAME[name])
    except msgspec.MsgspecError as exc:
        raise Refused("invalid", str(exc)) from exc
