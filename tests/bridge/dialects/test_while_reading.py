"""Whenever the store answers, a page and what is told around it come to what the node knows, each once."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from node import ids
from node.bridge.dialects.adapter import Setting
from node.bridge.ports import Deliver, ReadHistory
from node.chat import commands as c
from node.sim import SimNode, Simulation
from node.sim_shell import answered
from tests.engine.worlds import befriend, invite
from tests.transcripts.adapted import SimFrontend


class SlowStore:
    """Answers of ann's store that are held back: read at once (`early`) or when they are let go."""

    def __init__(self, node: SimNode) -> None:
        self.node, self.held, self.how = node, list[Any](), ""
        self._inner = node._one
        node._one = self._one  # type: ignore[method-assign]  # here a simulated node meets the world

    def _one(self, effect: Any) -> None:
        if not isinstance(effect, ReadHistory) or not self.how:
            self._inner(effect)
        elif self.how == "early":
            answer = answered(self.node.store, effect)
            assert not isinstance(answer, tuple)
            self.held.append(Deliver(effect.session, answer))  # type: ignore[arg-type]  # it has no nonce
        else:
            self.held.append(effect)

    def let_go(self) -> None:
        self.how, held, self.held = "", self.held, []
        for effect in held:
            self._inner(effect)


class Talkers:
    """Ann and bob, who say, change and delete as the dice fall."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.world = rng, Simulation("reading")
        self.ann, self.bob = self.world.add("ann"), self.world.add("bob", peers=["ann"])
        self.world.run(2)
        befriend(self.world, self.ann, self.bob)
        self.room = self.ann.call(c.RoomCreate(name="tea"))["room"]
        invite(self.world, self.ann, self.bob, self.room)
        self.said: list[tuple[SimNode, str]] = []

    def go_on(self, times: int) -> None:
        for _ in range(times):
            who, dice = self.rng.choice((self.ann, self.bob)), self.rng.random()
            own = [ident for author, ident in self.said if author is who]
            if dice < 0.5 or not own:
                text = f"said {len(self.said)}"
                self.said.append((who, who.call(c.UserMessage(room=self.room, message=text))["id"]))
            elif dice < 0.8:
                text = f"changed {self.rng.randrange(999)}"
                who.call(c.MessageEdit(room=self.room, id=self.rng.choice(own), message=text))
            else:
                ident = self.rng.choice(own)
                self.said.remove((who, ident))
                who.call(c.MessageDelete(room=self.room, id=ident))
            if self.rng.random() < 0.5:
                self.world.run(0.1)

    def known(self) -> dict[str, str]:
        read = ReadHistory(1, 1, ids.parse(self.room), None, None, 30)
        found = answered(self.ann.store, read).fields["messages"]  # type: ignore[union-attr]  # an ok
        return {one["id"]: "[deleted]" if one.get("deleted") else one["message"] for one in found}


def shown_by_groups(came: list[Any]) -> dict[str, str]:
    shown: dict[str, str] = {}
    for frame in came:
        data = frame["data"]
        if frame["type"] == "CHAT:RETURN_INIT_MESSAGES":
            shown = {one["id"]: one["text"] for one in data["messages"]}
            continue
        changed = data["edited"] or data["deleted"]
        assert changed or data["id"] not in shown, "twice"
        shown[data["id"]] = data["text"].removeprefix("[edited] ")
    return shown


def shown_by_rooms(came: list[Any]) -> dict[str, str]:
    shown: dict[str, str] = {}
    for name, data in came:
        if name == "history":
            shown = {one["id"]: one["content"] for one in data}
        elif name == "message_received":
            assert "target" in data or data["id"] not in shown, "twice"
            shown[data.get("target", data["id"])] = data["content"].removeprefix("[edited] ")
    return shown


@pytest.mark.parametrize("seed", range(2))
async def test_what_a_frontend_shows_after_a_slow_reading_is_what_there_is(seed: int) -> None:
    rng = random.Random(seed)
    talkers = Talkers(rng)
    world, ann, store = talkers.world, talkers.ann, SlowStore(talkers.ann)
    for _ in range(20):
        rooms, groups = (SimFrontend(ann, dialect, Setting()) for dialect in ("004", "001"))
        talkers.go_on(5)
        world.run(1)
        for page in (rooms, groups):
            page.pump()
            page.came.clear()
        store.how = rng.choice(("early", "late"))
        join = {"roomId": talkers.room, "userId": "u", "username": "n"}
        await rooms.send(json.dumps(["join_room", join]))
        await groups.send(json.dumps({"type": "CHAT:GET_INIT_MESSAGES", "data": talkers.room}))
        talkers.go_on(rng.randrange(5))
        world.run(0.5)
        if rng.random() < 0.5:
            rooms.pump()
            groups.pump()
        talkers.go_on(rng.randrange(2))
        store.let_go()
        talkers.go_on(rng.randrange(4))
        world.run(2)
        rooms.pump()
        groups.pump()
        known = talkers.known()
        for shown in (shown_by_rooms(rooms.came), shown_by_groups(groups.came)):
            assert {ident: shown.get(ident) for ident in known} == known
        await rooms.stop()
        await groups.stop()
