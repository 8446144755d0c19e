"""An HTTP request of a frontend in a transcript: its talk beside a simulated node, without a socket.

A request is written `PUT /api/chats/bob {"a":1}`, its answer `201 {"username":"bob"}`, or `204`.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from node.bridge.dialects.adapter import Ask, Setting
from node.bridge.dialects.live_003 import http
from node.bridge.guard import Grant
from node.bridge.one_talk import Asker, OneTalk
from node.bridge.ports import BridgeInput
from node.sim import SimNode, SimSession

REQUEST = re.compile(r"([A-Z]+) (/\S*)(?: (.*))?")
FIRST = 2_000_000
"""Sessions from here on are requests'."""


def asked_of(text: str) -> Ask | None:
    """Return the request that a line is, if it is one."""
    found = REQUEST.fullmatch(text)
    if found is None:
        return None
    target = urlsplit(found[2])
    query = dict(parse_qsl(target.query, keep_blank_values=True))
    return Ask(found[1], target.path, query, None if found[3] is None else json.loads(found[3]))


def requested(node: SimNode, ask: Ask, setting: Setting, *, passing: bool = True) -> dict[str, Any]:
    """Make a request at a node, and return the answer as a transcript compares it."""
    session = SimSession(FIRST + len(node.sessions))
    node.sessions[session.number] = session
    asker = Asker(Grant(setting.scope, "owner"), "003", passing)
    one, place = OneTalk(session.number, http.answer(ask, setting), asker, None), 0
    todo: list[BridgeInput] = one.begin(node.now())
    while todo or place < len(session.seen):
        for event in todo:
            node.feed(event)
        todo = []
        if place < len(session.seen):
            todo = one.answered(session.seen[place], node.now())
            place += 1
    one.close()
    node.detach(session)
    assert one.reply is not None, "the node did not answer"
    return shown(one.reply.status, json.loads(json.dumps(one.reply.body)))


def shown(status: int, body: Any) -> dict[str, Any]:
    """Return an answer as it is compared."""
    return {"status": status, "body": body}


def pattern_of(text: str) -> dict[str, Any] | None:
    """Return the answer that a line describes, if it is one to a request."""
    found = re.fullmatch(r"(\d{3})(?: (\{.*\}))?", text)
    return None if found is None else shown(int(found[1]), json.loads(found[2] or "null"))
