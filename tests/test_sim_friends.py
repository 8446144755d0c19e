"""Scripted friends: what a frontend author's node is shown, on the virtual clock."""

from __future__ import annotations

import pytest

from node.chat import commands as c, events
from node.sim import SimSession, Simulation
from node.sim_friends import CLUB, PATIENCE, ROOM, Friend, Play


class Stage:
    """A play that has begun, and the owner's frontend."""

    def __init__(self, seed: str = "play") -> None:
        self.world = Simulation(seed, latency=(0.02, 0.08))
        self.you = self.world.add("you")
        self.play = Play(self.world, self.you)
        self.play.begin()
        self.play.live()
        self.session: SimSession = self.you.attach()

    def say(self, text: str) -> str:
        return str(self.you.call(c.UserMessage(room=self.play.room, message=text), self.session)["id"])

    def sees(self, of: type[events.Event], seconds: float = PATIENCE, /, **fields: object) -> events.Event:
        def found() -> list[events.Event]:
            return [e for e in self.session.of(of) if all(getattr(e, k) == v for k, v in fields.items())]

        assert self.world.run_until(lambda: bool(found()), seconds), f"no {of.__name__} with {fields}"
        return found()[0]


@pytest.fixture(scope="module")
def stage() -> Stage:
    return Stage()


def test_the_play_begins_with_two_contacts_and_a_room_that_has_a_history(stage: Stage) -> None:
    contacts = {row["username"] for row in stage.you.call(c.ContactList())["contacts"]}
    rooms = {row["name"]: row["members"] for row in stage.you.call(c.RoomList())["rooms"]}
    assert {"ann", "bob"} <= contacts and rooms[ROOM] == 4 and CLUB not in rooms
    assert (
        len(stage.you.store.history(bytes.fromhex(stage.play.room.replace("-", "")), None, None, 50)[0]) >= 3
    )


def test_what_the_owner_says_is_read_typed_about_liked_and_echoed(stage: Stage) -> None:
    ident = stage.say("hello <all>")
    stage.sees(events.Typing, username="ann")
    stage.sees(events.Reaction, username="ann", id=ident)
    stage.sees(events.UserMessage, message="echo: hello <all>", reply_to=ident)


def test_bob_invites_and_minds_when_nobody_answers_for_120_seconds() -> None:
    stage = Stage("ignored")
    stage.sees(events.UserInvite, sender="bob", room_name=CLUB)
    assert not [e for e in stage.session.of(events.UserMessage) if "120 seconds" in e.message]
    stage.sees(events.UserMessage, 140, message="120 seconds without a word")


def test_who_accepts_is_in_and_welcomed() -> None:
    stage = Stage("accepted")
    stage.sees(events.UserInvite, room_name=CLUB)
    stage.you.call(c.UserInviteResponse(response="accept"), stage.session)
    stage.sees(events.UserMessage, room=stage.play.club, message="welcome!")


def test_who_has_accepted_is_welcomed_when_they_are_in() -> None:
    stage = Stage("early")
    bob, club = stage.play.bob.session, stage.play.club
    invite = stage.sees(events.UserInvite, room_name=CLUB)
    assert isinstance(invite, events.UserInvite)
    bob.seen.append(events.InviteResult(invite=invite.invite, room=club, target="you", response="accept"))
    stage.world.run(5)
    assert not [event for event in bob.of(events.UserMessage) if event.room == club]
    stage.you.call(c.UserInviteResponse(response="accept"), stage.session)
    stage.sees(events.UserMessage, room=club, message="welcome!")


def test_cleo_asks_to_be_a_contact(stage: Stage) -> None:
    stage.sees(events.ContactRequested, username="cleo")


@pytest.mark.parametrize(
    ("word", "kind", "fields"),
    [
        ("!game", events.UserInvite, {"kind": "game", "sender": "bob"}),
        ("!announce", events.Announcement, {"text": "tea at four"}),
        ("!edit", events.MessageEdited, {"message": "edited"}),
        ("!delete", events.MessageDeleted, {}),
        ("!react 🦊", events.Reaction, {"emoji": "🦊"}),
        ("!typing", events.Typing, {"username": "ann"}),
        ("!file", events.UserMessage, {"kind": "file", "message": "a file"}),
        ("!flood 3", events.UserMessage, {"message": "flood 3"}),
        ("!leave", events.UserLeave, {"username": "cleo"}),
        ("!away", events.PeerDown, {}),
        ("!help", events.UserMessage, {"username": "ann"}),
    ],
)
def test_a_word_makes_friends_do_something(
    stage: Stage, word: str, kind: type[events.Event], fields: dict[str, object]
) -> None:
    stage.session.seen.clear()
    stage.say(word)
    stage.sees(kind, **fields)


def test_who_is_away_comes_back_and_goes_on(stage: Stage) -> None:
    bob = stage.play.bob
    assert stage.world.run_until(lambda: bob.node.up, 60)
    stage.world.run(1)
    bob.away()
    assert not bob.node.up and bob.call(c.RoomList()) == {}
    assert stage.world.run_until(lambda: bob.node.up, 60)
    stage.world.run(5)
    direct = stage.you.call(c.DmOpen(username="bob"))["room"]
    stage.you.call(c.UserMessage(room=direct, message="there?"), stage.session)
    stage.sees(events.UserMessage, username="bob", message="echo: there?")


def test_the_same_seed_plays_the_same() -> None:
    def played() -> list[str]:
        stage = Stage("same")
        stage.say("hi")
        stage.world.run(40)
        return [repr(event) for event in stage.session.seen]

    assert played() == played()


def test_a_flood_has_an_end(stage: Stage) -> None:
    friend: Friend = stage.play.ann
    said: list[str] = []
    friend.say = lambda _room, text, **_rest: said.append(text) or ""  # type: ignore[method-assign, func-returns-value]
    stage.say("!flood 100000")
    stage.world.run(2)
    assert len(said) == 1_000
