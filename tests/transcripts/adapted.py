"""A frontend of another protocol in a transcript: its adapter beside a simulated node, without a socket.

Frames are written as they are on the wire: 001 and 003 as JSON objects; 002 and 004 as Socket.IO writes
events, `["name", argument, ...]`, with a number before it where an acknowledgement is waited for, which comes
as `7[value]`.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from node.bridge.adapted import (
    Acknowledge,
    Adapted,
    Anchor,
    Close,
    Denied,
    Effect,
    Garbled,
    Input,
    Missed,
    Opened,
    Passed,
    Said,
    Shown,
    Submit,
    Ticked,
    Unshown,
    Write,
)
from node.bridge.dialects.adapter import Call, Setting
from node.bridge.dialects.base import FrameRefused
from node.bridge.dialects.registry import ADAPTERS, TEXTUAL
from node.bridge.guard import Grant
from node.bridge.media import Dresser
from node.bridge.ports import CommandReceived
from node.chat import commands
from node.sim import SimNode, SimSession
from tests.transcripts.requests import asked_of, requested

BASE = "http://localhost:7117"
FIRST = 1_000_000
"""Sessions from here on are pages': the bridge beside them counts its own from 1."""


class SimFrontend:
    """One frontend of a dialect; what it gets is in `came`, as it would be on the wire."""

    def __init__(self, node: SimNode, dialect: str, setting: Setting, dresser: Dresser | None = None) -> None:
        self.came: list[Any] = []
        self.closed: int | None = None
        self.asked: list[str] = []
        """The names of the commands that its calls became."""
        self._node, self._dialect, self._dresser = node, dialect, dresser
        number = FIRST + len(node.sessions)
        self._session = node.sessions[number] = SimSession(number)
        self._textual = TEXTUAL[dialect]() if dialect in TEXTUAL else None
        self._place = 0
        self._setting = replace(setting, base=BASE)
        adapter = ADAPTERS[dialect](self._setting)
        grant = Grant(setting.scope, "owner")
        self.machine = Adapted(number, adapter=adapter, client=dialect, grant=grant, now=node.now())
        self._feed(Opened())

    async def send(self, text: str) -> None:
        """Say something, or make a request."""
        ask = asked_of(text)
        if ask is None:
            self._feed(self._said(text))
        else:
            self.came.append(requested(self._node, ask, self._setting))

    def pump(self) -> None:
        """Let it see what its node has shown since, and go on with what rests."""
        if self.machine.resting and self.closed is None:
            self._feed(Ticked())
        self._look()

    def _look(self) -> None:
        while self._place < len(self._session.seen) and self.closed is None:
            event = self._session.seen[self._place]
            self._place += 1
            self._feed(Shown(event if self._dresser is None else self._dresser.event(event)))

    async def stop(self) -> None:
        """Go away."""
        if self._session.number in self._node.sessions:
            self._node.detach(self._session)

    def _said(self, text: str) -> Input:
        if self._textual is not None:
            try:
                return Said(self._textual.decode(text))
            except FrameRefused as fault:
                return Garbled(fault)
        found = re.fullmatch(r"(\d*)(\[.*\])", text, re.DOTALL)
        assert found, "a Socket.IO event is written as a list"
        name, *args = json.loads(found[2])
        mark = int(found[1]) if found[1] else None
        return Said(Call(name, tuple(args), mark is not None), mark)

    def _feed(self, event: Input) -> None:
        for effect in self.machine.handle(event, now=self._node.now()):
            self._do(effect)
        if self.closed is None:
            self._look()

    def _do(self, effect: Effect) -> None:
        match effect:
            case Write(frame) if self._textual is not None:
                self.came.append(json.loads(self._textual.encode(frame)))
            case Write(frame):
                self.came.append([frame.name, *json.loads(json.dumps(frame.args))])
            case Acknowledge(mark, value):
                self.came.append(f"{mark}{json.dumps([value])}")
            case Submit(CommandReceived() as received):
                self.asked.append(commands.name_of(received.command))
                self._node.feed(received)
            case Submit(other):
                self._node.feed(other)
            case Close(code):
                self.closed = code
                self._node.detach(self._session)
            case Unshown(name, code):
                raise AssertionError(f"{name} could not be shown: {code}")
            case Anchor() | Passed() | Missed() | Denied():
                pass
