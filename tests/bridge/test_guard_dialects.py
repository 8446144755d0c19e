"""The guard about other dialects, cell by cell: port x Host x Origin x path x transport x credential."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from node.bridge import guard
from node.bridge.dialect_routes import DIALECT_ROUTES, DIALECTS, ROUTES_OF, speakers
from node.bridge.guard import Admit, Credentials, Deny, Policy, Preflight, Request, Spoken, decide
from node.bridge.ports import TokenRecord, hash_token
from tests.bridge.fake_engine import ADMIN

NOW = 1_730_000_000_000
CHILD, WRONG, CRON = "c" * 43, "w" * 43, "5" * 64
MAIN = 7117
PORTS = {MAIN: None, 3001: "001", 3003: "003", 3004: "004"}
"""Which dialect has which port of its own; 003 serves a build there and speaks TLS, 002 has none."""
GENERAL = "http://localhost:1000"
OF = {"001": "http://localhost:1001", "002": "http://localhost:1002", "003": "https://localhost:1003"}
OF |= {"004": "http://localhost:1004"}


def own(port: int) -> str:
    return f"http{'s' if port == 3003 else ''}://127.0.0.1:{port}"


HOSTS = {"own": "127.0.0.1:{port}", "main": f"localhost:{MAIN}", "attacker": "attacker.example:{port}"}
ORIGINS = {"none": None, "null": "null", "evil": "https://evil.example", "own": "own", "plain": "plain"}
ORIGINS |= {"main": own(MAIN), "general": GENERAL, **OF}
SOCKET_IO = ("/socket.io/", "/socket.io")
CHAT = {"/ws": {"001"}, **{path: {"002", "004"} for path in SOCKET_IO}}
CHAT |= {"/ws/events": {"003"}, "/ws/events/": {"003"}}
HTTP = ("/api/chats", "/api/chats/", "/api/users/x/friends", "/api/self", "/api/chats/a%2Fb")
SPOKEN = CHAT | {path: {"003"} for path in HTTP}
SWEEP = "/api/cronjob/cron/check-inactive-users"
LINK = "/api/v1/attachments/x?cap"
OTHERS = ("/", "/bridge", "/api/v1/health", "/api/v1/login", "/api/v1/schema", "/api/v1/attachments/x")
OTHERS += ("/assets/app.js", "/api/other")
PATHS = (*SPOKEN, SWEEP, LINK, *OTHERS)
TRANSPORTS = ("websocket", "GET", "POST", "DELETE", "OPTIONS")
CREDENTIALS = ("none", "bad", "good", "child", "cookie", "own cookie", "dead cookie", "cron")


class Cell(NamedTuple):
    port: int
    host: str
    origin: str
    path: str
    transport: str
    credential: str


def cells() -> Iterator[Cell]:
    return map(Cell._make, itertools.product(PORTS, HOSTS, ORIGINS, PATHS, TRANSPORTS, CREDENTIALS))


def spoken(name: str) -> Spoken:
    port = next((port for port, mine in PORTS.items() if mine == name), None)
    if port is None:
        return Spoken(name, frozenset({OF[name]}))
    hosts, tls = guard.hosts_of(port), name == "003"
    origins = guard.own_origins_of(hosts, tls=tls)
    return Spoken(name, frozenset({OF[name]}), port, hosts, origins, serves=name == "003")


def policy(on: set[str]) -> Policy:
    hosts = guard.hosts_of(MAIN)
    return Policy(
        hosts=hosts,
        own_origins=guard.own_origins_of(hosts),
        origins=frozenset({GENERAL}),
        credentials=Credentials(hash_token(ADMIN), (TokenRecord("bot", "read", hash_token(CHILD), 0),)),
        cookie_valid=lambda cookie, _now, at: cookie == f"good at {at}",
        own_uid=1,
        capability=lambda _path, cap, _now: guard.Grant("read", "link") if cap == "good" else None,
        dialects=tuple(spoken(name) for name in DIALECTS if name in on),
        cron_valid=lambda secret: secret == CRON,
    )


def request(cell: Cell) -> Request:
    origin = ORIGINS[cell.origin]
    origin = {"own": own(cell.port), "plain": f"http://127.0.0.1:{cell.port}"}.get(str(origin), origin)
    good = f"good at {0 if PORTS[cell.port] is None else cell.port}"
    token = {"bad": WRONG, "good": ADMIN, "child": CHILD, "cron": CRON}.get(cell.credential)
    return Request(
        "GET" if cell.transport == "websocket" else cell.transport,
        cell.path.partition("?")[0],
        port=cell.port,
        websocket=cell.transport == "websocket",
        hosts=(HOSTS[cell.host].format(port=cell.port),),
        origins=() if origin is None else (origin,),
        authorization=() if token is None else (f"Bearer {token}",),
        cookie={"cookie": good, "own cookie": good, "dead cookie": "dead"}.get(cell.credential),
        capabilities=("good",) if cell.path == LINK else (),
        fetch_site={"own cookie": "same-origin", "cookie": "same-site"}.get(cell.credential),
    )


def there(cell: Cell, on: set[str]) -> set[str] | None:
    """The dialects that are spoken at a cell's port and path; None where no dialect has the path."""
    mine = {"003"} if cell.path == SWEEP else SPOKEN.get(cell.path)
    at = PORTS[cell.port]
    return None if mine is None else mine & on & (on if at is None else {at})


def expected(cell: Cell, on: set[str]) -> str:
    """What a person would say: a refusal's status, or what is opened and to whom."""
    at = PORTS[cell.port]
    if cell.host == "attacker" or (cell.host == "main" and cell.port != MAIN):
        return "421"
    here, reads = there(cell, on), cell.transport in {"GET", "OPTIONS"}
    link = cell.path == LINK and reads and cell.credential not in {"bad", "good", "child", "cron"}
    build = at == "003" and reads and not cell.path.startswith("/api/") and here is None
    login = cell.path == "/api/v1/login" and reads
    if here is not None and not here:
        return "404"
    if here is None and at is not None and not (link or build or login):
        return "404"
    # whose page: of the port itself; on dialect paths and ports only those of the dialect
    if here is not None:
        pages = {OF[name] for name in here}
    elif at is not None:
        pages = {OF[at]}
    else:
        pages = {GENERAL} | ({OF[name] for name in on} if link else set())
    mine = cell.origin == "own" or (cell.origin == "plain" and cell.port != 3003)
    mine |= cell.origin == "main" and cell.port == MAIN
    if cell.origin != "none" and not mine and ORIGINS[cell.origin] not in pages:
        return "403"
    if cell.transport == "OPTIONS" and cell.origin != "none":
        return "preflight"
    return credential(cell, here, public=cell.transport == "GET" and (build or login))


def credential(cell: Cell, here: set[str] | None, *, public: bool) -> str:
    if cell.path == SWEEP and cell.transport == "DELETE":
        return "cron" if cell.credential == "cron" else "401"
    if cell.credential in {"bad", "cron"}:
        return "401"
    least = "chat" if cell.path in CHAT and cell.transport in {"websocket", "GET"} else "read"
    if cell.path in SOCKET_IO and cell.transport == "POST":
        least = "chat"
    if cell.path == "/api/users/x/friends" and cell.transport in {"POST", "DELETE"}:
        least = "chat"
    if cell.path == "/api/v1/attachments/x":
        least = "read"
    if cell.credential in {"good", "child"}:
        if cell.credential == "child" and least == "chat":
            return "403"
        return "owner" if cell.credential == "good" else "read"
    if cell.path == LINK and cell.transport == "GET":
        return "read"
    asked = cell.origin != "none" or (here is not None and cell.credential == "own cookie")
    mine = cell.origin == "own" or (cell.origin == "plain" and cell.port != 3003)
    mine |= cell.origin == "main" and cell.port == MAIN
    if cell.path in SOCKET_IO and cell.transport != "websocket":
        asked &= mine or cell.origin == "none"
    if cell.credential in {"cookie", "own cookie"} and asked:
        if cell.transport in {"POST", "DELETE"} and cell.credential == "cookie":
            return "403"
        return "chat" if here is not None or cell.port != MAIN else "owner"
    public |= cell.port == MAIN and cell.transport == "GET"
    public &= cell.path in {"/", "/api/v1/health", "/api/v1/login"} or cell.port == 3003
    waits = cell.path in SOCKET_IO
    waits |= cell.path.startswith("/ws/events") and cell.transport == "websocket"
    waits &= cell.origin != "none" or cell.credential != "cookie"  # a picture of a page next door
    if public or waits:
        return "nobody"
    if cell.path in {"/", "/bridge"} and cell.transport == "websocket":
        if cell.origin == "none":
            return "nobody"
        return "401" if cell.credential == "dead cookie" else "403"
    return "401"


def outcome(cell: Cell, rules: Policy) -> str:
    match decide(request(cell), rules, NOW):
        case Deny(status=status):
            return str(status)
        case Preflight():
            return "preflight"
        case Admit(grant=None):
            return "nobody"
        case Admit(grant=grant):
            assert grant is not None
            return "cron" if grant == guard.SWEEPER else grant.scope


@pytest.mark.parametrize(
    "on",
    [set(), {"002"}, {"004"}, {"001", "003"}, set(DIALECTS)],
    ids=lambda on: "-".join(sorted(on)) or "none",
)
def test_every_cell_is_what_a_person_would_say(on: set[str]) -> None:
    rules = policy(on)
    for cell in cells():
        if PORTS[cell.port] is not None and PORTS[cell.port] not in on:
            continue  # nothing listens there
        assert outcome(cell, rules) == expected(cell, on), cell


def test_every_route_of_a_dialect_is_off_until_it_is_enabled_and_then_on_alone() -> None:
    for name, routes in ROUTES_OF.items():
        for method, pattern in routes:
            path = pattern.replace("{username}", "bob")
            asked = Request(method, path, hosts=(f"localhost:{MAIN}",), query_tokens=(ADMIN,), port=MAIN)
            off = decide(asked, policy(set(DIALECTS) - speakers(path)), NOW)
            assert isinstance(off, Deny) and (off.status, off.code) == (404, "not_enabled")
            assert "gossamer bridge enable" in off.message and name in off.message
            on = decide(asked, policy({name}), NOW)
            if (method, path.removesuffix("/")) == ("DELETE", SWEEP):
                assert isinstance(on, Deny) and on.status == 401
            else:
                assert isinstance(on, Admit) and on.dialects == (name,)


def test_every_route_of_a_dialect_has_a_scope_that_the_guard_holds_to() -> None:
    for (method, pattern), scope in DIALECT_ROUTES.items():
        asked = Request(
            method, pattern.replace("{username}", "bob"), hosts=(f"localhost:{MAIN}",), query_tokens=(CHILD,)
        )
        found = decide(asked, policy(set(DIALECTS)), NOW)
        if pattern.startswith(SWEEP):
            assert isinstance(found, Deny) and found.status == 401
        else:
            assert isinstance(found, Admit) == (scope == "read"), pattern


def test_the_secret_of_the_cron_path_opens_that_path_alone_and_nothing_else_opens_it() -> None:
    rules = policy(set(DIALECTS))
    sweep = Request("DELETE", SWEEP, hosts=(f"localhost:{MAIN}",), authorization=(f"Bearer {CRON}",))
    assert decide(sweep, rules, NOW) == Admit(guard.SWEEPER, dialects=("003",))
    for other in (
        {"authorization": ()},
        {"authorization": (f"Bearer {ADMIN}",)},
        {"authorization": (f"Bearer {CRON}",), "query_tokens": (ADMIN,)},
        {"authorization": (f"Bearer {CRON}", f"Bearer {CRON}")},
        {"authorization": (), "query_tokens": (CRON,)},
        {"authorization": (), "unix": True, "peer_uid": 1},
    ):
        asked = Request("DELETE", SWEEP, hosts=(f"localhost:{MAIN}",), **other)  # type: ignore[arg-type]
        denied = decide(asked, rules, NOW)
        assert isinstance(denied, Deny) and denied.status == 401, other
    for method, path in (("GET", "/api/self"), ("GET", "/api/v1/schema"), ("GET", "/ws")):
        asked = Request(method, path, hosts=(f"localhost:{MAIN}",), authorization=(f"Bearer {CRON}",))
        assert isinstance(decide(asked, rules, NOW), Deny)


def test_polling_may_send_text_and_nothing_else_may() -> None:
    rules = policy({"004", "003"})
    text = Request(
        "POST", "/socket.io/", hosts=(f"localhost:{MAIN}",), query_tokens=(ADMIN,), has_body=True,
        content_type="text/plain;charset=UTF-8",
    )  # fmt: skip
    assert isinstance(decide(text, rules, NOW), Admit)
    other = Request(
        "POST", "/api/users/x/friends", hosts=(f"localhost:{MAIN}",), query_tokens=(ADMIN,), has_body=True,
        content_type="text/plain;charset=UTF-8",
    )  # fmt: skip
    denied = decide(other, rules, NOW)
    assert isinstance(denied, Deny) and denied.status == 415


def test_a_socket_stays_while_its_dialect_its_port_and_its_origin_do() -> None:
    rules = policy({"002", "003", "004"})
    assert rules.welcome("native", MAIN, None) and rules.welcome("native", None, None)
    assert rules.welcome("native", MAIN, GENERAL) and not rules.welcome("native", MAIN, OF["004"])
    assert rules.welcome("004", MAIN, OF["004"]) and rules.welcome("002 004", MAIN, OF["002"])
    assert not rules.welcome("004", MAIN, OF["002"])
    assert not rules.welcome("004", MAIN, GENERAL) and not rules.welcome("001", MAIN, None)
    assert rules.welcome("003", 3003, own(3003)) and not rules.welcome("003", 3004, own(3004))
    assert not rules.welcome("003", 3003, "http://127.0.0.1:3003")
    assert not policy({"003"}).welcome("004", 3004, None)
    assert not policy(set()).welcome("002 004", None, None)
    assert not rules.welcome("003", 3999, None), "its port is another by now"


def test_a_port_of_tls_has_https_origins_and_the_usual_ports_go_unsaid() -> None:
    assert "https://localhost:3003" in spoken("003").own_origins
    assert "http://localhost:3003" not in spoken("003").own_origins
    assert "localhost" in guard.hosts_of(443, tls=True) and "localhost" not in guard.hosts_of(443)
    assert "https://localhost" in guard.own_origins_of(guard.hosts_of(443, tls=True), tls=True)
