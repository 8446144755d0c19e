"""A play for who writes a frontend: what simulated friends do by themselves, and what one can ask of them.

Four nodes of the simulator: the owner's, and `ann`, `bob`, `cleo`. Ann and bob are contacts, cleo is only in
the same room. What they do takes place on the world's clock, so the same seed and the same words give the
same play (docs/simulator.md, "A node to write a frontend against").
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from itertools import count
from typing import Any

from node.chat import commands as c, events
from node.sim import CallError, SimNode, SimSession, Simulation

PATIENCE = 20.0
"""Virtual seconds for any one step of the beginning."""
LOOK_EVERY = 0.2
"""Seconds between two looks of a friend at its frontend."""
CHAT_EVERY = 30.0
INVITE_AFTER, INVITE_AGAIN = 10.0, 180.0
REQUEST_AFTER = 5.0
AWAY_SECONDS = 30.0
MAX_FLOOD = 1_000
"""Messages of one `!flood`: a page more than a frontend is shown at once."""
ROOM, CLUB = "lounge", "book club"
HELP = (
    "!invite !game !request !announce !file !flood N !edit !delete !react !typing !leave !away !help"
    " - anything else is echoed by ann"
)
LINES = (
    "has anybody seen my keys? the ones that are not for signing",
    "rain again",
    "I read that whole thread. I want that hour back",
    "who is for tea at four?",
    "ünïcödé, العربية, 日本語 and 🧵 should all look right here",
    "a long line " + "that goes on " * 30,
    "<b>this is no markup</b> & this is no entity: &amp;",
)


def befriend(world: Simulation, one: SimNode, other: SimNode) -> None:
    """Make two nodes contacts by a contact link; raises RuntimeError if they do not answer each other."""
    one.call(c.ContactAdd(link=other.call(c.ContactLinkCreate())["link"]))

    def done() -> bool:
        pairs = ((one, other), (other, one))
        return all((peer.name, "contact") in _states(node) for node, peer in pairs)

    _until(world, done, f"{one.name} and {other.name} are no contacts")


def _states(node: SimNode) -> set[tuple[str, str]]:
    return {(row["username"], row["state"]) for row in node.call(c.ContactList())["contacts"]}


def invite(world: Simulation, host: SimNode, guest: SimNode, room: str) -> SimSession:
    """Invite a contact, accept at a frontend of theirs, which is returned, and wait until they are in."""
    session = guest.attach()
    host.call(c.UserInvite(target=guest.name, room=room))
    _until(world, lambda: bool(session.of(events.UserInvite)), f"{guest.name} has no invite")
    guest.call(c.UserInviteResponse(response="accept"), session)
    _until(world, lambda: joined(session, room, guest.name), f"{guest.name} is not in")
    return session


def joined(session: SimSession, room: str, name: str) -> bool:
    """Say whether a session was shown that somebody joined."""
    return any(e.username == name and e.room == room for e in session.of(events.UserJoin))


def _until(world: Simulation, done: Callable[[], bool], otherwise: str) -> None:
    if not world.run_until(done, PATIENCE):
        raise RuntimeError(otherwise)


class Friend:
    """One scripted person: a node, a frontend on it, and how far its news were read."""

    def __init__(self, play: Play, node: SimNode) -> None:
        self.play, self.node = play, node
        self.session = node.attach()
        self._read = 0

    @property
    def name(self) -> str:
        """The username."""
        return self.node.name

    def call(self, command: c.Command) -> dict[str, Any]:
        """Do a command; one that is refused, because the owner was faster or it rained, is left undone."""
        if not self.node.up:
            return {}
        try:
            return self.node.call(command)
        except CallError:
            return {}

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        """Do something in a while, if the node still runs then."""

        def due() -> None:
            if self.node.up:
                act()

        self.play.world.at(self.play.world.time + seconds, due)

    def later(self, seconds: float, command: c.Command) -> None:
        """Do a command in a while."""
        self.after(seconds, lambda: self.call(command))

    def say(self, room: str, text: str, **rest: Any) -> str:
        """Say something; returns its id, empty if it was refused."""
        return str(self.call(c.UserMessage(room=room, message=text, **rest)).get("id", ""))

    def news(self) -> list[events.Event]:
        """Return what the frontend was shown since the last look."""
        seen = self.session.seen[self._read :]
        self._read += len(seen)
        return seen

    def away(self) -> None:
        """Be gone, as by a power cut, and come back."""
        self.node.crash()
        self.play.world.at(self.play.world.time + AWAY_SECONDS, self._back)

    def _back(self) -> None:
        if not self.node.up:
            self.node.start()
            self.session, self._read = self.node.attach(), 0


class Play:
    """The owner `you` and the friends; `begin` sets the scene, after `live` things happen as time passes."""

    def __init__(self, world: Simulation, you: SimNode) -> None:
        self.world, self.you = world, you
        self.ann, self.bob, self.cleo = (
            Friend(self, world.add(name, peers=[you.name])) for name in ("ann", "bob", "cleo")
        )
        self.room = self.club = ""
        self._lines = count()

    def begin(self) -> None:
        """Make contacts and rooms, and say a few words."""
        ann, bob, cleo = self.ann, self.bob, self.cleo
        self.world.run(2.0)
        for one, other in ((ann, self.you), (bob, self.you), (ann, bob), (ann, cleo), (bob, cleo)):
            befriend(self.world, one.node, other if isinstance(other, SimNode) else other.node)
        self.room = str(ann.node.call(c.RoomCreate(name=ROOM, history="all"))["room"])
        for guest in (self.you, bob.node, cleo.node):
            guest.detach(invite(self.world, ann.node, guest, self.room))
        self.club = str(bob.node.call(c.RoomCreate(name=CLUB))["room"])
        for number, text in enumerate(("hello all", "the first message is never a good one", "agreed")):
            (ann, bob, cleo)[number].say(self.room, text)
            self.world.run(1.0)
        ann.call(c.ProfileSet(status="simulated"))
        self.world.run(2.0)

    def live(self) -> None:
        """Let the friends go on by themselves from here."""
        for friend in (self.ann, self.bob, self.cleo):
            friend.news()
            self._look(friend)
        self.bob.after(INVITE_AFTER, self.invite)
        self.cleo.after(REQUEST_AFTER, self.request)
        self.world.at(self.world.time + CHAT_EVERY, self._chat)

    # -- what they do by themselves -----------------------------------------------------------------

    def _chat(self) -> None:
        """Let bob say something now and then, also while nobody listens."""
        if self.bob.node.up:
            self.bob.say(self.room, LINES[next(self._lines) % len(LINES)])
        self.world.at(self.world.time + CHAT_EVERY, self._chat)

    def invite(self) -> None:
        """Let bob invite the owner; 120 seconds later that is an answer too."""
        self.bob.call(c.UserInvite(target=self.you.name, room=self.club))

    def request(self) -> None:
        """Let cleo ask to be a contact."""
        self.cleo.call(c.ContactRequest(username=self.you.name, message="we met in the lounge"))

    def _look(self, friend: Friend) -> None:
        """React to what a friend's frontend was shown, and look again soon."""
        for event in friend.news():
            match event:
                case events.UserMessage(mine=False) if event.username == self.you.name and not event.history:
                    self._heard(friend, event)
                case events.InviteResult() if event.target == self.you.name and event.response != "delivered":
                    self._answered(friend, event)
                case events.UserJoin(reason="join") if self._is_our_guest(friend, event):
                    friend.say(event.room, "welcome!")
                case events.UserInvite():
                    friend.later(2.0, c.UserInviteResponse(response="accept", invite=event.invite))
                case events.ContactRequested():
                    friend.later(2.0, c.ContactAccept(username=event.username))
                case _:
                    pass
        self.world.at(self.world.time + LOOK_EVERY, lambda: self._look(friend))

    def _answered(self, friend: Friend, event: events.InviteResult) -> None:
        if event.kind == "room" and event.response == "accept":
            return  # they may not be in yet, and what is said before is not for them
        word = {"accept": "welcome!", "decline": "another time, then", "ignore": "120 seconds without a word"}
        friend.say(self.room, word.get(event.response, event.response))
        if event.kind == "room":
            friend.after(INVITE_AGAIN, self.invite)

    def _is_our_guest(self, friend: Friend, event: events.UserJoin) -> bool:
        """Say whether bob is told that the owner is in the club; from then on they read what he says."""
        return friend is self.bob and event.room == self.club and event.username == self.you.name

    def _heard(self, friend: Friend, event: events.UserMessage) -> None:
        """Answer the owner: ann echoes, words that begin with `!` ask for something."""
        friend.call(c.RoomRead(room=event.room, id=event.id))
        if event.message.startswith("!"):
            if friend is (self.ann if event.room == self.room else friend):
                self._do(friend, event)
        elif friend is self.ann or event.room != self.room:
            friend.later(0.5, c.TypingSet(room=event.room))
            friend.later(1.0, c.ReactionSet(room=event.room, id=event.id, emoji="👍"))
            said = f"echo: {event.message}"[:4_000]
            friend.later(2.0, c.UserMessage(room=event.room, message=said, reply_to=event.id))

    def _do(self, friend: Friend, event: events.UserMessage) -> None:
        """Do what a word of the owner's asks for."""
        word, _, rest = event.message[1:].partition(" ")
        room = event.room
        match word:
            case "invite":
                self.invite()
            case "game":
                options = {"board": 15, "first": "you"}
                self.bob.call(
                    c.UserInvite(target=self.you.name, room=self.room, kind="game", options=options)
                )
            case "request":
                self.request()
            case "announce":
                self.ann.call(c.AnnouncementSend(room=self.room, text="tea at four", kind="notice"))
            case "file":
                self._file(friend, room)
            case "flood":
                for number in range(min(MAX_FLOOD, int(rest) if rest.isdecimal() else 100)):
                    friend.say(room, f"flood {number + 1}")
            case "edit" | "delete":
                self._change(friend, room, word)
            case "react":
                friend.call(c.ReactionSet(room=room, id=event.id, emoji=rest or "🎉"))
            case "typing":
                friend.call(c.TypingSet(room=room))
            case "leave":
                self._leave()
            case "away":
                self.bob.away()
            case _:
                friend.say(room, HELP)

    def _file(self, friend: Friend, room: str) -> None:
        data = base64.b64encode(b"a simulated file\n" * 64).decode()
        put = friend.call(c.AttachmentPut(data=data, name="note.txt", type="text/plain"))
        if put:
            friend.say(room, "a file", kind="file", attachment=put["attachment"])

    def _change(self, friend: Friend, room: str, word: str) -> None:
        ident = friend.say(room, f"in three seconds this is to {word}")
        edit = c.MessageEdit(room=room, id=ident, message="edited")
        change = edit if word == "edit" else c.MessageDelete(room=room, id=ident)
        friend.later(3.0, change)

    def _leave(self) -> None:
        """Let cleo leave the room and be asked in again."""
        self.cleo.call(c.UserLeave(room=self.room))
        self.ann.later(10.0, c.UserInvite(target=self.cleo.name, room=self.room))
