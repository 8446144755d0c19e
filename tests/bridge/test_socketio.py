"""Socket.IO on real loopback sockets: who is let in, how it is carried, and in which order it comes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import socketio

from node.bridge import http_socketio_frontend as frontend
from node.bridge.ports import CredentialsChanged, DialectRecord
from tests.bridge.fake_engine import ADMIN, Bridge
from tests.bridge.socketio_bench import (
    CHILD,
    OTHER,
    PAGE,
    READER,
    Polling,
    enable,
    ending,
    socket,
    speak,
    told,
)


@pytest.fixture
async def both(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> Bridge:
    speak(monkeypatch)
    enable(bridge, "002", "004")
    return bridge


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]], ids="-".join)
async def test_a_client_says_and_hears_over_every_transport(both: Bridge, transports: list[str]) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with socketio.AsyncSimpleClient() as client:
        await client.connect(both.http(f"/?token={ADMIN}"), transports=transports)
        assert await client.call("echo", ("a", {"b": 1})) == ["a", {"b": 1}]
        assert await client.receive() == ["echo", "a", {"b": 1}]
        for number in range(40):
            await client.emit("new message", f"m{number}")
        heard = [await client.receive(5) for _ in range(40)]
        assert heard == [["new message", f"m{number}"] for number in range(40)]
        assert client.client.transport() == transports[-1]


async def test_the_path_is_served_without_its_slash_too(both: Bridge) -> None:
    async with aiohttp.ClientSession() as http:
        url = both.http("/socket.io") + f"?EIO=4&transport=polling&token={ADMIN}"
        async with http.get(url) as answer:
            assert answer.status == 200 and (await answer.text()).startswith("0{")
            assert not [name for name in answer.headers if name.startswith("Access-Control-")]


async def test_where_no_dialect_is_on_there_is_nothing(bridge: Bridge) -> None:
    async with aiohttp.ClientSession() as http:
        assert (await Polling(http, bridge, f"&token={ADMIN}").get())[0] == 404


async def test_a_page_is_answered_with_its_own_origin_once(both: Bridge) -> None:
    async with aiohttp.ClientSession() as http:
        page = Polling(http, both, f"&token={ADMIN}", {"Origin": PAGE})
        assert (await page.connect()).startswith("40")
        assert page.seen.getall("Access-Control-Allow-Origin") == [PAGE]
        assert page.seen.getall("Access-Control-Allow-Credentials") == ["true"]
        assert page.seen.getall("Vary") == ["Origin"]


async def test_a_foreign_page_is_refused_whatever_it_brings(both: Bridge) -> None:
    async with aiohttp.ClientSession() as http:
        good = Polling(http, both, f"&token={ADMIN}", {"Origin": PAGE})
        await good.connect()
        for query in ("", f"&token={ADMIN}"):
            evil = Polling(http, both, query, {"Origin": "https://evil.example"})
            evil.sid = good.sid
            assert (await evil.get())[0] == (await evil.post("3"))[0] == 403
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await http.ws_connect(
                    evil.base.replace("polling", "websocket"), headers={"Origin": "https://evil.example"}
                )
        assert (await good.post("3"))[0] == 200


async def test_a_session_goes_on_only_with_the_credential_origin_and_page_that_it_began_with(
    both: Bridge,
) -> None:
    enable(both, "002", "004", origins=(PAGE, OTHER))
    async with aiohttp.ClientSession() as http:
        page = Polling(http, both, f"&token={ADMIN}", {"Origin": PAGE})
        await page.connect()
        for query, origin in (
            ("", PAGE), (f"&token={CHILD}", PAGE), (f"&token={ADMIN}", OTHER), (f"&token={ADMIN}", None),
        ):  # fmt: skip
            other = Polling(http, both, query, {"Origin": origin} if origin else {})
            other.sid = page.sid
            assert (await other.get())[0] == (await other.post("3"))[0] == 403
        nameless = Polling(http, both, "", {"Origin": PAGE})
        assert (await nameless.connect({"token": CHILD})).startswith("40")
        thief = Polling(http, both, "", {"Origin": OTHER})
        thief.sid = nameless.sid
        assert (await thief.get())[0] == 403
        assert (await page.post("3"))[0] == (await nameless.post("3"))[0] == 200


@pytest.mark.parametrize("auth", [None, {}, {"token": "w" * 43}, {"token": 7}, {"token": ["x"]}, "x", [1], 5])
async def test_who_shows_no_good_token_is_told_so_and_put_out(both: Bridge, auth: Any) -> None:
    async with socket(both, "", connect=False) as ws:
        await ws.send_str("40" + ("" if auth is None else json.dumps(auth)))
        assert json.loads((await told(ws))[2:])["data"] == {"code": "unauthorized"}
        assert (await ending(ws))[1] == 4401
    assert not both.engine.sessions


async def test_a_token_that_only_reads_opens_nothing_here(both: Bridge) -> None:
    async with socket(both, "", connect=False) as ws:
        await ws.send_str("40" + json.dumps({"token": READER}))
        assert json.loads((await told(ws))[2:])["data"] == {"code": "forbidden"}
    async with aiohttp.ClientSession() as http:
        assert (await Polling(http, both, f"&token={READER}").get())[0] == 403
        assert (await Polling(http, both, f"&token={'w' * 43}").get())[0] == 401


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_foreign_page_that_asks_as_for_a_picture_takes_no_place_of_a_frontend(
    both: Bridge, site: str
) -> None:
    async with aiohttp.ClientSession() as http:
        for _ in range(70):
            assert (await Polling(http, both, "", {"Sec-Fetch-Site": site}).get())[0] == 401
        assert not both.server._connections
        for good in ("same-origin", "none"):
            assert (await Polling(http, both, "", {"Sec-Fetch-Site": good}).get())[0] == 200
        page = Polling(http, both, "", {"Origin": PAGE, "Sec-Fetch-Site": "same-site"})
        assert (await page.connect({"token": CHILD})).startswith("40")


async def test_two_credentials_have_to_be_the_same(both: Bridge) -> None:
    async with socket(both, f"&token={ADMIN}", connect=False) as ws:
        await ws.send_str("40" + json.dumps({"token": CHILD}))
        assert (await told(ws)).startswith("44")
    async with socket(both, f"&token={CHILD}", {"token": CHILD}) as ws:
        await ws.send_str('421["echo"]')
        assert await told(ws) == '42["echo"]'


async def test_nothing_is_done_or_said_before_a_good_token(
    both: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frontend, "HELLO_SECONDS", 0.5)
    async with socket(both, "", connect=False) as ws:
        await ws.send_str('421["echo"]')
        both.engine.say("not for everybody")
        seen, code = await ending(ws)
        assert seen == ['44{"message":"no credential in time","data":{"code":"unauthorized"}}']
        assert code == 4408 and not both.engine.sessions


async def test_the_first_event_picks_one_of_two_vocabularies(both: Bridge) -> None:
    for word, shown in (("echo", "new message"), ("say_again", "message_received")):
        async with socket(both) as ws:
            both.engine.say("before")
            await ws.send_str('425["no such"]')
            assert await told(ws) == '435[{"ok":false,"error":"unknown_event"}]'
            assert not both.engine.sessions
            await ws.send_str(f'426["{word}",1]')
            assert [await told(ws), await told(ws)] == ['42["echo",1]', "436[[1]]"]
            both.engine.say("after")
            assert await told(ws) == f'42["{shown}","after"]'
            await ws.send_str('427["no such"]')
            assert [await told(ws), await told(ws)] == [
                '42["error",{"code":"invalid"}]', '437[{"ok":false,"error":"invalid"}]',
            ]  # fmt: skip


async def test_where_one_dialect_is_on_it_is_spoken_from_the_connect_on(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    speak(monkeypatch)
    enable(bridge, "004")
    async with socket(bridge) as ws:
        bridge.engine.say("at once")
        assert await told(ws) == '42["message_received","at once"]'


async def test_a_dialect_that_was_turned_off_meanwhile_is_not_picked(both: Bridge) -> None:
    async with socket(both) as ws:
        enable(both, "004")
        await ws.send_str('421["echo"]')
        assert await told(ws) == '431[{"ok":false,"error":"unknown_event"}]'
        await ws.send_str('422["say_again"]')
        assert await told(ws) == '42["echo"]'


async def test_a_page_may_speak_what_it_is_allowed_to_alone(both: Bridge) -> None:
    records = (DialectRecord("002", (PAGE,)), DialectRecord("004", (OTHER,)))
    both.server.perform(CredentialsChanged((), (), dialects=records))
    async with socket(both, headers={"Origin": OTHER}) as ws:
        both.engine.say("at once")
        assert await told(ws) == '42["message_received","at once"]'


async def test_what_is_said_at_once_is_done_and_acknowledged_in_order(both: Bridge) -> None:
    async with socket(both) as ws:
        for number in range(300):
            await ws.send_str(f'42{number}["echo",{number}]')
        seen = [await told(ws) for _ in range(600)]
        assert seen[::2] == [f'42["echo",{number}]' for number in range(300)]
        assert seen[1::2] == [f"43{number}[[{number}]]" for number in range(300)]


async def test_a_page_that_says_more_than_is_answered_is_not_read(both: Bridge) -> None:
    both.engine.queued = 1024
    async with socket(both) as ws:
        await ws.send_str('421["echo"]')
        await asyncio.sleep(0.05)
        assert not both.engine.sessions
        both.engine.queued = 0
        assert await told(ws) == '42["echo"]'


async def test_binary_attachments_are_refused_and_the_rest_goes_on(both: Bridge) -> None:
    holder = '{"_placeholder":true,"num":0}'
    async with socket(both) as ws:
        await ws.send_str('421["echo"]')
        assert [await told(ws), await told(ws)] == ['42["echo"]', "431[[]]"]
        await ws.send_str(f'451-2["echo",{holder}]')
        await ws.send_bytes(b"\x00\xff")
        assert '432[{"ok":false,"error":"invalid"}]' in [await told(ws), await told(ws)]
        await ws.send_str('423["echo"]')
        assert [await told(ws), await told(ws)] == ['42["echo"]', "433[[]]"]
        await ws.send_bytes(b"nobody said that it would come")
        assert (await ending(ws))[1] == 4400
    async with aiohttp.ClientSession() as http:
        page = Polling(http, both, f"&token={ADMIN}")
        await page.connect()
        assert (await page.post(f'451-2["echo",{holder}]\x1ebAP8=\x1e423["echo"]'))[0] == 200
        assert (await page.get())[1] == '432[{"ok":false,"error":"invalid"}]\x1e42["echo"]\x1e433[[]]'


async def test_one_post_carries_far_more_than_sixteen_events(both: Bridge) -> None:
    async with aiohttp.ClientSession() as http:
        page = Polling(http, both, f"&token={ADMIN}")
        await page.connect()
        assert await page.post("\x1e".join(f'42["new message","{n}"]' for n in range(500))) == (200, "OK")
        seen: list[str] = []
        while len(seen) < 500:
            seen += (await page.get())[1].split("\x1e")
        assert seen == [f'42["new message","{n}"]' for n in range(500)]


async def test_halves_of_characters_and_long_numbers_come_back_as_they_were_said(both: Bridge) -> None:
    long = "1" * 50
    async with socket(both) as ws:
        await ws.send_str(f'421["echo","\\ud83d",{long}]')
        assert [await told(ws), await told(ws)] == [
            f'42["echo","\\ud83d",{long}]',
            f'431[["\\ud83d",{long}]]',
        ]


@pytest.mark.parametrize("gone", ["token", "origin", "dialect"])
async def test_who_loses_token_origin_or_dialect_is_put_out_for_good(
    both: Bridge, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frontend, "ABORT_AFTER", 0.2)
    headers = {"Origin": PAGE}
    async with aiohttp.ClientSession() as http, socket(both, f"&token={CHILD}", headers=headers) as ws:
        page = Polling(http, both, f"&token={CHILD}", headers)
        await page.connect()
        await ws.send_str('421["echo"]')
        await told(ws)
        waiting = asyncio.create_task(page.get())
        await asyncio.sleep(0.05)
        match gone:
            case "token":
                enable(both, "002", "004", tokens=False)
            case "origin":
                enable(both, "002", "004", origins=())
            case "dialect":
                enable(both)
        seen, code = await ending(ws)
        assert seen[-1] == "41" and code == (4401 if gone == "token" else 4403)
        assert await waiting == (200, "41")
        both.engine.say("not for those who were put out")
        if gone == "token":
            assert (await page.get())[0] == 401
        else:
            assert (await page.post("1"))[0] in {403, 404}
    async with asyncio.timeout(30):
        while both.server._connections:
            await asyncio.sleep(0.05)
    assert not both.server._connections and not both.engine.sessions


async def test_a_planned_stop_lets_frontends_come_back_by_themselves(both: Bridge) -> None:
    async with aiohttp.ClientSession() as http, socket(both) as ws:
        page = Polling(http, both, f"&token={ADMIN}")
        await page.connect()
        waiting = asyncio.create_task(page.get())
        await asyncio.sleep(0.05)
        (seen, code), _ = await asyncio.gather(ending(ws), both.server.stop())
        assert not seen and code == 1012
        assert (await waiting)[1] == "1"
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not [task for task in left if "socketio" in repr(task) or "engineio" in repr(task)]


async def test_a_stop_does_not_wait_for_a_page_that_does_not_ask(both: Bridge) -> None:
    async with aiohttp.ClientSession() as http:
        page = Polling(http, both, f"&token={ADMIN}")
        await page.connect()
        async with asyncio.timeout(1.5):
            await both.server.stop()


async def test_what_happens_after_a_token_was_revoked_is_not_told_by_it(both: Bridge) -> None:
    async with aiohttp.ClientSession() as http:
        page = Polling(http, both, "")
        await page.connect({"token": CHILD})
        await page.post('42["echo"]')
        assert (await page.get())[1] == '42["echo"]'
        enable(both, "002", "004", tokens=False)
        both.engine.say("not for those who were put out")
        assert await page.get() == (200, "41")


async def test_no_websocket_is_compressed(both: Bridge) -> None:
    async with aiohttp.ClientSession() as http:
        url = both.http("/socket.io/") + f"?EIO=4&transport=websocket&token={ADMIN}"
        async with http.ws_connect(url, compress=15) as ws:
            assert not ws.compress


async def test_who_leaves_is_gone_at_once(both: Bridge) -> None:
    async with aiohttp.ClientSession() as http, socket(both) as ws:
        page = Polling(http, both, f"&token={ADMIN}")
        await page.connect()
        await page.post('42["echo"]')
        assert len(both.engine.sessions) == 1
        await page.post("41")
        await ws.send_str('42["echo"]')
        await told(ws)
        await ws.send_str("41")
        assert (await ending(ws))[1] == 1000
    await asyncio.sleep(0.05)
    assert not both.engine.sessions and not both.server._connections


async def test_a_polled_session_that_vanishes_is_ended(both: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    async with aiohttp.ClientSession() as http:
        page = Polling(http, both, f"&token={ADMIN}")
        await page.connect()
        await page.post('42["echo"]')
        library = both.server._socket_io._library  # type: ignore[union-attr]
        library.eio.ping_timeout = 0.05
        session = library.eio.sockets[page.sid]
        session.last_ping = 1.0
        await session.check_ping_timeout()
        assert not both.engine.sessions and not both.server._connections and not library.lines


async def test_there_is_room_for_so_many_and_no_more(both: Bridge) -> None:
    async with aiohttp.ClientSession() as http:
        for _ in range(64):
            await Polling(http, both, "").open()
        assert (await Polling(http, both, "").get())[0] == 503
        assert (await Polling(http, both, f"&token={ADMIN}").get())[0] == 200


@pytest.mark.parametrize(
    "query",
    ["EIO=3&transport=polling", "transport=polling", "EIO=4", "EIO=4&transport=flash",
     "EIO=4&transport=websocket", "EIO=4&transport=polling&j=0", "EIO=4&transport=polling&sid=nobody",
     "EIO=4&transport=polling&sid=a&sid=b", "EIO=4&EIO=4&transport=polling"],
)  # fmt: skip
async def test_what_is_no_request_of_it_is_400(both: Bridge, query: str) -> None:
    async with aiohttp.ClientSession() as http:
        for method in ("GET", "POST"):
            url = both.http("/socket.io/") + f"?{query}&token={ADMIN}"
            async with http.request(method, url) as answer:
                assert answer.status == 400


async def test_a_page_that_the_node_serves_gets_in_by_its_login(both: Bridge) -> None:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        async with http.get(both.server.login_url(), allow_redirects=False) as answer:
            assert answer.status == 303
        page = Polling(
            http, both, "", {"Sec-Fetch-Site": "same-origin"}
        )  # browsers send no Origin with a GET
        own = {"Origin": both.http("")}
        await page.open()
        assert (await page.post("40", own))[0] == 200
        assert (await page.get())[1].startswith('40{"sid"')
        assert (await page.post('421["echo","x"]', own))[0] == 200
        assert (await page.get())[1] == '42["echo","x"]\x1e431[["x"]]'
        assert (await page.post("3", {**own, "Sec-Fetch-Site": "cross-site"}))[0] == 403
        async with http.ws_connect(page.base.replace("polling", "websocket"), headers=own) as ws:
            assert (await ws.receive_str()).startswith('0{"sid"')
            await ws.send_str("40")
            assert (await ws.receive_str()).startswith('40{"sid"')
    async with aiohttp.ClientSession() as http:
        thief = Polling(http, both, "", {"Sec-Fetch-Site": "same-origin"})
        thief.sid = page.sid
        assert (await thief.get())[0] == 403


@pytest.mark.parametrize("transports", [["websocket"], ["polling", "websocket"]], ids="-".join)
async def test_a_login_of_the_same_browser_takes_nothing_from_a_frontend_that_shows_its_token(
    both: Bridge, transports: list[str]
) -> None:
    """Cookies know no ports: a page at another one sends them along with every websocket."""
    code = both.server.login_url().partition("code=")[2]
    value = both.server.redeem(code, both.port)
    assert value is not None
    login = {"Cookie": f"{both.server.cookie_at(both.port)}={value[0]}", "Sec-Fetch-Site": "same-site"}
    async with socketio.AsyncSimpleClient() as client:
        await client.connect(
            both.http(), headers={"Origin": PAGE, **login}, auth={"token": CHILD}, transports=transports
        )
        assert await client.call("echo", ("a",)) == ["a"]
        assert client.client.transport() == transports[-1]
        assert {one.grant.name for one in both.server._connections.values() if one.grant} == {"child"}
    async with aiohttp.ClientSession() as http:
        headers = {"Origin": PAGE, **login}
        for auth in ({"token": "w" * 43}, {"token": READER}):
            async with socket(both, "", headers=headers, connect=False) as ws:
                await ws.send_str("40" + json.dumps(auth))
                assert (await told(ws)).startswith("44")
        page = Polling(http, both, "", headers)
        assert (await page.connect({"token": CHILD})).startswith("40")
        assert (await page.post('421["echo"]'))[0] == 200 and "431" in (await page.get())[1]
        page = Polling(http, both, "", headers)
        assert (await page.connect()).startswith("44"), "a login alone polls from its own page alone"
        async with socket(both, "", headers=headers) as ws:
            await ws.send_str('421["echo"]')
            assert await told(ws) == '42["echo"]'


async def test_one_that_answers_pings_stays_and_one_that_does_not_is_ended(both: Bridge) -> None:
    async with socket(both):
        library = both.server._socket_io._library  # type: ignore[union-attr]
        library.eio.ping_interval, library.eio.ping_timeout = 0.05, 0.3
        async with socket(both) as lively, socket(both) as silent:
            for _ in range(10):
                assert await lively.receive_str() == "2"
                await lively.send_str("3")
            for session in tuple(library.eio.sockets.values()):
                await session.check_ping_timeout()
            seen, code = await ending(silent)
            assert seen == ["2"] and code == 1000
            assert await lively.receive_str() == "2"


def test_the_library_is_loaded_for_those_who_speak_it_alone() -> None:
    said = (
        "import sys, node.daemon; print([name for name in sys.modules if name in ('socketio', 'engineio')])"
    )
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["python-socketio", "python-engineio"])
def test_only_versions_of_the_library_whose_inside_was_tried_are_asked_for(name: str) -> None:
    """The lock has one; who installs without it gets its bug fixes, and no other minor version."""
    wanted = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"][
        "dependencies"
    ]
    (pin,) = [one.removeprefix(f"{name}~=") for one in wanted if one.startswith(f"{name}~=")]
    assert pin.count(".") == 2
    assert version(name).split(".")[:2] == pin.split(".")[:2]
