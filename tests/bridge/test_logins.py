"""Login links work once, cookies until their day or until the admin token changes."""

from __future__ import annotations

from node.bridge.logins import COOKIE_SECONDS, LINK_MS, MAX_LINKS, Logins
from tests.bridge.fake_engine import ADMIN, counted_entropy

NOW = 1_730_000_000_000


def test_a_link_works_once() -> None:
    logins = Logins(ADMIN, counted_entropy())
    code = logins.create(NOW)
    cookie = logins.redeem(code, NOW + 1)
    assert cookie is not None
    assert logins.valid(cookie, NOW)
    assert logins.redeem(code, NOW + 1) is None


def test_a_link_is_over_after_five_minutes() -> None:
    logins = Logins(ADMIN, counted_entropy())
    assert logins.redeem(logins.create(NOW), NOW + LINK_MS) is None


def test_unused_links_are_bounded_and_the_oldest_gives_way() -> None:
    logins = Logins(ADMIN, counted_entropy())
    codes = [logins.create(NOW) for _ in range(MAX_LINKS + 1)]
    assert logins.redeem(codes[0], NOW) is None
    assert logins.redeem(codes[1], NOW) is not None


def test_a_cookie_survives_a_restart_but_not_its_day_another_token_or_a_change() -> None:
    logins = Logins(ADMIN, counted_entropy())
    cookie = logins.redeem(logins.create(NOW), NOW)
    assert cookie is not None
    assert Logins(ADMIN, counted_entropy()).valid(cookie, NOW)
    assert not Logins("b" * 43, counted_entropy()).valid(cookie, NOW)
    assert not logins.valid(cookie, NOW + COOKIE_SECONDS * 1000)
    assert not logins.valid("9" + cookie, NOW)
    for broken in ("", ".", "x.y", cookie[:-1], cookie + "0", "\ud800." + cookie):
        assert not logins.valid(broken, NOW)


def test_a_link_and_its_cookie_are_good_where_they_were_made_for_and_nowhere_else() -> None:
    logins = Logins(ADMIN, counted_entropy())
    for at in (0, 3000):
        code = logins.create(NOW, at)
        assert logins.redeem(code, NOW, 3000 - at) is None and logins.redeem(code, NOW, 3001) is None
        cookie = logins.redeem(code, NOW, at)
        assert cookie is not None and logins.valid(cookie, NOW, at)
        assert not logins.valid(cookie, NOW, 3000 - at) and not logins.valid(cookie, NOW, 3001)
        assert not logins.valid(cookie.replace(".", " 3000."), NOW)


def test_the_cookie_is_named_after_node_and_port() -> None:
    names = {Logins(t, counted_entropy()).cookie_name(p) for t in (ADMIN, "b" * 43) for p in (7117, 7118)}
    assert len(names) == 4
