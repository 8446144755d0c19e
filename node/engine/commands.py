"""What frontends ask for, done: one method a command, its result what stands in `ok` (docs/bridge.md 2).

A method decides first and changes after; Refused leaves everything as it was. `LATER` means that somebody
else answers: the store, or the shell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeAlias

from node.bridge.guard import SCOPES
from node.bridge.ports import CommandReceived
from node.chat import commands as c
from node.chat.turn import Turn
from node.engine import (
    attaching,
    batch,
    contact_commands,
    dialect_commands,
    link_commands,
    log_commands,
    message_commands,
    node_commands,
    notice_commands,
    people_commands,
    profile_commands,
    reading_commands,
    room_commands,
    ruling_commands,
    token_commands,
    trust_commands,
    vault_commands,
    why,
)
from node.engine.desk import LATER, Answer, Desk
from node.errors import Refused, StoreFull

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
    c.AttachmentGet: attaching.attachment_get,
    c.TypingSet: room_commands.typing_set,
    c.UserInvite: room_commands.user_invite,
    c.UserInviteResponse: room_commands.user_invite_response,
    c.InviteCancel: room_commands.invite_cancel,
    c.InviteList: room_commands.invite_list,
    c.NotificationList: notice_commands.notification_list,
    c.NotificationRead: notice_commands.notification_read,
    c.NotificationReadAll: notice_commands.notification_read_all,
    c.AnnouncementSend: notice_commands.announcement_send,
    c.ContactAdd: people_commands.contact_add,
    c.ContactList: contact_commands.contact_list,
    c.ContactRequest: contact_commands.contact_request,
    c.ContactAccept: contact_commands.contact_accept,
    c.ContactReject: contact_commands.contact_reject,
    c.ContactCancel: contact_commands.contact_cancel,
    c.ContactRemove: contact_commands.contact_remove,
    c.ContactBlock: contact_commands.contact_block,
    c.ContactUnblock: contact_commands.contact_unblock,
    c.ContactRename: people_commands.contact_rename,
    c.ContactVerify: trust_commands.contact_verify,
    c.ContactPolicy: trust_commands.contact_policy,
    c.ContactLinkCreate: people_commands.contact_link_create,
    c.ContactLinkReset: people_commands.contact_link_reset,
    c.DmOpen: people_commands.dm_open,
    c.ProfileGet: profile_commands.profile_get,
    c.ProfileSet: profile_commands.profile_set,
    c.PresenceSet: profile_commands.presence_set,
    c.PresenceSweep: profile_commands.presence_sweep,
    c.UserSearch: profile_commands.user_search,
    c.NodeStatus: node_commands.node_status,
    c.NodeStop: node_commands.node_stop,
    c.PeerList: node_commands.peer_list,
    c.PeerAdd: node_commands.peer_add,
    c.PeerRemove: node_commands.peer_remove,
    c.TokenCreate: node_commands.token_create,
    c.TokenList: node_commands.token_list,
    c.TokenRevoke: node_commands.token_revoke,
    c.TokenRotate: token_commands.token_rotate,
    c.OriginList: node_commands.origin_list,
    c.OriginAllow: node_commands.origin_allow,
    c.OriginRemove: node_commands.origin_remove,
    c.DialectList: dialect_commands.dialect_list,
    c.DialectEnable: dialect_commands.dialect_enable,
    c.DialectDisable: dialect_commands.dialect_disable,
    c.LoginLinkCreate: dialect_commands.login_link_create,
    c.Ack: log_commands.ack,
    c.ConsumerList: log_commands.consumer_list,
    c.ConsumerRemove: log_commands.consumer_remove,
    c.Search: log_commands.search,
    c.BackupCreate: vault_commands.backup_create,
    c.VaultPassphrase: vault_commands.vault_passphrase,
    c.VaultLock: vault_commands.vault_lock,
    c.VaultUnlock: vault_commands.vault_unlock,
}
"""Every command that reaches the engine; `hello` starts a session."""


SPEAKING: Final = frozenset(name for name, scope in SCOPES.items() if scope == "chat") - {
    "room_read",
    "room_mute",
    "message_read",
    "contact_rename",
    "notification_read",
    "notification_read_all",
}
"""What a device that its account has replaced cannot do: whatever others would hear of."""


NO_ROOM: Final = "there is no room on the disk: what is stored can be read, all else waits for room"


def perform(desk: Desk, turn: Turn, received: CommandReceived) -> None:
    """Do one command and answer it; a nonce that was used returns its first result."""
    answer = _do(desk, turn, received)
    if answer is not LATER:
        assert isinstance(answer, dict)
        desk.ok(turn, received.session, received.command.req, answer)


def _do(desk: Desk, turn: Turn, received: CommandReceived) -> Answer:
    """Do one command, unless its nonce says that it was done, and remember the result."""
    command, session = received.command, received.session
    started = desk.state.sessions.get(session)
    if started is not None and started.token_name != received.token_name:
        received = replace(received, token_name=started.token_name)
    known = desk.state.nonces.first_result(turn, received)
    if known is not None:
        return known
    reads = SCOPES.get(c.name_of(command)) == "read" or isinstance(command, c.NodeStop)
    if desk.state.read_only and not reads:
        raise no_room()
    if desk.state.me.replaced and c.name_of(command) in SPEAKING:
        raise Refused("device_revoked", "this account goes on at another device: this one sends nothing more")
    if isinstance(command, c.Batch):
        answer = batch.perform(desk, turn, session, command, _do)
    elif isinstance(command, c.AttachmentPut):
        attaching.seal(desk, turn, received)
        return LATER
    else:
        handler = HANDLERS.get(type(command))
        if handler is None:
            raise Refused("unknown_event", f"`{c.name_of(command)}` cannot be asked here")
        desk.received = received
        answer = handler(desk, turn, session, command)
    if isinstance(answer, dict):
        desk.state.nonces.remember(turn, received, answer)
    return answer


def no_room() -> Refused:
    """Return how a frontend is told that nothing can be stored now."""
    return Refused(StoreFull.code, NO_ROOM, retryable=True)
