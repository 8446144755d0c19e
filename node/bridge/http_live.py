"""The HTTP paths of the dialect 003 on the bridge: a request becomes a talk, its reply a response.

Who may ask, and whether these paths are there at all, is the guard's decision, as with every route
(docs/bridge.md sections 4 and 5).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from node.bridge.dialect_routes import CRON, ROUTES_OF
from node.bridge.dialects.adapter import Ask, Reply, Setting, Talk
from node.bridge.dialects.live_003.http import LOGOUT, answer
from node.bridge.guard import Grant, Request
from node.bridge.http_talks import Came, body_of, told
from node.bridge.one_talk import Asker

if TYPE_CHECKING:
    from node.bridge.http_routes import Door

EVENTS: Final = "/ws/events"
CLIENT, SWEEPER = "003 http", "cron"


def paths() -> set[tuple[str, str]]:
    """Return every method and path, with and without the slash at its end."""
    return {route for route in ROUTES_OF["003"] if not route[1].startswith(EVENTS)}


def add(app: web.Application, handler: Handler) -> None:
    """Put the paths into the application."""
    for method, path in sorted(paths()):
        add_route = app.router.add_get if method == "GET" else partial(app.router.add_route, method)
        add_route(path, handler)


async def answered(
    request: web.Request, door: Door, view: Request, grant: Grant | None
) -> web.StreamResponse:
    """Answer a request that the guard has let in."""
    if grant is None:
        return response(told(401, "unauthorized", "a token is needed"))
    path, asker = request.rel_url.raw_path, asker_of(request.method, view.path, grant)
    query = {key: value for key, value in request.query.items() if key != "token"}
    setting = Setting(asker.grant.scope, base=f"{request.scheme}://{request.host}")

    async def talk() -> Talk[Reply]:
        return answer(Ask(request.method, path, query, await body_of(request)), setting)

    came = Came(view.origins[0] if view.origins else None, view.port)
    reply = await door.talks.answer(asker, came, talk)
    made = response(reply)
    if view.path.removesuffix("/") == LOGOUT and reply.status == 204 and view.cookie is not None:
        door.end_login(view.cookie)
        made.del_cookie(door.cookie_at(view.port), path="/", httponly=True, samesite="Strict")
    return made


def asker_of(method: str, path: str, grant: Grant) -> Asker:
    """Return who asks: a frontend, or what calls the sweep, which is nobody's and may do that alone."""
    if (method, path.removesuffix("/")) == CRON:
        return Asker(replace(grant, scope="chat"), SWEEPER, passing=False)
    return Asker(grant, CLIENT)


def response(reply: Reply) -> web.Response:
    """Return what is sent."""
    if reply.body is None:
        return web.Response(status=reply.status)
    try:
        body = msgspec.json.encode(reply.body)
    except UnicodeError:  # a frontend's own half of a pair of surrogates, said back to it
        return response(told(422, "invalid", "this is no text"))
    return web.Response(status=reply.status, body=body, content_type="application/json")
