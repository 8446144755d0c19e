"""Metrics: what Prometheus can read, and nothing that says who anybody is."""

from __future__ import annotations

import re

import aiohttp
from websockets.asyncio.client import connect

from node.bridge.metrics import Histogram, counters, gauge, render
from node.engine import figures
from node.sim import Simulation
from tests.bridge.fake_engine import ADMIN, Bridge, recv
from tests.engine.worlds import trio

SAMPLE = re.compile(r'gossamer_[a-z_]+(\{[a-z_]+="[^"\n]*"(,[a-z_]+="[^"\n]*")*\})? [-0-9.e+]+')


def readable(text: str) -> bool:
    """Every line is a comment or a sample, and every sample's family was announced before it."""
    announced = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            announced.add(line.split()[2])
        elif not line.startswith("# HELP "):
            name = re.split(r"[{ ]", line)[0]
            assert SAMPLE.fullmatch(line), line
            assert name in announced or re.sub("_(bucket|sum|count)$", "", name) in announced, line
    return text.endswith("\n")


def test_the_text_is_what_prometheus_reads() -> None:
    took = Histogram("seconds", "How long.")
    for seconds in (0.0005, 0.02, 99):
        took.observe(seconds)
    text = render([gauge("a", "One.", 1), counters("b", "Two.", ("x",), {('q"\\\n',): 2}), took])
    assert 'gossamer_b{x="q\\"\\\\\\n"} 2' in text
    assert 'gossamer_seconds_bucket{le="0.001"} 1' in text
    assert 'gossamer_seconds_bucket{le="+Inf"} 3' in text and "gossamer_seconds_count 3" in text
    assert text.endswith("\n")


def test_the_engines_figures_name_nobody() -> None:
    world, ann, bob, cat, room = trio("figures")
    assert isinstance(world, Simulation) and ann.engine is not None
    text = render(figures.of(ann.engine, ann.now()))
    assert readable(text)
    assert 'gossamer_links{direction="out"} 1' in text
    assert "gossamer_contacts 1" in text and "gossamer_rooms 1" in text and "gossamer_late_faults 0" in text
    for word in ("ann", "bob", "cat", "club", room, ann.engine.state.me.user_id, "ws:"):
        assert word not in text


async def test_commands_refusals_queues_and_latencies_are_counted(bridge: Bridge) -> None:
    async with connect(bridge.url()) as ws, aiohttp.ClientSession() as http:
        for _ in range(3):
            await ws.send('{"event":"room_list","req":1}')
            await recv(ws)
        async with http.get(bridge.http("/api/v1/metrics")) as answer:
            assert answer.status == 401
        async with http.get(
            bridge.http("/api/v1/metrics"), headers={"Authorization": f"Bearer {ADMIN}"}
        ) as answer:
            assert (answer.status, answer.headers["Content-Type"]) == (
                200,
                "text/plain; version=0.0.4; charset=utf-8",
            )
            text = await answer.text()
    assert readable(text)
    assert 'gossamer_commands_total{command="room_list",code="ok"} 3' in text
    assert 'gossamer_refused_requests_total{code="unauthorized"} 1' in text
    assert 'gossamer_sessions{phase="plain"} 1' in text
    assert "gossamer_command_seconds_count 3" in text and "gossamer_outbox_events 0" in text


async def test_health_says_one_word_without_a_credential(bridge: Bridge) -> None:
    async with aiohttp.ClientSession() as http:
        for word in ("ok", "locked", "starting"):
            bridge.server._state = lambda word=word: word  # type: ignore[misc]
            async with http.get(bridge.http("/api/v1/health")) as answer:
                assert (answer.status, await answer.json()) == (200, {"status": word})
