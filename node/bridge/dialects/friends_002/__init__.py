"""The friends protocol: events with spaces in their names, over Socket.IO (docs/dialects/friends_002.md).

The published table never says who sends an event: each name goes both ways, and what it names is turned, so
that `other_username` is the other one at both ends.
"""

from __future__ import annotations

from typing import Any

from node.bridge.dialects.adapter import Adapter, Call, Frame, Setting, Talk
from node.bridge.dialects.friends_002.page import Page
from node.bridge.dialects.friends_002.reading import NAMES as NAMES
from node.bridge.dialects.friends_002.showing import Showing
from node.bridge.dialects.friends_002.words import Words
from node.chat.events import Event
from node.errors import Refused


class Friends(Adapter):
    """One frontend of the friends protocol."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._page = Page(setting)
        self._words = Words(self._page)
        self._showing = Showing(self._page)

    def opened(self) -> Talk[None]:
        """Learn what is needed to name people and chats; nothing is told before something is said."""
        try:
            yield from self._page.load()
        except Refused:  # the vault is locked: it is tried again with whatever comes next
            return
        yield from self._owed()

    def said(self, call: Call) -> Talk[Any]:
        """Do what the frontend says; the answer acknowledges it."""
        self._page.now = self.now
        return (yield from self._words.say(call))

    def happened(self, event: Event) -> Talk[None]:
        """Show an event."""
        self._page.now = self.now
        yield from self._showing.show(event)
        yield from self._owed()

    def _owed(self) -> Talk[None]:
        if self._words.owed and self._page.loaded:
            yield from self._words.connect_late()

    def refused(self, call: Call | None, fault: Refused) -> Talk[Any]:
        """Say that a call failed: to who waits for it by the answer, else by the event `error`."""
        told = {"ok": False, "error": fault.code, "message": fault.message, **_beside(fault)}
        if call is None or not call.wants_ack:
            said = None if call is None else call.name
            name = said if isinstance(said, str) and said in NAMES else None
            yield Frame("error", ({**told, "event": name},))
        return told


def _beside(fault: Refused) -> dict[str, Any]:
    known = {"field": fault.field, "retry_after": fault.retry_after}
    extra = {key: value for key, value in fault.extra.items() if key not in {"ok", "error", "message"}}
    return {key: value for key, value in {**extra, **known}.items() if value is not None}
