"""The guard as a matrix: every Host x Origin x path x transport x credential; only the listed cells open."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from node.bridge import guard
from node.bridge.dialect_routes import DIALECT_ROUTES
from node.bridge.guard import Admit, Credentials, Policy, Preflight, Request, decide
from node.bridge.logins import Logins
from node.bridge.ports import CredentialsChanged, TokenRecord, hash_token
from tests.bridge.fake_engine import ADMIN, Bridge, clock, counted_entropy

PORT = 7117
CHILD, OLD, WRONG = "c" * 43, "o" * 43, "w" * 43
ALLOWED = "http://localhost:5173"

HOSTS: dict[str, tuple[str, ...]] = {
    "good": ("127.0.0.1:PORT",),
    "by name": ("localhost:PORT",),
    "attacker": ("attacker.example",),
    "attacker, our port": ("attacker.example:PORT",),
    "nip": ("127.0.0.1.nip.io:PORT",),
    "dot": ("localhost.:PORT",),
    "decimal": ("2130706433:PORT",),
    "hex": ("0x7f000001:PORT",),
    "mapped": ("[::ffff:127.0.0.1]:PORT",),
    "absent": (),
    "two": ("127.0.0.1:PORT", "attacker.example"),
}
ORIGINS: dict[str, str | None] = {
    "none": None,
    "null": "null",
    "evil": "https://evil.example",
    "sub": "http://sub.localhost:PORT",
    "other port": "http://localhost:1",
    "file": "file://",
    "https": "https://127.0.0.1:PORT",
    "allowed": ALLOWED,
    "own": "http://127.0.0.1:PORT",
}
PATHS = (
    "/",
    "/bridge",
    "/api/v1/health",
    "/api/v1/schema",
    "/api/v1/metrics",
    "/api/v1/attachments/x",
)
TRANSPORTS = ("websocket", "GET", "POST", "OPTIONS")
CREDENTIALS = ("none", "bad", "good", "child read", "expired", "cookie")


class Cell(NamedTuple):
    """One request."""

    host: str
    origin: str
    path: str
    transport: str
    credential: str


def cells() -> Iterator[Cell]:
    return map(Cell._make, itertools.product(HOSTS, ORIGINS, PATHS, TRANSPORTS, CREDENTIALS))


def opened() -> set[Cell]:
    """Every cell that opens, listed by what a person would say; whatever is not here is shut."""
    found: set[Cell] = set()
    for host, path in itertools.product(("good", "by name"), PATHS):
        for transport in ("websocket", "GET", "POST"):
            # a token, from a program or from a page of ours or of the list
            for credential, origin in itertools.product(("good", "child read"), ("none", "own", "allowed")):
                found.add(Cell(host, origin, path, transport, credential))
        for origin in ("own", "allowed"):
            # a login, where the browser says which page asks; it reads, and opens sockets
            found |= {Cell(host, origin, path, one, "cookie") for one in ("websocket", "GET")}
        # a preflight of ours or of the list, whoever asks: it carries no credential by its nature
        found |= {
            Cell(host, origin, path, "OPTIONS", credential)
            for origin, credential in itertools.product(("own", "allowed"), CREDENTIALS)
        }
        # a program that asks OPTIONS with a token is let through to be told that there is no such method
        found |= {Cell(host, "none", path, "OPTIONS", credential) for credential in ("good", "child read")}
    for host in ("good", "by name"):
        # what is public: the page and health, to be read, by whoever may ask at all
        for path, origin in itertools.product(("/", "/api/v1/health"), ("none", "own", "allowed")):
            found.add(Cell(host, origin, path, "GET", "none"))
        found |= {Cell(host, "none", path, "GET", "cookie") for path in ("/", "/api/v1/health")}
        # a program that says hello with a token after the upgrade; it is told nothing before
        found |= {
            Cell(host, "none", path, "websocket", one)
            for path in ("/", "/bridge")
            for one in ("none", "cookie")
        }
    return found


OPEN = opened()
LOGINS = Logins(ADMIN, counted_entropy())
TOKENS = (
    TokenRecord("bot", "read", hash_token(CHILD), 0, None),
    TokenRecord("old", "owner", hash_token(OLD), 0, 1),
)


def test_the_matrix_is_large_and_mostly_shut() -> None:
    total = sum(1 for _ in cells())
    assert total > 14_000 and set(cells()) > OPEN and len(OPEN) < total / 20


def request(cell: Cell, cookie: str) -> Request:
    token = {"bad": WRONG, "good": ADMIN, "child read": CHILD, "expired": OLD}.get(cell.credential)
    origin = ORIGINS[cell.origin]
    return Request(
        "GET" if cell.transport == "websocket" else cell.transport,
        cell.path,
        websocket=cell.transport == "websocket",
        hosts=tuple(host.replace("PORT", str(PORT)) for host in HOSTS[cell.host]),
        origins=() if origin is None else (origin.replace("PORT", str(PORT)),),
        query_tokens=() if token is None else (token,),
        cookie=cookie if cell.credential == "cookie" else None,
        fetch_site="cross-site",
    )


def test_only_the_listed_cells_open() -> None:
    now = 1_730_000_000_000  # `null` opens nothing even where somebody got it onto the list
    hosts = guard.hosts_of(PORT)
    listed, known = frozenset({ALLOWED, "null"}), Credentials(hash_token(ADMIN), TOKENS)
    policy = Policy(hosts, guard.own_origins_of(hosts), listed, known, LOGINS.valid, own_uid=0)
    cookie = LOGINS.redeem(LOGINS.create(now), now)
    assert cookie is not None
    found = {
        cell for cell in cells() if isinstance(decide(request(cell, cookie), policy, now), Admit | Preflight)
    }
    assert found == OPEN


SMALL = {
    "host": ("good", "attacker", "nip", "decimal", "absent", "two"),
    "origin": tuple(ORIGINS),
    "path": ("/", "/api/v1/schema"),
    "transport": ("websocket", "GET", "OPTIONS"),
    "credential": ("none", "good", "cookie"),
}


async def ask(bridge: Bridge, cell: Cell, cookie: tuple[str, str]) -> tuple[int, dict[str, str]]:
    """Ask the listening server, byte by byte; returns status and headers."""
    at, origin = str(bridge.port), ORIGINS[cell.origin]
    target = cell.path + (f"?token={ADMIN}" if cell.credential == "good" else "")
    lines = [f"{'GET' if cell.transport == 'websocket' else cell.transport} {target} HTTP/1.1"]
    lines += [f"Host: {host.replace('PORT', at)}" for host in HOSTS[cell.host]]
    lines += [f"Origin: {origin.replace('PORT', at)}"] if origin is not None else []
    lines += [f"Cookie: {cookie[0]}={cookie[1]}"] if cell.credential == "cookie" else []
    if cell.transport == "websocket":
        key = base64.b64encode(bytes(16)).decode()
        lines += ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
        lines += [f"Sec-WebSocket-Key: {key}"]
    reader, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
    writer.write("\r\n".join([*lines, "", ""]).encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    writer.close()
    await writer.wait_closed()
    headers = (line.partition(": ") for line in head[1:] if line)
    return int(head[0].split()[1]), {name.lower(): value for name, _, value in headers}


async def test_a_listening_bridge_opens_the_same_cells(bridge: Bridge) -> None:
    bridge.server.perform(CredentialsChanged(TOKENS, (ALLOWED,)))
    now = clock().wall_ms
    value = bridge.server.redeem(bridge.server.login_url().partition("code=")[2], bridge.port)
    assert value is not None and now
    cookie = (bridge.server.cookie_at(bridge.port), value[0])
    asked = [Cell(*cell) for cell in itertools.product(*SMALL.values())]
    assert len(asked) >= 900
    for cell in asked:
        status, headers = await ask(bridge, cell, cookie)
        # past the guard there may still be no such method or route, or no upgrade there
        shut = status in {400, 401, 403, 413, 421}
        assert shut != (cell in OPEN), (cell, status)
        cors = headers.get("access-control-allow-origin")
        assert cors in {None, ALLOWED, f"http://127.0.0.1:{bridge.port}"}, cell
        if shut:
            assert cors is None, cell
        if cell.transport == "OPTIONS" and cell.origin == "allowed" and not shut:
            assert (status, cors, headers["vary"]) == (204, ALLOWED, "Origin")
            assert headers["access-control-allow-credentials"] == "true"


@pytest.mark.parametrize("word", ["SCOPES", "SHOWN", "ROUTES"])
def test_no_decision_is_about_what_does_not_exist(word: str) -> None:
    from node.bridge.http_routes import make_app, routes
    from node.chat import commands, events

    there: dict[str, Any] = {
        "SCOPES": commands.BY_NAME.keys(),
        "SHOWN": events.BY_NAME.keys(),
        "ROUTES": {route for route in routes(make_app(None)) if route[0] != "HEAD"},  # type: ignore[arg-type]
    }
    decided = getattr(guard, word).keys()
    assert decided >= there[word]
    assert decided - there[word] <= (DIALECT_ROUTES.keys() if word == "ROUTES" else set())
