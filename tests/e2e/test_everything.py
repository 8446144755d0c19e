"""Two nodes whose clocks are a day apart, two frontends at each: every feature is seen from all four."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.e2e.nodes import Frontend, NodeProcess, running

pytestmark = pytest.mark.slow

DAY = 86_400
Event = dict[str, Any]
Pair = tuple[Frontend, Frontend]


def shows(called: str, keys: Event) -> Callable[[Event], bool]:
    """Return what picks events of that name which have these keys."""
    return lambda event: event["event"] == called and event.items() >= keys.items()


async def see(who: Pair, called: str, /, **keys: Any) -> Event:
    """Return an event that both frontends of a node were sent, the very same if it is in the log."""
    try:
        one, other = await asyncio.gather(*(frontend.wait(shows(called, keys), 15) for frontend in who))
    except TimeoutError:
        near = [[event for event in one.events if event["event"] == called] for one in who]
        near = near if any(near) else [one.events[-12:] for one in who]
        raise AssertionError(f"no {called} with {keys} at both, but {near}") from None
    if "seq" in one and not one.get("attachment"):
        assert one == other
    return one


async def refused(frontend: Frontend, code: str, command: str, **keys: Any) -> Event:
    """Do a command that has to be refused so; returns the error."""
    await frontend.send({"event": command, "req": "no", **keys})
    reply = await frontend.wait(lambda event: event.get("req") == "no")
    assert reply.get("code") == code, reply
    frontend.events.remove(reply)
    return reply


async def until(frontend: Frontend, command: str, done: Callable[[Event], bool], **keys: Any) -> Event:
    """Ask again until the answer is as it should be."""
    async with asyncio.timeout(30):
        while not done(answer := await frontend.call(command, **keys)):
            await asyncio.sleep(0.1)
    return answer


class World:
    """Ann at her two frontends, the second by a child token that may chat; Bob, whose second may read."""

    def __init__(self, ann: NodeProcess, bob: NodeProcess, a: Pair, b: Pair) -> None:
        self.ann, self.bob, self.a, self.b = ann, bob, a, b
        self.room = ""

    def fresh(self) -> None:
        """Forget what was seen so far, so that only what comes now counts."""
        for frontend in (*self.a, *self.b):
            frontend.events.clear()

    async def both(self, called: str, /, **keys: Any) -> tuple[Event, Event]:
        """Return an event as all four were sent it: Ann's and Bob's."""
        ann, bob = await asyncio.gather(see(self.a, called, **keys), see(self.b, called, **keys))
        return ann, bob

    async def said(self, at: int, message: str, **keys: Any) -> tuple[Event, Event]:
        """Say something at Ann (0) or Bob (1): all four are shown it, and only whose own it is as `self`."""
        frontend = (self.a, self.b)[at][0]
        ident = (await frontend.call("user_message", room=self.room, message=message, **keys))["id"]
        shown = await self.both("user_message", id=ident)
        assert [event["self"] for event in shown] == [at == 0, at == 1]
        assert all((event["message"], event["username"]) == (message, ("ann", "bob")[at]) for event in shown)
        return shown


async def clocks(w: World) -> None:
    """Both are told at both frontends how far they are from what the two agree on: the middle."""
    for pair, offset in ((w.a, DAY / 2), (w.b, -DAY / 2)):
        warned = await see(pair, "warning", code="clock_skew")
        assert abs(warned["offset_s"] - offset) < 60
        assert abs((await pair[1].call("node_status"))["clock_skew_s"] - offset) < 60


async def finding_each_other(w: World) -> None:
    """Who is listed is found by a stranger; requests are taken back, rejected, accepted; one blocks."""
    (a, a2), (b, _) = w.a, w.b
    await a.call("profile_set", listed=True)
    found = await until(b, "user_search", lambda answer: bool(answer["users"]), text="AN")
    assert [(row["username"], row["state"]) for row in found["users"]] == [("ann", "none")]
    await b.call("contact_request", username="ann", message="tea?")
    await see(w.a, "contact_requested", username="bob", message="tea?")
    assert (await a2.call("contact_list"))["contacts"][0]["state"] == "incoming"
    await b.call("contact_cancel", username="ann")
    await see(w.a, "contact_request_cancelled", username="bob")
    w.fresh()
    await b.call("contact_request", username="ann")
    await see(w.a, "contact_requested", username="bob")
    await a2.call("contact_reject", username="bob")
    await see(w.b, "contact_rejected", username="ann")
    await a.call("contact_request", username="bob")
    await see(w.b, "contact_requested", username="ann")
    await b.call("contact_accept", username="ann")
    await w.both("contact_added")
    await b.call("contact_remove", username="ann")
    await w.both("contact_removed")
    w.fresh()
    link = (await b.call("contact_link_create", once=True))["link"]
    await a2.call("contact_add", link=link)
    await w.both("contact_added")
    await b.call("contact_block", username="ann")
    await see(w.b, "contact_updated", username="ann", blocked=True)
    await see(w.a, "contact_updated", username="bob", blocked_by=True)
    room = (await a.call("dm_open", username="bob"))["room"]
    await refused(a, "blocked", "user_message", room=room, message="unheard")
    await b.call("contact_unblock", username="ann")
    await see(w.b, "contact_updated", username="ann", blocked=False)
    await see(w.a, "contact_updated", username="bob", blocked_by=False)


async def a_room(w: World) -> None:
    """A room is made, an invite taken back, another declined, the third accepted."""
    a, b = w.a[0], w.b[0]
    w.room = (await a.call("room_create", name="tea", history=5))["room"]
    await see(w.a, "room_created", room=w.room)
    await a.call("user_message", room=w.room, message="before you came")
    await see(w.a, "user_message", message="before you came", self=True)
    for response, answer in (("cancelled", None), ("decline", "decline"), ("accept", "accept")):
        ident = (await a.call("user_invite", target="bob", room=w.room, client_id="tab-7"))["invite"]
        invite = await see(w.b, "user_invite", invite=ident)
        assert (invite["sender"], invite["room_name"], invite["kind"]) == ("ann", "tea", "room")
        told = await see(w.a, "invite_result", invite=ident, response="delivered")
        assert abs(invite["expires_at"] - DAY - told["expires_at"]) < 5  # each by its own clock
        if answer is None:
            await a.call("invite_cancel", invite=ident)
        else:
            await b.call("user_invite_response", response=answer, invite=ident)
        ended, _ = await w.both("invite_result", invite=ident, response=response)
        assert ended["client_id"] == "tab-7"
    await w.both("user_join", room=w.room, username="bob")
    past = await see(w.b, "user_message", message="before you came")
    assert past["history"] is True


async def order(w: World) -> None:
    """Twelve messages in turn have one order at all four, and fitting times, though Bob's clock is wrong."""
    w.fresh()
    for number in range(12):
        await w.said(number % 2, f"turn {number}")
    for frontend in (*w.a, *w.b):
        shown = [event for event in frontend.events if event["event"] == "user_message"]
        assert [event["message"] for event in shown] == [f"turn {number}" for number in range(12)]
        times = [event["ts_ms"] for event in shown]
        assert max(times) - min(times) < 30_000
        assert not any(event["gap"] for event in shown)


async def messages(w: World) -> None:
    """Kinds, a reply, an edit, reactions, mentions, a deletion of each reason, and a time to live."""
    a, b = w.a[0], w.b[0]
    for kind in ("text", "image", "audio", "gif", "file", "poll"):
        for event in await w.said(0, "https://example.org/cat.gif", kind=kind):
            assert event["kind"] == kind and event.get("remote", False) is (kind in {"image", "audio", "gif"})
    first, _ = await w.said(0, "one")
    reply = await w.said(1, "@ann two", reply_to=first["id"], mentions=["bob"])
    assert {event["reply_to"] for event in reply} == {first["id"]}
    assert all(sorted(one["username"] for one in event["mentions"]) == ["ann", "bob"] for event in reply)
    assert all(event["mentioned"] for event in reply)
    notice = await see(w.a, "notification", kind="mention")
    assert notice["data"]["message"] == reply[0]["id"]
    await a.call("message_edit", room=w.room, id=first["id"], message="uno")
    edited = await w.both("message_edited", id=first["id"], message="uno")
    assert [event["self"] for event in edited] == [True, False]
    await refused(b, "forbidden", "message_edit", room=w.room, id=first["id"], message="mine")
    await b.call("reaction_set", room=w.room, id=first["id"], emoji="like")
    liked = await w.both("reaction", id=first["id"], emoji="👍", on=True)
    assert [event["self"] for event in liked] == [False, True]
    shown = (await w.a[1].call("history_get", room=w.room, limit=2))["messages"][0]
    assert (shown["message"], shown["edited"], shown["reactions"][0]["count"]) == ("uno", True, 1)
    await b.call("reaction_set", room=w.room, id=first["id"], emoji="like", on=False)
    await w.both("reaction", id=first["id"], on=False)
    await a.call("message_delete", room=w.room, id=first["id"])
    await w.both("message_deleted", id=first["id"], reason="deleted")
    await a.call("message_delete", room=w.room, id=reply[0]["id"])
    await w.both("message_deleted", id=reply[0]["id"], reason="moderated")
    await see(w.a, "notification", id=notice["id"], withdrawn=True)
    await refused(b, "message_deleted", "reaction_set", room=w.room, id=first["id"], emoji="like")
    short = await w.said(1, "burn this", ttl=1)
    assert all(event["expires_ms"] - event["ts_ms"] == 1000 for event in short)
    await w.both("message_deleted", id=short[0]["id"], reason="expired")
    for frontend in (*w.a, *w.b):
        texts = {one["message"] for one in (await frontend.call("history_get", room=w.room))["messages"]}
        assert not texts & {"one", "uno", "@ann two", "burn this"}
        assert not (await frontend.call("search", text="burn"))["messages"]


async def who_has_it(w: World) -> None:
    """Typing, receipts, why, the ledger, and what is unread."""
    a, b = w.a[0], w.b[0]
    await b.call("typing_set", room=w.room)
    await see(w.a, "typing", username="bob", room=w.room, typing=True)
    await b.call("typing_set", room=w.room, typing=False)
    await see(w.a, "typing", username="bob", room=w.room, typing=False)
    ident = (await w.said(0, "have you read this?"))[0]["id"]
    await see(w.a, "message_status", id=ident, status="delivered", by="bob")
    assert (await a.call("message_why", id=ident))["recipients"][0]["status"] == "delivered"
    assert (await b.call("message_read", room=w.room, id=ident))["unread"] == 0
    await see(w.b, "room_updated", room=w.room, unread=0, read_to=ident)
    await see(w.a, "message_status", id=ident, status="read", by="bob")
    assert (await a.call("message_why", id=ident))["recipients"][0]["status"] == "read"
    ledger = await w.a[1].call("ledger_get", room=w.room)
    seq = (await see(w.a, "user_message", id=ident))["seq"]
    assert [(row["username"], row["read"] >= seq) for row in ledger["recipients"]] == [("bob", True)]
    await a.call("room_read", room=w.room)
    await see(w.a, "room_updated", room=w.room, unread=0)
    await w.said(1, "yes")
    rows = (await w.a[1].call("room_list"))["rooms"]
    assert [row["unread"] for row in rows if row["room"] == w.room] == [1]
    await b.call("room_mute", room=w.room)
    await see(w.b, "room_updated", room=w.room, muted=True)
    await b.call("room_mute", room=w.room, muted=False)
    await see(w.b, "room_updated", room=w.room, muted=False)


async def files(w: World) -> None:
    """A file by HTTP, one by the socket, named in messages, downloaded at the other node by URL alone."""
    large, small = os.urandom(150_000), b"hello"
    async with ClientSession() as http:
        url = f"http://127.0.0.1:{w.ann.bridge_port}/api/v1/attachments?name=tea.png"
        headers = {"Authorization": f"Bearer {w.ann.token}", "Content-Type": "image/png"}
        async with http.post(url, data=large, headers=headers) as answer:
            assert answer.status == 201
            first = (await answer.json())["attachment"]
        put = {"data": base64.b64encode(small).decode(), "name": "hello.txt", "type": "text/plain"}
        second = (await w.a[0].call("attachment_put", **put))["attachment"]
        for ident, data in ((first, large), (second, small)):
            ann, _ = await w.said(0, "look", attachment=ident, kind="file")
            assert (ann["attachment"]["id"], ann["attachment"]["state"]) == (ident, "ready")
            for frontend in w.b:
                shown = await frontend.event("user_message", id=ann["id"])
                assert shown["attachment"]["name"] == ("tea.png" if data is large else "hello.txt")
                path = (await until(frontend, "attachment_get", lambda a: a["state"] == "ready", id=ident))[
                    "url"
                ]
                async with http.get(f"http://127.0.0.1:{w.bob.bridge_port}{path}") as got:
                    assert await got.read() == data
    assert base64.b64decode((await w.b[1].call("attachment_get", id=second))["data"]) == small


async def how_they_are_seen(w: World) -> None:
    """Profile, avatar and status; away, busy, invisible and back."""
    a, b = w.a[0], w.b[0]
    w.fresh()
    await a.call("profile_set", name="Ann", avatar="🦊", status="at tea")
    for shown in await w.both("profile", nickname="Ann", status="at tea"):
        assert shown["avatar"] == "🦊"
    assert (await w.b[1].call("profile_get", username="ann"))["nickname"] == "Ann"
    await b.call("presence_set", state="away", busy=True, status="lunch")
    await w.both("presence", username="bob", state="away", busy=True, status="lunch")
    dm = (await a.call("dm_open", username="bob"))["room"]
    await refused(a, "busy", "user_invite", target="bob", room=dm, kind="game")
    await b.call("presence_set", state="offline", busy=False)
    await see(w.a, "presence", username="bob", state="offline")
    await see(w.a, "user_leave", username="bob", reason="disconnect")
    w.fresh()
    await b.call("presence_set", state="online")
    await w.both("presence", username="bob", state="online", busy=False)
    await see(w.a, "user_join", username="bob", reason="reconnect")
    rows = (await w.a[1].call("user_search", text="bo"))["users"]
    assert [(row["username"], row["presence"], row["state"]) for row in rows] == [
        ("bob", "online", "contact")
    ]


async def ruling(w: World) -> None:
    """Roles, what is changed of a room, its keys, links, leaving, removing and its end."""
    a, b = w.a[0], w.b[0]
    changed = {"name": "green tea", "topic": "which?", "invite": "admins", "history": "none"}
    await a.call("room_update", room=w.room, **changed)
    for key, value in changed.items():
        await w.both("room_updated", room=w.room, **{key: value})
    for frontend in (*w.a, *w.b):
        assert (await frontend.call("room_get", room=w.room)).items() >= changed.items()
    await refused(b, "forbidden", "room_update", room=w.room, name="mine")
    await refused(b, "forbidden", "announcement_send", room=w.room, text="mine")
    await a.call("member_role", room=w.room, username="bob", role="admin")
    await w.both("room_updated", room=w.room, username="bob", role="admin")
    await b.call("announcement_send", room=w.room, text="the cup is open", kind="tournament", data={"id": 1})
    told = await w.both("announcement", room=w.room, text="the cup is open", data={"id": 1})
    assert [(event["kind"], event["self"]) for event in told] == [("tournament", False), ("tournament", True)]
    await see(w.a, "notification", kind="tournament", is_read=False)
    await a.call("announcement_send", contacts=True, text="a new number")
    told = await w.both("announcement", room=None, text="a new number")
    assert [event["self"] for event in told] == [True, False]
    assert len((await a.call("room_rekey", room=w.room))["epoch"]) == 32
    await w.said(1, "under new keys")
    await b.call("user_leave", room=w.room)
    await w.both("user_leave", room=w.room, username="bob", reason="leave")
    w.fresh()
    link = (await a.call("room_link_create", room=w.room, uses=2))["link"]
    assert (await b.call("room_link_use", link=link))["state"] == "joining"
    await w.both("user_join", room=w.room, username="bob")
    assert (await a.call("room_link_revoke", room=w.room))["revoked"]
    assert not b.texts()  # `history` is none by now
    await a.call("member_remove", room=w.room, username="bob", reason="spam")
    await w.both("user_leave", room=w.room, username="bob", reason="removed")
    await refused(b, "room_not_found", "user_message", room=w.room, message="still here")
    await a.call("room_delete", room=w.room)
    await see(w.a, "room_deleted", room=w.room)
    await refused(a, "room_deleted", "user_message", room=w.room, message="still here")


async def games(w: World) -> None:
    """In the direct room: a game invite taken back, one declined, one accepted with one id at both."""
    w.room = (await w.a[0].call("dm_open", username="bob"))["room"]
    assert (await w.b[0].call("dm_open", username="ann"))["room"] == w.room
    await w.said(1, "a game?")
    for response in ("cancelled", "decline", "accept"):
        asked = {"kind": "game", "options": {"score": 10}, "client_id": "t"}
        ident = (await w.a[0].call("user_invite", target="bob", room=w.room, **asked))["invite"]
        assert (await see(w.b, "user_invite", invite=ident))["options"] == {"score": 10}
        if response == "cancelled":
            await w.a[1].call("invite_cancel", invite=ident)
        else:
            await w.b[0].call("user_invite_response", response=response, invite=ident)
        ann, bob = await w.both("invite_result", invite=ident, response=response, kind="game")
        assert ann.get("game_id") == bob.get("game_id") and bool(ann.get("game_id")) is (response == "accept")
        assert ann["client_id"] == "t" and bob.get("client_id") is None


async def notices(w: World) -> None:
    """What was told of is listed, and read at one frontend for both."""
    b, b2 = w.b
    listed = await b2.call("notification_list", limit=200)
    assert {"contact", "invite", "announcement"} <= {row["kind"] for row in listed["notifications"]}
    one = next(row for row in listed["notifications"] if not row["is_read"])
    left = (await b.call("notification_read", id=one["id"]))["unread"]
    assert left == listed["unread"] - 1
    await see(w.b, "notification", id=one["id"], is_read=True, unread=left)
    assert (await b.call("notification_read_all"))["count"] == left
    await see(w.b, "notifications_read", unread=0)
    assert (await b2.call("notification_list", is_read=False))["notifications"] == []


async def once_and_together(w: World) -> None:
    """A nonce does a thing once, a batch several in one, search finds what was said."""
    a = w.a[0]
    first = await a.call("user_message", room=w.room, message="éclair", nonce="n-1")
    again = await a.call("user_message", room=w.room, message="éclair", nonce="n-1")
    assert first["id"] == again["id"]
    await refused(a, "nonce_reused", "user_message", room=w.room, message="tart", nonce="n-1")
    say = {"event": "user_message", "room": w.room}
    batch = [{**say, "message": "b1"}, {"event": "no_such"}, {**say, "message": "b2"}]
    results = (await a.call("batch", commands=batch))["results"]
    assert [one["event"] for one in results] == ["ok", "error", "ok"]
    await w.both("user_message", message="b2")
    for frontend in (*w.a, *w.b):
        found = (await frontend.call("search", text="ECLAIR"))["messages"]
        assert [one["id"] for one in found] == [first["id"]]
        shown = [event["message"] for event in frontend.events if event["event"] == "user_message"]
        assert shown[-3:] == ["éclair", "b1", "b2"]


async def scopes(w: World) -> None:
    """A token does what its scope lets it, for as long as it lives."""
    (a, a2), (b, b2) = w.a, w.b
    await refused(b2, "forbidden", "user_message", room=w.room, message="no")
    await refused(a2, "forbidden", "token_create", name="more", scope="owner")
    assert [row["scope"] for row in (await b2.call("token_list"))["tokens"]] == ["read"]
    rows = (await a.call("audit_list", limit=200))["entries"]
    assert any((row["who"], row["code"]) == ("second", "forbidden") for row in rows)
    await b.call("token_revoke", name="second")
    await b2.ws.wait_closed()
    assert b2.ws.close_code == 4401


async def consumers(w: World) -> None:
    """A consumer that was away is shown what it missed, once and in order, from where it acknowledged."""
    hello = {"consumer": "log"}
    async with w.ann.frontend(hello) as first:
        seq = (await first.event("hello"))["seq"]
        await first.call("ack", seq=seq)
    missed = [f"missed {number}" for number in range(3)]
    for text in missed:
        await w.b[0].call("user_message", room=w.room, message=text)
        await see(w.a, "user_message", message=text)
    async with w.ann.frontend(hello) as again:
        await again.event("caught_up")
        assert [text for text in again.texts() if text.startswith("missed")] == missed
        numbers = [event["seq"] for event in again.events if "seq" in event and event["event"] != "hello"]
        assert numbers[:-1] == sorted(set(numbers[:-1])) and numbers[0] == seq + 1
    names = [row["name"] for row in (await w.a[1].call("consumer_list"))["consumers"]]
    assert names == ["log"]
    await w.a[0].call("consumer_remove", name="log")


PARTS = (
    clocks,
    finding_each_other,
    a_room,
    order,
    messages,
    who_has_it,
    files,
    how_they_are_seen,
    ruling,
    games,
    notices,
    once_and_together,
    consumers,
    scopes,
)


@pytest.mark.gate
async def test_every_feature_is_seen_at_two_frontends_of_two_nodes_a_day_apart(tmp_path: Path) -> None:
    ann = NodeProcess(tmp_path / "ann", "ann")
    async with running(ann), AsyncExitStack() as stack:
        bob = NodeProcess(tmp_path / "bob", "bob", "--peer", ann.address, clock_s=DAY)
        await stack.enter_async_context(running(bob))
        pairs: list[Pair] = []
        for node, scope in ((ann, "chat"), (bob, "read")):
            first = await stack.enter_async_context(node.frontend({"client": "first"}))
            token = (await first.call("token_create", name="second", scope=scope))["token"]
            second = await stack.enter_async_context(node.frontend({"client": "second"}, token))
            pairs.append((first, second))
        world = World(ann, bob, *pairs)
        for part in PARTS:
            await part(world)
