"""The SDK: a frontend's side of the native bridge, over the node's unix socket or a websocket with a token.

    async with Client.connect(home=home) as client:
        room = await client.call("room_create", name="tea")
        async for event in client.events():
            ...

Commands, events and codes are those of docs/bridge.md; a refusal is raised as `errors.Refused`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
)

from node.errors import Refused

if TYPE_CHECKING:
    from node.chat import commands

Event: TypeAlias = dict[str, Any]

MAX_WAITING_EVENTS = 10_000
"""Events kept for a program that does not ask for them; then the socket is not read, and the node lags us."""
MAX_FRAME = 16 * 1024 * 1024
"""Bytes of one frame from our own node: a long history with its longest messages."""
CALL_SECONDS = 60.0
OPEN_SECONDS = 10.0
_FIRST_PAUSE, _LAST_PAUSE = 0.1, 15.0
_to_json = json.JSONEncoder(ensure_ascii=False)
_FINAL = frozenset({"unauthorized", "origin_not_allowed", "closed", "invalid"})
"""Faults that another try does not mend."""
_CLOSED = {
    4400: ("bad_frame", "the node could not read what was sent"),
    4401: ("unauthorized", "the token is not valid, was revoked or has expired"),
    4403: ("origin_not_allowed", "the origin was taken off the list"),
    4408: ("unauthorized", "the node waited for a hello"),
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a node is: a unix socket, or a websocket URL with a token."""

    socket: str | None = None
    url: str = "ws://localhost/"
    token: str | None = field(default=None, repr=False)


def target_of(home: Path) -> Target:
    """Read a home's `runtime.json`; raises Refused `not_running`, or `unauthorized` where we may not."""
    try:
        runtime = json.loads((home / "runtime.json").read_bytes())
        bridge, socket = runtime["bridge"], runtime.get("socket")
    except PermissionError as exc:
        text = f"{home / 'runtime.json'} cannot be read: this home is another user's"
        raise Refused("unauthorized", text) from exc
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise _not_running() from exc
    if socket:
        return Target(socket=str(socket))
    try:
        token = (home / "token").read_text(encoding="utf-8").strip()
    except OSError as exc:
        raise Refused("unauthorized", f"{home / 'token'} cannot be read") from exc
    host = f"[{bridge['host']}]" if ":" in bridge["host"] else bridge["host"]
    return Target(url=f"ws://{host}:{bridge['port']}/", token=token)


@dataclass(slots=True)
class _Call:
    """A command that waits for its answer; with a nonce it is sent `again` on the next connection."""

    frame: bytes = field(repr=False)
    again: bool
    answer: asyncio.Future[Event]


class Client:
    """One session with a node; `hello` is the node's answer.

    `position` is what to resume at in another run: everything up to it was handed out by `events`.
    """

    def __init__(self, target: Target, hello: dict[str, Any], *, reconnect: bool = False) -> None:
        self.hello: Event = {}
        self.position: dict[str, Any] | None = hello.get("resume")
        self._reached = self.position
        self._target = target
        self._ask = {key: value for key, value in hello.items() if value is not None}
        self._reconnect = reconnect
        self._ws: ClientConnection | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = False
        self._waiting: dict[int, _Call] = {}
        self._events: asyncio.Queue[Event | None] = asyncio.Queue(MAX_WAITING_EVENTS)
        self._next = 0
        self._fault = Refused("connection_lost", "the connection to the node was lost", retryable=True)

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        *,
        home: Path | str | None = None,
        url: str | None = None,
        token: str | None = None,
        socket: str | None = None,
        reconnect: bool = False,
        **hello: Any,
    ) -> AsyncIterator[Client]:
        """Connect by `home`, by `socket`, or by `url` and `token`; `hello` has subscribe, resume ...

        With `reconnect` a lost connection is made again, and events go on where they stopped.
        Raises Refused: `not_running`, `unauthorized`, `invalid` for what is no address, or what the node
        answers to the hello.
        """
        if home is not None:
            target = await asyncio.to_thread(target_of, Path(home))
        else:
            target = Target(socket=socket) if socket else Target(url=url or "", token=token)
        client = cls(target, hello, reconnect=reconnect)
        try:
            await client._open()
            yield client
        finally:
            await client.close()

    async def call(self, command: str, *, timeout: float = CALL_SECONDS, **keys: Any) -> Event:  # noqa: ASYNC109
        """Send one command and return what its `ok` carries; raises Refused with the node's code.

        Where the client reconnects, one with a `nonce` outlives the connection: it is sent again on the
        next one, and done once all the same.
        """
        again = self._reconnect and keys.get("nonce") is not None
        ready = self._ready or (command == "hello" and self._ws is not None)
        if not ready and (not again or self._fault.code in _FINAL):
            raise self._fault
        self._next += 1
        req = self._next
        frame, loop = _frame({"event": command, "req": req, **keys}), asyncio.get_running_loop()
        waits = self._waiting[req] = _Call(frame, again, loop.create_future())
        alarm: asyncio.TimerHandle | None = None
        try:
            if ready:
                await self._send(waits)
            alarm = loop.call_later(timeout, _expire, waits.answer)
            reply = await waits.answer
        except TimeoutError as exc:
            text = f"the node did not answer {command} in {timeout:g} s"
            raise Refused("timeout", text, retryable=True) from exc
        finally:
            self._waiting.pop(req, None)
            if alarm is not None:
                alarm.cancel()
        if reply["event"] == "error":
            raise _refused(reply)
        return {key: value for key, value in reply.items() if key not in {"event", "req"}}

    async def ask(self, command: commands.Command, *, timeout: float = CALL_SECONDS) -> Event:  # noqa: ASYNC109
        """Send a command as `node.chat.commands` has it, checked by the type checker; otherwise as `call`."""
        keys = msgspec.to_builtins(command)
        return await self.call(keys.pop("event"), timeout=timeout, **keys)

    async def events(self, *, reconnect: bool = False) -> AsyncIterator[Event]:
        """Yield every event as it comes, none lost and none twice; `reconnect` as in `connect`.

        Without it, the end of the connection ends the iteration, with Refused unless it was closed by
        `close`.
        """
        self._reconnect = self._reconnect or reconnect
        if self._ws is None and self._reconnect and not self._tasks:
            self._start(self._return())
        while (event := await self._events.get()) is not None:
            self.position = _moved(self.position, event)
            yield event
        if self._fault.code != "closed":
            raise self._fault

    async def close(self) -> None:
        """Leave; calls that wait are refused."""
        self._fault = Refused("closed", "the connection was closed")
        if self._ws is not None:
            await self._ws.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._refuse(also_again=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="client")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self) -> None:
        ws = self._ws = await _dial(self._target)
        self._start(self._read(ws))
        ask = {**self._ask, **({"resume": self._reached} if self._reached else {})}
        try:
            self.hello = await self.call("hello", timeout=OPEN_SECONDS, **ask)
        except Refused:
            await ws.close()
            raise
        self._anchor()
        self._ready = True
        for waits in list(self._waiting.values()):
            await self._send(waits)

    async def _send(self, waits: _Call) -> None:
        """Send a command; if the connection goes meanwhile, its reader settles what becomes of it."""
        if self._ws is not None:
            with contextlib.suppress(ConnectionClosed):
                await self._ws.send(waits.frame, text=True)

    def _anchor(self) -> None:
        """Start where the hello says; a locked node does not know, and says hello again when it is opened."""
        if self.hello["log_epoch"]:
            start = {"epoch": self.hello["log_epoch"], "seq": self.hello["seq"]}
            self.position, self._reached = self.position or start, self._reached or start

    async def _read(self, ws: ClientConnection) -> None:
        try:
            while True:
                event = msgspec.json.decode(await ws.recv(decode=False))
                if not self._settle(event):
                    await self._events.put(event)
                self._note(event)
        except ConnectionClosed as exc:
            self._fault = self._fault_of(exc)
        if self._fault.code != "closed" and self._ws is ws and ws.close_code is not None:
            self._fault = self._fault_for(ws.close_code)
        entered, self._ready, self._ws = self._ready, False, None
        self._refuse(also_again=self._fault.code in _FINAL)
        if not entered:
            return  # whoever opens it hears of it
        if self._reconnect and self._fault.code not in _FINAL:
            self._start(self._return())
        else:
            await self._events.put(None)

    async def _return(self) -> None:
        """Connect again, however long it takes; what the node refuses for good ends it."""
        pause = _FIRST_PAUSE
        while True:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE)
            try:
                return await self._open()
            except Refused as fault:
                self._fault = fault
                if fault.code in _FINAL:
                    self._refuse(also_again=True)
                    return await self._events.put(None)

    def _refuse(self, *, also_again: bool) -> None:
        for waits in self._waiting.values():
            if not waits.answer.done() and (also_again or not waits.again):
                waits.answer.set_exception(self._fault)

    def _settle(self, event: Event) -> bool:
        if event.get("event") not in {"ok", "error", "hello"}:
            return False
        waits = self._waiting.get(event.get("req", -1))
        if waits is None or waits.answer.done():
            return False
        if event.get("code") == "resync_required":  # told beside the hello, not instead of it
            return False
        waits.answer.set_result(event)
        return True

    def _note(self, event: Event) -> None:
        if event.get("event") == "hello" and self._ready:
            self.hello = event
            self._anchor()
        self._reached = _moved(self._reached, event)

    def _fault_of(self, exc: ConnectionClosed) -> Refused:
        return self._fault_for(exc.rcvd.code if exc.rcvd is not None else 1006)

    def _fault_for(self, code: int) -> Refused:
        if self._fault.code == "closed":
            return self._fault
        lost = ("connection_lost", f"the connection to the node was lost ({code})")
        name, text = _CLOSED.get(code, lost)
        return Refused(name, text, retryable=code not in _CLOSED)


def _moved(position: dict[str, Any] | None, event: Event) -> dict[str, Any] | None:
    """Return where `event` leaves a position; a hello names the end of a replay that is still to come."""
    seq = event.get("seq")
    if event.get("event") == "error" and event.get("code") == "resync_required":
        return {"epoch": event["log_epoch"], "seq": event["seq"]}
    if event.get("event") == "hello" or not isinstance(seq, int) or position is None:
        return position
    return {**position, "seq": max(seq, position["seq"])}


async def _dial(target: Target) -> ClientConnection:
    more: dict[str, Any] = {"compression": None, "max_size": MAX_FRAME, "open_timeout": OPEN_SECONDS}
    try:
        if target.socket is not None:
            return await unix_connect(target.socket, "ws://localhost/?hello=1", **more)
        headers = {} if target.token is None else {"Authorization": f"Bearer {target.token}"}
        return await connect(_announced(target.url), additional_headers=headers, proxy=None, **more)
    except InvalidStatus as exc:
        if exc.response.status_code in {401, 403, 421}:
            raise Refused("unauthorized", "the node does not accept this token, origin or host") from exc
        raise Refused("connection_lost", f"the node answered {exc.response.status_code}") from exc
    except InvalidURI as exc:
        raise Refused(
            "invalid", f"{target.url!r} is no address of a bridge: ws://HOST:PORT", field="url"
        ) from exc
    except (OSError, InvalidMessage, InvalidHandshake) as exc:
        raise _not_running() from exc


def _announced(url: str) -> str:
    parts = urlsplit(url)
    query = "&".join(part for part in (parts.query, urlencode({"hello": 1})) if part)
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query, ""))


def _not_running() -> Refused:
    return Refused("not_running", "no node is running here; start it:  gossamer run", retryable=True)


def _expire(answer: asyncio.Future[Event]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


def _frame(command: Event) -> bytes:
    """Write a command as JSON; what is not Unicode text (bytes of a terminal, of a file) is refused here."""
    try:
        return _to_json.encode(command).encode()
    except UnicodeEncodeError as exc:
        raise Refused("invalid", "this is not UTF-8 text") from exc


def _refused(reply: Event) -> Refused:
    known = {"event", "req", "code", "message", "field", "retryable", "retry_after"}
    return Refused(
        str(reply.get("code", "internal")),
        str(reply.get("message", "")),
        field=reply.get("field"),
        retryable=bool(reply.get("retryable")),
        retry_after=reply.get("retry_after"),
        **{key: value for key, value in reply.items() if key not in known},
    )
