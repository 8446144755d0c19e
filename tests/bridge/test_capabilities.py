"""A capability opens one path, to be read, for a day, as long as its token stands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.bridge import capabilities
from node.bridge.guard import OWNER, Admit, Credentials, Deny, Grant, Policy, Request, decide
from node.bridge.ports import TokenRecord, hash_token

ADMIN, CHILD = hash_token("a" * 43), hash_token("c" * 43)
IDENT = "00f43f4a-8e5e-8ff3-9eca-c2f940b1275b"
PATH = capabilities.PREFIX + IDENT
BOT = TokenRecord("bot", "chat", CHILD, 0, None)
CREDENTIALS = Credentials(ADMIN, (BOT,))
NOW = 1_790_000_000_000
DAY_MS = 86_400_000


def made(grant: Grant = OWNER) -> str:
    path, _, cap = capabilities.url(IDENT, grant, CREDENTIALS, NOW).partition("?cap=")
    assert path == PATH
    return cap


CHILDS = Grant("chat", "bot", limited=True, mark=CHILD)


@pytest.mark.parametrize(("grant", "name"), [(OWNER, "owner"), (CHILDS, "bot")])
def test_it_opens_its_path_for_a_day_and_only_reads(grant: Grant, name: str) -> None:
    found = capabilities.opened(PATH, made(grant), CREDENTIALS, NOW)
    assert found is not None and (found.scope, found.name) == ("read", name)
    assert capabilities.opened(PATH, made(grant), CREDENTIALS, NOW + DAY_MS - 1_000)
    assert capabilities.opened(PATH, made(grant), CREDENTIALS, NOW + DAY_MS) is None


def test_it_opens_nothing_else() -> None:
    cap = made()
    until, _, mac = cap.partition(".")
    for path, wrong in (
        (PATH[:-1] + "c", cap),
        (PATH.upper(), cap),
        ("/api/v1/schema", cap),
        (PATH, f"{int(until) + 1}.{mac}"),
        (PATH, f"0{cap}"),
        (PATH, f"{until}.{mac[:-1]}"),
        (PATH, f"{until}.{'0' * 64}"),
        (PATH, f"{'9' * 40}.{mac}"),
        (PATH, f"\u0661.{mac}"),
        (PATH, ""),
        (PATH, "."),
        (PATH, f"{until}."),
        (PATH, "\ud800.x"),
    ):
        assert capabilities.opened(path, wrong, CREDENTIALS, NOW) is None, wrong


def test_it_goes_with_the_token_of_its_session() -> None:
    cap = made(CHILDS)
    for without in (
        Credentials(ADMIN),
        Credentials(ADMIN, (replace(BOT, token_hash=hash_token("new")),)),
        Credentials(ADMIN, (replace(BOT, expires_ms=NOW),)),
    ):
        assert capabilities.opened(PATH, cap, without, NOW) is None
    assert capabilities.opened(PATH, made(), Credentials(hash_token("rotated"), (BOT,)), NOW) is None


def test_the_guard_takes_it_for_a_get_of_its_path_and_nothing_else() -> None:
    policy = Policy(
        hosts=frozenset({"127.0.0.1:7117"}),
        own_origins=frozenset({"http://127.0.0.1:7117"}),
        origins=frozenset({"http://localhost:5173"}),
        credentials=CREDENTIALS,
        cookie_valid=lambda _cookie, _now, _at: False,
        own_uid=1,
        capability=lambda path, cap, now: capabilities.opened(path, cap, CREDENTIALS, now),
    )
    asked = Request("GET", PATH, hosts=("127.0.0.1:7117",), capabilities=(made(),))
    for good in (asked, replace(asked, method="HEAD"), replace(asked, origins=("http://localhost:5173",))):
        assert isinstance(decide(good, policy, NOW), Admit)
    for bad, status in (
        (replace(asked, method="POST"), 401),
        (replace(asked, method="DELETE"), 401),
        (replace(asked, path="/api/v1/attachments", method="POST"), 401),
        (replace(asked, path="/api/v1/metrics"), 401),
        (replace(asked, path="/bridge", websocket=True, origins=("http://localhost:5173",)), 403),
        (replace(asked, capabilities=(made(), made())), 401),
        (replace(asked, origins=("http://evil.example",)), 403),
        (replace(asked, origins=("null",)), 403),
        (replace(asked, hosts=("evil.example",)), 421),
    ):
        answer = decide(bad, policy, NOW)
        assert isinstance(answer, Deny) and answer.status == status, bad


def test_uploads_take_any_content_type_and_keep_the_rules_against_other_sites() -> None:
    policy = Policy(
        hosts=frozenset({"127.0.0.1:7117"}),
        own_origins=frozenset({"http://127.0.0.1:7117"}),
        origins=frozenset(),
        credentials=CREDENTIALS,
        cookie_valid=lambda cookie, _now, _at: cookie == "good",
        own_uid=1,
    )
    upload = Request(
        "POST", "/api/v1/attachments", hosts=("127.0.0.1:7117",), content_type="text/plain", has_body=True,
        body_bytes=100, authorization=("Bearer " + "c" * 43,),
    )  # fmt: skip
    assert isinstance(decide(upload, policy, NOW), Admit)
    login = replace(upload, authorization=(), cookie="good", origins=("http://127.0.0.1:7117",))
    assert isinstance(decide(replace(login, fetch_site="same-origin"), policy, NOW), Admit)
    for bad, code in (
        (replace(login, fetch_site="cross-site"), "cross_site"),
        (replace(login, fetch_site=None), "cross_site"),
        (replace(login, fetch_site="same-origin", origins=()), "unauthorized"),
        (replace(upload, authorization=()), "unauthorized"),
        (replace(upload, body_bytes=64 * 1024 * 1024 + 1), "attachment_too_large"),
    ):
        answer = decide(bad, policy, NOW)
        assert isinstance(answer, Deny) and answer.code == code, bad
    reader = Credentials(ADMIN, (replace(BOT, scope="read"),))
    answer = decide(upload, replace(policy, credentials=reader), NOW)
    assert isinstance(answer, Deny) and answer.code == "forbidden"
