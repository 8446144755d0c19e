"""Strangers and co-members who ask, take back and answer as no honest node would."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from node.chat import commands as c, events
from node.chat.notes import Note, note_of, token_of
from node.chat.people import Person
from node.chat.turn import unpack_row
from node.crypto.channel import inbox_channel
from node.crypto.keys import Identity, make_cert, make_list
from node.crypto.prekeys import make_bundle, new_prekey, open_request, seal_request
from node.sim import SimNode, Simulation
from node.store.records import Shelf
from node.tables import Table
from node.wire.envelope import Envelope, parse
from node.wire.payload import Type
from tests.engine.hostile import direct, engine_of, give, later_on, no_late_faults, post
from tests.engine.test_blocking import note
from tests.engine.test_contact_requests import both, club, names, refused, state_of
from tests.engine.worlds import befriend, texts


class Stranger:
    """Somebody with keys and no node; each request has a time above the one before."""

    def __init__(self, victim: SimNode, name: str) -> None:
        self.victim, self.name, self.after = victim, name, 0
        today = victim.now().wall_ms // 86_400_000
        entropy = victim.setup.entropy
        self.keys = Identity.generate(entropy, today)
        self.cert = make_cert(self.keys, today, today + 9)
        self.devices = make_list(self.keys, 1, bytes(32), (self.cert.cert_hash,), (), today)
        self.bundle = make_bundle(self.keys, 1, new_prekey(entropy, 1, today))

    def says(self, kind: Note | None, hello: str = "", ts_ms: int | None = None) -> bytes:
        self.after += 1
        return seal_request(
            self.keys,
            cert=self.cert,
            devices=self.devices,
            bundle=self.bundle,
            node_record=b"",
            name=self.name,
            token=None if kind is None else token_of(kind),
            ts_ms=self.victim.now().wall_ms + self.after if ts_ms is None else ts_ms,
            hello="0" if kind not in {None, Note.ASKED} and not hello else hello,
            to_account=self.victim.setup.identity.account,
            to_intro=self.victim.setup.identity.intro_pub,
            entropy=self.victim.setup.entropy,
        )


def alone(seed: str) -> tuple[Simulation, SimNode, SimNode]:
    world = Simulation(seed)
    ann, eve = world.add("ann"), world.add("eve", peers=["ann"])
    world.run(2)
    return world, ann, eve


def send(world: Simulation, via: SimNode, victim: SimNode, *inners: bytes) -> list[Envelope]:
    inbox = inbox_channel(victim.setup.identity.intro_pub)
    sent = [post(via, inbox, inner) for inner in inners]
    world.run(2)
    return sent


def test_who_asks_and_takes_back_without_end_is_shown_three_times_a_week() -> None:
    world, ann, eve = alone("again and again")
    session, stranger = ann.attach(plain=False), Stranger(ann, "mallory")
    for _ in range(10):
        send(world, eve, ann, stranger.says(Note.ASKED, "hi"), stranger.says(Note.CANCELLED))
    assert len(session.of(events.ContactRequested)) == 3
    assert len(session.of(events.ContactRequestCancelled)) == 3
    send(world, eve, ann, stranger.says(Note.ASKED, "still here"))
    assert state_of(ann, "mallory") == "incoming", "and can be answered"
    assert len(session.of(events.ContactRequested)) == 3
    no_late_faults(ann)


def test_taking_back_frees_no_place_so_that_made_up_people_are_bounded_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.chat.incoming.MAX_REQUESTS", 4)
    world, ann, eve = alone("made up")
    session = ann.attach(plain=False)
    for number in range(9):
        stranger = Stranger(ann, f"mallory{number}")
        send(world, eve, ann, stranger.says(Note.ASKED), stranger.says(Note.CANCELLED))
    assert len(session.of(events.ContactRequested)) == 4
    assert len([p for p in engine_of(ann).state.people.by_account.values() if "mallory" in p.username]) == 4
    later_on(world, 8, ann, eve)
    world.run(3700)
    assert engine_of(ann).state.contacts.requests.incoming.waiting == {}
    no_late_faults(ann)


def test_a_request_that_comes_again_after_its_end_is_not_shown_again() -> None:
    world, ann, eve = alone("replay")
    stranger = Stranger(ann, "mallory")
    asked = send(world, eve, ann, stranger.says(Note.ASKED), stranger.says(None))
    ann.call(c.ContactReject(username="mallory"))
    world.run(2)
    session = ann.attach(plain=False)
    rejected = len(eve.store.envelopes_by_time(0, 1 << 62, None, 1 << 40)[0])
    for node_restarts in (False, True):
        if node_restarts:
            ann.crash()
            ann.start()
            session = ann.attach(plain=False)
        give(ann, asked)
        send(world, eve, ann, *(eve_inner(ann, one) for one in asked))
        assert session.of(events.ContactRequested) == []
        assert state_of(ann, "mallory") == "none"
    now = len(eve.store.envelopes_by_time(0, 1 << 62, None, 1 << 40)[0])
    assert now <= rejected + 4, "the copies themselves: nothing was answered"


def eve_inner(ann: SimNode, sealed: Envelope) -> bytes:
    """Return an inner to be posted in another envelope, as whoever knows the inbox can."""
    return inbox_channel(ann.setup.identity.intro_pub).open(sealed)


def test_an_old_request_of_any_kind_does_not_undo_that_it_was_taken_back() -> None:
    world, ann, eve = alone("undo")
    stranger = Stranger(ann, "mallory")
    asked = send(world, eve, ann, stranger.says(None))
    send(world, eve, ann, stranger.says(Note.CANCELLED))
    session = ann.attach(plain=False)
    send(world, eve, ann, eve_inner(ann, asked[0]))
    assert state_of(ann, "mallory") == "none"
    assert session.of(events.ContactRequested) == []


def test_a_request_taken_back_before_it_came_is_not_shown() -> None:
    world, ann, eve = alone("overtaken")
    session, stranger = ann.attach(plain=False), Stranger(ann, "mallory")
    asked, cancelled = stranger.says(Note.ASKED), stranger.says(Note.CANCELLED)
    send(world, eve, ann, cancelled)
    send(world, eve, ann, asked)
    assert session.of(events.ContactRequested) == []
    early = engine_of(ann).state.contacts.requests._early
    for number in range(300):
        send_one = Stranger(ann, f"m{number}")
        post(eve, inbox_channel(ann.setup.identity.intro_pub), send_one.says(Note.CANCELLED))
    world.run(10)
    assert len(early) == 256
    assert engine_of(ann).state.people.by_account.keys() == set()
    no_late_faults(ann)


def test_nobody_accepts_rejects_or_removes_who_did_not_ask_them() -> None:
    world, ann, bob, cat, _ = club("unasked")
    session = ann.attach(plain=False)
    inbox = inbox_channel(ann.setup.identity.intro_pub)
    for kind in (Note.ACCEPTED, Note.REJECTED, Note.CANCELLED, Note.REMOVED, Note.UNBLOCKED):
        world.run(1)
        post(bob, inbox, note(bob, ann, kind))
    stranger = Stranger(ann, "mallory")
    for kind in (Note.ACCEPTED, Note.REJECTED, Note.REMOVED, Note.BLOCKED):
        post(bob, inbox, stranger.says(kind))
    world.run(3)
    assert both(ann, bob) == ("none", "none")
    assert [e for e in session.seen if type(e).__name__.startswith("Contact")] == []
    assert refused(ann, c.ProfileGet(username="mallory")) == "unknown_user"
    no_late_faults(ann, cat)


def test_a_session_or_a_rooms_request_is_no_answer_to_ours() -> None:
    world, ann, bob, _, room = club("no answer")
    ann.call(c.ContactRequest(username="bob"))
    world.run(2)
    room16 = engine_of(bob).state.rooms.rooms()[0].room_id
    inbox = inbox_channel(ann.setup.identity.intro_pub)
    post(bob, inbox, note(bob, ann, Note.ASKED, token=room16))
    world.run(3)
    assert engine_of(ann).state.dms.of(bob.setup.identity.account)
    assert both(ann, bob) == ("requested", "incoming")
    no_late_faults(ann, bob)


def test_late_messages_of_who_was_removed_are_not_shown_then_or_when_added_again() -> None:
    world = Simulation("late")
    ann, bob = world.add("ann"), world.add("bob", peers=["ann"])
    world.run(2)
    befriend(world, ann, bob)
    room = ann.call(c.DmOpen(username="bob"))["room"]
    bob.call(c.DmOpen(username="ann"))
    session = ann.attach(plain=False)
    world.partition(["ann"], ["bob"])
    ann.call(c.ContactRemove(username="bob"))
    bob.call(c.UserMessage(room=room, message="I do not know yet"))
    world.heal()
    world.run(60)
    assert texts(session) == [] and both(ann, bob) == ("none", "none")
    direct(bob, ann, Type.TEXT, ["I know and do not care", "text", None])
    other = bob.call(c.RoomCreate(name="other"))["room"]
    assert refused(bob, c.UserInvite(target="ann", room=other)) == "not_a_contact"
    world.run(5)
    assert texts(session) == []
    ann.call(c.ContactRequest(username="bob"))
    world.run(3)
    bob.call(c.ContactAccept(username="ann"))
    world.run(3)
    bob.call(c.UserMessage(room=room, message="thank you"))
    world.run(120)
    assert texts(session) == ["thank you"]
    no_late_faults(ann, bob)


def test_who_missed_a_removal_is_told_again_when_they_go_on_but_not_without_end() -> None:
    world = Simulation("missed")
    ann, bob = world.add("ann"), world.add("bob", peers=["ann"])
    world.run(2)
    befriend(world, ann, bob)
    world.run(2)
    ann.call(c.ContactRemove(username="bob"))
    world.run(3)
    person = engine_of(bob).state.people.by_account[ann.setup.identity.account]
    bob.crash()
    bob.store.commit([])
    bob.store._state.rows[(Table.PEOPLE, person.account)] = msgspec.msgpack.encode(
        replace(person, state="contact", heard_ms=0)
    )
    later_on(world, 2, ann, bob)
    world.run(5)
    assert both(ann, bob) == ("none", "contact"), "as if the note had never come"
    sent = len(own_notes(ann))
    for _ in range(3):
        bob.call(c.UserMessage(room=bob.call(c.DmOpen(username="ann"))["room"], message="hello?"))
        world.run(2)
        if state_of(bob, "ann") == "none":
            break
    assert both(ann, bob) == ("none", "none") and len(own_notes(ann)) == sent + 1
    for _ in range(20):
        direct(bob, ann, Type.TEXT, ["hello?", "text", None])
    world.run(3)
    assert len(own_notes(ann)) == sent + 8


def test_who_blocks_and_unblocks_without_end_is_shown_a_few_times_a_day() -> None:
    world, ann, bob, cat, _ = club("flips")
    session, inbox = ann.attach(plain=False), inbox_channel(ann.setup.identity.intro_pub)
    for at in range(20):
        post(bob, inbox, note(bob, ann, Note.UNBLOCKED if at % 2 else Note.BLOCKED))
        world.run(1)
    assert len(session.of(events.ContactUpdated)) == 8
    assert not ann.call(c.ProfileGet(username="bob"))["blocked_by"]
    later_on(world, 1, cat, ann, bob)
    session = ann.attach(plain=False)
    world.run(5)
    post(bob, inbox, note(bob, ann, Note.BLOCKED))
    world.run(3)
    assert len(session.of(events.ContactUpdated)) == 1, "another day"
    no_late_faults(ann)


def test_a_session_that_somebody_removed_asks_for_is_no_request_to_be_a_contact() -> None:
    world = Simulation("asks for a session")
    ann, bob = world.add("ann"), world.add("bob", peers=["ann"])
    world.run(2)
    befriend(world, ann, bob)
    ann.call(c.ContactRemove(username="bob"))
    world.run(3)
    session = ann.attach(plain=False)
    post(bob, inbox_channel(ann.setup.identity.intro_pub), note(bob, ann, Note.ASKED, token=None))
    world.run(3)
    assert state_of(ann, "bob") == "none" and session.of(events.ContactRequested) == []


def test_who_is_rejected_does_not_learn_where_we_are() -> None:
    world, ann, eve = alone("where")
    stranger = Stranger(ann, "mallory")
    send(world, eve, ann, stranger.says(Note.ASKED))
    ann.call(c.ContactReject(username="mallory"))
    world.run(2)
    inbox = inbox_channel(stranger.keys.intro_pub)
    day = ann.now().wall_ms // 86_400_000
    (raw,) = eve.store.envelopes_by_rk([inbox.rk(day)], 10)
    told = open_request(stranger.keys, inbox.open(parse(raw)), day)
    assert note_of(told.token) is Note.REJECTED
    assert told.node_record == b""


def test_nothing_is_asked_of_somebody_whose_keys_changed_under_the_policy_strict() -> None:
    world, ann, bob, _, _ = club("strict")
    ann.call(c.ContactPolicy(username="bob", policy="strict"))
    turn = engine_of(ann)._turn(ann.now())
    people = engine_of(ann).state.people
    people.save(turn, replace(people.by_account[bob.setup.identity.account], trust="changed"))
    assert refused(ann, c.ContactRequest(username="bob")) == "key_changed"
    assert state_of(ann, "bob") == "none"


def own_notes(node: SimNode) -> list[bytes]:
    return [e.raw for e in node.store._state.held.values() if e.shelf == Shelf.OWN and len(e.raw) > 1000]


def test_strangers_get_names_by_the_rules_and_are_answered_by_name_mark_or_id() -> None:
    world, ann, eve = alone("names")
    session = ann.attach(plain=False)
    people = [Stranger(ann, name) for name in ("ann", "carol", "carol", "", "a b/c")]
    send(world, eve, ann, *(one.says(Note.ASKED) for one in people))
    got = names(session, events.ContactRequested)
    assert got[0].startswith("ann~") and got[1] == "carol" and got[2].startswith("carol~")
    assert got[3].startswith("new~") and got[4] == "a_b_c"
    rows = {row["username"]: row for row in ann.call(c.ContactList())["contacts"]}
    assert set(got) == set(rows) and all(row["state"] == "incoming" for row in rows.values())
    ann.call(c.ContactAccept(username=got[0]))
    ann.call(c.ContactReject(username="carol"))
    ann.call(c.ContactAccept(username=rows[got[2]]["user_id"]))
    assert ann.call(c.ContactRename(username=got[3], name="dave"))["username"] == "dave"
    assert ann.call(c.ContactAccept(username="dave"))["state"] == "contact"
    assert [state_of(ann, name) for name in (got[0], "carol", got[2], "dave")] == [
        "contact",
        "none",
        "contact",
        "contact",
    ]


def test_rows_of_homes_from_before_requests_could_be_answered_still_open() -> None:
    world, ann, eve = alone("old rows")
    stranger = Stranger(ann, "mallory")
    inner = stranger.says(None)
    send(world, eve, ann, inner)
    account = stranger.keys.account
    ann.crash()
    rows = ann.store._state.rows
    rows[(Table.REQUESTS, b"w" + account)] = msgspec.msgpack.encode(inner)
    person = msgspec.msgpack.decode(rows[(Table.PEOPLE, account)])
    for name in ("blocked", "blocked_ms", "blocked_by", "said_ms", "heard_ms", "refused_day", "parted"):
        del person[name]
    rows[(Table.PEOPLE, account)] = msgspec.msgpack.encode(person)
    assert unpack_row(rows[(Table.PEOPLE, account)], Person).blocked == ""
    ann.start()
    world.run(2)
    assert state_of(ann, "mallory") == "incoming"
    assert ann.call(c.ContactAccept(username="mallory"))["state"] == "contact"


def test_a_request_that_nobody_repeats_for_six_weeks_is_over() -> None:
    world, ann, eve = alone("six weeks")
    send(world, eve, ann, Stranger(ann, "mallory").says(Note.ASKED))
    later_on(world, 43, ann)
    session = ann.attach(plain=False)
    world.run(10)
    assert names(session, events.ContactRequestCancelled) == ["mallory"]
    assert state_of(ann, "mallory") == "none"
