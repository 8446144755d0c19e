"""Made-up people in the directory, and beats without manners: little comes of them."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from node.chat import commands as c, events
from node.chat.directory import GAP_MS, TTL_DAYS
from node.chat.listed_people import MAX_FOUND, MAX_LISTED, SETTLED, ListedPerson
from node.chat.presence import ABSENT, ALIVE, ANSWER_CALM, AWAY, BUSY, STOPPED, Presence
from node.crypto.profile_listing import make_profile
from node.engine import profiles
from node.engine.profiles import BURST
from node.sim import SimNode, Simulation
from node.tables import Table
from node.wire.envelope import Envelope
from tests.engine.hostile import engine_of, give, no_late_faults
from tests.engine.test_beats import told
from tests.engine.test_hostile_listings import sybil, wrapped
from tests.engine.test_user_search import found, mesh
from tests.engine.worlds import befriend

DAY_MS = 86_400_000


def listing(node: SimNode, number: int, days: int = TTL_DAYS, **changes: Any) -> Envelope:
    """Return the listing of somebody made up, in an envelope that anybody in the network can make."""
    who = sybil(number)
    fields: dict[str, Any] = {
        "cert": who.cert, "devices": who.devices, "nickname": "junk", "avatar": None, "status": None,
        "listed": True, "ts_ms": node.now().wall_ms,
    }  # fmt: skip
    return wrapped(node, make_profile(who.keys, **{**fields, **changes}), days)


def kept(node: SimNode) -> dict[bytes, ListedPerson]:
    return engine_of(node).state.listed.people


def test_what_is_of_another_time_or_forged_or_held_for_long_is_refused() -> None:
    _, nodes = mesh("odd", "cat")
    cat, now_ms = nodes["cat"], nodes["cat"].now().wall_ms
    odd = [
        listing(cat, 1, ts_ms=now_ms - 3 * DAY_MS),
        listing(cat, 1, ts_ms=now_ms + 3_600_000),
        listing(cat, 1, listed=False),
        listing(cat, 1, days=35),
        listing(cat, 1, cert=sybil(2).cert),
        listing(cat, 1, devices=sybil(2).devices),
    ]
    give(cat, odd)
    assert kept(cat) == {}
    give(cat, [listing(cat, 1)])
    assert found(cat, "junk") == ["junk"]
    no_late_faults(cat)


def test_nobody_lists_us_nor_takes_us_off_but_ourselves() -> None:
    world, nodes = mesh("self", "ann", "cat")
    ann, cat = nodes["ann"], nodes["cat"]
    ann.call(c.ProfileSet(listed=True, status="mine"))
    world.run(3)
    me = engine_of(ann).state.me
    lie = make_profile(
        me.identity, cert=me.cert, devices=me.devices, nickname="lie", avatar=None, status=None, listed=True,
        ts_ms=ann.now().wall_ms + 200_000,
    )  # fmt: skip
    before = dict(kept(ann))
    give(ann, [wrapped(ann, lie)])  # of a device that was stolen
    assert kept(ann) == before
    forged = make_profile(
        sybil(1).keys, cert=me.cert, devices=me.devices, nickname="lie", avatar=None, status=None,
        listed=False,
        ts_ms=ann.now().wall_ms + 200_000,
    )  # fmt: skip
    give(cat, [wrapped(cat, forged)])
    assert found(cat, "ann") == ["ann"]
    no_late_faults(ann, cat)


def test_older_ones_and_those_that_come_too_often_are_no_news_and_the_end_is_not_undone() -> None:
    world, nodes = mesh("often", "cat")
    cat = nodes["cat"]
    first = listing(cat, 1, nickname="first")
    give(cat, [first, listing(cat, 1, nickname="second", ts_ms=cat.now().wall_ms + GAP_MS - 1)])
    assert found(cat, "second") == []
    world.run(GAP_MS / 1000)
    give(cat, [listing(cat, 1, nickname="third"), first])
    assert found(cat, "third") == ["third"] and found(cat, "first") == []
    world.run(1)
    give(cat, [listing(cat, 1, listed=False), first, listing(cat, 1, nickname="again")])
    assert found(cat, "third") == found(cat, "first") == found(cat, "again") == found(cat, "junk") == []
    no_late_faults(cat)


@pytest.mark.attack("A36")
def test_a_flood_of_made_up_people_pushes_out_neither_friends_nor_who_has_stood_for_a_day() -> None:
    world, nodes = mesh("flood", "ann", "cat")
    ann, cat = nodes["ann"], nodes["cat"]
    befriend(world, ann, cat)
    cat.call(c.ProfileSet(listed=True))
    ann.call(c.ProfileSet(listed=True))
    world.run(5)
    old = kept(cat)[ann.setup.identity.account]
    for number in range(SETTLED):
        account = Random(f"old {number}").randbytes(32)
        row = ListedPerson(
            account, "old", None, None, old.cert, old.devices, 1, True, old.ts_ms, old.ts_ms - DAY_MS + number
        )
        engine_of(cat).state.listed.restore(row)
    for start in range(1_000, 2_500, 500):
        give(cat, [listing(cat, number) for number in range(start, start + 500)])
        world.run(20)
    assert len(kept(cat)) == MAX_LISTED
    assert {ann.setup.identity.account, cat.setup.identity.account} <= kept(cat).keys()
    assert sum(one.nickname == "old" for one in kept(cat).values()) == SETTLED
    rows = cat.store.load().rows[Table.PENDING]
    assert sum(key[:1] == b"U" for key in rows) <= MAX_LISTED
    for letter in "j", "o", "junk", "old":
        found(cat, letter, limit=200)
    assert len(engine_of(cat).state.found.by_account) <= MAX_FOUND
    no_late_faults(cat)


@pytest.mark.attack("A36")
def test_signatures_are_looked_at_no_faster_than_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    _, nodes = mesh("rate", "cat")
    cat, looked = nodes["cat"], list[int]()
    real = profiles.verify_profile
    monkeypatch.setattr(profiles, "verify_profile", lambda one: (looked.append(1), real(one))[1])
    give(cat, [listing(cat, number, cert=sybil(1).cert) for number in range(2, int(BURST) + 300)])
    assert BURST <= len(looked) <= BURST + 5 and kept(cat) == {}
    before = len(looked)
    give(cat, [listing(cat, 5_000, ts_ms=1)])
    assert len(looked) == before


def test_results_that_are_remembered_are_bounded_and_the_oldest_goes() -> None:
    world, nodes = mesh("results", "cat")
    cat = nodes["cat"]
    state = engine_of(cat).state
    old = ListedPerson(b"", "n", None, None, b"", b"", 1, True, cat.now().wall_ms, cat.now().wall_ms)
    for number in range(MAX_FOUND + 5):
        world.run(0.01)
        account = number.to_bytes(32, "big")
        state.listed.people[account] = ListedPerson(
            account, f"n{number}", None, None, b"", b"", 1, True, old.ts_ms, old.ts_ms
        )
        assert cat.call(c.UserSearch(text=f"n{number}", limit=1))["users"]
        del state.listed.people[account]
    assert len(state.found.by_account) == MAX_FOUND
    assert state.found.get((0).to_bytes(32, "big")) is None
    assert sum(key[:1] == b"u" for key in cat.store.load().rows[Table.PENDING]) == MAX_FOUND


# -- beats ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [None, -1, 2**40, 5, 15, "away", b"x", [1, [2]], [], ABSENT + BUSY, 255])
def test_whatever_a_beat_says_it_is_a_state_that_there_is(body: Any) -> None:
    presence = Presence()
    presence.watch(b"a", 0)
    presence.beat(b"a", body, 1)
    assert presence.here(b"a")
    assert presence.seen(b"a").state in {"online", "away", "offline"}
    assert not (presence.seen(b"a").busy and presence.seen(b"a").state == "offline")


def test_a_contact_who_comes_and_goes_at_will_does_not_make_us_beat_at_will() -> None:
    world = Simulation("flap")
    ann, bob = world.add("ann"), world.add("bob", peers=["ann"])
    world.run(1)
    ann.attach(), bob.attach()
    befriend(world, ann, bob)
    world.run(60)
    sent, at_ann = told(ann), ann.attach()
    beats = engine_of(bob).desk.inbox.beats
    for number in range(600):
        turn = engine_of(bob)._turn(bob.now())
        beats._post(turn, (STOPPED, ALIVE, AWAY + BUSY)[number % 3])
        bob.perform(engine_of(bob)._release(turn, []))
        world.run(0.5)
    assert len(sent) <= 300 / ANSWER_CALM + 6
    shown = [e for e in at_ann.of(events.Presence) if e.username == "bob"]
    assert len(shown) <= 302
    world.run(2)
    assert ann.call(c.ContactList())["contacts"][0]["presence"] == at_ann.of(events.Presence)[-1].state
    no_late_faults(ann)


def test_beats_of_whom_we_have_nothing_to_do_with_any_more_are_not_answered_nor_shown() -> None:
    world = Simulation("nobody")
    ann, bob = world.add("ann"), world.add("bob", peers=["ann"])
    world.run(1)
    befriend(world, ann, bob)
    bob.attach()
    world.run(90)
    engine_of(ann).state.presence.forget(bob.setup.identity.account)
    sent, at_ann = told(ann), ann.attach()
    bob.call(c.PresenceSet(state="away"))
    world.run(300)
    assert len(sent) <= 6 and not [e for e in at_ann.of(events.Presence) if e.username == "bob"]
    bob.call(c.PresenceSet(state="online"))
    world.run(60)
    engine_of(ann).state.presence.watch(bob.setup.identity.account, world.time)
    world.run(120)
    assert [e.state for e in at_ann.of(events.Presence) if e.username == "bob"] == ["online"]
