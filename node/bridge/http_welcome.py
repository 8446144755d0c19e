"""What a Socket.IO handshake is let in with: the page, what it may speak, and what makes the adapter."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web

from node.bridge.dialects.adapter import Adapter, Setting
from node.bridge.dialects.registry import ADAPTERS, VOCABULARIES
from node.bridge.guard import Admit, Grant, Policy
from node.bridge.http_routes import VIEW
from node.bridge.http_socketio_frontend import Welcome
from node.bridge.ports import DialectRecord


def welcome(
    request: web.Request,
    admit: Admit,
    policy: Callable[[], Policy],
    records: Callable[[], Mapping[str, DialectRecord]],
) -> Welcome:
    """Return what this handshake, or a later request of the same session, comes with.

    `policy` and `records` are asked again when one of several dialects is picked: the owner may have changed
    them meanwhile.
    """
    view = request[VIEW]
    origin = view.origins[0] if view.origins else None
    there = policy().at(view.port)
    own = policy().own_origins if there is None else there.own_origins
    base = f"{request.scheme}://{request.host}"

    def spoken() -> tuple[str, ...]:
        on = (name for name in admit.dialects if name in VOCABULARIES)
        return tuple(name for name in on if policy().welcome(name, view.port, origin))

    def picks(event: str) -> str | None:
        return next((name for name in spoken() if event in VOCABULARIES[name]), None)

    def adapter(name: str, grant: Grant) -> Adapter:
        record = records().get(name, DialectRecord(name))
        return ADAPTERS[name](Setting(scope=grant.scope, rooms=record.rooms, base=base))

    return Welcome(
        admit.grant,
        origin,
        port=view.port,
        own=origin is None or origin in own,
        dialects=spoken(),
        picks=picks,
        adapter=adapter,
    )
