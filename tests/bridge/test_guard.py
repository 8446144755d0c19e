"""The guard, cell by cell: Host x Origin x credential x path, and nothing without a decision."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from node.bridge import guard
from node.bridge.dialect_routes import DIALECT_ROUTES
from node.bridge.guard import Admit, Credentials, Deny, Grant, Policy, Preflight, Request, decide
from node.bridge.http_routes import make_app, routes
from node.bridge.ports import TokenRecord, hash_token
from node.chat import commands
from tests.bridge.fake_engine import ADMIN

NOW = 1_730_000_000_000
PORT = 7117
CHILD, OLD = "c" * 43, "o" * 43
ALLOWED = "http://localhost:5173"
HOSTS = guard.hosts_of(PORT, ("chat.example",))
POLICY = Policy(
    hosts=HOSTS,
    own_origins=guard.own_origins_of(HOSTS),
    origins=frozenset({ALLOWED, "file://"}),
    credentials=Credentials(
        hash_token(ADMIN),
        (
            TokenRecord("bot", "read", hash_token(CHILD), NOW - 1, None),
            TokenRecord("old", "owner", hash_token(OLD), NOW - 9, NOW),
        ),
    ),
    cookie_valid=lambda cookie, _now, _at: cookie == "good",
    own_uid=1000,
)
SOCKET = Request("GET", "/", websocket=True, hosts=("127.0.0.1:7117",))
OWNER = Grant("owner", "owner")
BOT = Grant("read", "bot", limited=True)


def status(request: Request) -> int:
    match decide(request, POLICY, NOW):
        case Deny(status=code):
            return code
        case Preflight():
            return 204
        case Admit():
            return 101


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7117", "[::1]:7117", "localhost:7117", "LOCALHOST:7117", "chat.example:7117"]
)
def test_only_own_names_with_the_own_port_are_hosts(host: str) -> None:
    assert status(replace(SOCKET, hosts=(host,), query_tokens=(ADMIN,))) == 101


@pytest.mark.parametrize("path", ["/", "/bridge", "/ws", "/api/v1/health", "/nowhere"])
@pytest.mark.parametrize("websocket", [True, False])
@pytest.mark.parametrize(
    "hosts",
    [
        (), ("",), ("attacker.example",), ("attacker.example:7117",), ("127.0.0.1",), ("localhost",),
        ("127.0.0.1:7118",), ("localhost.:7117",), ("127.0.0.1.nip.io:7117",), ("2130706433:7117",),
        ("0x7f000001:7117",), ("[::ffff:127.0.0.1]:7117",), ("127.1:7117",), ("0.0.0.0:7117",),
        ("127.0.0.1:7117", "127.0.0.1:7117"), ("127.0.0.1:7117", "evil"), ("127.0.0.1:7117 ",),
    ],
)  # fmt: skip
def test_a_wrong_or_missing_host_is_421_whatever_else_is_right(
    hosts: tuple[str, ...], path: str, websocket: bool
) -> None:
    good = replace(SOCKET, hosts=hosts, path=path, websocket=websocket, query_tokens=(ADMIN,))
    assert status(good) == 421
    assert status(replace(good, origins=("null",))) == 421


def test_a_target_that_names_another_host_is_421() -> None:
    assert status(replace(SOCKET, target_host="evil.example", query_tokens=(ADMIN,))) == 421
    assert status(replace(SOCKET, target_host="127.0.0.1:7117", query_tokens=(ADMIN,))) == 101


ORIGINS = {
    "absent": (),
    "own": ("http://127.0.0.1:7117",),
    "own by name": ("http://localhost:7117",),
    "listed": (ALLOWED,),
    "null": ("null",),
    "evil": ("https://evil.example",),
    "sub": ("http://sub.localhost:7117",),
    "other port": ("http://localhost:7118",),
    "https": ("https://127.0.0.1:7117",),
    "longer": (ALLOWED + ".evil.example",),
    "upper": ("HTTP://LOCALHOST:5173",),
    "slash": (ALLOWED + "/",),
    "empty": ("",),
    "two": (ALLOWED, "https://evil.example"),
}
GOOD_ORIGINS = {"own", "own by name", "listed"}
CREDENTIALS: dict[str, dict[str, object]] = {
    "none": {},
    "query": {"query_tokens": (ADMIN,)},
    "bearer": {"authorization": (f"Bearer {ADMIN}",)},
    "protocol": {"protocols": ("gossamer.v1.json", ADMIN)},
    "child": {"query_tokens": (CHILD,)},
    "cookie": {"cookie": "good"},
    "bad query": {"query_tokens": ("b" * 43,)},
    "empty query": {"query_tokens": ("",)},
    "bad bearer": {"authorization": ("bearer nonsense",)},
    "bad protocol": {"protocols": ("b" * 43,)},
    "expired": {"query_tokens": (OLD,)},
    "bad cookie": {"cookie": "bad"},
    "good and bad": {"query_tokens": (ADMIN,), "authorization": (f"Bearer {CHILD}x",)},
}
GOOD = {"query", "bearer", "protocol", "child"}
BAD = {"bad query", "empty query", "bad bearer", "bad protocol", "expired", "good and bad"}


def expected(origin: str, credential: str, path: str, *, websocket: bool) -> int:
    """The table of docs/bridge.md section 4, said a second time."""
    if origin != "absent" and origin not in GOOD_ORIGINS:
        return 403
    if credential in GOOD:
        return 101
    if credential in BAD:
        return 401
    with_origin = origin in GOOD_ORIGINS
    if credential == "cookie" and with_origin:
        return 101
    if not websocket and path in {"/", "/api/v1/health", "/api/v1/login"}:
        return 101
    if credential == "bad cookie" and with_origin:
        return 401
    if websocket and path in {"/", "/bridge"}:
        return 403 if with_origin else 101
    return 401


PATHS = ("/", "/bridge", "/api/v1/health", "/api/v1/login", "/api/v1/schema", "/nowhere")


@pytest.mark.parametrize(("origin", "credential"), list(itertools.product(ORIGINS, CREDENTIALS)), ids=str)
def test_every_cell_of_origin_credential_path_and_transport(origin: str, credential: str) -> None:
    for path, websocket in itertools.product(PATHS, (True, False)):
        request = replace(
            SOCKET, path=path, websocket=websocket, origins=ORIGINS[origin],
            **CREDENTIALS[credential],  # type: ignore[arg-type] - the table's values fit their keys
        )  # fmt: skip
        assert status(request) == expected(origin, credential, path, websocket=websocket), (path, websocket)


def test_without_credential_a_native_websocket_is_open_but_nameless() -> None:
    assert decide(SOCKET, POLICY, NOW) == Admit(None)


def test_the_grant_is_that_of_the_token() -> None:
    assert decide(replace(SOCKET, query_tokens=(CHILD,)), POLICY, NOW) == Admit(BOT)
    assert decide(replace(SOCKET, query_tokens=(ADMIN,)), POLICY, NOW) == Admit(OWNER)


def test_a_child_token_ends_at_its_time() -> None:
    assert POLICY.credentials.lookup(OLD, NOW - 1) is not None
    assert POLICY.credentials.lookup(OLD, NOW) is None


def test_the_unix_socket_is_the_owners_whatever_the_host() -> None:
    unix = replace(SOCKET, unix=True, hosts=(), peer_uid=1000)
    assert decide(unix, POLICY, NOW) == Admit(OWNER)
    assert status(replace(unix, peer_uid=1001)) == 403
    assert status(replace(unix, peer_uid=None)) == 403
    assert status(replace(unix, origins=("null",))) == 403


def test_a_preflight_is_answered_to_a_known_origin_alone() -> None:
    asked = replace(SOCKET, method="OPTIONS", websocket=False)
    assert decide(replace(asked, origins=(ALLOWED,)), POLICY, NOW) == Preflight(ALLOWED)
    assert status(replace(asked, origins=("https://evil.example",))) == 403
    assert status(replace(asked, path="/nowhere")) == 401


def test_a_listed_origin_gets_cors_and_the_own_needs_none() -> None:
    page = replace(SOCKET, websocket=False)
    assert decide(replace(page, origins=(ALLOWED,)), POLICY, NOW) == Admit(None, ALLOWED)
    assert decide(replace(page, origins=("http://127.0.0.1:7117",)), POLICY, NOW) == Admit(None, None)


def test_a_login_writes_only_from_the_own_page_and_a_body_is_json() -> None:
    write = Request(
        "POST", "/api/v1/any", hosts=("127.0.0.1:7117",), origins=("http://127.0.0.1:7117",), cookie="good",
        has_body=True, content_type="application/json; charset=utf-8", fetch_site="same-origin",
    )  # fmt: skip
    assert status(write) == 101
    assert status(replace(write, fetch_site=None)) == 403
    assert status(replace(write, fetch_site="cross-site")) == 403
    assert status(replace(write, content_type="text/plain")) == 415
    assert status(replace(write, cookie=None, query_tokens=(ADMIN,), fetch_site=None)) == 101
    assert status(replace(write, origins=())) == 401


def test_every_command_has_a_scope_and_no_scope_lacks_its_command() -> None:
    assert guard.SCOPES.keys() == commands.BY_NAME.keys()


def test_scopes_are_nested_and_an_unknown_command_is_nobodys() -> None:
    readers = {name for name in commands.BY_NAME if guard.may("read", name)}
    talkers = {name for name in commands.BY_NAME if guard.may("chat", name)}
    assert readers < talkers < set(commands.BY_NAME)
    assert all(guard.may("owner", name) for name in commands.BY_NAME)
    owners = {"audit_list"}  # it tells what the other tokens do
    assert {n for n in commands.BY_NAME if n.endswith(("_get", "_list"))} - readers == owners
    assert not guard.may("owner", "made_up")


def test_every_route_is_one_that_the_guard_was_asked_about() -> None:
    decided = {
        ("GET", "/"): "public", ("HEAD", "/"): "public", ("GET", "/bridge"): "token",
        ("GET", "/api/v1/health"): "public", ("HEAD", "/api/v1/health"): "public",
        ("GET", "/api/v1/login"): "public",
        ("GET", "/api/v1/metrics"): "token", ("HEAD", "/api/v1/metrics"): "token",
        ("POST", "/api/v1/attachments"): "token",
        ("GET", "/api/v1/attachments/{id}"): "token", ("HEAD", "/api/v1/attachments/{id}"): "token",
        ("GET", "/api/v1/schema"): "token", ("HEAD", "/api/v1/schema"): "token",
    }  # fmt: skip
    found = routes(make_app(None))  # type: ignore[arg-type] - no request is made
    found = {(how, path) for how, path in found if (how.replace("HEAD", "GET"), path) not in DIALECT_ROUTES}
    assert found == decided.keys(), "a route needs a decision here and in the guard"
    for (method, path), who in decided.items():
        bare = Request(method, path, hosts=("127.0.0.1:7117",))
        assert (status(bare) == 101) == (who == "public"), path
        assert status(replace(bare, hosts=("evil",))) == 421
        assert status(replace(bare, origins=("null",))) == 403


def test_no_secret_is_in_a_repr() -> None:
    request = replace(SOCKET, query_tokens=(ADMIN,), authorization=(ADMIN,), protocols=(ADMIN,), cookie=ADMIN)
    assert ADMIN not in repr(request)
    assert hash_token(ADMIN).hex() not in repr(POLICY)
