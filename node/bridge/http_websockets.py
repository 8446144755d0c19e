"""Websockets, from the request to the frontend on it: the native dialect, and those that adapters translate.

The guard has admitted the request and said which dialects are on where it came in (docs/bridge.md 4, 5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeVar

from aiohttp import web

from node.bridge import guard
from node.bridge.adapted import Adapted
from node.bridge.close_codes import NO_CREDENTIAL, NO_ROOM, UNAUTHORIZED
from node.bridge.dialects.adapter import Setting
from node.bridge.dialects.base import Dialect
from node.bridge.dialects.native import NativeJson, NativeMsgpack
from node.bridge.dialects.registry import ADAPTERS, TEXTUAL
from node.bridge.guard import Admit, Grant
from node.bridge.http_adapted import AdaptedSocket
from node.bridge.http_frontend import Surroundings
from node.bridge.http_routes import VIEW, problem
from node.bridge.http_socket import CLOSE_SECONDS, Connection, Socket
from node.bridge.ports import DialectRecord
from node.bridge.session import Session

MAX_FRAME: Final = 1024 * 1024
"""Bytes of one frame; a longer one closes the socket with 1009."""
A = TypeVar("A", bound=Socket)


class Host(Protocol):
    """What is needed of the bridge."""

    @property
    def around(self) -> Surroundings:
        """What every frontend shares."""
        ...

    @property
    def records(self) -> Mapping[str, DialectRecord]:
        """What the owner set of the dialects that are on."""
        ...

    def room(self, grant: Grant | None) -> bool:
        """Say whether one more frontend may be attached."""
        ...

    def stands(self, grant: Grant | None) -> bool:
        """Say whether what a grant rests on is still there."""
        ...

    def attach(self, grant: Grant | None, make: Callable[[int], A]) -> A | None:
        """Make a frontend with a new number and keep it; None if there are too many."""
        ...

    def detach(self, number: int) -> None:
        """Forget a frontend that is gone."""
        ...


async def serve(host: Host, request: web.Request, admit: Admit) -> web.StreamResponse:
    """Serve one websocket until it is closed."""
    if not host.room(admit.grant):
        return problem(503, "busy", "too many frontends are connected, or the node is stopping")
    known = tuple(entry for entry in request[VIEW].protocols if entry in guard.PROTOCOLS)
    ws = web.WebSocketResponse(
        protocols=known or request[VIEW].protocols,  # a browser insists on one of those it offered
        max_msg_size=MAX_FRAME + 1,
        compress=False,
        timeout=CLOSE_SECONDS,
    )
    await ws.prepare(request)
    if not host.stands(admit.grant):
        await ws.close(code=UNAUTHORIZED)
        return ws
    if admit.dialects and admit.grant is None:
        await ws.close(code=NO_CREDENTIAL, message=b"a token or a login is needed")
        return ws
    made = host.attach(admit.grant, lambda number: _frontend(host, number, ws, request, admit))
    if made is None:
        await ws.close(code=NO_ROOM)
        return ws
    try:
        await made.run()
    finally:
        host.detach(made.number)
    return ws


def _frontend(
    host: Host, number: int, ws: web.WebSocketResponse, request: web.Request, admit: Admit
) -> Socket:
    made = (_adapted if admit.dialects else _native)(host, number, ws, request, admit)
    made.port, made.stream = request[VIEW].port, request.writer
    return made


def _native(host: Host, number: int, ws: web.WebSocketResponse, request: web.Request, admit: Admit) -> Socket:
    dialect: Dialect = NativeMsgpack() if ws.ws_protocol == "gossamer.v1.msgpack" else NativeJson()
    session = Session(
        number,
        grant=admit.grant,
        announced="hello" in request.query,
        dialect=dialect,
        lookup=host.around.lookup,
        now=host.around.clock(),
    )
    return Connection(ws, session, host.around, origin=_origin(request), transport=request.transport)


def _adapted(
    host: Host, number: int, ws: web.WebSocketResponse, request: web.Request, admit: Admit
) -> Socket:
    assert admit.grant is not None
    (name,) = admit.dialects  # over plain websockets each has a path of its own
    record = host.records.get(name, DialectRecord(name))
    adapter = ADAPTERS[name](Setting(admit.grant.scope, record.rooms, f"{request.scheme}://{request.host}"))
    running = Adapted(number, adapter=adapter, client=name, grant=admit.grant, now=host.around.clock())
    made = AdaptedSocket(
        ws, running, TEXTUAL[name](), host.around, origin=_origin(request), transport=request.transport
    )
    made.dialect = name
    return made


def _origin(request: web.Request) -> str | None:
    origins = request[VIEW].origins
    return origins[0] if origins else None
