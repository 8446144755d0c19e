"""Everything a frontend can ask for: one struct a command, tagged by the key `event` (docs/bridge.md 2).

The native dialect is the JSON spelling of these structs, so their field names are the public contract. The
modules divide one vocabulary by subject; it is used as a whole, so all of it is named here.
"""

from __future__ import annotations

from typing import Final, TypeAlias, get_args

from node.chat.commands.attachments import (
    MAX_INLINE_BYTES as MAX_INLINE_BYTES,
    AttachmentCommand as AttachmentCommand,
    AttachmentGet as AttachmentGet,
    AttachmentPut as AttachmentPut,
)
from node.chat.commands.base import (
    MAX_HISTORY as MAX_HISTORY,
    MAX_MESSAGE_BYTES as MAX_MESSAGE_BYTES,
    snake as snake,
)
from node.chat.commands.invites import (
    InviteCancel as InviteCancel,
    InviteCommand as InviteCommand,
    InviteList as InviteList,
    UserInvite as UserInvite,
    UserInviteResponse as UserInviteResponse,
)
from node.chat.commands.log import (
    MAX_BATCH as MAX_BATCH,
    Ack as Ack,
    Batch as Batch,
    ConsumerList as ConsumerList,
    ConsumerRemove as ConsumerRemove,
    Hello as Hello,
    LogCommand as LogCommand,
    ResumeAt as ResumeAt,
    Subscribe as Subscribe,
)
from node.chat.commands.messages import (
    HistoryGet as HistoryGet,
    MessageCommand as MessageCommand,
    MessageDelete as MessageDelete,
    MessageEdit as MessageEdit,
    ReactionSet as ReactionSet,
    Search as Search,
    TypingSet as TypingSet,
    UserMessage as UserMessage,
)
from node.chat.commands.notices import (
    AnnouncementSend as AnnouncementSend,
    NoticeCommand as NoticeCommand,
    NotificationList as NotificationList,
    NotificationRead as NotificationRead,
    NotificationReadAll as NotificationReadAll,
)
from node.chat.commands.owner import (
    AuditList as AuditList,
    BackupCreate as BackupCreate,
    DialectDisable as DialectDisable,
    DialectEnable as DialectEnable,
    DialectList as DialectList,
    LoginLinkCreate as LoginLinkCreate,
    NodeStatus as NodeStatus,
    NodeStop as NodeStop,
    OriginAllow as OriginAllow,
    OriginList as OriginList,
    OriginRemove as OriginRemove,
    OwnerCommand as OwnerCommand,
    PeerAdd as PeerAdd,
    PeerList as PeerList,
    PeerRemove as PeerRemove,
    TokenCreate as TokenCreate,
    TokenList as TokenList,
    TokenRevoke as TokenRevoke,
    TokenRotate as TokenRotate,
    VaultLock as VaultLock,
    VaultPassphrase as VaultPassphrase,
    VaultUnlock as VaultUnlock,
)
from node.chat.commands.people import (
    ContactAccept as ContactAccept,
    ContactAdd as ContactAdd,
    ContactBlock as ContactBlock,
    ContactCancel as ContactCancel,
    ContactLinkCreate as ContactLinkCreate,
    ContactLinkReset as ContactLinkReset,
    ContactList as ContactList,
    ContactPolicy as ContactPolicy,
    ContactReject as ContactReject,
    ContactRemove as ContactRemove,
    ContactRename as ContactRename,
    ContactRequest as ContactRequest,
    ContactUnblock as ContactUnblock,
    ContactVerify as ContactVerify,
    PeopleCommand as PeopleCommand,
    ProfileGet as ProfileGet,
    ProfileSet as ProfileSet,
)
from node.chat.commands.presence import (
    PresenceCommand as PresenceCommand,
    PresenceSet as PresenceSet,
    PresenceSweep as PresenceSweep,
    UserSearch as UserSearch,
)
from node.chat.commands.reading import (
    LedgerGet as LedgerGet,
    MessageRead as MessageRead,
    MessageWhy as MessageWhy,
    ReadingCommand as ReadingCommand,
    ReceiptsGet as ReceiptsGet,
    ReceiptsSet as ReceiptsSet,
    RoomMute as RoomMute,
    RoomRead as RoomRead,
)
from node.chat.commands.rooms import (
    DmOpen as DmOpen,
    MemberRemove as MemberRemove,
    MemberRole as MemberRole,
    RoomCommand as RoomCommand,
    RoomCreate as RoomCreate,
    RoomDelete as RoomDelete,
    RoomGet as RoomGet,
    RoomLinkCreate as RoomLinkCreate,
    RoomLinkRevoke as RoomLinkRevoke,
    RoomLinkUse as RoomLinkUse,
    RoomList as RoomList,
    RoomRekey as RoomRekey,
    RoomUpdate as RoomUpdate,
    UserJoin as UserJoin,
    UserLeave as UserLeave,
)

Command: TypeAlias = (
    LogCommand
    | RoomCommand
    | MessageCommand
    | ReadingCommand
    | AttachmentCommand
    | InviteCommand
    | PeopleCommand
    | PresenceCommand
    | NoticeCommand
    | OwnerCommand
)

BY_NAME: Final[dict[str, type[Command]]] = {snake(kind.__name__): kind for kind in get_args(Command)}
"""Every command by the name that frontends write."""
_NAMES: Final[dict[type[Command], str]] = {kind: name for name, kind in BY_NAME.items()}


def name_of(command: Command) -> str:
    """Return the name that frontends write for a command."""
    return _NAMES[type(command)]
