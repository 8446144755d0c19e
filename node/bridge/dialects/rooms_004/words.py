"""What the node tells, as messages of the rooms protocol (docs/dialects/rooms_004.md, "What it cannot say").

A message is text or a picture. Whatever else is told becomes a message too, of a `type` of its own, whose
content begins with a fixed word in brackets; its `id` is its own, `target` that of what it is about. A `type`
is never a peer's to choose.
"""

from __future__ import annotations

from collections.abc import Container
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import msgspec

from node.bridge.dialects.rooms_004.payloads import is_address
from node.bridge.dialects.rooms_004.people import People
from node.bridge.media import content_type
from node.chat import events

LAST_S: Final = 253_402_300_799
"""The last second that has a year of four digits."""
PICTURES: Final = frozenset({"image", "gif"})
"""Kinds of a message that show a picture; others with a file name it."""
Who: TypeAlias = tuple[str, str]
"""A person's user_id and username."""
NOBODY: Final[Who] = ("", "")


def moment(ts_ms: int) -> str:
    """Return UNIX milliseconds as ISO 8601, UTC."""
    seconds, millis = divmod(max(0, ts_ms), 1000)
    return f"{datetime.fromtimestamp(min(seconds, LAST_S), UTC).isoformat()[:19]}.{millis:03}Z"


class Words:
    """Words for one connection; `base` is put before a path of this node's, `addresses` were said here."""

    def __init__(self, people: People, base: str, addresses: Container[str]) -> None:
        self._people, self._base, self._addresses = people, base, addresses

    # -- what people say --------------------------------------------------------------------------

    def said(self, event: events.UserMessage) -> list[dict[str, Any]]:
        """Return a message; a picture with words beside it is two."""
        if event.deleted is True:
            return [self._line(event, "deleted", "[deleted]")]
        if event.kind == "unreadable":
            count = event.missing if isinstance(event.missing, int) else 1
            return [
                self._line(event, "unreadable", f"[unreadable] {count} not here: {event.why or 'unknown'}")
            ]
        if isinstance(event.attachment, dict):
            return self._with_file(event, event.attachment)
        if event.kind in {*PICTURES, "audio"} and is_address(event.message):
            shown = event.kind in PICTURES and event.mine and event.message in self._addresses
            return [self._line(event, "image" if shown else "text", event.message, remote=True)]
        return [self._line(event, "text", event.message)]

    def arrived(self, event: events.UserMessage, file: dict[str, Any], why: str) -> dict[str, Any]:
        """Return what tells that the file of an earlier message is here, or (`why`) will not come."""
        shown = self._with_file(msgspec.structs.replace(event, message="", attachment=file), file)[0]
        if why:
            shown |= {"type": "text", "content": f"{_word(event)} {file.get('name')} did not come: {why}"}
        return shown | {"id": f"{event.id}:file", "target": event.id}

    def _with_file(self, event: events.UserMessage, file: dict[str, Any]) -> list[dict[str, Any]]:
        ready = file.get("state") == "ready" and isinstance(file.get("url"), str)
        at = f"{self._base}{file['url']}" if ready else None
        told = {key: file.get(key) for key in ("id", "name", "type", "size", "state")} | {"url": at}
        name = f"{_word(event)} {file.get('name')}"
        if at is not None and event.kind in PICTURES and content_type(str(file.get("type")))[:6] == "image/":
            lines = [self._line(event, "image", at, attachment=told)]
            if event.message:
                lines.append(self._line(event, "text", event.message, id=f"{event.id}:text", target=event.id))
            return lines
        text = f"{name} {at or 'is on its way' if file.get('state') != 'failed' else 'did not come'}"
        content = f"{event.message}\n{text}" if event.message else text
        return [self._line(event, "text", content, attachment=told)]

    def _line(self, event: events.UserMessage, kind: str, content: str, **more: Any) -> dict[str, Any]:
        line = {
            "id": event.id,
            "roomId": event.room,
            "type": kind,
            "content": content,
            **self._people.author(event.user_id, event.username, mine=event.mine),
            "createdAt": moment(event.ts_ms),
        }
        for key, value in (
            ("replyTo", event.reply_to),
            ("edited", event.edited is True),
            ("mentioned", event.mentioned is True),
            ("gap", event.gap),
            ("expiresAt", moment(event.expires_ms) if isinstance(event.expires_ms, int) else None),
        ):
            if value:
                line[key] = value
        return line | more

    # -- what becomes of it -----------------------------------------------------------------------

    def changed(
        self,
        event: events.MessageEdited | events.MessageDeleted | events.Reaction,
        now_ms: int,
    ) -> dict[str, Any]:
        """Return what tells of a change to a message."""
        match event:
            case events.MessageEdited():
                ident, kind, content = f"edited:{event.edited_ms}", "edited", f"[edited] {event.message}"
                at_ms = event.edited_ms
            case events.MessageDeleted():
                words = {"deleted": "[deleted]", "moderated": "[deleted] by an admin"}
                content = words.get(event.reason, "[deleted] its time is over")
                ident, kind, at_ms = "deleted", "deleted", now_ms
            case _:
                done = "[reaction]" if event.on else "[reaction taken back]"
                ident, kind, content = (
                    f"reaction:{event.user_id}:{event.ts_ms}",
                    "reaction",
                    f"{done} {event.emoji}",
                )
                at_ms = event.ts_ms
        who = (event.user_id or "", event.username or "")
        told = self.note(f"{event.id}:{ident}", event.room, kind, content, at_ms, who=who)
        return told | {"target": event.id}

    def note(
        self, ident: str, room: str | None, kind: str, content: str, ts_ms: int, *, who: Who = NOBODY
    ) -> dict[str, Any]:
        """Return what the node tells as a message of a person's, or of nobody's."""
        return {
            "id": ident,
            "roomId": room,
            "type": kind,
            "content": content,
            **self._people.author(*who),
            "createdAt": moment(ts_ms),
        }


def _word(event: events.UserMessage) -> str:
    return "[image]" if event.kind in PICTURES else "[audio]" if event.kind == "audio" else "[file]"
