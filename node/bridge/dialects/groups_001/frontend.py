"""One frontend of the groups protocol (docs/dialects/groups_001.md)."""

from __future__ import annotations

from typing import Any

from node.bridge.dialects.adapter import Adapter, Call, Setting, Talk
from node.bridge.dialects.groups_001 import reading, showing
from node.bridge.dialects.groups_001.asking import ASKED
from node.bridge.dialects.groups_001.memory import Memory
from node.bridge.dialects.groups_001.spelling import MAX_TYPE_CHARS
from node.chat import events
from node.chat.events import Event
from node.errors import Refused


class Groups(Adapter):
    """Translates the frames of one connection."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.memory = Memory(setting)

    def opened(self) -> Talk[None]:
        """Nothing is told at once; who and what there is is asked for."""
        yield from self.memory.load()

    def said(self, call: Call) -> Talk[Any]:
        """Do what a frame asks for."""
        ask = ASKED.get(call.name)
        if ask is None:
            raise Refused("unknown_event", "there is no such type", field="type")
        data = call.args[0] if call.args else None
        self._claim(data)
        if not self.memory.loaded:
            yield from self.memory.load()
        self.memory.now_ms = self.now.wall_ms
        yield from ask(self.memory, data)

    def _claim(self, data: Any) -> None:
        """Whoever a frontend says to be is a name of our own on this connection, and nobody else."""
        if not isinstance(data, dict) or reading.CLAIMS.isdisjoint(data):
            return
        name, ident = reading.claimed(data)
        self.memory.alias = name or self.memory.alias
        self.memory.alias_id = self.memory.alias_id if ident is None else ident

    def happened(self, event: Event) -> Talk[None]:
        """Show an event."""
        self.memory.now_ms = self.now.wall_ms
        locked = isinstance(event, events.Connectivity) and event.state == "locked"
        if not (self.memory.loaded or locked):
            yield from self.memory.load()
        yield from showing.happened(self.memory, event)

    def refused(self, call: Call | None, fault: Refused) -> Talk[Any]:
        """Answer by an ERROR."""
        more: dict[str, Any] = {"retryable": fault.retryable, **fault.extra}
        if fault.field is not None:
            more["field"] = {"room": "groupId"}.get(fault.field, fault.field)
        if fault.retry_after is not None:
            more["retry_after"] = fault.retry_after
        request = None if call is None else call.name[:MAX_TYPE_CHARS]
        yield showing.error(request, fault.code, fault.message, **more)
