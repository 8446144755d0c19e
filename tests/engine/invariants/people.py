"""What people do in the stateful test: every command that changes who is where and who says what."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from node.chat import commands as c
from node.sim import CallError, SimNode
from tests.engine.invariants.base import ANY, NAMES, SOME, World

TWO_DOORS_OPEN = False
"""Let one person ask at two doors of one room at once: two greeters let it in, one epoch is never heard."""


class People(World):
    """The rules of what people do."""

    # -- what people do ---------------------------------------------------------------------------

    @rule(name=SOME, history=st.sampled_from((0, 0, 2, 50)), open_=st.sampled_from((False, False, True)))
    def create(self, name: str, history: int, open_: bool) -> None:
        """Make a room: newcomers may read its newest texts, or not; it is listed for all, or not."""
        if len(self.rooms) < 3:
            kind = "open" if open_ else "private"
            asked = c.RoomCreate(name=f"room {len(self.rooms)}", history=history, visibility=kind)
            made = self.ask(self.node(name), asked)
            if made is not None:
                self.rooms.append(made["room"])
                self.ledger.history[made["room"]] = history

    @rule(by=SOME, pick=ANY, history=st.sampled_from((0, 3, 50)))
    def remember(self, by: str, pick: int, history: int) -> None:
        """Change how much newcomers may read; what was kept before counts as granted."""
        room = self.room(pick)
        self.ledger.history[room] = max(history, self.ledger.history.get(room, 0))
        self.ask(self.node(by), c.RoomUpdate(room=room, history=history))

    @rule(name=SOME, pick=ANY)
    def walk_in(self, name: str, pick: int) -> None:
        """Join an open room that is listed; a private one refuses."""
        node, room = self.node(name), self.room(pick)
        if (name, room) not in self.asked and self.ask(node, c.UserJoin(room=room)) is not None:
            self.asked.add((name, room))
            self.world.run(2)

    @rule(by=SOME, pick=ANY)
    def rekey(self, by: str, pick: int) -> None:
        self.ask(self.node(by), c.RoomRekey(room=self.room(pick)))

    @rule(by=SOME, who=SOME, policy=st.sampled_from(("tofu", "warn", "strict")))
    def trust(self, by: str, who: str, policy: Any) -> None:
        """Nobody's device changes here: whatever the policy, nothing is held up."""
        self.ask(self.node(by), c.ContactPolicy(username=who, policy=policy))

    def speak(self, node: SimNode, room: str, direct: str | None = None) -> None:
        if not node.up:
            return
        self.number += 1
        said = self.ledger.say(node, room, f"{node.name} says {self.number}", direct)
        doomed = node.effects_left is not None
        try:
            node.call(c.UserMessage(room=room, message=said.text))
            said.acked = True
        except CallError as fault:
            assert doomed or fault.code != "no_answer"
            said.refused = fault.code != "no_answer"

    @rule(name=SOME, pick=ANY, times=st.integers(1, 4))
    def say(self, name: str, pick: int, times: int) -> None:
        for _ in range(times):
            self.speak(self.node(name), self.room(pick))

    @rule(names=st.permutations(NAMES), pick=ANY)
    def talk(self, names: list[str], pick: int) -> None:
        for name in names:
            self.speak(self.node(name), self.room(pick))
            self.world.run(0.3)

    @rule(a=SOME, b=SOME)
    def whisper(self, a: str, b: str) -> None:
        opened = self.ask(self.node(a), c.DmOpen(username=b))
        if opened is not None:
            self.speak(self.node(a), opened["room"], direct=b)

    @rule(host=SOME, guest=SOME, pick=ANY, wait=st.sampled_from((0.0, 0.02, 2.0)))
    def invite(self, host: str, guest: str, pick: int, wait: float) -> None:
        """Invite, and let the guest accept whatever offers it has."""
        room, who = self.room(pick), self.node(guest)
        if not TWO_DOORS_OPEN and (guest, room) in self.asked:
            return
        if self.ask(self.node(host), c.UserInvite(target=guest, room=room)) is not None:
            self.asked.add((guest, room))
        self.world.run(1)
        for row in (self.ask(who, c.InviteList()) or {"invites": []})["invites"]:
            if row["target"] == guest and row["state"] == "open":
                self.ask(who, c.UserInviteResponse(response="accept", invite=row["invite"]))
        self.world.run(wait)

    @rule(host=SOME, guest=SOME, pick=ANY, wait=st.sampled_from((0.0, 0.02, 2.0)))
    def link(self, host: str, guest: str, pick: int, wait: float) -> None:
        room, who = self.room(pick), self.node(guest)
        if not TWO_DOORS_OPEN and (guest, room) in self.asked:
            return
        made = self.ask(self.node(host), c.RoomLinkCreate(room=room))
        if made is not None and self.ask(who, c.RoomLinkUse(link=made["link"])) is not None:
            self.asked.add((guest, room))
            self.world.run(wait)

    @rule(by=SOME, who=SOME, pick=ANY)
    def remove(self, by: str, who: str, pick: int) -> None:
        node, room = self.node(by), self.room(pick)
        if self.in_room(node, room) is None:
            return
        self.ledger.depart(room, who, node)
        if self.ask(node, c.MemberRemove(room=room, username=who)) is not None:
            accounts = self.in_room(node, room).log.roster.members
            assert self.node(who).setup.identity.account not in accounts
            self.asked.discard((who, room))
        elif node.up:
            self.ledger.departures.pop()

    @rule(name=SOME, pick=ANY)
    def leave(self, name: str, pick: int) -> None:
        node, room = self.node(name), self.room(pick)
        if self.in_room(node, room) is None:
            return
        self.ledger.depart(room, name, node)
        if self.ask(node, c.UserLeave(room=room)) is not None:
            self.asked.discard((name, room))
        elif node.up:
            self.ledger.departures.pop()

    @rule(by=SOME, who=SOME, pick=ANY, role=st.sampled_from(("admin", "greeter", "member")))
    def rule_over(self, by: str, who: str, pick: int, role: Any) -> None:
        self.ask(self.node(by), c.MemberRole(room=self.room(pick), username=who, role=role))

    @rule(name=SOME, pick=ANY, end=st.sampled_from((False, False, False, True)))
    def change(self, name: str, pick: int, end: bool) -> None:
        """Rename a room, or, seldom, end it; the first one stays."""
        room = self.room(pick)
        if end and room != self.rooms[0]:
            self.ask(self.node(name), c.RoomDelete(room=room))
        else:
            self.ask(self.node(name), c.RoomUpdate(room=room, topic=f"topic {self.number}"))
