"""Dialects over plain websockets: what is no frame of theirs, again and again, and who has no credential."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from node.bridge.dialects.adapter import Adapter, Call, Frame, Talk
from node.bridge.dialects.registry import ADAPTERS
from node.chat.events import Event
from node.errors import Refused
from tests.bridge.fake_engine import ADMIN, recv
from tests.bridge.test_listeners import Opened, home, opened

__all__ = ["home", "opened"]


class Plain(Adapter):
    """Refuses all that it is told."""

    def said(self, call: Call) -> Talk[Any]:
        raise Refused("unknown_event", "no")
        yield from ()

    def happened(self, event: Event) -> Talk[None]:
        yield from ()

    def refused(self, call: Call | None, fault: Refused) -> Talk[Any]:
        yield Frame("ERROR", ({"code": fault.code},))


async def test_the_third_malformed_frame_in_a_minute_is_answered_and_closes_4400(
    opened: Opened,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(ADAPTERS, "001", Plain)
    await opened.enable("001")
    async with connect(f"ws://127.0.0.1:{opened.port}/ws?token={ADMIN}") as ws:
        for text, code in (("{", "bad_frame"), ('{"type":"x"}', "unknown_event"), ("[]", "bad_frame")):
            await ws.send(text)
            assert (await recv(ws))["data"]["code"] == code
        await ws.send(b"{}")
        assert (await recv(ws))["data"]["code"] == "bad_frame"
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(ws.recv(), 30)
        assert ws.close_code == 4400


@pytest.mark.parametrize("path", ["/ws/events", "/ws/events/"])
async def test_a_page_of_the_events_protocol_without_credential_is_told_so_by_a_close_code(
    opened: Opened, path: str
) -> None:
    await opened.enable("003")
    async with connect(f"ws://127.0.0.1:{opened.port}{path}") as ws:
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(ws.recv(), 30)
        assert ws.close_code == 3002
