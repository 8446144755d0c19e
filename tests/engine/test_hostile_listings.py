"""What people without manners post in the directory, and what it does to the others: little."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

import pytest

from node import ids
from node.chat import commands as c
from node.chat.directory import GAP_MS, MAX_BY_LISTER, MAX_EACH, MAX_ROOMS, SETTLED, Listed
from node.chat.objects import split
from node.crypto import keys, ops
from node.crypto.keys import Identity
from node.crypto.listing import make_listing, seed_invite
from node.crypto.ops import Leaf, Policy, Visibility
from node.crypto.primitives import x25519_public
from node.engine import listings
from node.engine.listings import BURST
from node.sim import SimNode, Simulation
from node.tables import Table
from node.wire.envelope import Envelope, parse
from tests.chat.room_samples import Person
from tests.engine.hostile import engine_of, give, later_on, no_late_faults
from tests.engine.test_open_rooms import join, kept, listed, mesh, names, opened

DAY_MS = 86_400_000
TODAY = 1_790_000_000_000 // DAY_MS


@cache
def sybil(number: int) -> Person:
    """An account that somebody made up."""
    rng = Random(number)
    identity = Identity.generate(rng.randbytes, TODAY)
    cert = keys.make_cert(identity, TODAY, TODAY + 3650)
    devices = keys.make_list(identity, 1, bytes(32), [cert.cert_hash], [], TODAY)
    secret = rng.randbytes(32)
    return Person(identity, cert, devices, Leaf(1, x25519_public(secret)), secret)


def room_of(who: Person, number: int, policy: Policy | None = None) -> tuple[bytes, bytes]:
    """Return the `create` op and the seed of an open room that somebody made up."""
    seed = Random(number).randbytes(32)
    made = ops.make_create(
        who.keys, policy=policy or Policy(Visibility.OPEN), salt16=seed_invite(seed)[0], cert=who.cert,
        devices=who.devices, leaf=who.leaf, name="junk", creator_name="sybil", ts_ms=TODAY * DAY_MS,
    )  # fmt: skip
    return made.raw, seed


def post(node: SimNode, who: Person, create: bytes, seed: bytes, **changes: Any) -> Envelope:
    """Return a listing by somebody, in an envelope that anybody in the network can make."""
    now_ms = node.now().wall_ms
    fields: dict[str, Any] = {"name": "junk", "count": 3, "node_records": [], "ts_ms": now_ms}
    inner = make_listing(who.keys, create=create, seed=seed, cert=who.cert, **{**fields, **changes})
    return wrapped(node, inner)


def wrapped(node: SimNode, inner: bytes, days: int = 2) -> Envelope:
    channel = engine_of(node).desk.inbox.listings.route.channel
    entropy = node.setup.entropy
    return parse(channel.seal(inner, ts_ms=node.now().wall_ms, ttl_days=days, entropy=entropy))


def flood(node: SimNode, numbers: range, **changes: Any) -> None:
    """Give a node one listing of each of so many made-up accounts, no faster than it looks at them."""
    for start in range(numbers.start, numbers.stop, 500):
        some = range(start, min(start + 500, numbers.stop))
        give(node, [post(node, sybil(n), *room_of(sybil(n), n), **changes) for n in some])
        node.world.run(20)


def test_a_liar_renames_no_room_whose_creator_lists_it_and_none_of_its_members_believe_it() -> None:
    world, ann, bob, cat, room = opened("liar")
    listing = next(iter(kept(cat).values()))
    create = engine_of(ann).state.rooms.inboxes[listing.room_id].room.log.create.raw
    world.run(GAP_MS / 1000 + 1)
    for lie in ({"name": "lies"}, {"count": 0}, {"name": "lies", "ts_ms": cat.now().wall_ms + 60_000}):
        for node in (ann, cat):
            before = dict(kept(node))
            give(node, [post(node, sybil(1), create, listing.seed, **lie)])
            assert kept(node) == before
    later_on(world, 1, bob, cat)
    give(cat, [post(cat, sybil(1), create, listing.seed, name="lies")])
    assert names(cat) == ["lies"]
    ann.start()
    assert world.run_until(lambda: names(cat) == ["square"], 60)
    no_late_faults(ann, cat)


def test_what_is_no_listing_or_of_another_time_or_to_be_held_for_long_is_refused() -> None:
    _, ann, _, cat = mesh("odd")
    who, (create, seed) = sybil(1), room_of(sybil(1), 1)
    now_ms = cat.now().wall_ms
    inner = make_listing(
        who.keys, create=create, seed=seed, name="junk", count=1, node_records=[], ts_ms=now_ms, cert=who.cert
    )
    odd = [
        post(cat, who, create, seed, ts_ms=now_ms - 3 * DAY_MS),
        post(cat, who, create, seed, ts_ms=now_ms + 3_600_000),
        post(cat, who, create, seed, count=0),
        post(cat, who, create, bytes(32)),
        post(cat, who, *room_of(who, 1, Policy())),
        wrapped(cat, inner, days=35),
        wrapped(cat, split(inner)[0]),
    ]
    give(cat, odd)
    assert kept(cat) == {}
    give(cat, [wrapped(cat, inner)])
    assert names(cat) == ["junk"]
    no_late_faults(ann, cat)


@pytest.mark.attack("A36")
def test_one_account_has_four_rooms_and_its_word_for_others_is_taken_for_32() -> None:
    _, _, _, cat = mesh("each")
    give(cat, [post(cat, sybil(1), *room_of(sybil(1), n)) for n in range(20)])
    assert len(kept(cat)) == MAX_EACH
    give(cat, [post(cat, sybil(2), *room_of(sybil(n), n)) for n in range(100, 150)])
    assert len(kept(cat)) == MAX_EACH + MAX_BY_LISTER
    no_late_faults(cat)


@pytest.mark.attack("A36")
def test_a_flood_of_5000_made_up_rooms_pushes_out_neither_friends_nor_what_has_stood_for_a_day() -> None:
    world, ann, bob, cat, room = opened("flood")
    own = cat.call(c.RoomCreate(name="mine", visibility="open"))["room"]
    world.run(3)
    directory = engine_of(cat).state.directory
    old = directory.rooms[next(iter(directory.rooms))]
    for number in range(SETTLED + 50):  # rooms of strangers that were there yesterday, too
        account = Random(f"old {number}").randbytes(32)
        room_id, at = number.to_bytes(16, "big"), old.ts_ms
        directory.restore(Listed(room_id, account, account, "old", 1, at, at - DAY_MS + number, bytes(32)))
    ann.crash()
    bob.crash()
    flood(cat, range(1000, 6000))
    assert len(directory.rooms) == MAX_ROOMS
    standing = sum(row.name == "old" for row in directory.rooms.values())
    assert standing >= SETTLED
    assert ids.parse(own) in directory.rooms  # of somebody we have to do with: ourselves
    written = cat.store.load().rows[Table.OBJECTS]
    assert sum(key.startswith(b"list") for key in written) <= MAX_ROOMS
    cat.crash()
    cat.start()
    assert len(listed(cat)) <= MAX_ROOMS
    world.run(5)
    no_late_faults(cat)


@pytest.mark.attack("A36")
def test_a_newcomer_in_a_flood_has_a_share_of_the_seats_however_often_others_list() -> None:
    _, _, _, cat = mesh("share")
    flood(cat, range(1000, 2500))
    before = set(kept(cat))
    assert len(before) == MAX_ROOMS
    flood(cat, range(1000, 1500), ts_ms=cat.now().wall_ms + 1)
    assert set(kept(cat)) == before  # the same ones again: nobody is nearer than it was
    flood(cat, range(5000, 5200))
    assert 90 <= len(set(kept(cat)) - before) <= 140  # 200 more where two of three had a seat
    no_late_faults(cat)


@pytest.mark.attack("A36")
def test_signatures_of_listings_are_checked_at_a_limited_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, _, cat = mesh("rate")
    seen: list[object] = []
    real = listings.verify_listing
    monkeypatch.setattr(listings, "verify_listing", lambda read: (seen.append(read), real(read))[1])
    first = post(cat, sybil(1), *room_of(sybil(1), 1))
    bad = make_listing(
        sybil(2).keys, create=room_of(sybil(2), 2)[0], seed=bytes(32), name="x", count=1, node_records=[],
        ts_ms=cat.now().wall_ms, cert=sybil(2).cert,
    )  # fmt: skip
    give(cat, [wrapped(cat, bad) for _ in range(int(BURST) + 500)])
    assert len(seen) == BURST
    give(cat, [first])
    assert kept(cat) == {}
    cat.world.run(2)
    give(cat, [first])
    assert names(cat) == ["junk"]


def test_a_node_that_is_in_the_room_does_not_take_a_strangers_word_for_it() -> None:
    world, ann, bob, _, room = opened("stranger")
    before = dict(kept(ann))
    held = next(iter(before.values()))
    create = engine_of(ann).state.rooms.inboxes[held.room_id].room.log.create.raw
    world.run(GAP_MS / 1000 + 1)
    give(ann, [post(ann, sybil(1), create, held.seed, name="circle")])
    assert kept(ann) == before
    assert replace(held) == before[held.room_id]
    no_late_faults(ann, bob)


def test_a_home_whose_list_is_larger_than_allowed_goes_back_under_the_limit() -> None:
    world = Simulation("over")
    cat = world.add("cat")
    world.run(1)
    directory = engine_of(cat).state.directory
    now_ms = cat.now().wall_ms
    for number in range(MAX_ROOMS + 30):
        account = Random(number).randbytes(32)
        directory.restore(
            Listed(number.to_bytes(16, "big"), account, account, "x", 1, now_ms, now_ms, bytes(32))
        )
    give(cat, [post(cat, sybil(n), *room_of(sybil(n), n)) for n in range(3)])
    assert len(directory.rooms) == MAX_ROOMS


def test_who_lists_somebody_elses_room_does_not_say_where_its_joiners_are_to_call() -> None:
    world, ann, bob, cat, room = opened("call me")
    listing = next(iter(kept(cat).values()))
    assert listing.node_records
    create = engine_of(ann).state.rooms.inboxes[listing.room_id].room.log.create.raw
    later_on(world, 1, bob, cat)
    record = engine_of(bob)._record()
    give(cat, [post(cat, sybil(1), create, listing.seed, name="lies", node_records=[record])])
    assert names(cat) == ["lies"]
    assert [row.node_records for row in kept(cat).values()] == [()]


@pytest.mark.attack("A02")
def test_members_do_not_take_the_word_of_a_device_that_was_replaced() -> None:
    world, ann, bob, cat, room = opened("old device")
    join(world, cat, room)
    world.run(5)
    old, records = engine_of(ann).state.me, ann.backup()
    create = engine_of(ann).state.rooms.inboxes[ids.parse(room)].room.log.create.raw
    ann.crash()
    world.restore("anns", records, peers=["bob"]).start()
    world.run(60)
    before = dict(kept(cat))
    (listing,) = before.values()
    inner = make_listing(
        old.identity, create=create, seed=listing.seed, name="lies", count=2, node_records=[],
        ts_ms=cat.now().wall_ms + 2 * GAP_MS, cert=old.cert,
    )  # fmt: skip
    give(cat, [wrapped(cat, inner)])
    assert kept(cat) == before
    no_late_faults(cat)
