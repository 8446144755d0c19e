"""The paths of the dialects beside the native one, and the least scope of each (docs/bridge.md section 5).

What is on is the owner's decision; the guard answers 404 where no enabled dialect speaks.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

from node.bridge.ports import Scope

Route: TypeAlias = tuple[str, str]
"""Method and path as aiohttp spells it; `{name}` stands for one part of a path."""
DialectName: TypeAlias = Literal["001", "002", "003", "004"]
DIALECTS: Final[tuple[DialectName, ...]] = ("001", "002", "003", "004")
SOCKET_IO: Final = ("/socket.io/", "/socket.io")
CRON: Final[Route] = ("DELETE", "/api/cronjob/cron/check-inactive-users")
"""The one path that opens to a secret of its own, and to nothing else."""
EVENTS: Final = ("/ws/events", "/ws/events/")
WEBSOCKETS: Final = ("/ws", *EVENTS)
"""Where frames are text over a plain websocket."""
_SOCKET_IO: Final[dict[Route, Scope]] = {
    (method, path): "chat" for path in SOCKET_IO for method in ("GET", "POST")
}
_HTTP_003: Final[dict[Route, Scope]] = {
    ("GET", "/api/chats"): "read",
    ("PUT", "/api/chats/{username}"): "chat",
    ("GET", "/api/chats/{username}/messages"): "read",
    ("GET", "/api/self"): "read",
    ("GET", "/api/notifications"): "read",
    ("POST", "/api/notifications/mark_all_as_read"): "chat",
    ("POST", "/notifications/mark_all_as_read"): "chat",
    ("GET", "/api/users"): "read",
    ("GET", "/api/users/{username}"): "read",
    ("POST", "/api/users/{username}/friends"): "chat",
    ("DELETE", "/api/users/{username}/friends"): "chat",
    ("POST", "/api/users/{username}/blocked_users"): "chat",
    ("DELETE", "/api/users/{username}/blocked_users"): "chat",
    ("POST", "/api/logout"): "read",
    CRON: "read",
}
"""Each is there with a slash at its end, too."""


def _slashed(routes: dict[Route, Scope]) -> dict[Route, Scope]:
    return {(method, path + end): scope for (method, path), scope in routes.items() for end in ("", "/")}


ROUTES_OF: Final[dict[DialectName, dict[Route, Scope]]] = {
    "001": {("GET", "/ws"): "chat"},
    "002": _SOCKET_IO,
    "003": _slashed({("GET", "/ws/events"): "chat", **_HTTP_003}),
    "004": _SOCKET_IO,
}
"""The least scope of every route of every dialect."""
DIALECT_ROUTES: Final[dict[Route, Scope]] = {
    route: scope for routes in ROUTES_OF.values() for route, scope in routes.items()
}


def pattern_of(path: str) -> re.Pattern[str]:
    """Return what matches the paths that a route is for."""
    return re.compile("[^/]+".join(re.escape(part) for part in re.split(r"\{\w+\}", path)))


_PATHS: Final = tuple(
    (pattern_of(path), name) for name, routes in ROUTES_OF.items() for _method, path in routes
)
_KNOWN: Final = {
    path: frozenset(name for name, routes in ROUTES_OF.items() if any(path == known for _, known in routes))
    for _method, path in DIALECT_ROUTES
    if "{" not in path
}
_VARIABLE: Final = tuple((pattern, name) for pattern, name in _PATHS if "[^/]+" in pattern.pattern)


def speakers(path: str) -> frozenset[DialectName]:
    """Return the dialects whose path this is, on or not, whatever the method; none of most paths."""
    known = _KNOWN.get(path)
    if known is not None:
        return known
    return frozenset(name for pattern, name in _VARIABLE if pattern.fullmatch(path))
