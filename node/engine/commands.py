"""What frontends ask for, done: one method a command, its result what stands in `ok` (docs/bridge.md 2).

A method decides first and changes after; Refused leaves everything as it was. `LATER` means that somebody
else answers: the store, or the shell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec

from node.bridge.guard import SCOPES
from node.bridge.ports import CommandReceived
from node.chat import commands as c
from node.chat.turn import Turn
from node.engine import (
    link_commands,
    message_commands,
    node_commands,
    people_commands,
    reading_commands,
    room_commands,
    ruling_commands,
    trust_commands,
    vault_commands,
    why,
)
from node.engine.desk import LATER, Answer, Desk
from node.engine.state import Nonce
from node.errors import Refused
from node.tables import Table

NONCE_MS = 7 * 86_400_000
"""How long a command can be repeated without being done twice."""
MAX_NONCES = 100_000

Handler: TypeAlias = Callable[[Desk, Turn, int, Any], Answer]

HANDLERS: Final[dict[type[c.Command], Handler]] = {
    c.RoomCreate: room_commands.room_create,
    c.RoomList: room_commands.room_list,
    c.RoomGet: room_commands.room_get,
    c.RoomRead: reading_commands.room_read,
    c.RoomMute: reading_commands.room_mute,
    c.MessageRead: reading_commands.message_read,
    c.MessageWhy: why.message_why,
    c.LedgerGet: why.ledger_get,
    c.ReceiptsGet: reading_commands.receipts_get,
    c.ReceiptsSet: reading_commands.receipts_set,
    c.RoomLinkCreate: link_commands.room_link_create,
    c.RoomLinkUse: link_commands.room_link_use,
    c.RoomLinkRevoke: link_commands.room_link_revoke,
    c.UserJoin: room_commands.user_join,
    c.UserLeave: room_commands.user_leave,
    c.MemberRemove: room_commands.member_remove,
    c.MemberRole: ruling_commands.member_role,
    c.RoomUpdate: ruling_commands.room_update,
    c.RoomDelete: ruling_commands.room_delete,
    c.RoomRekey: room_commands.room_rekey,
    c.UserMessage: message_commands.user_message,
    c.MessageEdit: message_commands.message_edit,
    c.MessageDelete: message_commands.message_delete,
    c.ReactionSet: message_commands.reaction_set,
    c.HistoryGet: room_commands.history_get,
    c.TypingSet: room_commands.typing_set,
    c.UserInvite: room_commands.user_invite,
    c.UserInviteResponse: room_commands.user_invite_response,
    c.InviteCancel: room_commands.invite_cancel,
    c.InviteList: room_commands.invite_list,
    c.ContactAdd: people_commands.contact_add,
    c.ContactList: people_commands.contact_list,
    c.ContactRename: people_commands.contact_rename,
    c.ContactVerify: trust_commands.contact_verify,
    c.ContactPolicy: trust_commands.contact_policy,
    c.ContactLinkCreate: people_commands.contact_link_create,
    c.ContactLinkReset: people_commands.contact_link_reset,
    c.DmOpen: people_commands.dm_open,
    c.ProfileGet: people_commands.profile_get,
    c.ProfileSet: people_commands.profile_set,
    c.NodeStatus: node_commands.node_status,
    c.NodeStop: node_commands.node_stop,
    c.PeerList: node_commands.peer_list,
    c.PeerAdd: node_commands.peer_add,
    c.PeerRemove: node_commands.peer_remove,
    c.TokenCreate: node_commands.token_create,
    c.TokenList: node_commands.token_list,
    c.TokenRevoke: node_commands.token_revoke,
    c.OriginList: node_commands.origin_list,
    c.OriginAllow: node_commands.origin_allow,
    c.OriginRemove: node_commands.origin_remove,
    c.Ack: node_commands.ack,
    c.BackupCreate: vault_commands.backup_create,
    c.VaultPassphrase: vault_commands.vault_passphrase,
    c.VaultLock: vault_commands.vault_lock,
    c.VaultUnlock: vault_commands.vault_unlock,
}
"""Every command that reaches the engine; `hello` starts a session, `login_link_create` is the server's."""


SPEAKING: Final = frozenset(name for name, scope in SCOPES.items() if scope == "chat") - {
    "room_read",
    "room_mute",
    "message_read",
    "contact_rename",
}
"""What a device that its account has replaced cannot do: whatever others would hear of."""


def perform(desk: Desk, turn: Turn, received: CommandReceived) -> None:
    """Do one command and answer it; a nonce that was used returns its first result."""
    command, session = received.command, received.session
    key = _key(desk, received)
    known = desk.state.nonces.get(key) if command.nonce else None
    if known is not None and turn.now.wall_ms - known.at_ms <= NONCE_MS:
        desk.ok(turn, session, command.req, msgspec.json.decode(known.fields))
        return
    handler = HANDLERS.get(type(command))
    if handler is None:
        raise Refused("unknown_event", f"`{c.name_of(command)}` cannot be asked here")
    if desk.state.me.replaced and c.name_of(command) in SPEAKING:
        raise Refused("device_revoked", "this account goes on at another device: this one sends nothing more")
    answer = handler(desk, turn, session, command)
    if answer is LATER:
        return
    assert isinstance(answer, dict)
    finish(desk, turn, received, answer)


def finish(desk: Desk, turn: Turn, received: CommandReceived, answer: dict[str, Any]) -> None:
    """Answer a command that is done, and remember the answer for its nonce."""
    if received.command.nonce:
        _remember(desk, turn, _key(desk, received), answer)
    desk.ok(turn, received.session, received.command.req, answer)


def _key(desk: Desk, received: CommandReceived) -> str:
    """Return what a nonce is remembered by: frontends with tokens of their own do not meet by chance."""
    started = desk.state.sessions.get(received.session)
    token = "" if started is None else started.token_name
    return f"{c.name_of(received.command)} {len(token)} {token} {received.command.nonce}"


def _remember(desk: Desk, turn: Turn, key: str, answer: dict[str, Any]) -> None:
    nonces = desk.state.nonces
    nonces.pop(key, None)
    nonces[key] = Nonce(turn.now.wall_ms, msgspec.json.encode(answer).decode())
    turn.put(Table.NONCES, key.encode(), nonces[key])
    if len(nonces) > MAX_NONCES:
        _forget(desk, turn, next(iter(nonces)))


def expire_nonces(desk: Desk, turn: Turn) -> None:
    """Forget nonces that are too old to be repeated."""
    limit = turn.now.wall_ms - NONCE_MS
    for key in [key for key, nonce in desk.state.nonces.items() if nonce.at_ms < limit]:
        _forget(desk, turn, key)


def _forget(desk: Desk, turn: Turn, key: str) -> None:
    del desk.state.nonces[key]
    turn.delete(Table.NONCES, key.encode())
