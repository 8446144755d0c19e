"""Finding people who want to be found, and only them."""

from __future__ import annotations

from typing import Any

import pytest

from node.chat import commands as c, events, listed_people
from node.chat.directory import AGAIN_MS, GAP_MS, LIFE_MS
from node.chat.listed_people import folded, match
from node.sim import CallError, SimNode, Simulation
from tests.engine.hostile import engine_of, no_late_faults
from tests.engine.worlds import befriend


def mesh(seed: str, *people: str) -> tuple[Simulation, dict[str, SimNode]]:
    """A relay and people linked to it, strangers to each other."""
    world = Simulation(seed)
    world.add("hub", relay=True)
    nodes = {name: world.add(name, peers=["hub"]) for name in people}
    world.run(2)
    return world, nodes


def found(node: SimNode, text: str, **keys: Any) -> list[str]:
    """Return the nicknames that a search shows."""
    return [row["nickname"] for row in node.call(c.UserSearch(text=text, **keys))["users"]]


def test_who_is_listed_is_found_by_strangers_and_who_is_not_is_not() -> None:
    world, nodes = mesh("found", "ann", "bob", "cat")
    assert nodes["ann"].call(c.ProfileSet(name="Ann Other", avatar="🦊", status="here", listed=True))[
        "listed"
    ]
    world.run(5)
    (row,) = nodes["cat"].call(c.UserSearch(text="ann"))["users"]
    assert row == {
        "user_id": engine_of(nodes["ann"]).state.me.user_id, "username": "Ann_Other", "nickname": "Ann Other",
        "avatar": "🦊", "status": "here", "presence": "offline", "state": "none",
    }  # fmt: skip
    assert found(nodes["cat"], "bob") == []
    assert found(nodes["ann"], "ann") == []  # oneself
    assert nodes["cat"].call(c.ProfileGet(username="Ann_Other"))["listed"] is True


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("jose", ["José", "Josef"]),
        ("JOSÉ", ["José", "Josef"]),
        ("straße", ["Anna Strasse"]),
        ("strasse", ["Anna Strasse"]),
        ("nna", ["Anna Strasse"]),
        ("zzz", []),
        ("´", []),
    ],
)
def test_case_and_accents_do_not_matter_and_beginnings_come_first(text: str, who: list[str]) -> None:
    names = ["José", "Josef", "Anna Strasse"]
    ranked = [(rank, name) for name in names if (rank := match(text, name)) is not None]
    assert sorted(name for _, name in ranked) == sorted(who)
    assert match("str", "Anna Strasse") == 1 and match("an", "Anna") == 0 and match("n", "Anna") == 2
    assert folded("ÅNGSTRÖM") == "angstrom"


def test_contacts_and_co_members_are_found_though_they_are_not_listed_and_once() -> None:
    world, nodes = mesh("known", "ann", "bob", "cat")
    befriend(world, nodes["ann"], nodes["bob"])
    nodes["bob"].call(c.ProfileSet(listed=True))
    room = nodes["ann"].call(c.RoomCreate(name="tea"))["room"]
    nodes["cat"].call(c.RoomLinkUse(link=nodes["ann"].call(c.RoomLinkCreate(room=room))["link"]))
    world.run(10)
    rows = nodes["ann"].call(c.UserSearch(text="b"))["users"]
    assert [(row["username"], row["state"]) for row in rows] == [("bob", "contact")]
    rows = nodes["ann"].call(c.UserSearch(text="ca"))["users"]
    assert [(row["username"], row["state"]) for row in rows] == [("cat", "none")]
    assert engine_of(nodes["ann"]).state.found.by_account == {}
    engine_of(nodes["ann"]).state.people.is_blocked_by = lambda _account: True  # type: ignore[method-assign]
    assert found(nodes["ann"], "b") == found(nodes["ann"], "ca") == []


def test_a_profile_at_all_its_limits_is_listed_without_what_is_too_large() -> None:
    world, nodes = mesh("limits", "ann", "cat")
    wide = "\U0001f600"
    nodes["ann"].call(c.ProfileSet(name="a" + wide * 63, status=wide * 128, avatar=wide * 256, listed=True))
    world.run(5)
    (row,) = nodes["cat"].call(c.UserSearch(text="a"))["users"]
    assert (row["nickname"], row["status"], row["avatar"]) == ("a" + wide * 63, wide * 128, None)


def test_taking_it_back_counts_at_once_for_those_who_are_there_and_over_a_kill() -> None:
    world, nodes = mesh("back", "ann", "cat")
    ann, cat = nodes["ann"], nodes["cat"]
    ann.call(c.ProfileSet(listed=True))
    world.run(3)
    assert found(cat, "ann") == ["ann"]
    ann.call(c.ProfileSet(listed=False))
    ann.crash()
    ann.start()
    assert ann.call(c.ProfileGet())["listed"] is False
    world.run(5)
    assert found(cat, "ann") == []
    cat.crash()
    cat.start()
    world.run(5)
    assert found(cat, "ann") == []
    ann.call(c.ProfileSet(listed=True))
    assert world.run_until(lambda: found(cat, "ann") == ["ann"], GAP_MS / 1000 + 5)


def test_a_listing_follows_the_profile_and_is_posted_daily_while_its_node_is_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    again, life = AGAIN_MS // 20, LIFE_MS // 20  # a short day: an hour of three nodes takes half a second
    monkeypatch.setattr(listed_people, "AGAIN_MS", again)
    monkeypatch.setattr(listed_people, "LIFE_MS", life)
    world, nodes = mesh("daily", "ann", "cat")
    ann, cat = nodes["ann"], nodes["cat"]
    ann.call(c.ProfileSet(listed=True))
    world.run(3)
    first = next(iter(engine_of(cat).state.listed.people.values()))
    for number in range(20):
        ann.call(c.ProfileSet(status=f"status {number}"))
    assert world.run_until(
        lambda: cat.call(c.UserSearch(text="ann"))["users"][0]["status"] == "status 19", GAP_MS / 1000 + 5
    )
    second = next(iter(engine_of(cat).state.listed.people.values()))
    assert second.ts_ms >= first.ts_ms + GAP_MS
    ann.crash()
    ann.start()
    for _ in range(3):
        before = next(iter(engine_of(cat).state.listed.people.values())).ts_ms
        world.run(again / 1000 + 3600)
        after = next(iter(engine_of(cat).state.listed.people.values())).ts_ms
        assert found(cat, "ann") == ["ann"] and after >= before + again
    ann.crash()
    world.run(life / 1000 + 3600)
    assert found(cat, "ann") == [] and engine_of(cat).state.listed.people == {}
    rows = cat.store.load().rows["pending"]
    assert not any(key[:1] == b"U" for key in rows)
    no_late_faults(cat)


def test_a_name_that_was_shown_can_be_used_for_a_day_also_after_a_kill() -> None:
    world, nodes = mesh("names", "ann", "cat")
    ann, cat = nodes["ann"], nodes["cat"]
    ann.call(c.ProfileSet(listed=True))
    world.run(3)
    with pytest.raises(CallError, match="unknown_user"):
        cat.call(c.ProfileGet(username="ann"))
    found(cat, "ann")
    cat.crash()
    cat.start()
    account = ann.setup.identity.account
    kept = engine_of(cat).state.found.get(account)
    assert kept is not None and kept.username == "ann"
    user_id = cat.call(c.ProfileGet(username="ann"))["user_id"]
    assert cat.call(c.ProfileGet(username=user_id))["username"] == "ann"
    for command in (c.DmOpen(username="ann"), c.ContactRename(username=user_id, name="anna")):
        with pytest.raises(CallError, match="not_a_contact"):
            cat.call(command)
    world.nodes["hub"].crash(), ann.crash()
    world.run(86_400 + 3_700)
    with pytest.raises(CallError, match="unknown_user"):
        cat.call(c.ProfileGet(username="ann"))
    assert not any(key[:1] == b"u" for key in cat.store.load().rows["pending"])


def test_two_of_one_name_are_told_apart_and_a_name_that_means_both_is_ambiguous() -> None:
    world, nodes = mesh("twins", "bob", "bobby", "cat")
    for name in ("bob", "bobby"):
        nodes[name].call(c.ProfileSet(name="Sam", listed=True))
    world.run(5)
    cat = nodes["cat"]
    rows = cat.call(c.UserSearch(text="sam"))["users"]
    names = sorted(row["username"] for row in rows)
    assert names[0] == "Sam" and names[1].startswith("Sam~") and len(rows) == 2
    assert sorted(row["username"] for row in cat.call(c.UserSearch(text="sam"))["users"]) == names
    for row in rows:
        assert cat.call(c.ProfileGet(username=row["username"]))["user_id"] == row["user_id"]
    marked = next(row["user_id"] for row in rows if row["username"] != "Sam")
    other = next(n for n in nodes.values() if engine_of(n).state.me.user_id == marked)
    cat.call(c.ContactAdd(link=other.call(c.ContactLinkCreate())["link"]))
    world.run(5)
    (met,) = cat.call(c.ContactList())["contacts"]  # who is called so now is not who was shown so
    assert (met["username"], met["user_id"]) == ("Sam", marked)
    with pytest.raises(CallError, match="ambiguous_user"):
        cat.call(c.ProfileGet(username="Sam"))
    assert cat.call(c.ProfileGet(username=met["user_id"]))["username"] == met["username"]


def test_whoever_was_found_is_asked_by_the_name_that_was_shown_and_becomes_a_contact() -> None:
    world, nodes = mesh("met", "ann", "cat")
    ann, cat = nodes["ann"], nodes["cat"]
    ann.call(c.ProfileSet(name="Ann O.", listed=True))
    world.run(3)
    (row,) = cat.call(c.UserSearch(text="ann"))["users"]
    cat.crash()
    cat.start()
    at_ann, at_cat = ann.attach(), cat.attach()
    asked = cat.call(c.ContactRequest(username=row["username"], message="hello"))
    assert (asked["username"], asked["state"]) == (row["username"], "requested")
    cat.crash()
    cat.start()
    assert world.run_until(lambda: bool(at_ann.of(events.ContactRequested)), 10)
    ann.call(c.ContactAccept(username="cat"), at_ann)
    world.run(5)
    (met,) = cat.call(c.ContactList())["contacts"]
    assert (met["user_id"], met["username"], met["state"]) == (row["user_id"], row["username"], "contact")
    (row,) = cat.call(c.UserSearch(text="ann"))["users"]
    assert row["state"] == "contact" and at_cat.of(events.Error) == []
    with pytest.raises(CallError, match="invalid"):
        cat.call(c.ContactRequest(username="cat"))


def test_who_has_blocked_us_is_not_found_and_whom_we_have_blocked_is_not_seen() -> None:
    world, nodes = mesh("blocked", "ann", "cat")
    ann, cat = nodes["ann"], nodes["cat"]
    ann.attach(), cat.attach()
    befriend(world, ann, cat)
    for node in (ann, cat):
        node.call(c.ProfileSet(listed=True))
    world.run(60)
    assert found(cat, "ann") == ["ann"] and found(ann, "cat") == ["cat"]
    assert ann.call(c.ContactList())["contacts"][0]["presence"] == "online"
    ann.call(c.ContactBlock(username="cat"))
    at_ann = ann.attach()
    world.run(5)
    assert found(cat, "ann") == []
    cat.call(c.PresenceSet(state="away", status="hm", busy=True))
    world.run(70)
    row = ann.call(c.ContactList())["contacts"][0]
    assert (row["presence"], row["busy"], row["status"]) == ("offline", False, None)
    assert [e for e in at_ann.of(events.Presence) if e.username == "cat"] == []
    assert at_ann.of(events.Profile) == []
