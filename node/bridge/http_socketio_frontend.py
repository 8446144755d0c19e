"""One frontend over Socket.IO: from its handshake to its end, whatever carries it.

It is connected once it has shown a credential, and has both vocabularies until its first event picks one.
What it is told waits in the same bounded outbox as everybody's: the library, whose own queue has no end, is
handed the next few frames when it has got rid of those before (docs/dialects/socketio.md).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from node.bridge import adapted
from node.bridge.adapted import Adapted
from node.bridge.close_codes import BAD_FRAMES, NO_HELLO, ORIGIN_GONE, RESTARTING, SLOW, UNAUTHORIZED
from node.bridge.dialects import socket_io
from node.bridge.dialects.adapter import Adapter, Frame
from node.bridge.dialects.base import FrameRefused
from node.bridge.dialects.socket_io import Connect, Spoken, Unreadable
from node.bridge.guard import Grant
from node.bridge.http_adapted import Adapting
from node.bridge.http_frontend import MAX_BACKLOG, MAX_READS, Surroundings
from node.bridge.http_socket import ABORT_AFTER, PAUSE
from node.bridge.outbox import Item
from node.bridge.session import HELLO_SECONDS, MALFORMED_SECONDS, MAX_MALFORMED
from node.chat import events
from node.clock import Instant
from node.errors import Refused

HANDED: Final = 32
"""Frames that the library is handed at a time."""
HANDED_BYTES: Final = 256 * 1024
"""Bytes of them, but for the last."""
MAX_CONNECTS: Final = 8
"""Tries to be connected to a namespace; each is answered past the outbox."""
MAX_TOKEN: Final = 1024
"""Characters of a token that is looked up; ours have 43."""
PUT_OUT: Final = frozenset({UNAUTHORIZED, ORIGIN_GONE})
"""Closed for good: it is told, so that it does not try again and again."""


class Line(Protocol):
    """What carries a frontend at present."""

    @property
    def listens(self) -> bool:
        """Say whether a request waits for what there is to say."""
        ...

    @property
    def streams(self) -> bool:
        """Say whether it is a websocket."""
        ...

    def put(self, data: bytes) -> None:
        """Hand on one frame."""
        ...

    def end(self, code: int, reason: str) -> None:
        """Close after what was handed on."""
        ...

    def abort(self) -> None:
        """Cut it."""
        ...


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a handshake is let in with: the guard's grant, the page, and what may be spoken."""

    grant: Grant | None
    origin: str | None
    port: int | None
    own: bool
    """The page, if there is one, is the node's own."""
    dialects: tuple[str, ...]
    picks: Callable[[str], str | None] = field(repr=False)
    """Which of them, if it is on still, has an event of this name."""
    adapter: Callable[[str, Grant], Adapter] = field(repr=False)

    def admits(self, other: Welcome) -> bool:
        """Say whether a later request of the session comes from where its handshake came from.

        A login that a browser adds to a websocket takes nothing from a session that shows a token itself.
        """
        same_page = (self.own and other.own) or self.origin == other.origin
        same_grant = self.grant == other.grant or (self.grant is None and _rides_along(other.grant))
        return same_page and self.port == other.port and same_grant


def _rides_along(grant: Grant | None) -> bool:
    """Say whether a browser has sent this credential by itself."""
    return grant is not None and grant.via == "login"


class Attached(Adapting):
    """One frontend; `line` carries what it is told."""

    def __init__(self, number: int, around: Surroundings, welcome: Welcome, line: Line) -> None:
        super().__init__(number, around, origin=welcome.origin)
        self.welcome, self.port = welcome, welcome.port
        self.dialect = " ".join(welcome.dialects)
        self.connected = False
        self.over = False
        self.attachments = 0
        """Binary frames that still follow an event that was refused."""
        self._line = line
        self._grant = welcome.grant
        self._picked = False
        self._idle = False
        self._handed: list[Item] = []
        self._connects = 0
        self._malformed: deque[float] = deque(maxlen=MAX_MALFORMED)
        self._due = around.clock().mono + HELLO_SECONDS
        self._closing: tuple[int, str] | None = None
        self._ending = False
        self._abort: asyncio.TimerHandle | None = None

    @property
    def grant(self) -> Grant | None:
        """What its credential opens; None before it has shown one."""
        return self._grant

    @property
    def phase(self) -> str:
        """Where the connection is."""
        if self._grant is None:
            return "nameless"
        return super().phase if self._picked else "unpicked"

    # -- what comes -------------------------------------------------------------------------------

    def connect(self, auth: Any) -> None:
        """Judge what a frontend shows when it connects; raises Refused."""
        try:
            self._grant = self._shown(auth)
        except Refused as fault:
            self._refused("connect", fault.code)
            raise
        self.connected = True

    def _shown(self, auth: Any) -> Grant:
        grant = self.welcome.grant
        token = auth.get("token") if isinstance(auth, dict) else None
        if token is not None:
            fits = isinstance(token, str) and len(token) <= MAX_TOKEN
            found = self.around.lookup(str(token), self.around.clock().wall_ms) if fits else None
            if found is None or not (grant in {None, found} or _rides_along(grant)):
                raise Refused("unauthorized", "the token is not valid")
            if found.scope == "read":
                raise Refused("forbidden", "a token of scope read may not use this path")
            grant = found
        if grant is None:
            raise Refused("unauthorized", "a token is needed: auth.token, or ?token= in the URL")
        return grant

    def answered(self) -> None:
        """It was told whether it is connected."""
        if not self.connected:
            self.close(UNAUTHORIZED, "no good credential")
        elif len(self.welcome.dialects) == 1 and not self._picked:
            self.pick(self.welcome.dialects[0])

    def understood(self, text: str) -> socket_io.Packet | None:
        """Read a packet; None where it is none, or not for now."""
        if self._closing is not None or self.over:
            return None
        try:
            packet = socket_io.read(text)
            self._in_place(packet)
        except FrameRefused as fault:
            self._garbled(fault)
            return None
        return packet

    def _in_place(self, packet: socket_io.Packet) -> None:
        """Raise FrameRefused, malformed, where a packet does not belong here."""
        if isinstance(packet, Connect):
            self._connects += 1
            if self._connects > MAX_CONNECTS or (self.connected and packet.namespace == socket_io.MAIN):
                raise FrameRefused("bad_frame", "it is connected already", malformed=True)
        elif isinstance(packet, Spoken | Unreadable) and not (
            self.connected and packet.namespace == socket_io.MAIN
        ):
            raise FrameRefused("bad_frame", "it is not connected to this namespace", malformed=True)

    def _garbled(self, fault: FrameRefused) -> None:
        now = self.around.clock().mono
        self._malformed.append(now)
        if self._picked:
            self._feed(adapted.Garbled(fault))
        else:
            self._refused(adapted.FRAME, fault.code)
        if len(self._malformed) == MAX_MALFORMED and now - self._malformed[0] < MALFORMED_SECONDS:
            self.close(BAD_FRAMES, "three malformed frames in a minute")

    async def said(self, packet: Spoken | Unreadable) -> None:
        """Take what was said, as soon as it has not said too much already."""
        while self._busy and not self.over:  # noqa: ASYNC110 - as below
            await asyncio.sleep(PAUSE)  # the inbox is the daemon's and tells nobody when it drains
        if self.over or self._closing is not None:
            return
        if isinstance(packet, Unreadable):
            self.attachments += packet.attachments
            if self._picked:
                self._feed(adapted.Garbled(packet.fault, packet.mark))
            else:
                self._not_yet(packet.mark, packet.fault.code)
            return
        name = packet.call.name
        if not self._picked:
            found = self.welcome.picks(name)
            if found is None:
                self._not_yet(packet.mark, "unknown_event")
                return
            self.pick(found)
        self._feed(adapted.Said(packet.call, packet.mark))

    def _not_yet(self, mark: int | None, code: str) -> None:
        """Refuse what came before it is known which words are spoken."""
        self._refused(adapted.FRAME, code)
        if mark is not None:
            self._acknowledge(mark, {"ok": False, "error": code})

    def pick(self, dialect: str) -> None:
        """Speak this dialect from here on."""
        grant = self._grant
        assert grant is not None, "connected with a credential"
        self._picked, self.dialect = True, dialect
        adapter = self.welcome.adapter(dialect, grant)
        self.machine = Adapted(
            self.number, adapter=adapter, client=dialect, grant=grant, now=self.around.clock()
        )
        self._feed(adapted.Opened())

    @property
    def _busy(self) -> bool:
        full = self._picked and self.machine.full
        return full or self.around.backlog() >= MAX_BACKLOG or len(self._reads) >= MAX_READS

    # -- what goes --------------------------------------------------------------------------------

    def _encode(self, frame: Frame) -> bytes:
        return socket_io.event(frame.name, frame.args)

    def _queue(self, event: events.Event) -> None:
        if self._closing is None:
            super()._queue(event)

    def _acknowledge(self, mark: int, value: Any) -> None:
        self.outbox.push(Item(socket_io.acknowledgement(mark, value)))
        self._woken()

    def handed(self) -> None:
        """The library has something to get rid of."""
        self._idle = False

    def taken(self) -> None:
        """The library has got rid of all it was handed, and asks for more."""
        handed, self._handed, self._idle = self._handed, [], True
        for item in handed:
            self.outbox.written(item)
        self._woken()

    def _woken(self) -> None:
        if self.outbox.lagged and self._closing is None:
            self.close(SLOW, "too slow")
        if self.over:
            return
        if self._idle:
            self._hand_on()
        if self._closing is not None and not self._ending and self._may_end(self._closing[0]):
            self._ending = True
            self._line.end(*self._closing)

    def _may_end(self, code: int) -> bool:
        """Say whether all was told.

        One that polls is not waited for at a stop. When it is put out it leaves by itself: were it cut off in
        the same answer, its library would see that alone, and try again.
        """
        if self._line.streams:
            return self._idle and not self.outbox.ready
        told = (self._idle or self._line.listens) and not self.outbox.ready
        return code == RESTARTING or (told and code not in PUT_OUT)

    def _hand_on(self) -> None:
        size = 0
        while len(self._handed) < HANDED and size < HANDED_BYTES:
            found = self.outbox.take(1)
            if not found:
                break
            self._handed += found
            size += len(found[0].data)
        if self._handed:
            for item in self._handed:
                self._line.put(item.data)

    # -- the end ----------------------------------------------------------------------------------

    def close(self, code: int, reason: str) -> None:
        """Write what is queued, then close."""
        if self._closing is not None or self.over:
            return
        self._closing = (code, reason)
        if code in PUT_OUT and self.connected:
            self.outbox.push(Item(socket_io.LEFT))
        self._abort = asyncio.get_running_loop().call_later(ABORT_AFTER, self.abort)
        self._woken()

    def _turn_away(self) -> None:
        text = "no credential in time"
        self.outbox.push(Item(socket_io.refusal("unauthorized", text)))
        self.close(NO_HELLO, text)

    def abort(self) -> None:
        """Cut the connection without another word."""
        self._line.abort()

    def tick(self, now: Instant) -> None:
        """Once a second: end what has expired or shows no credential, say what was written."""
        super().tick(now)
        if not self.connected and self._closing is None and now.mono >= self._due:
            self._turn_away()

    async def ended(self) -> None:
        """The session of the library is over."""
        if self.over:
            return
        self.over = True
        if self._abort is not None:
            self._abort.cancel()
        await self._ended()
