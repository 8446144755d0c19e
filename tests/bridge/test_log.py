"""The event log at the bridge: overtaken replays, what is coalesced, reads that end with their session."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from node.bridge import http_frontend, http_socket, outbox
from node.bridge.ports import SessionStarted, StartReplay
from node.chat import events
from tests.bridge.fake_engine import EPOCH, ROOM, Bridge, recv


async def test_a_replay_that_compaction_overtakes_ends_with_lagged_and_no_gap(
    bridge: Bridge,
) -> None:
    engine = bridge.engine
    for number in range(http_socket.PAGE * 3):
        engine.say(str(number))
    pages = iter(range(9))

    def compact() -> None:
        if next(pages) == 1:
            engine.first = http_socket.PAGE * 2 + 50

    engine.on_page = compact
    seen: list[dict[str, Any]] = []
    async with connect(bridge.url() + "&hello=1") as ws:
        await ws.send(json.dumps({"event": "hello", "resume": {"epoch": EPOCH, "seq": 0}}))
        with pytest.raises(ConnectionClosed):
            while True:
                seen.append(await recv(ws))
        assert ws.close_code == 4008
    seqs = [event["seq"] for event in seen if event["event"] == "user_message"]
    assert seqs == list(range(1, len(seqs) + 1))
    assert seen[-1] == {"event": "lagged", "resume_from": seqs[-1]}
    assert seqs[-1] < engine.first - 1


@pytest.mark.parametrize("resume", [None, 1, 4])
async def test_what_is_logged_in_the_turn_of_a_hello_comes_once_and_after_it(
    bridge: Bridge, resume: int | None
) -> None:
    engine, begin = bridge.engine, bridge.engine._started
    for number in range(4):
        engine.say(str(number))

    def started(session: SessionStarted) -> None:
        engine.sessions[session.session] = session
        engine.say("an invite that is over")
        perform, replays = engine.perform, list[StartReplay]()

        def later(effect: Any) -> None:
            replays.append(effect) if isinstance(effect, StartReplay) else perform(effect)

        engine.perform = later  # type: ignore[method-assign]
        begin(session)
        engine.say("an invite that is shown now")
        del engine.perform
        for replay in replays:
            engine.perform(replay)

    engine._started = started  # type: ignore[method-assign]
    asked = {} if resume is None else {"resume": {"epoch": EPOCH, "seq": resume}}
    seen: list[dict[str, Any]] = []
    async with connect(bridge.url() + "&hello=1") as ws:
        await ws.send(json.dumps({"event": "hello", **asked}))
        await asyncio.sleep(0.1)
        engine.say("last")
        while not seen or seen[-1].get("message") != "last":
            seen.append(await recv(ws))
    assert (seen[0]["event"], seen[0]["seq"]) == ("hello", 5)
    seqs = [event["seq"] for event in seen if event["event"] == "user_message"]
    assert seqs == list(range(6 if resume is None else resume + 1, 8))


async def test_a_search_ends_with_the_session_that_asked(bridge: Bridge) -> None:
    bridge.engine.searching = asyncio.Event()
    async with connect(bridge.url() + "&hello=1") as ws:
        await ws.send(json.dumps({"event": "hello"}))
        await recv(ws)
        for req in range(http_frontend.MAX_READS + 9):
            await ws.send(json.dumps({"event": "search", "text": "x", "req": req}))
        async with asyncio.timeout(30):
            while bridge.engine.searches < http_frontend.MAX_READS:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert bridge.engine.searches <= http_frontend.MAX_READS + 1, "one more is read while the others wait"
        ws.transport.abort()
    async with asyncio.timeout(30):
        while bridge.engine.searches:
            await asyncio.sleep(0.01)


def test_of_typing_and_presence_only_the_newest_of_each_waits_for_one_who_reads_slowly() -> None:
    box = outbox.Outbox()
    other = ROOM.replace("fc", "ab")
    for number in range(outbox.MAX_EVENTS):
        for event in (
            events.Typing(username="b", room=ROOM, user_id="b", typing=bool(number % 2)),
            events.Typing(username="b", room=other, user_id="b", typing=True),
            events.Typing(username="c", room=ROOM, user_id="c", typing=True),
            events.Presence(username="b", user_id="b", presence="online"),
        ):
            box.push(outbox.Item(events.encode_json(event), 0, outbox.key_of(event)))
        assert not box.lagged
    assert len(box) <= outbox.MAX_EVENTS
    kept = [json.loads(item.data) for item in box.take(outbox.MAX_EVENTS)]
    newest = {(k["event"], k.get("room"), k["user_id"]): k for k in kept}
    assert len(newest) == 4
    assert newest["typing", ROOM, "b"]["typing"]
