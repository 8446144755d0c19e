"""Attachments between frontends, messages and the folder (docs/bridge.md 2, "Attachments").

A content is sealed and durable before any message names it; what a message names is awaited from the moment
that it is shown. What becomes of one is decided in `chat.attachments`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from node import ids
from node.bridge.ports import CommandReceived, FileUploaded, GiveAttachment, UploadKept
from node.chat import commands as c, events
from node.chat.attachment_record import READY, Record, described
from node.chat.attachments import Attachments
from node.chat.file_names import check_name, media_type
from node.chat.filing import FileResult, FileSealed, SealFile
from node.chat.messages import attachment_packed
from node.chat.turn import Logged, Turn
from node.engine.desk import LATER, Answer, Desk
from node.errors import Refused

MAX_SEALING = 16
"""Contents of commands that are being sealed at a time, each at most half a MiB."""


def shown(desk: Desk, turn: Turn) -> None:
    """Await, or post, what the messages that this turn shows have with them."""
    for out in turn.out:
        event = out.event if isinstance(out, Logged) else None
        if isinstance(event, events.UserMessage | events.MessageHealed) and event.attachment:
            raw = attachment_packed(event.attachment)
            if raw is not None and isinstance(event.ts_ms, int):
                room = ids.parse(event.room)
                desk.state.attachments.named(turn, raw, room, mine=event.mine is True, ts_ms=event.ts_ms)


def erased(book: Attachments) -> Callable[[Turn, bytes, events.UserMessage], None]:
    """Return what is told of messages whose words were erased: the last one takes its file along."""

    def tell(turn: Turn, _room: bytes, event: events.UserMessage) -> None:
        raw = attachment_packed(event.attachment)
        if raw is not None:
            book.unnamed(turn, raw)

    return tell


def seal(desk: Desk, turn: Turn, received: CommandReceived) -> Answer:
    """Have the content of an `attachment_put` sealed; answered when it is durable."""
    asked = received.command
    assert isinstance(asked, c.AttachmentPut)
    data = _decoded(asked.data)
    check_name(asked.name)
    if desk.sealing >= MAX_SEALING:
        raise Refused("busy", "many files are being stored; ask again", retryable=True)
    desk.sealing += 1
    turn.files.append(SealFile(received, asked.name, media_type(asked.type), data))
    return LATER


def take(desk: Desk, turn: Turn, result: FileResult) -> tuple[CommandReceived, dict[str, Any]] | None:
    """Go on with an answer of the folder; returns the command that it completes, with its answer."""
    if not isinstance(result, FileSealed):
        desk.state.attachments.answered(turn, result)
        return None
    received = result.asked
    assert isinstance(received, CommandReceived)
    desk.sealing = max(0, desk.sealing - 1)  # it may have been asked of the engine before this one
    try:
        if result.manifest is None:
            raise Refused("storage_full", "the file was not stored: there is no room", retryable=True)
        ident = desk.state.attachments.put(turn, result.manifest)
    except Refused as fault:
        turn.reply(received.session, events.error_of(fault, received.command.req))
        return None
    return received, described_put(ident, desk.state.attachments.records[ident])


def uploaded(desk: Desk, turn: Turn, upload: FileUploaded) -> None:
    """A content came over HTTP, and is sealed and durable."""
    try:
        ident = desk.state.attachments.put(turn, upload.manifest)
    except Refused as fault:
        desk.after.append(UploadKept(upload.ticket, fault=fault))
        return
    desk.after.append(UploadKept(upload.ticket, described_put(ident, desk.state.attachments.records[ident])))


def manifest_for(desk: Desk, asked: Any) -> bytes | None:
    """Return what a message has to carry for the attachment that a `user_message` names; raises Refused."""
    if asked is None:
        return None
    named = asked.get("id") if isinstance(asked, dict) else asked
    if not isinstance(named, str):
        raise Refused("invalid", "an attachment is named by its id", field="attachment")
    _, record = desk.state.attachments.find(named, field="attachment")
    if record.state != READY:
        text = "the attachment is not here yet: it can be passed on when it is"
        raise Refused("attachment_pending", text, field="attachment", retryable=True)
    return desk.blocks.told(record.parsed).encode()


def attachment_get(desk: Desk, turn: Turn, session: int, command: c.AttachmentGet) -> Answer:
    """Describe an attachment; the bridge adds its URL and, of a small one, its content."""
    ident, record = desk.state.attachments.find(command.id, field="id")
    if not desk.state.read_only:
        desk.state.attachments.fetched.ask(turn, ident)
    manifest = record.parsed if record.state == READY else None
    told = described(ident, record, desk.state.attachments.received(ident))
    desk.after.append(GiveAttachment(session, command.req, manifest, told))
    return LATER


def described_put(ident: bytes, record: Record) -> dict[str, Any]:
    """Return what is told of a content that was just stored."""
    manifest = record.parsed
    told = {"attachment": ids.text(ident), "name": manifest.name, "type": manifest.type}
    return {**told, "size": manifest.size, "hash": manifest.hash.hex()}


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise Refused("invalid", "`data` is not base64", field="data") from None
