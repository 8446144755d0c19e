"""A frontend of another protocol towards the bridge, and the shell of those that speak over a websocket.

What is said and shown is the adapter's to translate and the machine's to order (`node.bridge.adapted`); here
its effects are carried out, and frames wait in the same bounded outbox as everybody's.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections import deque
from typing import Any, assert_never

import msgspec
from aiohttp import web

from node.bridge import adapted, media
from node.bridge.adapted import Adapted
from node.bridge.close_codes import BAD_FRAMES, GOING_WRONG
from node.bridge.dialects.adapter import Frame, Textual
from node.bridge.dialects.base import FrameRefused
from node.bridge.guard import Grant
from node.bridge.http_frontend import Frontend, Surroundings
from node.bridge.http_socket import Socket
from node.bridge.outbox import Item
from node.bridge.ports import StartReplay
from node.bridge.session import MALFORMED_SECONDS, MAX_MALFORMED
from node.chat import events
from node.clock import Instant

log = logging.getLogger(__name__)


class Adapting(Frontend):
    """A frontend whose frames an adapter translates; subclasses write and acknowledge them."""

    machine: Adapted

    @property
    def grant(self) -> Grant | None:
        """What its credential opens."""
        return self.machine.grant

    @property
    def phase(self) -> str:
        """Where the connection is."""
        return "closed" if self.machine.closed else self.dialect

    def start_replay(self, _effect: StartReplay) -> None:
        """Nothing is replayed: no other protocol knows our positions, each has its own history."""

    def tick(self, now: Instant) -> None:
        """Once a second: end what has expired, say what was written, go on with what rests."""
        self._expire(now)
        self._report()
        running = getattr(self, "machine", None)  # a Socket.IO frontend has none before its first event
        if running is not None and running.resting:
            self._feed(adapted.Ticked())

    @abstractmethod
    def _encode(self, frame: Frame) -> bytes:
        """Return a frame as bytes of the size that it has on the wire, or nearly."""

    @abstractmethod
    def _acknowledge(self, mark: int, value: Any) -> None:
        """Answer the call of this mark."""

    def _queue(self, event: events.Event) -> None:
        dresser = self.dresser if isinstance(event, media.DRESSED) else None
        self._feed(adapted.Shown(event if dresser is None else dresser.event(event)))

    def _value(self, body: bytes) -> Any:
        return msgspec.json.decode(self._as_shown(body))

    def _feed(self, event: adapted.Input) -> None:
        try:
            for effect in self.machine.handle(event, now=self.around.clock()):
                self._do(effect)
        except Exception:
            log.exception("bridge session %d cannot go on", self.number)
            self.close(GOING_WRONG, "the node could not go on")

    def _do(self, effect: adapted.Effect) -> None:
        match effect:
            case adapted.Write(frame):
                if not self.outbox.lagged:  # what comes after a gap is not for it
                    self.outbox.push(Item(self._encode(frame), key=frame.key))
                    self._woken()
            case adapted.Acknowledge(mark, value):
                self._acknowledge(mark, value)
            case adapted.Submit():
                self._submit(effect.input)
            case adapted.Anchor(seq):
                self.outbox.muted = False
                self.outbox.anchor(seq)
            case adapted.Passed(seq):
                self.outbox.passed(seq)
            case adapted.Missed(seq):
                self.outbox.missed(seq)
            case adapted.Denied(name, code):
                self._refused(name, code)
            case adapted.Unshown(name, code):
                log.warning("a frontend of dialect %s could not be shown %s: %s", self.dialect, name, code)
            case adapted.Close(code, reason):
                self.close(code, reason)
            case _:
                assert_never(effect)


class AdaptedSocket(Adapting, Socket):
    """A frontend whose frames are text over a websocket."""

    def __init__(
        self,
        ws: web.WebSocketResponse,
        running: Adapted,
        textual: Textual,
        around: Surroundings,
        *,
        origin: str | None,
        transport: asyncio.BaseTransport | None,
    ) -> None:
        super().__init__(ws, running.number, around, origin=origin, transport=transport)
        self.machine = running
        self._textual = textual
        self._malformed: deque[float] = deque(maxlen=MAX_MALFORMED)

    @property
    def _busy(self) -> bool:
        return self.machine.full or super()._busy

    def _opened(self) -> None:
        self._feed(adapted.Opened())

    def _came(self, data: str | bytes) -> None:
        try:
            self._feed(adapted.Said(self._textual.decode(data)))
        except FrameRefused as fault:
            self._garbled(fault)

    def _garbled(self, fault: FrameRefused) -> None:
        self._feed(adapted.Garbled(fault))
        if not fault.malformed:
            return
        now = self.around.clock().mono
        self._malformed.append(now)
        if len(self._malformed) == MAX_MALFORMED and now - self._malformed[0] < MALFORMED_SECONDS:
            self.close(BAD_FRAMES, "three malformed frames in a minute")

    def _encode(self, frame: Frame) -> bytes:
        return self._textual.encode(frame).encode()

    def _acknowledge(self, mark: int, value: Any) -> None:
        """Calls over a plain websocket are not marked."""
