"""The HTTP paths of the dialect 003 on the bridge: a request becomes a talk, its reply a response.

Who may ask, and whether these paths are there at all, is the guard's decision, as with every route
(docs/bridge.md sections 4 and 5).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import msgspec
from aiohttp import web

from node.bridge.dialects.adapter import Ask, Reply
from node.bridge.dialects.live_003.http import LOGOUT, PATHS, SWEEP
from node.bridge.http_talks import BadBody, body_of, told

Answering = Callable[[web.Request, Ask], Awaitable[Reply]]
SWEEPER: Final = "cron"
"""What a caller of the sweep is called: it has no other name."""


def paths() -> set[tuple[str, str]]:
    """Return every method and path, with and without the slash at its end."""
    named = {path.replace("{}", "{username}"): methods for path, methods in PATHS.items()}
    return {
        (method, path + end) for path, methods in named.items() for method in methods for end in ("", "/")
    }


def add(app: web.Application, answering: Answering) -> None:
    """Put the paths into the application."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            body = await body_of(request)
        except BadBody as fault:
            return response(told(400, "bad_request", str(fault)))
        query = dict(request.query)
        query.pop("token", None)
        return response(
            await answering(request, Ask(request.method, request.raw_path.partition("?")[0], query, body))
        )

    for method, path in sorted(paths()):
        add_route = app.router.add_get if method == "GET" else partial(app.router.add_route, method)
        add_route(path, answer)


def response(reply: Reply) -> web.Response:
    """Return what is sent."""
    if reply.body is None:
        return web.Response(status=reply.status)
    try:
        body = msgspec.json.encode(reply.body)
    except UnicodeError:  # a frontend's own half of a pair of surrogates, said back to it
        return response(told(422, "invalid", "this is no text"))
    return web.Response(status=reply.status, body=body, content_type="application/json")


def is_sweep(ask: Ask) -> bool:
    """Say whether nobody's frontend asks, but what calls the sweep."""
    return ask.path.rstrip("/") == SWEEP


def is_logout(ask: Ask, reply: Reply) -> bool:
    """Say whether somebody logged out with this."""
    return ask.method == "POST" and ask.path.rstrip("/") == LOGOUT and reply.status == 204
