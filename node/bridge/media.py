"""How attachments are shown to frontends and given to browsers (docs/bridge.md section 4, "media").

The log has what a message said of its attachment. What a frontend gets says besides how it stands now and
where this session finds it; and not the key, which is the node's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from node.chat import events

INLINE: Final = frozenset(
    {
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "image/avif",
        "audio/mpeg",
        "audio/ogg",
        "audio/wav",
        "audio/webm",
        "audio/mp4",
        "audio/aac",
        "audio/flac",
    }
)
"""What a browser may show in place: pictures and sound that run nothing. SVG does."""
TYPES: Final = INLINE | {
    "application/octet-stream",
    "application/pdf",
    "application/zip",
    "application/gzip",
    "text/plain",
    "video/mp4",
    "video/webm",
    "image/svg+xml",
}
"""Content types that are given out as they came; every other is octets."""
DRESSED: Final = (events.UserMessage, events.MessageHealed, events.Attachment, events.Ok)
"""Events that may have something of an attachment."""
INLINE_BYTES: Final = 256 * 1024
"""Content that `attachment_get` answers with; larger ones have their URL alone."""
_MARK: Final = b'"attachment":{'


def content_type(claimed: str) -> str:
    """Return the content type that a download has."""
    return claimed if claimed in TYPES else "application/octet-stream"


class Dresser:
    """Dresses what one session is shown; `state` says how an attachment stands, `url` where it is."""

    def __init__(self, state: Callable[[str], str | None], url: Callable[[str], str | None]) -> None:
        self._state, self._url = state, url

    def event(self, event: events.Event) -> events.Event:
        """Return a live event as it goes to this session."""
        match event:
            case (
                events.UserMessage(attachment=dict() as told)
                | events.MessageHealed(attachment=dict() as told)
            ):
                return msgspec.structs.replace(event, attachment=self.value(told))
            case events.Ok(fields={"messages": list(messages)}):  # as it was read, for a nonce
                fields = {**event.fields, "messages": [self._message(one) for one in messages]}
                return msgspec.structs.replace(event, fields=fields)
            case events.Attachment(state="ready"):
                return msgspec.structs.replace(event, url=self._url(event.id))
            case _:
                return event

    def stored(self, body: bytes) -> bytes:
        """Return a logged event, as JSON, as it goes to this session."""
        if _MARK not in body:
            return body
        return events.encode_json(self.event(events.decode_json(body)))

    def _message(self, told: Any) -> Any:
        attachment = told.get("attachment") if isinstance(told, dict) else None
        if not isinstance(attachment, dict) or "manifest" not in attachment:
            return told
        return {**told, "attachment": self.value(attachment)}

    def value(self, told: dict[str, Any]) -> dict[str, Any] | None:
        """Return an attachment as a frontend sees it; None if nobody can read what the message says of it."""
        ident = told.get("id")
        if not isinstance(ident, str):
            return None
        kept = {key: told.get(key) for key in ("id", "name", "type", "size", "state")}
        state = self._state(ident)
        return {**kept, "state": state or kept["state"], "url": self._url(ident)}


def span(header: str | None, size: int) -> tuple[int, int] | None:
    """Return (first, one after the last) of the one range that is asked for; None for everything.

    Raises:
        ValueError: If there is no such byte.
    """
    unit, _, asked = (header or "").strip().partition("=")
    first, dash, last = asked.strip().partition("-")
    if unit.strip().lower() != "bytes" or not dash or "," in asked:
        return None
    if not all(
        part == "" or (part.isascii() and part.isdecimal() and len(part) < 16) for part in (first, last)
    ):
        return None
    if first == "":
        if last == "" or not int(last):
            raise ValueError("no such byte")
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < int(first):
            return None
    if start >= size:
        raise ValueError("no such byte")
    return start, end
